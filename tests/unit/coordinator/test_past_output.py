"""How far an output had come: halved out of the marks of a node, whatever they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from agent.guard.arrivals import Arrivals
from bus import api
from bus.messages import CommandReply, FetchLog, LogChunk, ToAgent
from bus.values import NodeName, TaskRef, TaskState
from coordinator.store.reads import AttemptPlace
from tests.unit.coordinator.shell import Shell, running_shell
from tests.unit.coordinator.test_api_jobs import task

SIZE = 1_000_000
MARKS = [(10, 110.0), (4_000, 120.0), (SIZE, 130.0)]


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


def attempt(fence: int, *, assigned_s: float, ended_s: float | None = None) -> api.Attempt:
    return api.Attempt(
        fence=fence, node="n1", state="running" if ended_s is None else "failed", assigned_at=assigned_s,
        started_at=assigned_s, ended_at=ended_s,
    )  # fmt: skip


async def printed(shell: Shell, attempts: Sequence[api.Attempt], *, marks: Sequence[Any] = MARKS) -> TaskRef:
    """A task whose output came as `marks` say; who asks is counted by the agent's commands."""
    agent = await shell.agent()
    ref = TaskRef(await shell.submit(), 0)
    shown = task(ref, TaskState.RUNNING)
    shown.attempts, shown.submitted_at = list(attempts), 90.0
    shell.reads.shown[ref] = shown
    shell.reads.place = AttemptPlace(NodeName("n1"), attempts[-1].fence if attempts else 1, ended=False)
    arrivals = Arrivals()
    for size, at_s in marks:
        arrivals.note(1, size, at_s)

    def answer(command: ToAgent) -> Any:
        if not isinstance(command, FetchLog):
            return CommandReply(node="n1")
        length = max(0, min(command.limit, SIZE - command.offset))
        return LogChunk(
            task=command.task, fence=command.fence, stream=command.stream, offset=command.offset,
            data=b"x" * length, size=SIZE, ended=False,
            came=arrivals.covering(1, command.offset, command.offset + length),
        )  # fmt: skip

    agent.answer = answer
    shell.fetched = lambda: sum(isinstance(each, FetchLog) for each in agent.commands)  # type: ignore[attr-defined]
    return ref


@pytest.mark.parametrize(
    ("at_s", "size"), [(109.9, 0), (110.0, 10), (119.0, 10), (125.0, 4_000), (130.0, SIZE), (200.0, SIZE)]
)
async def test_as_far_as_it_had_been_seen_to_be_there(shell: Shell, at_s: float, size: int) -> None:
    ref = await printed(shell, [attempt(1, assigned_s=100.0)])
    told = await shell.ask("alice", "past.output", task=str(ref), at=at_s)
    assert (told["attempt"], told["node"], told["size"], told["dated"]) == (1, "n1", size, True)
    assert shell.fetched() <= 22  # type: ignore[attr-defined]


async def test_of_the_attempt_of_then_or_of_the_one_that_is_named(shell: Shell) -> None:
    ref = await printed(shell, [attempt(1, assigned_s=100.0, ended_s=105.0), attempt(2, assigned_s=108.0)])
    told = await shell.ask("alice", "past.output", task=str(ref), at=104.0)
    assert told["attempt"] == 1
    assert (await shell.ask("alice", "past.output", task=str(ref), at=112.0))["attempt"] == 2
    for named in ({"task": f"{ref}#1"}, {"task": str(ref), "attempt": 1}):
        told = await shell.ask("alice", "past.output", **named, at=112.0)
        assert (told["attempt"], told["size"]) == (1, SIZE), "it was over: all of it had come"
    told = await shell.ask("alice", "past.output", task=f"{ref}#2", at=104.0)
    assert (told["attempt"], told["size"]) == (0, 0)


async def test_nothing_before_the_first_attempt_and_no_answer_before_the_task(shell: Shell) -> None:
    ref = await printed(shell, [attempt(1, assigned_s=100.0)])
    told = await shell.ask("alice", "past.output", task=str(ref), at=95.0)
    assert (told["attempt"], told["node"], told["size"]) == (0, "", 0)
    error = (await shell.ask("alice", "past.output", task=str(ref), at=80.0))["error"]
    assert (error["code"], error["field"]) == ("E_NOT_FOUND", "/at")
    error = (await shell.ask("alice", "past.output", task=str(ref), at=4e9))["error"]
    assert (error["code"], error["field"]) == ("E_TIME", "/at")


async def test_what_nobody_dated_is_said_to_be_undated(shell: Shell) -> None:
    ref = await printed(shell, [attempt(1, assigned_s=100.0)], marks=[])
    told = await shell.ask("alice", "past.output", task=str(ref), at=120.0)
    assert (told["size"], told["dated"]) == (0, False)
