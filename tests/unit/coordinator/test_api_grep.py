"""A search looks through the output where it lies, page by page, and says whether there may be more."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.messages import CommandReply, FetchLog, LogChunk, ToAgent
from bus.values import NodeName, Stream, TaskState
from coordinator.api import grep
from coordinator.store.reads import AttemptPlace
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell
from tests.unit.coordinator.test_api_logs import ran

OUTPUT = b"".join(b"epoch %d loss 0.%d\n" % (number, number) for number in range(100))


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grep, "PIECE_BYTES", 100)


def keep(agent: FakeAgent, output: bytes, *, ended: bool = True) -> None:
    """The node answers with pieces of `output`."""

    def answer(command: ToAgent) -> Any:
        if not isinstance(command, FetchLog):
            return CommandReply(node="n1")
        text = output if command.stream is Stream.STDOUT else b""
        return LogChunk(
            task=command.task,
            fence=command.fence,
            stream=command.stream,
            offset=command.offset,
            data=text[command.offset : command.offset + command.limit],
            size=len(text),
            ended=ended,
        )

    agent.answer = answer


def texts(answer: Any) -> list[bytes]:
    return [base64.b64decode(line["text"]) for line in answer["lines"]]


async def test_matches_come_in_pages_with_their_places(shell: Shell) -> None:
    agent, ref = await ran(shell, ended=True, state=TaskState.COMPLETED)
    keep(agent, OUTPUT)
    first = await shell.ask("alice", "task.grep", task=str(ref), pattern="EPOCH 1*", limit=3)
    assert texts(first) == [b"epoch 1 loss 0.1", b"epoch 10 loss 0.10", b"epoch 11 loss 0.11"]
    assert not first["over"] and not first["complete"]
    assert [line["offset"] for line in first["lines"]] == [OUTPUT.index(text) for text in texts(first)]
    rest = await shell.ask("alice", "task.grep", task=str(ref), pattern="epoch 1*", offset=first["next"])
    assert texts(rest) == [b"epoch %d loss 0.%d" % (n, n) for n in range(12, 20)]
    assert rest["over"] and rest["complete"] and rest["next"] == rest["size"] == len(OUTPUT)


async def test_the_nearest_before_a_place_are_found_backwards(shell: Shell) -> None:
    agent, ref = await ran(shell, ended=True, state=TaskState.COMPLETED)
    keep(agent, OUTPUT)
    asked = {"task": str(ref), "pattern": "loss*5", "backward": True}
    near = await shell.ask("alice", "task.grep", offset=2**40, limit=2, **asked)
    assert texts(near) == [b"epoch 85 loss 0.85", b"epoch 95 loss 0.95"]
    far = await shell.ask("alice", "task.grep", offset=near["next"], **asked)
    assert texts(far)[-1] == b"epoch 75 loss 0.75" and len(texts(far)) == 17 and far["over"]


async def test_context_comes_along(shell: Shell) -> None:
    agent, ref = await ran(shell, ended=True, state=TaskState.COMPLETED)
    keep(agent, OUTPUT)
    answer = await shell.ask("alice", "task.grep", task=str(ref), pattern="epoch 50", context=1)
    assert [line["match"] is not None for line in answer["lines"]] == [False, True, False]
    assert texts(answer)[0] == b"epoch 49 loss 0.49"


async def test_the_line_that_is_being_written_is_found_when_it_has_ended(shell: Shell) -> None:
    agent, ref = await ran(shell)
    keep(agent, b"done\nalmost done", ended=False)
    answer = await shell.ask("alice", "task.grep", task=str(ref), pattern="done")
    assert texts(answer) == [b"done"] and answer["next"] == 5
    assert answer["over"] and not answer["complete"]
    keep(agent, b"done\nalmost done\n", ended=False)
    answer = await shell.ask("alice", "task.grep", task=str(ref), pattern="done", offset=5)
    assert texts(answer) == [b"almost done"]


async def test_one_question_looks_at_a_bounded_part(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grep, "BYTES_MAX", 500)
    agent, ref = await ran(shell, ended=True, state=TaskState.COMPLETED)
    keep(agent, OUTPUT)
    onwards = await shell.ask("alice", "task.grep", task=str(ref), pattern="nowhere")
    assert texts(onwards) == [] and not onwards["over"] and 400 < onwards["next"] < 700
    before = await shell.ask(
        "alice", "task.grep", task=str(ref), pattern="nowhere", backward=True, offset=len(OUTPUT)
    )
    assert texts(before) == [] and not before["over"]
    assert len(OUTPUT) - 700 < before["next"] < len(OUTPUT) - 400


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        ("/limit", {"limit": 0}),
        ("/limit", {"limit": 1_001}),
        ("/context", {"context": 21}),
        ("/context", {"context": 1, "backward": True}),
        ("/offset", {"offset": -1}),
        ("/attempt", {"attempt": -1}),
        ("/pattern", {"pattern": ""}),
        ("/pattern", {"pattern": "**"}),
        ("/pattern", {"pattern": "x" * 513}),
    ],
)
async def test_what_is_out_of_bounds_is_refused(shell: Shell, field: str, asked: dict[str, Any]) -> None:
    _, ref = await ran(shell)
    error = (await shell.ask("alice", "task.grep", **{"task": str(ref), "pattern": "x", **asked}))["error"]
    assert (error["code"], error["field"]) == ("E_RANGE", field)


async def test_a_node_that_is_away_is_named(shell: Shell) -> None:
    _, ref = await ran(shell)
    shell.reads.place = AttemptPlace(NodeName("n9"), 1, True)
    error = (await shell.ask("alice", "task.grep", task=str(ref), pattern="x"))["error"]
    assert error["code"] == "E_UNAVAILABLE" and "n9" in error["message"]


async def test_what_never_started_holds_nothing(shell: Shell) -> None:
    _, ref = await ran(shell, state=TaskState.CANCELLED)
    shell.reads.place = None
    answer = await shell.ask("alice", "task.grep", task=str(ref), pattern="x")
    assert answer["lines"] == [] and answer["over"] and answer["complete"]
