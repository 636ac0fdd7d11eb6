"""Jobs that tasks submit: whose they are, what bounds them, and that they end with what they belong to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.children import ChildEnd, ChildrenAsked, ChildrenOf, ChildrenReply
from bus.results import Child, Progress, Told
from bus.spec import JobSpec, ResourceSpec
from bus.values import AttemptRef, JobState, NodeName, Resources, UserName
from coordinator.core import children
from coordinator.core.children import waiting_at
from coordinator.core.effects import EventRecord, NewTask, Refuse, RemarkRecord
from coordinator.core.events import ParentsWait
from coordinator.core.ids import task_id
from coordinator.core.plan import plan
from coordinator.core.why import blockers
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence
from tests.unit.coordinator.shell import Shell, running_shell, until


def refused(pool: World, **fields: Any) -> str:
    pool.happen(pool.submission(JobSpec(command=["y"], **fields)))
    return str(pool.answer(Refuse).faults[0].code)


@pytest.mark.contract("S4.19")
def test_it_ends_with_the_job_it_came_from_and_so_do_its_own(pool: World) -> None:
    first = pool.submit(command=["x"], array="0-1")
    running = pool.schedule()
    child = pool.submit(command=["y"], parent=f"{first}.0")
    other = pool.submit(command=["z"], parent=f"{first}.1")
    pool.end(running[1])
    (placed,) = pool.schedule()
    assert placed.attempt.job == child
    grandchild = pool.submit(command=["z"], parent=f"{child}.0")
    assert pool.cluster.jobs[grandchild].depth == 2
    rebuilt = pool.rebuilt()
    assert essence(rebuilt) == essence(pool.cluster) and rebuilt.children == pool.cluster.children
    pool.cancel(first, index=0)
    assert pool.job_state(grandchild) is JobState.CANCELLED
    assert pool.cluster.jobs[child].cancel_requested and not pool.cluster.jobs[other].cancel_requested
    pool.cancel(first)
    assert pool.job_state(other) is JobState.CANCELLED


def test_every_row_of_it_names_the_task_it_came_from(pool: World) -> None:
    """Also a row that comes later, when that task is long over and a new coordinator leads."""
    first = pool.submit(command=["x"], array="0-1")
    running = pool.schedule()
    above = pool.cluster.jobs[first].groups[0]
    pool.submit(command=["y"], array="0-9", parent=f"{first}.1")
    (array,) = [row for row in pool.effects if isinstance(row, NewTask)]
    assert array.parent_id == task_id(above.job.id, 1)
    for attempt in running:
        pool.end(attempt)
    assert first not in pool.cluster.jobs
    pool.cluster = pool.rebuilt()
    pool.schedule()
    elements = [row for row in pool.effects if isinstance(row, NewTask)]
    assert elements and {row.parent_id for row in elements} == {array.parent_id}


def test_only_a_running_task_of_ones_own_has_children(pool: World) -> None:
    job = pool.submit(command=["x"])
    assert refused(pool, parent=f"{job}.0") == "E_NOT_FOUND", "it only waits"
    (running,) = pool.schedule()
    pool.happen(pool.submission(JobSpec(command=["y"], parent=f"{job}.0"), owner="bob"))
    assert pool.answer(Refuse).faults[0].code == "E_NOT_FOUND"
    for parent in (f"{job}.1", "99.0"):
        assert refused(pool, parent=parent) == "E_NOT_FOUND"
    for parent in ("x", f"{job}", "0.1", "1.0#2"):
        assert refused(pool, parent=parent) == "E_ID"
    planned = plan(pool.cluster, JobSpec(command=["y"], parent="99.0"), UserName("alice"), now_s=pool.now_s)
    assert isinstance(planned, tuple) and planned[0].code == "E_NOT_FOUND"
    pool.start(running)
    pool.cancel(job)
    assert refused(pool, parent=f"{job}.0") == "E_CONFLICT"


def test_how_deep_and_how_many(pool: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "DEPTH_MAX", 2)
    monkeypatch.setattr(children, "CHILDREN_MAX", 3)
    small = ResourceSpec(cpu="100m")
    first = above = pool.submit(command=["x"], resources=small)
    pool.schedule()
    for _ in range(2):
        above = pool.submit(command=["y"], resources=small, parent=f"{above}.0")
        assert pool.schedule()
    assert refused(pool, parent=f"{above}.0") == "E_TOO_MANY"
    for _ in range(2):
        pool.submit(command=["y"], parent=f"{first}.0")
    assert refused(pool, parent=f"{first}.0") == "E_TOO_MANY"


def test_an_attempt_waits_for_what_it_submitted_and_for_what_has_a_key(pool: World) -> None:
    """Not for what an earlier attempt left behind: of that the next one makes its own."""
    small = ResourceSpec(cpu="100m")
    job = pool.submit(command=["x"], resources=small)
    (running,) = pool.schedule()
    own, other = AttemptRef(job, 0, running.attempt.fence), AttemptRef(job, 0, 7)
    mine = pool.submit(command=["y"], parent=f"{job}.0", dedupe_key=children.line_key(own, 40))
    pool.submit(command=["y"], parent=f"{job}.0", dedupe_key=children.line_key(other, 40))
    keyed = pool.submit(command=["y"], parent=f"{job}.0", dedupe_key="shard-1")
    odd = pool.submit(command=["y"], parent=f"{job}.0", dedupe_key=f"task:{job}.0.x:1")
    assert sorted(children.live_children(pool.cluster, own)) == [mine, keyed, odd]
    rebuilt = pool.rebuilt()
    assert sorted(children.live_children(rebuilt, own)) == [mine, keyed, odd]
    assert children.live_children(pool.cluster, AttemptRef(job, 1, 1)) == []


def waits(pool: World, *attempts: AttemptRef, node: str = "n1") -> None:
    pool.happen(ParentsWait(node=NodeName(node), attempts=attempts))


def blocker(pool: World, job: int) -> str:
    """What a job is told of parents that wait, if anything."""
    group = pool.cluster.jobs[job].groups[0]
    found = blockers(pool.cluster, group, 0, now_s=pool.now_s)
    return next((each.message for each in found if each.code == "parents_wait"), "")


def test_whose_place_only_waiting_parents_hold_is_told(pool: World) -> None:
    job = pool.submit(command=["x"], array="0-1")  # all of the node
    placed = pool.schedule()
    for each in placed:
        pool.start(each)
    first, second = (each.attempt for each in placed)
    child = pool.submit(command=["y"], parent=f"{job}.0")
    pool.schedule()
    assert blocker(pool, child) == "", "they work"
    waits(pool, first)
    assert children.waiting_at(pool.cluster, NodeName("n1")) == {first}
    assert blocker(pool, child) == "", "one of them may end"
    waits(pool, first, second)
    assert blocker(pool, child).endswith(f"of which none runs: {job}.0 and {job}.1")
    waits(pool, node="n9")
    assert children.waiting_at(pool.cluster, NodeName("n9")) == set()
    pool.register("n2", capacity=Resources(500, 4096))
    busy = pool.submit(command=["z"], resources=ResourceSpec(cpu="500m"), parent=f"{job}.1")
    (elsewhere,) = pool.schedule()
    assert blocker(pool, child) == "", "a child of one of them runs"
    pool.end(elsewhere, node="n2")
    assert busy not in pool.cluster.jobs and blocker(pool, child)
    pool.register("n3")
    assert blocker(pool, child) == "", "it has a place"
    waits(pool)
    assert children.waiting_at(pool.cluster, NodeName("n1")) == set()


def test_tasks_of_others_are_counted_not_named(pool: World) -> None:
    pool.submit(command=["x"], owner="bob")
    pool.submit(command=["x"], array="0-4", resources=ResourceSpec(cpu="200m"))
    running = pool.schedule()
    job = pool.submit(command=["y"])
    for each in running:
        pool.start(each)
    waits(pool, *(each.attempt for each in running))
    assert blocker(pool, job).endswith("none runs: 2.0, 2.1, 2.2, 2 more and 1 task of others")


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


JOB = {"name": "child", "command": ["true"]}


def told(attempt: AttemptRef, *jobs: Any, start: int = 0) -> Progress:
    lines = [json.dumps(job).encode() for job in jobs]
    found = tuple(Child(start + 10 * (place + 1), line) for place, line in enumerate(lines))
    return Progress(node="n1", told=(Told(attempt=attempt, start=start, end=start + 100, children=found),))


def specs(shell: Shell) -> list[dict[str, Any]]:
    return [json.loads(job.spec) for batch in shell.store.batches for job in batch.new_jobs]


async def running(shell: Shell) -> AttemptRef:
    agent = await shell.agent("n1")
    await shell.submit("alice")
    await until(agent.assigned)
    await shell.loop.barrier()
    return agent.assigned()[0]


async def test_what_a_task_submits_is_its_owners_and_belongs_to_it_once(shell: Shell) -> None:
    attempt = await running(shell)
    for _ in range(2):  # the answer was lost
        await shell.results.hear(NodeName("n1"), told(attempt, JOB, {**JOB, "dedupe_key": "mine"}))
    _, first, second = specs(shell)
    assert first["parent"] == second["parent"] == str(attempt.task)
    assert (first["dedupe_key"], second["dedupe_key"]) == (f"task:{attempt.job}.0.1:10", "mine")
    assert {job.owner for batch in shell.store.batches for job in batch.new_jobs} == {"alice"}


async def test_what_is_fenced_off_or_elsewhere_is_not_heard(shell: Shell) -> None:
    attempt = await running(shell)
    await shell.results.hear(NodeName("n1"), told(attempt._replace(fence=9), JOB))
    await shell.results.hear(NodeName("n2"), told(attempt, JOB))
    assert len(specs(shell)) == 1


async def test_what_is_heard_of_a_task_that_is_over_stands_alone(shell: Shell) -> None:
    await running(shell)
    gone = AttemptRef(77, 0, 1)
    shell.told.speaks[gone] = UserName("alice")
    await shell.results.hear(NodeName("n1"), told(gone, JOB))
    assert "parent" not in specs(shell)[1]


async def test_a_refusal_is_told_and_what_follows_is_heard(shell: Shell) -> None:
    attempt = await running(shell)
    await shell.results.hear(NodeName("n1"), told(attempt, {"comand": ["x"]}, {"command": []}, JOB))
    assert [spec["name"] for spec in specs(shell)[1:]] == ["child"]
    events = [record for record in shell.records if isinstance(record, EventRecord)]
    (said,) = [event.message for event in events if event.event_type == "child_refused"]
    assert "a job that it submitted was refused: unknown field comand" in said
    remarks = [record for record in shell.records if isinstance(record, RemarkRecord)]
    assert [remark.attempt for remark in remarks] == [attempt, attempt], "the task's log has each of them"
    assert said == remarks[0].text


async def test_whoever_waits_hears_once_all_are_over(shell: Shell) -> None:
    agent = await shell.agent("n1")
    await shell.submit("alice")
    await until(agent.assigned)
    await shell.loop.barrier()
    (attempt,) = agent.assigned()
    asked = ChildrenAsked(node="n1", attempts=(attempt,))
    waiting = {**JOB, "after": [str(attempt.job)]}
    await shell.results.hear(NodeName("n1"), told(attempt, {"comand": ["x"]}, waiting))
    assert [place for place, _ in shell.told.refused[attempt]] == [10]
    answer = await agent.ask(asked)
    assert answer == ChildrenReply(found=(ChildrenOf(attempt=attempt, live=1),))
    await until(lambda: waiting_at(shell.cluster, NodeName("n1")) == {attempt})
    (number,) = children.live_children(shell.cluster, attempt)
    assert (await shell.ask("alice", "job.cancel", target=str(number)))["tasks"] == 1
    ended = (ChildEnd(job=number, state=JobState.CANCELLED, tasks=1, cancelled=1),)
    shell.told.ended[attempt] = list(ended)

    answer = await agent.ask(asked)
    assert answer == ChildrenReply(found=(ChildrenOf(attempt=attempt, ended=ended),))
    await agent.ask(ChildrenAsked(node="n1", attempts=()))
    await until(lambda: waiting_at(shell.cluster, NodeName("n1")) == set())


async def test_who_does_not_count_hears_so_and_what_has_no_room_is_left_out(shell: Shell) -> None:
    agent = await shell.agent("n1")
    await shell.submit("alice", array="0-1")
    await until(lambda: len(agent.assigned()) == 2)
    await shell.loop.barrier()
    first, second = agent.assigned()
    ended = [ChildEnd(job=9, state=JobState.COMPLETED)] * 600
    shell.told.ended = {first: ended, second: ended}
    fenced = first._replace(fence=9)
    answer = await agent.ask(ChildrenAsked(node="n1", attempts=(fenced, first, second)))
    assert answer == ChildrenReply(
        found=(ChildrenOf(attempt=fenced, stale=True), ChildrenOf(attempt=first, ended=tuple(ended)))
    )
