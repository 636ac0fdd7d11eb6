"""`logs`: pieces put together, tails, attempts, several tasks."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from bus.api import Following, Log
from bus.client import Client
from bus.requests import LogFollow, LogQuery, TaskQuery
from bus.values import Stream, TaskState
from tests.unit.tui.command import Answer, Corral, a_task, connection
from tui.cli import logs
from tui.cli.ids import Target

PIECE_MAX = 7
"""What the fake gives out at once, so that everything is put together from pieces."""


def printed(text: bytes, *, over: bool = True) -> Answer:
    """A task of two attempts: the second printed `text`, the first "old"."""

    def answer(request: Struct) -> Struct | None:
        match request:
            case LogQuery(attempt=attempt) if attempt in (0, 1, 2):
                whole = b"old\n" if attempt == 1 else text
                data = whole[request.offset : request.offset + min(request.limit, PIECE_MAX)]
                return Log(
                    task="7.0", attempt=attempt or 2, node="n1", stream=request.stream, offset=request.offset,
                    data=data, size=len(whole), ended=over,
                )  # fmt: skip
            case TaskQuery():
                return a_task(state=TaskState.COMPLETED, fence=2)
            case LogFollow():
                return Following(subject="x", node="n1", attempt=2, seconds=30)
        return None

    return answer


LINES = st.sampled_from([b"", b"a", b"bcd", b"efghijklm"])
TEXT = b"one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("logs", "7"), TEXT),
        (("logs", "7", "-f"), TEXT),
        (("logs", "7.0#1"), b"old\n"),
        (("logs", "7.0", "--attempt", "1"), b"old\n"),
        (("logs", "7", "--tail", "0"), b""),
        (("logs", "7", "--tail", "1"), b"four\n"),
        (("logs", "7", "--tail", "3"), b"two\nthree\nfour\n"),
        (("logs", "7", "--tail", "99"), TEXT),
        (("logs", "7", "-f", "--tail", "2"), b"three\nfour\n"),
    ],
)
def test_what_is_printed(
    corral: Corral, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], expected: bytes
) -> None:
    monkeypatch.setattr(logs, "TAIL_PIECE", PIECE_MAX)
    corral.answer = printed(TEXT)
    code, out, err = corral(*argv)
    assert (code, out.encode(), err) == (0, expected, "")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([b"", b"a", b"bcd", b"efghijklm"]), max_size=8), st.integers(0, 9), st.booleans()
)
async def test_a_tail_is_the_last_lines(lines: list[bytes], wanted: int, ended: bool) -> None:
    text = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    expected = text.splitlines(keepends=True)[-wanted:] if wanted else []
    piece, logs.TAIL_PIECE = logs.TAIL_PIECE, PIECE_MAX
    try:
        async with connection(printed(text))() as corral:
            assert isinstance(corral, Client)
            start = await logs.tail_offset(corral, Target("7.0"), Stream.STDOUT, lines=wanted)
    finally:
        logs.TAIL_PIECE = piece
    assert text[start:] == b"".join(expected)


def test_several_tasks_have_their_names_above(corral: Corral) -> None:
    corral.answer = printed(b"x\n")
    assert corral("logs", "7.0", "7.0#1")[1] == "==> 7.0 <==\nx\n\n==> 7.0#1 <==\nold\n"


def test_json_holds_all_bytes_and_lines_hold_pieces(corral: Corral) -> None:
    raw = b"\x00\xff\x1b[2J" * 5
    corral.answer = printed(raw)
    document = json.loads(corral("logs", "7", "-o", "json")[1])
    assert base64.b64decode(document["data"]) == raw
    assert (document["offset"], document["size"]) == (0, len(raw))
    pieces = [json.loads(line) for line in corral("logs", "7", "-o", "jsonl")[1].splitlines()]
    assert b"".join(base64.b64decode(piece["data"]) for piece in pieces) == raw
    assert len(pieces) > 1


@pytest.mark.parametrize(
    "argv", [("7.0", "7.1", "-f"), ("7.0#1", "-f"), ("7", "--attempt", "2", "-f"), ("7", "-f", "-o", "json")]
)
def test_only_the_newest_attempt_of_one_task_is_followed(corral: Corral, argv: tuple[str, ...]) -> None:
    code, _, err = corral("logs", *argv)
    assert (code, corral.asked) == (2, [])
    assert "--follow" in err


@pytest.mark.parametrize(("option", "value"), [("--tail", "-1"), ("--tail", "x"), ("--attempt", "0")])
def test_numbers_out_of_range_are_refused(corral: Corral, option: str, value: str) -> None:
    code, _, err = corral("logs", "7", option, value)
    assert code == 2
    assert f"error[E_RANGE]: not a number in range at {option}: got " in err
