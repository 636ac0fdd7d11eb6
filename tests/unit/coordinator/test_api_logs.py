"""Output of tasks: from the node that keeps it, nothing before there is any, an error when it is away."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bus.messages import CommandReply, FetchLog, Follow, LogChunk, ToAgent
from bus.values import NodeName, Stream, TaskRef, TaskState
from coordinator.store.reads import AttemptPlace
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell, until
from tests.unit.coordinator.test_api_jobs import task


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def ran(
    shell: Shell, *, ended: bool = False, state: TaskState = TaskState.RUNNING
) -> tuple[FakeAgent, TaskRef]:
    """A task whose newest attempt lies on n1."""
    agent = await shell.agent()
    ref = TaskRef(await shell.submit(), 0)
    shell.reads.shown[ref] = task(ref, state)
    shell.reads.place = AttemptPlace(NodeName("n1"), 2, ended)
    return agent, ref


def chunks(*, ended: bool, error: str | None = None) -> Callable[[ToAgent], Any]:
    def answer(command: ToAgent) -> Any:
        if not isinstance(command, FetchLog):
            return CommandReply(node="n1")
        return LogChunk(
            task=command.task,
            fence=command.fence,
            stream=command.stream,
            offset=command.offset,
            data=b"hi\xff",
            size=command.offset + 3,
            ended=ended,
            error=error,
        )

    return answer


async def test_a_piece_of_output_is_byte_exact(shell: Shell) -> None:
    agent, ref = await ran(shell)
    agent.answer = chunks(ended=False)
    log = await shell.ask("alice", "task.logs", task=str(ref), stream="stderr", offset=5)
    assert base64.b64decode(log["data"]) == b"hi\xff"
    assert (log["offset"], log["size"], log["attempt"], log["node"], log["ended"]) == (5, 8, 2, "n1", False)
    fetch = next(command for command in agent.commands if isinstance(command, FetchLog))
    assert fetch.stream is Stream.STDERR and fetch.epoch == 7


@pytest.mark.parametrize(
    ("state", "place_ended", "chunk_ended", "gone", "attempt", "ended"),
    [
        (TaskState.COMPLETED, True, True, None, 0, True),
        (TaskState.COMPLETED, True, False, None, 0, False),  # the last bytes are still to be read
        (TaskState.RETRYING, True, True, None, 0, False),  # it will run again
        (TaskState.RETRYING, True, True, None, 1, True),  # that attempt has said its last word
        (TaskState.COMPLETED, True, False, "deleted", 0, True),  # nothing more will come
        (TaskState.RUNNING, False, False, None, 0, False),
    ],
)
async def test_when_output_is_at_its_end(
    shell: Shell,
    state: TaskState,
    place_ended: bool,
    chunk_ended: bool,
    gone: str | None,
    attempt: int,
    ended: bool,
) -> None:
    agent, ref = await ran(shell, ended=place_ended, state=state)
    agent.answer = chunks(ended=chunk_ended, error=gone)
    assert (await shell.ask("alice", "task.logs", task=str(ref), attempt=attempt))["ended"] is ended


@pytest.mark.parametrize(("state", "ended"), [(TaskState.QUEUED, False), (TaskState.CANCELLED, True)])
async def test_what_never_started_has_no_output(shell: Shell, state: TaskState, ended: bool) -> None:
    _, ref = await ran(shell, state=state)
    shell.reads.place = None
    log = await shell.ask("alice", "task.logs", task=str(ref))
    assert (log["data"], log["size"], log["attempt"], log["ended"]) == ("", 0, 0, ended)


async def test_output_on_a_node_that_is_away_comes_later(shell: Shell) -> None:
    _, ref = await ran(shell)
    shell.reads.place = AttemptPlace(NodeName("n9"), 1, True)
    error = (await shell.ask("alice", "task.logs", task=str(ref)))["error"]
    assert (error["code"], error["status"], error["retry_after_s"]) == ("E_UNAVAILABLE", 503, 2.0)
    assert "n9" in error["message"]


async def test_following_makes_the_node_publish(shell: Shell) -> None:
    agent, ref = await ran(shell)
    answer = await shell.ask("alice", "task.follow", task=str(ref))
    assert answer == {
        "subject": f"corral.node.n1.log.alice.{ref.job}-0",
        "node": "n1",
        "attempt": 2,
        "seconds": 30.0,
    }
    await until(lambda: any(isinstance(command, Follow) for command in agent.commands))
    follow = next(command for command in agent.commands if isinstance(command, Follow))
    assert (follow.user, follow.fence, follow.task) == ("alice", 2, ref)


async def test_what_is_over_is_not_followed_and_what_waits_not_yet(shell: Shell) -> None:
    agent, ref = await ran(shell, ended=True)
    assert (await shell.ask("alice", "task.follow", task=str(ref)))["attempt"] == 2
    shell.reads.place = None
    assert await shell.ask("alice", "task.follow", task=str(ref)) == {
        "subject": "",
        "node": None,
        "attempt": 0,
        "seconds": 30.0,
    }
    await shell.teller.close()
    assert not any(isinstance(command, Follow) for command in agent.commands)


async def test_a_task_that_vanished_is_not_found(shell: Shell) -> None:
    _, ref = await ran(shell)
    shell.reads.shown.clear()
    assert (await shell.ask("alice", "task.logs", task=str(ref)))["error"]["status"] == 404
