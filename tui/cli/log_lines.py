"""Output line by line: those that hold some words, of some time, of both streams; dated where asked for.

    bytes of a stream ── Cutter ── dated lines ──┬── merged by their times ── Sieve ── printed
    bytes of another  ── Cutter ── dated lines ──┘

Without times the coordinator looks for the words (`task.grep`): what does not match stays where it is.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from operator import itemgetter
from typing import TYPE_CHECKING

from msgspec import Struct

from bus.follow import Piece
from bus.grep import STRETCH_BYTES_MAX, LogGrep, Pattern
from bus.values import Stream
from tui.cli.ids import Target
from tui.view.instants import rfc3339

if TYPE_CHECKING:
    from bus.client import Client
    from tui.client.source import LogSource

PAGE_MATCHES = 500
PIECE = 262_144
QUEUED_MAX = 1_000
MARKS = {Stream.STDOUT: b"  ", Stream.STDERR: b"! "}
"""In front of lines where both streams are shown."""

UNDATED = "-"
STAMP_CHARS = len(rfc3339(0.0))


class Wanted(Struct, frozen=True, kw_only=True):
    """Which lines of an output, and how; `since` and `until` are seconds of the Unix epoch."""

    streams: tuple[Stream, ...] = (Stream.STDOUT,)
    words: str = ""
    context: int = 0
    since: float | None = None
    until: float | None = None
    stamps: bool = False
    tail: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether bytes will do: nothing is asked of single lines."""
        spans = self.since, self.until
        return len(self.streams) == 1 and not self.words and not self.stamps and spans == (None, None)

    @property
    def needs_times(self) -> bool:
        """Whether lines have to be dated."""
        return self.stamps or self.since is not None or self.until is not None or len(self.streams) > 1


class LogLine(Struct, frozen=True):
    """Without its end of line; `at` is when it was seen to be there, where that is known."""

    stream: Stream
    data: bytes
    at: float | None = None


GAP = LogLine(Stream.STDOUT, b"--")
"""Between stretches of lines that do not follow each other, as `grep` has it."""


class Cutter:
    """Cuts one stream into lines. What is longer than STRETCH_BYTES_MAX goes on in the next one.

    Lines that end before byte `start` are left out; a later attempt has none of these.
    """

    def __init__(self, stream: Stream, *, start: int = 0) -> None:
        self._stream = stream
        self._start = start
        self._rest = b""
        self._end = self._attempt = 0
        self._came: Sequence[tuple[int, float]] = ()

    def feed(self, piece: Piece) -> list[LogLine]:
        """The lines that a piece completes; a later attempt begins anew."""
        lines: list[LogLine] = []
        if self._attempt and piece.attempt != self._attempt:
            lines, self._start = self.finish(), 0
        self._attempt, self._came = piece.attempt, piece.came
        self._end = piece.offset + len(piece.data)
        end = piece.offset - len(self._rest)
        *whole, self._rest = (self._rest + piece.data).split(b"\n")
        for data in whole:
            end += len(data) + 1
            if end > self._start:
                lines.append(LogLine(self._stream, data, self._date(end)))
        if len(self._rest) > STRETCH_BYTES_MAX:
            lines += self.finish()
        return lines

    def finish(self) -> list[LogLine]:
        """A last line that has no end."""
        rest, self._rest = self._rest, b""
        return [LogLine(self._stream, rest, self._date(self._end))] if rest else []

    def _date(self, end: int) -> float | None:
        """When the byte before `end` was seen to be there."""
        place = bisect_left(self._came, end, key=itemgetter(0))
        return self._came[place][1] if place < len(self._came) else None


class Sieve:
    """Which lines are shown: those that match, and so many around each, with gaps between stretches."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._pattern = Pattern(wanted.words) if wanted.words else None
        self._before: deque[LogLine] = deque(maxlen=wanted.context)
        self._owed = 0
        self._shown = self._skipped = False
        self._last_s = 0.0

    def take(self, line: LogLine) -> list[LogLine]:
        """What is to be shown now that this line came."""
        self._last_s = self._last_s if line.at is None else line.at
        if not self._is_in_time():
            return []
        if self._pattern is None:
            return [line]
        if self._pattern.matches(line.data.decode("utf-8", "replace")):
            gap = [GAP] if self._wanted.context and self._shown and self._skipped else []
            fresh = [*gap, *self._before, line]
            self._before.clear()
            self._owed, self._shown, self._skipped = self._wanted.context, True, False
            return fresh
        if self._owed:
            self._owed -= 1
            return [line]
        self._skipped = self._skipped or len(self._before) == self._wanted.context
        self._before.append(line)
        return []

    def _is_in_time(self) -> bool:
        """What nobody dated belongs to the time of the line before it."""
        since, until = self._wanted.since, self._wanted.until
        return (since is None or self._last_s >= since) and (until is None or self._last_s <= until)


def shaped(line: LogLine, wanted: Wanted) -> bytes:
    """The line as it is printed."""
    if line is GAP:
        return line.data + b"\n"
    stamp = b""
    if wanted.stamps:
        word = UNDATED if line.at is None else rfc3339(line.at)
        stamp = f"{word:<{STAMP_CHARS}}  ".encode()
    mark = MARKS[line.stream] if len(wanted.streams) > 1 else b""
    return stamp + mark + line.data + b"\n"


async def lines_of(corral: LogSource, target: Target, wanted: Wanted) -> AsyncGenerator[LogLine, None]:
    """The lines of an output that are wanted, so far."""
    by_words = not wanted.needs_times
    found = _sought(corral, target, wanted) if by_words else _sieved(_merged(corral, target, wanted), wanted)
    async with aclosing(found):
        if wanted.tail is None:
            async for line in found:
                yield line
            return
        last: deque[LogLine] = deque(maxlen=wanted.tail)
        async for line in found:
            last.append(line)
        for line in last:
            yield line


def followed(
    corral: Client, target: Target, wanted: Wanted, *, starts: Mapping[Stream, int]
) -> AsyncGenerator[LogLine, None]:
    """The lines that are wanted until the task has ended, of each stream from byte `starts` on."""
    return _sieved(_live(corral, target, wanted, starts), wanted)


async def _sieved(lines: AsyncGenerator[LogLine, None], wanted: Wanted) -> AsyncGenerator[LogLine, None]:
    sieve = Sieve(wanted)
    async with aclosing(lines):
        async for line in lines:
            for shown in sieve.take(line):
                yield shown


async def _sought(corral: LogSource, target: Target, wanted: Wanted) -> AsyncGenerator[LogLine, None]:
    """What the coordinator finds."""
    (stream,) = wanted.streams
    offset, reached, over = 0, -1, False
    while not over:
        answer = await corral.grep(
            LogGrep(
                task=target.name,
                pattern=wanted.words,
                stream=stream,
                attempt=target.attempt,
                offset=offset,
                context=wanted.context,
                limit=PAGE_MATCHES,
            )
        )
        for found in answer.lines:
            if wanted.context and 0 <= reached < found.offset:
                yield GAP
            reached = found.offset + len(found.text) + 1
            yield LogLine(stream, found.text)
        offset, over = answer.next, answer.over


async def _so_far(corral: LogSource, target: Target, stream: Stream) -> AsyncGenerator[LogLine, None]:
    """The lines of one stream, as far as it has come."""
    cutter, offset, attempt = Cutter(stream), 0, target.attempt
    while True:
        log = await corral.logs(target.name, stream=stream, attempt=attempt, offset=offset, limit=PIECE)
        attempt = attempt or log.attempt
        for line in cutter.feed(Piece(log.attempt, log.offset, log.data, log.came)):
            yield line
        offset += len(log.data)
        if not log.data or offset >= log.size:
            break
    for line in cutter.finish():
        yield line


async def _merged(corral: LogSource, target: Target, wanted: Wanted) -> AsyncGenerator[LogLine, None]:
    """The lines of all streams by their times; what is not dated goes with the line before it."""
    streams = [_so_far(corral, target, stream) for stream in wanted.streams]
    keys = [0.0 for _ in streams]
    heads = [await anext(stream, None) for stream in streams]
    while any(head is not None for head in heads):
        for place, head in enumerate(heads):
            keys[place] = head.at if head is not None and head.at is not None else keys[place]
        place = min((p for p, head in enumerate(heads) if head is not None), key=lambda p: keys[p])
        first = heads[place]
        assert first is not None
        yield first
        heads[place] = await anext(streams[place], None)


async def _live(
    corral: Client, target: Target, wanted: Wanted, starts: Mapping[Stream, int]
) -> AsyncGenerator[LogLine, None]:
    """The lines of all streams as they come, until all of them have ended."""
    streams = [_followed(corral, target, stream, start=starts.get(stream, 0)) for stream in wanted.streams]
    waiting = {asyncio.ensure_future(anext(stream, None)): stream for stream in streams}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                stream, lines = waiting.pop(each), each.result()
                if lines is not None:
                    waiting[asyncio.ensure_future(anext(stream, None))] = stream
                for line in lines or ():
                    yield line
    finally:
        for each in waiting:
            each.cancel()


async def _followed(
    corral: Client, target: Target, stream: Stream, *, start: int
) -> AsyncGenerator[list[LogLine], None]:
    """One stream: the lines of each piece, then a last one without its end."""
    cutter = Cutter(stream, start=start)
    async with aclosing(corral.pieces(target.name, stream=stream)) as pieces:
        async for piece in pieces:
            yield cutter.feed(piece)
    yield cutter.finish()
