"""`cluster.verify`: a running memory is what the database says, and whatever is not is named.

Any order of events leaves nothing to find; a flaw that was put there is found, by its invariant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant
from msgspec.structs import replace

from bus.messages import CommandReply, FoundTask, FromAgentReply, Inspect, Inspection, ToAgent
from bus.spec import TaskSpec
from bus.values import (
    AttemptRef,
    AttemptState,
    NodeAdmin,
    NodeHealth,
    NodeName,
    Outcome,
    TaskRef,
    TaskState,
    UserName,
)
from coordinator.api import verify
from coordinator.core.picture import Picture, picture
from coordinator.core.verify import Flaw, lasting, memory_flaws, node_flaws, silence_flaws
from coordinator.store.rows import LiveJob, Snapshot
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell, until
from tests.unit.coordinator.test_random_worlds import Worlds


class VerifiedWorlds(Worlds):
    @invariant()
    def a_new_leader_would_remember_the_same(self) -> None:
        assert memory_flaws(picture(self.world.cluster), picture(self.world.rebuilt())) == []


TestVerifiedWorlds = VerifiedWorlds.TestCase
TestVerifiedWorlds.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def checks(flaws: list[Flaw]) -> list[tuple[str, str, str]]:
    return [(flaw.invariant, flaw.check, flaw.object) for flaw in flaws]


@pytest.fixture
def busy(pool: World) -> World:
    """Running, waiting and failed tasks, and a group that waits for another."""
    pool.submit(command=["true"], array="0-9", retries=3)
    first, _ = pool.schedule()
    pool.start(first)
    pool.submit(tasks=[TaskSpec(name="a", command=["true"]), TaskSpec(command=["true"], needs=["a"])])
    pool.submit(command=["true"], array="0-9%2")
    return pool


def both(world: World) -> tuple[Picture, Picture]:
    return picture(world.cluster), picture(world.rebuilt())


def test_a_lost_task_waits_until_it_is_cancelled_in_the_line(pool: World) -> None:
    """Its entry stays in the line until it comes to the head; it waits for nothing any more."""
    kept, cancelled = (pool.submit(command=["true"]) for _ in range(2))
    for placement in pool.schedule():
        pool.end(placement, exit_code=None, outcome=Outcome.LOST)
    assert picture(pool.cluster).waiting == {TaskRef(kept, 0), TaskRef(cancelled, 0)}
    pool.cancel(cancelled)
    assert sum(len(line.entries) for line in pool.cluster.lines.values()) == 2
    assert picture(pool.cluster).waiting == {TaskRef(kept, 0)}


def test_an_array_that_is_cancelled_in_the_line_waits_no_more(pool: World) -> None:
    kept, cancelled = (pool.submit(command=["true"], array="0-3") for _ in range(2))
    pool.cancel(cancelled)
    assert sum(len(line.entries) for line in pool.cluster.lines.values()) == 2
    assert picture(pool.cluster).waiting == {TaskRef(kept, 0)}


def test_what_was_damaged_in_memory_is_named(busy: World) -> None:
    assert memory_flaws(*both(busy)) == []
    job = busy.cluster.jobs[1]
    (running,) = [a for a in busy.cluster.attempts() if a.state is AttemptState.RUNNING]
    running.task.retries = 2
    running.holding = False
    job.held_by = UserName("eve")
    busy.cluster.nodes["n1"].admin = NodeAdmin.DRAINING
    job.groups[0].version = 99
    found = memory_flaws(*both(busy))
    assert checks(found) == [
        ("I8", "memory.jobs", "1"),
        ("I8", "memory.groups", "1.0"),
        ("I8", "memory.tasks", "1.0"),
        ("I8", "memory.attempts", "1.0#1"),
        ("I8", "memory.nodes", "n1"),
    ]
    assert found[0].what == "held_by: eve in memory, none in the database"
    assert found[2].what == "retries: 2 in memory, 0 in the database"


def test_what_only_one_of_them_knows_is_named(busy: World) -> None:
    memory, database = both(busy)
    fewer = {ref: held for ref, held in memory.attempts.items() if ref.index}
    assert checks(memory_flaws(replace(memory, attempts=fewer), database)) == [
        ("I8", "memory.attempts", "1.0#1")
    ]
    (flaw,) = memory_flaws(memory, replace(database, attempts=fewer))
    assert flaw.what == "is only in the memory"


def test_a_task_that_would_never_start_is_found(busy: World) -> None:
    (first, *_) = [a for a in busy.cluster.attempts() if a.state is AttemptState.RUNNING]
    placement = next(p for p in busy.held["n1"].values() if p.attempt == first.ref)
    busy.end(placement, "n1", exit_code=1)
    assert memory_flaws(*both(busy)) == []
    busy.cluster.retries.clear()
    for line in busy.cluster.lines.values():
        line.remove(busy.cluster.jobs[3])
    found = checks(memory_flaws(*both(busy)))
    assert ("I5", "memory.waiting", "3.0") in found and ("I5", "memory.retrying", "1.0") in found
    memory, database = both(busy)
    extra = replace(memory, waiting=memory.waiting | {TaskRef(9, 9)})
    assert ("I8", "memory.waiting", "9.9") in checks(memory_flaws(extra, database))


def test_a_node_that_is_silent_for_too_long_is_found(pool: World) -> None:
    node = pool.cluster.nodes["n1"]
    assert silence_flaws(pool.cluster, now_s=node.last_beat_s + 12.9) == []
    assert checks(silence_flaws(pool.cluster, now_s=node.last_beat_s + 13.1)) == [("I7", "node.silent", "n1")]
    node.health = NodeHealth.UNREACHABLE
    assert silence_flaws(pool.cluster, now_s=node.last_beat_s + 99) == []


def inspected(*running: FoundTask, **other: Any) -> Inspection:
    fields: dict[str, Any] = {"node": "n1", "incarnation": "first", "epoch": 7, "running": running}
    return Inspection(**(fields | other))


RUNNING = AttemptRef(1, 0, 1)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (inspected(FoundTask(attempt=RUNNING, pid=5, processes=1)), []),
        (inspected(unreported=1), []),
        (inspected(), [("I8", "node.missing", "1.0#1")]),
        (inspected(FoundTask(attempt=RUNNING, pid=5)), [("I8", "node.no_process", "1.0#1")]),
        (
            inspected(FoundTask(attempt=RUNNING, pid=5, processes=1, paused=True)),
            [("I8", "node.paused", "1.0#1")],
        ),
        (
            inspected(unreported=1, epoch=8, incarnation="second"),
            [("I2", "node.epoch", "n1"), ("I2", "node.incarnation", "n1")],
        ),
        (
            inspected(
                FoundTask(attempt=RUNNING, pid=5, processes=2),
                FoundTask(attempt=AttemptRef(77, 0, 1), pid=6, processes=1),
                strays=(4242,),
            ),
            [("I2", "node.stale", "77.0#1"), ("I2", "node.stray", "n1:4242")],
        ),
    ],
)
def test_a_node_is_compared_with_its_books(
    busy: World, found: Inspection, expected: list[tuple[str, str, str]]
) -> None:
    books = picture(busy.cluster)
    assert checks(node_flaws(books, books, found, epoch=7)) == expected


def test_what_a_paused_job_runs_is_named(busy: World) -> None:
    busy.cluster.jobs[1].paused_by = UserName("alice")
    books = picture(busy.cluster)
    (flaw,) = node_flaws(books, books, inspected(FoundTask(attempt=RUNNING, processes=1)), epoch=7)
    assert flaw.what == "runs on n1, and is paused by the books"


def test_a_node_that_nobody_knows_has_no_agent_of_ours(busy: World) -> None:
    books = picture(busy.cluster)
    found = checks(node_flaws(books, books, inspected(node="n9"), epoch=7))
    assert found == [("I2", "node.incarnation", "n9")]


def test_an_old_attempt_is_told_from_its_successor(busy: World) -> None:
    task = busy.cluster.find_task(TaskRef(1, 0))
    assert task is not None and task.state is TaskState.RUNNING
    old = FoundTask(attempt=AttemptRef(1, 0, 9), pid=7, processes=1)
    books = picture(busy.cluster)
    (_, flaw) = node_flaws(books, books, inspected(old, incarnation="first"), epoch=7)
    assert flaw.what == "pid 7 runs on n1; its newest attempt is 1"
    again = replace(books, tasks={task.ref: books.tasks[task.ref]._replace(idempotent=True)})
    found = node_flaws(again, again, inspected(old), epoch=7)
    assert checks(found) == [("I8", "node.missing", "1.0#1")]


def test_what_began_or_ended_meanwhile_is_no_flaw(busy: World) -> None:
    now = picture(busy.cluster)
    nothing = replace(now, attempts={})
    runs = FoundTask(attempt=RUNNING, processes=1)
    for before, after in ((now, nothing), (nothing, now)):
        assert node_flaws(before, after, inspected(runs), epoch=7) == []
        assert node_flaws(before, after, inspected(), epoch=7) == []


def test_a_flaw_counts_if_it_lasts() -> None:
    one, other = Flaw("I1", "a", "1", "now 3"), Flaw("I1", "a", "2", "")
    again = Flaw("I1", "a", "1", "now 4")
    assert lasting([one, other], [again]) == [again]


@pytest.fixture
async def shell(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    monkeypatch.setattr(verify, "PAUSE_S", 0.001)
    async with running_shell() as running:
        yield running


async def inspecting(shell: Shell, *, name: str = "n1", **found: Any) -> FakeAgent:
    """A registered node that answers an inspection with what it runs: `found`, or what it was given."""
    agent = await shell.agent(name)

    def answer(command: ToAgent) -> FromAgentReply:
        if not isinstance(command, Inspect):
            return CommandReply(node=name)
        return inspected(node=name, epoch=command.epoch, **found)

    agent.answer = answer
    return agent


async def test_a_running_cluster_is_verified(shell: Shell) -> None:
    await inspecting(shell)
    await shell.submit(array="0-9")
    found = await shell.ask("olga", "cluster.verify")
    assert (found["epoch"], found["violations"], found["silent"]) == (7, [], [])
    assert found["checked"] == {"jobs": 1, "live jobs": 1, "nodes asked": 1, "processes": 0}


async def test_what_lasts_is_a_violation_and_what_passes_is_none(shell: Shell) -> None:
    passing, lasts = Flaw("I4", "a", "n1", "odd"), Flaw("I1", "b", "7", "bad", "do this")
    shell.books.found = [[passing, lasts], [lasts, Flaw("I4", "c", "n1", "late")], [lasts]]
    found = await shell.ask("olga", "cluster.verify")
    assert found["violations"] == [{"invariant": "I1", "what": "bad (b)", "object": "7", "hint": "do this"}]
    assert shell.books.looks == verify.LOOKS


async def test_rows_that_no_leader_could_start_from_are_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shell.submit()

    async def forged() -> Snapshot:
        rows = shell.books._rows.snapshot()
        (live,) = rows.jobs
        return replace(rows, jobs=[LiveJob(live.job, replace(live.change, running=1))])

    monkeypatch.setattr(shell.books, "snapshot", forged)
    found = await shell.ask("olga", "cluster.verify")
    (violation,) = found["violations"]
    assert (violation["invariant"], violation["object"]) == ("I8", "a new leader")
    assert "counters disagree" in violation["what"]


async def test_strays_and_nodes_that_say_nothing_are_named(shell: Shell) -> None:
    await inspecting(shell, name="n1", strays=(4242,))
    silent = await shell.agent("n2")
    silent.answer = lambda command: b"\xc1"
    await inspecting(shell, name="n4", error="the guard is being started")
    await shell.agent("n3")
    shell.cluster.nodes[NodeName("n3")].health = NodeHealth.UNREACHABLE
    found = await shell.ask("olga", "cluster.verify")
    assert found["silent"] == ["n2", "n3", "n4"]
    assert ("I2", "n1:4242") in [(each["invariant"], each["object"]) for each in found["violations"]]


async def test_only_operators_verify_and_one_at_a_time(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await shell.ask("alice", "cluster.verify"))["error"]["code"] == "E_FORBIDDEN"
    monkeypatch.setattr(verify, "PAUSE_S", 0.2)
    shell.books.found = [[Flaw("I1", "b", "7", "bad")]]
    first = asyncio.create_task(shell.ask("olga", "cluster.verify"))
    await until(lambda: shell.books.looks)
    assert (await shell.ask("adam", "cluster.verify"))["error"]["code"] == "E_TOO_OFTEN"
    assert len((await first)["violations"]) == 1
