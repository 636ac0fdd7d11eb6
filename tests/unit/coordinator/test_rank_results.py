"""What ranks of a gang tell: each is answered for itself, and only rank 0 speaks for the task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus import subjects
from bus.api import Task
from bus.children import NOT_RANK_0
from bus.results import Child, MetricSeries, Progress, Told
from bus.values import AttemptRef, NodeName, Resources, TaskRef, TaskState, UserName
from coordinator.core.children import fit_to_submit
from coordinator.core.effects import EventRecord, RemarkRecord
from tests.unit.coordinator.shell import Shell, running_shell

LOSS = MetricSeries(name="loss", times=[1.0], values=[0.5], steps=[7])
CHILD = Child(10, b'{"command": ["true"]}')


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as shell:
        yield shell


async def a_task(shell: Shell, *, ranks: int) -> TaskRef:
    ref = TaskRef(await shell.submit("alice"), 0)
    shell.reads.shown[ref] = Task(
        id="a",
        job=ref.job,
        index=0,
        state=TaskState.RUNNING,
        resources=Resources(cpu_millis=1),
        submitted_at=1.0,
        ranks=ranks,
    )
    return ref


def told(rank: int, **fields: Any) -> Told:
    return Told(attempt=AttemptRef(*TaskRef(1, 2).of_rank(rank), 1), start=0, end=20, **fields)


def feed(shell: Shell) -> list[str]:
    return [which for what, which in shell.timeline if what == "publish" and ".feed." in which]


def test_only_rank_0_submits_and_the_others_hear_so() -> None:
    first = told(0, children=(CHILD,))
    assert fit_to_submit(first) is first
    quiet = told(3, faults=2, fault="a line of its own")
    assert fit_to_submit(quiet) is quiet
    refused = fit_to_submit(told(3, children=(CHILD, CHILD)))
    assert (refused.children, refused.faults, refused.fault) == ((), 2, NOT_RANK_0)
    refused = fit_to_submit(told(3, children=(CHILD,), faults=1, fault="no JSON"))
    assert (refused.faults, refused.fault) == (2, "no JSON")


async def test_a_job_of_another_rank_is_one_fault_that_is_told(shell: Shell) -> None:
    before = len(shell.store.batches)
    said = Progress(node="n1", told=(told(3, children=(CHILD,)), told(4, progress=50.0)))
    reply = await shell.results.hear(NodeName("n1"), said)
    assert [(place.attempt.rank, place.end) for place in reply.places] == [(3, 20), (4, 20)]
    kept = [each for _, each in shell.told.told]
    assert [(each.children, each.faults, each.fault) for each in kept] == [((), 1, NOT_RANK_0), ((), 0, "")]
    (event,) = [each for each in shell.records if isinstance(each, EventRecord)]
    assert (event.event_type, NOT_RANK_0 in event.message) == ("result_refused", True)
    assert event.message.startswith("1.2:3#1 on n1")
    (remark,) = [each for each in shell.records if isinstance(each, RemarkRecord)]
    assert remark.attempt.rank == 3
    assert len(shell.store.batches) == before, "no job came of it"


async def test_the_feed_has_what_rank_0_tells(shell: Shell) -> None:
    others = tuple(told(rank, progress=10.0) for rank in (1, 2))
    await shell.results.hear(NodeName("n1"), Progress(node="n1", told=others))
    assert feed(shell) == []
    await shell.results.hear(NodeName("n1"), Progress(node="n1", told=(*others, told(0, progress=1.0))))
    assert feed(shell) == [subjects.feed_task(UserName("alice"), TaskRef(1, 2))]


async def test_metrics_are_those_of_the_rank_that_is_named(shell: Shell) -> None:
    ref = await a_task(shell, ranks=4)
    shell.told.kept = [LOSS]
    for name in (f"{ref}", f"{ref}:0", f"{ref}:3"):
        answer = await shell.ask("alice", "task.metrics", task=name)
        assert answer["task"] == name.removesuffix(":0") and answer["series"][0]["name"] == "loss"
    assert [each.rank for each in shell.told.of] == [0, 0, 3]
    refused = (await shell.ask("alice", "task.metrics", task=f"{ref}:3", names=["los"]))["error"]
    assert (refused["code"], refused["field"], refused["expected"]) == ("E_NOT_FOUND", "/names", "loss")
    assert f"task {ref}:3 has told no metric" in refused["message"]


async def test_a_rank_that_is_not_there_is_not_found(shell: Shell) -> None:
    gang, plain = await a_task(shell, ranks=4), await a_task(shell, ranks=0)
    for name, expected in (
        (f"{gang}:4", f"{gang}:0 to {gang}:3"),
        (f"{plain}:1", "no rank"),
        (f"{plain.job}.1:1", "no rank"),
    ):
        for operation, field in (("task.metrics", "task"), ("task.logged", "target")):
            refused = (await shell.ask("alice", operation, **{field: name}))["error"]
            assert (refused["code"], refused["field"]) == ("E_NOT_FOUND", f"/{field}")
            assert refused["message"] == "no such rank" and expected in refused["expected"]


async def test_lines_of_one_rank_or_of_all(shell: Shell) -> None:
    ref = await a_task(shell, ranks=4)
    for name in (f"{ref}", f"{ref}:0", f"{ref}:3#2"):
        assert (await shell.ask("alice", "task.logged", target=name))["lines"] == []
    assert [(each.rank, each.fence) for each in shell.told.wanted] == [(None, 0), (0, 0), (3, 2)]
