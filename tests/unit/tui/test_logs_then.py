"""Output as it was at a moment: no byte more than had come, by pieces, by words, and from the end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.api import Log
from bus.grep import Gathering, Grep, LogGrep, Pattern
from bus.past import OutputThen
from bus.values import Stream
from tui.client.log_filter import LogFilter
from tui.client.log_window import LogWindow
from tui.client.logs_then import LogsThen

LINES = [b"one\n", b"two loss\n", b"three\n", b"four loss\n", b"five"]
WHOLE = b"".join(LINES)


class Kept:
    """One task's stdout of two attempts, of which the second began at 100; `size` bytes had come by then."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[tuple[int, int, int]] = []

    async def output_then(
        self, task: str | int, at: float, *, stream: Stream = Stream.STDOUT, attempt: int = 0
    ) -> OutputThen:
        begun = at >= 100.0
        return OutputThen(
            task=str(task), attempt=(attempt or 1) if begun else 0, node="n1" if begun else "", stream=stream,
            size=self.size if begun and stream is Stream.STDOUT else 0,
        )  # fmt: skip

    async def logs(
        self,
        task: str | int,
        *,
        stream: Stream = Stream.STDOUT,
        attempt: int = 0,
        offset: int = 0,
        limit: int = 262_144,
    ) -> Log:
        self.asked.append((attempt, offset, limit))
        data = WHOLE[offset : offset + limit]
        return Log(
            task=str(task), attempt=attempt or 2, node="n2", stream=stream, offset=offset, data=data,
            size=len(WHOLE), ended=False,
        )  # fmt: skip

    async def grep(self, query: LogGrep) -> Grep:
        gathering = Gathering(
            Pattern(query.pattern), context=query.context, limit=query.limit, offset=query.offset
        )
        if query.backward:
            spans = list(Pattern(query.pattern).spans(WHOLE[: query.offset]))
            gathering.take(b"")
            found = Grep(task=query.task, attempt=query.attempt, node="n2", stream=query.stream, over=True)
            found.next = spans[-1].begin if spans else 0
            return found
        over = gathering.take(WHOLE[query.offset :])
        return Grep(
            task=query.task, attempt=query.attempt, node="n2", stream=query.stream, lines=gathering.lines,
            next=gathering.next, size=len(WHOLE), over=over,
        )  # fmt: skip


@settings(deadline=None, derandomize=True)
@given(size=st.integers(0, len(WHOLE)), offset=st.integers(0, len(WHOLE) + 5), limit=st.integers(1, 50))
async def test_no_byte_more_than_had_come(size: int, offset: int, limit: int) -> None:
    then = LogsThen(Kept(size), 200.0)
    log = await then.logs("7.0", offset=offset, limit=limit)
    assert log.data == WHOLE[:size][offset : offset + limit]
    assert (log.size, log.ended, log.attempt) == (size, True, 1)


@settings(deadline=None, derandomize=True)
@given(size=st.integers(0, len(WHOLE)), context=st.integers(0, 2), limit=st.integers(1, 3))
async def test_no_line_that_had_not_begun_is_found(size: int, context: int, limit: int) -> None:
    """Page by page, to the end of what there was; of the line that was being written, as far as it was."""
    then = LogsThen(Kept(size), 200.0)
    offset, found, pages = 0, [], 0
    while True:
        asked = LogGrep(task="7.0", pattern="loss", offset=offset, context=context, limit=limit)
        answer = await then.grep(asked)
        found += [line for line in answer.lines if line.match is not None]
        offset, pages = answer.next, pages + 1
        assert answer.complete == answer.over and pages < 10
        if answer.over:
            break
    begins = [span for span in Pattern("loss").spans(WHOLE) if span.match < size]
    assert [line.offset for line in found] == [span.begin for span in begins]
    assert [line.text for line in found] == [WHOLE[span.begin : min(span.end, size)] for span in begins]


async def test_a_word_is_looked_for_backwards_from_the_end_of_then() -> None:
    then = LogsThen(Kept(len(b"one\ntwo loss\nthree\n")), 200.0)
    asked = LogGrep(task="7.0", pattern="loss", offset=10_000, backward=True)
    assert (await then.grep(asked)).next == len(b"one\n")


async def test_before_it_began_there_is_nothing() -> None:
    then = LogsThen(kept := Kept(len(WHOLE)), 50.0)
    log = await then.logs("7.0")
    assert (log.attempt, log.data, log.size, log.ended) == (0, b"", 0, True)
    answer = await then.grep(LogGrep(task="7.0", pattern="x"))
    assert (answer.over, answer.complete, answer.lines) == (True, True, [])
    assert kept.asked == []


@pytest.mark.parametrize("size", [0, 5, 13, len(WHOLE)])
async def test_a_window_and_a_filter_show_the_lines_of_then(size: int) -> None:
    source = LogsThen(Kept(size), 200.0)
    window = LogWindow("7.0", streams=[Stream.STDOUT])
    await window.open_end(source)
    assert window.ended and window.is_at_end
    lines = [line.text for line in window.lines]
    assert lines == WHOLE[:size].decode().splitlines()
    found = LogFilter("7.0", "loss", streams=[Stream.STDOUT])
    while not found.complete:
        await found.more(source)
    assert [line.text for line in found.lines] == [line for line in lines if "loss" in line]
