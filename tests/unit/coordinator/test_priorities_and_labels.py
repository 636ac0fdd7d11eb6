"""Jobs move in the line, nodes get labels: in memory, in the rows, and in memory made of those."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.spec import Constraints
from bus.values import NodeName, Resources, Role, UserName
from coordinator.core.effects import AnswerChanged, AnswerNode, AuditRow, EventRecord, Refuse
from coordinator.core.events import BulkAsked, NodeLabelled, PriorityAsked
from coordinator.core.model import Cluster
from coordinator.core.picture import picture
from coordinator.perform import Joiner
from tests.unit.coordinator.conftest import World

ZONED = Constraints(labels={"zone": "a"})


def prioritize(
    world: World, job: int, priority: int, *, by: str = "alice", role: Role = Role.USER
) -> AnswerChanged | Refuse:
    asked = PriorityAsked(job=job, priority=priority, by=UserName(by), role=role, reply=3)
    (answer,) = [tell for tell in world.happen(asked) if isinstance(tell, AnswerChanged | Refuse)]
    return answer


def label(world: World, node: str = "n1", **labels: str | None) -> Any:
    asked = NodeLabelled(node=NodeName(node), labels=labels, by=UserName("olga"), reply=3)
    (answer,) = [tell for tell in world.happen(asked) if isinstance(tell, AnswerNode | Refuse)]
    return answer


def told(world: World) -> list[tuple[str, str]]:
    """The audit and the cluster's history of the last step."""
    found = [(each.action, each.object) for each in world.effects if isinstance(each, AuditRow)]
    return found + [(each.event_type, "") for each in world.effects if isinstance(each, EventRecord)]


def line(cluster: Cluster) -> list[list[tuple[Any, ...]]]:
    """Who waits, in order; what only one memory knows is left out."""
    return [[waiting.place[:2] for waiting in sorted(each.entries)] for each in cluster.lines.values()]


def started(world: World) -> list[int]:
    return [placement.attempt.job for placement in world.schedule()]


def test_what_waits_goes_ahead_and_what_runs_stays(pool: World) -> None:
    first = pool.submit(command=["true"], array="0-3")
    running = pool.schedule()
    for placement in running:
        pool.start(placement)
    second = pool.submit(command=["true"], array="0-1")
    answer = prioritize(pool, second, 9)
    assert isinstance(answer, AnswerChanged) and (answer.tasks, answer.hint) == (2, "")
    assert told(pool) == [("job.priority", str(second)), ("job_prioritized", "")]
    assert pool.job(second).priority == 9
    for placement in running:
        pool.end(placement)
    assert started(pool)[:2] == [second, second]
    demoted = prioritize(pool, second, 1)
    assert isinstance(demoted, AnswerChanged)
    assert (demoted.tasks, demoted.hint) == (0, "2 tasks of it had a place before, and keep it")
    assert pool.job(first).priority == 5


def test_the_same_priority_again_leaves_nothing(pool: World) -> None:
    job = pool.submit(command=["true"], priority=4)
    answer = prioritize(pool, job, 4)
    assert isinstance(answer, AnswerChanged) and (answer.tasks, answer.audit) == (0, "")
    assert told(pool) == [] and not pool.cluster.changed_jobs


def test_a_stranger_and_a_job_that_ends_are_refused(pool: World) -> None:
    job = pool.submit(command=["true"], array="0-9")
    (placement, _) = pool.schedule()
    pool.start(placement)
    refused = prioritize(pool, job, 9, by="bob")
    assert isinstance(refused, Refuse) and refused.faults[0].code == "E_NOT_FOUND"
    assert isinstance(prioritize(pool, job, 9, by="olga", role=Role.OPERATOR), AnswerChanged)
    assert isinstance(prioritize(pool, 99, 9), Refuse)
    pool.cancel(job)
    ending = prioritize(pool, job, 2)
    assert isinstance(ending, Refuse) and ending.faults[0].code == "E_CONFLICT"
    assert pool.job(job).priority == 9


@given(
    jobs=st.lists(st.integers(1, 10), min_size=1, max_size=6),
    moves=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 10)), max_size=8),
)
def test_a_moved_line_is_the_line_of_those_priorities(jobs: list[int], moves: list[tuple[int, int]]) -> None:
    """As if they had been submitted so, and so does a new leader find it."""
    world, plain = World(), World()
    final = dict(enumerate(jobs, start=1))
    for priority in jobs:
        world.submit(command=["true"], array="0-1", priority=priority)
    for job, priority in moves:
        prioritize(world, job, priority)
        if job in final:
            final[job] = priority
    for priority in final.values():
        plain.submit(command=["true"], array="0-1", priority=priority)
    assert line(world.cluster) == line(plain.cluster) == line(world.rebuilt())
    assert picture(world.cluster) == picture(world.rebuilt())


def test_a_label_opens_a_node_and_outlives_its_agent(pool: World) -> None:
    pool.register("n2", capacity=Resources(2000, 4096), labels={"zone": "a"})
    pool.steer("n2", pool.cluster.nodes["n2"].admin.INACTIVE)
    job = pool.submit(command=["true"], constraints=ZONED)
    assert started(pool) == []
    answer = label(pool, zone="a", rack="7")
    assert answer.node.labels == {"zone": "a", "rack": "7"} and answer.audit
    assert told(pool) == [("node.label", "n1"), ("node_labelled", "")]
    assert started(pool) == [job]
    pool.register(incarnation="second", labels={"zone": "b", "disk": "ssd"})
    node = pool.cluster.nodes["n1"]
    assert node.labels == {"zone": "a", "rack": "7", "disk": "ssd"}
    assert node.own_labels == {"zone": "b", "disk": "ssd"}
    assert pool.rebuilt().nodes["n1"].labels == node.labels
    assert picture(pool.rebuilt()).nodes == picture(pool.cluster).nodes


def test_a_label_taken_away_shows_what_the_agent_says(pool: World) -> None:
    pool.register(incarnation="second", labels={"zone": "b"})
    label(pool, zone="a")
    assert label(pool, zone=None).node.labels == {"zone": "b"}
    again = label(pool, zone="a")
    assert label(pool, zone="a").audit == "" != again.audit
    assert label(pool, nothing=None).audit == ""


@pytest.mark.parametrize(
    ("labels", "code", "field"),
    [
        ({"zone": None}, "E_CONFLICT", "/labels/zone"),
        ({"a b": "x"}, "E_LABEL", "/labels"),
        ({"k": "\x1b"}, "E_LABEL", "/labels"),
        ({f"k{number}": "" for number in range(65)}, "E_LABEL", "/labels"),
    ],
)
def test_what_cannot_be_labelled_changes_nothing(
    pool: World, labels: dict[str, str | None], code: str, field: str
) -> None:
    pool.register(incarnation="second", labels={"zone": "b"})
    refused = label(pool, **(labels | {"other": "1"}))
    assert (refused.faults[0].code, refused.faults[0].field) == (code, field)
    assert pool.cluster.nodes["n1"].labels == {"zone": "b"}


def test_a_node_that_there_is_not_has_no_labels(pool: World) -> None:
    assert label(pool, "n11", zone="a").faults[0].hint == "did you mean n1?"


def test_what_is_done_to_many_is_written_down_first(pool: World) -> None:
    asked = BulkAsked(
        action="job.cancel",
        object="all 31 jobs that match",
        query="user=me",
        matched=31,
        details={"revision": 7},
        by=UserName("alice"),
        reply=3,
    )
    (answer,) = pool.happen(asked)
    assert isinstance(answer, AnswerChanged) and answer.tasks == 31 and answer.audit
    (row,) = [each for each in pool.effects if isinstance(each, AuditRow)]
    assert row.details == {"filter": "user=me", "matched": 31, "revision": 7}


def test_each_answer_names_its_own_row(pool: World) -> None:
    """Epoch, batch, place: two steps of one batch do not share one."""
    joiner = Joiner(12, epoch=3)
    for number in (1, 2):
        row = AuditRow(at=0.0, actor="a", action="job.hold", object=str(number))
        joiner.add([row, AnswerChanged(reply=number, tasks=1)])
    joiner.add([AnswerChanged(reply=3, tasks=0)])
    answers = [tell.audit for tell in joiner.tells if isinstance(tell, AnswerChanged)]
    assert answers == ["3-12-1", "3-12-2", ""]
    assert [row.reference for row in joiner.finish().audits] == answers[:2]
