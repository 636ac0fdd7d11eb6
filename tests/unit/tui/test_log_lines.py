"""`logs` line by line: words, times, both streams, cut anywhere into pieces; the same as a plain reading."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from bus.api import Following, Log
from bus.follow import Piece
from bus.grep import FoundLine, Grep, LogGrep, Pattern
from bus.requests import LogFollow, LogQuery, TaskQuery
from bus.values import Stream, TaskState
from tests.unit.tui.command import Corral, a_task
from tui.cli.log_lines import GAP, Cutter, LogLine, Sieve, Wanted

OUT = b"one\ntwo\nthree\n"
ERR = b"oops two\nlate"
CAME = {Stream.STDOUT: [(4, 10.0), (8, 30.0), (14, 40.0)], Stream.STDERR: [(9, 20.0), (13, 50.0)]}


def answer(request: Struct) -> Struct | None:
    match request:
        case LogQuery():
            whole = OUT if request.stream is Stream.STDOUT else ERR
            data = whole[request.offset : request.offset + request.limit]
            return Log(
                task="7.0", attempt=1, node="n1", stream=request.stream, offset=request.offset, data=data,
                size=len(whole), ended=True, came=CAME[request.stream],
            )  # fmt: skip
        case LogGrep():
            asked.append(request)
            found = [FoundLine(offset=0, text=b"one", match=0), FoundLine(offset=8, text=b"three", match=8)]
            page = [each for each in found if each.offset >= request.offset][:1]
            nextpage = 14 if page[0].offset else 4
            return Grep(
                task="7.0", attempt=1, node="n1", stream=request.stream, lines=page, next=nextpage,
                size=14, over=nextpage == 14,
            )  # fmt: skip
        case TaskQuery():
            return a_task(state=TaskState.COMPLETED, fence=1)
        case LogFollow():
            return Following(subject="x", node="n1", attempt=1, seconds=30)
    return None


asked: list[LogGrep] = []
AT = "1970-01-01T00:00:{:02d}.000Z"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--both"], "  one\n! oops two\n  two\n  three\n! late\n"),
        (["-t"], f"{AT.format(10)}  one\n{AT.format(30)}  two\n{AT.format(40)}  three\n"),
        (["--since", "1970-01-01T00:00:25Z"], "two\nthree\n"),
        (["--until", "1970-01-01T00:00:25Z", "--both"], "  one\n! oops two\n"),
        (["--both", "--grep", "TWO"], "! oops two\n  two\n"),
        (["-t", "--grep", "e*e", "--context", "1"], f"{AT.format(30)}  two\n{AT.format(40)}  three\n"),
        (["--both", "--tail", "2"], "  three\n! late\n"),
        (["--stderr", "--grep", "two", "-f"], "oops two\n"),
        (["--both", "--grep", "t*e", "-f", "--tail", "1"], "  three\n! late\n"),
    ],
)
def test_lines_that_are_wanted(corral: Corral, options: list[str], expected: str) -> None:
    corral.answer = answer
    code, out, err = corral("logs", "7.0", *options)
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == sorted(expected.splitlines()) if "-f" in options else out == expected


def test_without_times_the_coordinator_looks_for_the_words(corral: Corral) -> None:
    corral.answer = answer
    asked.clear()
    assert corral("logs", "7.0", "--grep", "e", "--context", "1")[1] == "one\n--\nthree\n"
    assert [(each.pattern, each.offset, each.context) for each in asked] == [("e", 0, 1), ("e", 4, 1)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--both", "--stderr"], "--both"),
        (["--context", "1"], "--context"),
        (["--grep", "*"], "--grep"),
        (["--grep", "x" * 600], "--grep"),
        (["--grep", "x", "-o", "json"], "--output"),
    ],
)
def test_what_does_not_go_together_is_refused(corral: Corral, options: list[str], field: str) -> None:
    code, _, err = corral("logs", "7.0", *options)
    assert code == 2 and field in err and not corral.asked


@given(st.lists(st.sampled_from([b"", b"a", b"bcd", b"\xff" * 9]), max_size=8), st.data())
def test_pieces_make_no_difference(lines: list[bytes], data: st.DataObject) -> None:
    text = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    start = data.draw(st.integers(0, len(text)))
    cutter, found, before = Cutter(Stream.STDOUT, start=start), [], 0
    for cut in [*cuts, len(text)]:
        found += cutter.feed(Piece(1, before, text[before:cut], [(size, float(size)) for size in [cut]]))
        before = cut
    found += cutter.finish()
    whole, at = [], 0
    for line in text.split(b"\n")[:-1]:
        at += len(line) + 1
        whole += [line] if at > start else []
    rest = text.rpartition(b"\n")[2]
    assert [line.data for line in found] == [*whole, *([rest] if rest else [])]


@given(st.lists(st.sampled_from([b"hit", b"miss"]), max_size=14), st.integers(0, 3))
def test_context_is_what_lies_around_and_gaps_stand_between(lines: list[bytes], context: int) -> None:
    sieve = Sieve(Wanted(words="hit", context=context))
    rows = [LogLine(Stream.STDOUT, data, float(place)) for place, data in enumerate(lines)]
    shown = [each for row in rows for each in sieve.take(row)]
    hits = [place for place, data in enumerate(lines) if Pattern("hit").matches(data.decode())]
    near = [row for row in rows if any(abs((row.at or 0.0) - hit) <= context for hit in hits)]
    assert [each for each in shown if each is not GAP] == near
    breaks = sum(b.at != (a.at or 0.0) + 1 for a, b in pairwise(near))
    assert sum(each is GAP for each in shown) == (breaks if context else 0)


def test_a_later_attempt_begins_anew_and_a_line_without_end_does_not_fill_memory() -> None:
    cutter = Cutter(Stream.STDOUT, start=3)
    assert cutter.feed(Piece(1, 0, b"ab\ncd")) == []
    assert [line.data for line in cutter.feed(Piece(2, 0, b"x\n"))] == [b"cd", b"x"]
    long = Cutter(Stream.STDOUT)
    assert sum(len(line.data) for line in long.feed(Piece(1, 0, b"y" * 200_000))) == 200_000
