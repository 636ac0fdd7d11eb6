"""A window on the output of one attempt: some thousand lines of it, wherever one looks.

The whole may be 100 MB and is never held. The window knows, of each stream, the stretch [begin, end) that it
holds; a step towards either side asks for one piece there and forgets as much at the other. Of two streams
the lines stand in the order in which they were seen to come. Where one of them is held only in part, the
other is shown no further than that part reaches, so that nothing between two lines is missing.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter, itemgetter

from msgspec import Struct
from msgspec.structs import replace

from bus.api import Log
from bus.follow import Piece
from bus.values import Stream
from tui.client.source import LogSource
from tui.view.lines import Line, LineCutter

STEP_BYTES = 256 * 1024
HELD_LINES_MAX, HELD_BYTES_MAX = 20_000, 4 * 1024 * 1024
"""Of each stream, whichever comes first."""

BEFORE_LINES = 200
"""Of the attempt before, so much stays in sight."""

KEPT_SHARE = 0.75
"""Where there is too much, so much of it stays: to forget line by line would cost a pass for each."""

_OFFSET = attrgetter("offset")
TONES = {Stream.STDOUT: ("", ""), Stream.STDERR: ("warn", "!")}
STREAM_OF_MARK = {mark: stream for stream, (_, mark) in TONES.items()}


class Spot(Struct, frozen=True):
    """A place in the output: a byte of a stream."""

    stream: Stream
    offset: int


class Reach:
    """What is held of one stream: the lines of bytes [begin, end); `end` goes to `size` where one follows."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.lines: list[Line] = []
        self.size = 0
        self.ended = False
        self.restart(0)

    def restart(self, offset: int) -> None:
        """Hold nothing, and stand at `offset`, where a line begins."""
        self.lines = []
        self.begin = self.end = offset
        self._cutter = self._cutter_at(offset)

    def _cutter_at(self, offset: int) -> LineCutter:
        tone, mark = TONES[self.stream]
        return LineCutter(tone=tone, mark=mark, offset=offset)

    @property
    def is_at_end(self) -> bool:
        """Whether it holds the last byte that it knows of."""
        return self.end >= self.size

    @property
    def rest(self) -> Line | None:
        """A line at the very end that is not finished yet."""
        return self._cutter.rest if self.is_at_end else None

    def append(self, data: bytes, came: Sequence[tuple[int, float]], *, final: bool) -> list[Line]:
        """The lines that bytes at `end` complete."""
        fresh = self._cutter.feed(data, came=came, final=final)
        self.end += len(data)
        self.size = max(self.size, self.end)
        self.lines += fresh
        return fresh

    def prepend(self, offset: int, data: bytes, came: Sequence[tuple[int, float]]) -> None:
        """The bytes right before `begin`; of a line that begins before them, nothing is held."""
        skipped = data.find(b"\n") + 1 if offset > 0 else 0
        skipped = skipped if skipped < len(data) else 0
        cutter = self._cutter_at(offset + skipped)
        fresh = cutter.feed(data[skipped:], came=came, final=True)
        self.lines[:0] = fresh
        self.begin = offset + skipped

    @property
    def is_full(self) -> bool:
        """Whether it holds more than it should."""
        return len(self.lines) > HELD_LINES_MAX or self.end - self.begin > HELD_BYTES_MAX

    def forget_first(self) -> None:
        """Keep within bounds while one goes on."""
        if self.is_full:
            by_bytes = bisect_left(self.lines, self.end - KEPT_SHARE * HELD_BYTES_MAX, key=_OFFSET)
            gone = max(by_bytes, len(self.lines) - int(KEPT_SHARE * HELD_LINES_MAX))
            del self.lines[:gone]
            self.begin = self.lines[0].offset if self.lines else self.end

    def forget_last(self) -> None:
        """Keep within bounds while one goes back."""
        if self.is_full:
            by_bytes = bisect_left(self.lines, self.begin + KEPT_SHARE * HELD_BYTES_MAX, key=_OFFSET)
            kept = min(by_bytes, int(KEPT_SHARE * HELD_LINES_MAX))
            if kept < len(self.lines):
                self.end = self.lines[kept].offset
                del self.lines[kept:]
                self._cutter = self._cutter_at(self.end)


class LogWindow:
    """`attempt` 0 until the first answer: the newest. `lines` are what there is to show."""

    def __init__(self, task: str, *, streams: Sequence[Stream], attempt: int = 0) -> None:
        self.task = task
        self.attempt = attempt
        self.node = ""
        self.reaches = {stream: Reach(stream) for stream in streams}
        self.lines: list[Line] = []
        self._before: list[Line] = []  # the end of the attempt before, above the first line of this one

    @property
    def is_at_begin(self) -> bool:
        """Whether nothing lies before the first line."""
        return all(reach.begin == 0 for reach in self.reaches.values())

    @property
    def is_at_end(self) -> bool:
        """Whether nothing that is known of lies behind the last line."""
        return all(reach.is_at_end for reach in self.reaches.values())

    @property
    def ended(self) -> bool:
        """Whether no byte can come any more."""
        return all(reach.ended for reach in self.reaches.values())

    @property
    def size(self) -> int:
        """Bytes of all streams, as far as known."""
        return sum(reach.size for reach in self.reaches.values())

    @property
    def rests(self) -> list[Line]:
        """Lines at the very end that are not finished yet."""
        return [rest for reach in self.reaches.values() if (rest := reach.rest) is not None]

    async def open_end(self, source: LogSource) -> None:
        """Hold the last lines of each stream."""
        for reach in self.reaches.values():
            log = await self._ask(source, reach, offset=0)
            if log.size > len(log.data):
                log = await self._ask(source, reach, offset=max(0, log.size - STEP_BYTES))
            self._hold(reach, log)
        self._arrange()

    async def open_at(self, source: LogSource, spot: Spot) -> None:
        """Hold what surrounds a place. Another stream too big to be held whole is left out."""
        for reach in list(self.reaches.values()):
            if reach.stream is spot.stream:
                begin = max(0, spot.offset - STEP_BYTES // 2)
                self._hold(reach, await self._ask(source, reach, offset=begin))
                continue
            log = await self._ask(source, reach, offset=0)
            self._hold(reach, log)
            if spot.offset and not reach.is_at_end:
                del self.reaches[reach.stream]
        self._arrange()

    async def open_begin(self, source: LogSource) -> None:
        """Hold the first lines of each stream."""
        for reach in self.reaches.values():
            self._hold(reach, await self._ask(source, reach, offset=0))
        self._arrange()

    async def step_back(self, source: LogSource) -> bool:
        """One more piece before the first line. False where there is none."""
        behind = [reach for reach in self.reaches.values() if reach.begin > 0]
        if not behind:
            return False
        reach = max(behind, key=_first_key)
        length = min(STEP_BYTES, reach.begin)
        log = await self._ask(source, reach, offset=reach.begin - length, limit=length)
        reach.prepend(log.offset, log.data[:length], log.came)
        reach.forget_last()
        self._arrange()
        return True

    async def step_on(self, source: LogSource) -> bool:
        """One more piece after the last line. False where there is none by now."""
        ahead = [reach for reach in self.reaches.values() if not reach.is_at_end]
        if not ahead:
            return False
        reach = min(ahead, key=_last_key)
        log = await self._ask(source, reach, offset=reach.end)
        self._append(reach, log)
        reach.forget_first()
        self._arrange()
        return bool(log.data)

    def take(self, stream: Stream, piece: Piece) -> list[Line]:
        """Live output at the end: the lines it completes. A later attempt takes the place of this one."""
        if piece.attempt > self.attempt:
            self._turn_to(piece.attempt)
        reach = self.reaches[stream]
        if piece.attempt < self.attempt or piece.offset > reach.end:
            return []
        fresh = reach.append(piece.data[reach.end - piece.offset :], piece.came, final=False)
        self.lines += fresh
        return fresh

    def finish(self, stream: Stream) -> list[Line]:
        """The stream has ended: its last line, had it no end."""
        reach = self.reaches[stream]
        reach.ended = True
        fresh = reach.append(b"", (), final=True)
        self.lines += fresh
        return fresh

    def _turn_to(self, attempt: int) -> None:
        """Nothing of it came yet; how the one before ended stays, with a line between them."""
        between = f"attempt {attempt} begins here; a shows attempt {self.attempt} whole"
        seen = [line for line in (*self.lines, *self.rests) if line.offset >= 0][-BEFORE_LINES:]
        kept = [replace(line, tone="idle", inks=(), offset=-1, end=-1) for line in seen]
        self._before = [*kept, Line(between, tone="busy", mark="─")]
        self.lines = list(self._before)
        self.attempt = attempt
        for reach in self.reaches.values():
            reach.size, reach.ended = 0, False
            reach.restart(0)

    def reopen(self) -> None:
        """More may come after all: the task has another attempt."""
        for reach in self.reaches.values():
            reach.ended = False

    @property
    def is_full(self) -> bool:
        """Whether one of the streams holds more than it should."""
        return any(reach.is_full for reach in self.reaches.values())

    def trim(self) -> bool:
        """Forget the oldest lines where there are too many. True where some went."""
        if not self.is_full:
            return False
        for reach in self.reaches.values():
            reach.forget_first()
        self._arrange()
        return True

    def share(self, line: Line) -> float:
        """How far into its stream a line lies: 0 to 1."""
        reach = self.reaches.get(STREAM_OF_MARK.get(line.mark, Stream.STDOUT))
        return 1.0 if reach is None or not reach.size else max(0.0, min(1.0, line.end / reach.size))

    def index_of(self, spot: Spot) -> int | None:
        """The line that holds a byte, if it is shown."""
        mark = TONES[spot.stream][1]
        for index, line in enumerate(self.lines):
            if line.mark == mark and line.offset <= spot.offset < line.end:
                return index
        return None

    async def _ask(self, source: LogSource, reach: Reach, *, offset: int, limit: int | None = None) -> Log:
        log = await source.logs(
            self.task,
            stream=reach.stream,
            attempt=self.attempt,
            offset=offset,
            limit=STEP_BYTES if limit is None else limit,
        )
        self.attempt, self.node = self.attempt or log.attempt, log.node
        reach.size, reach.ended = log.size, log.ended
        return log

    def _hold(self, reach: Reach, log: Log) -> None:
        """Nothing but this piece."""
        skipped = log.data.find(b"\n") + 1 if log.offset > 0 else 0
        reach.restart(log.offset + skipped)
        self._append(reach, log, skipped=skipped)

    def _append(self, reach: Reach, log: Log, *, skipped: int = 0) -> None:
        data = log.data[skipped:]
        reach.append(data, log.came, final=log.ended and reach.end + len(data) >= log.size)

    def _arrange(self) -> None:
        """What is shown of what is held, in order."""
        reaches = list(self.reaches.values())
        before = self._before if self.is_at_begin else []
        if len(reaches) == 1:
            self.lines = [*before, *reaches[0].lines]
            return
        lowest = max((_first_key(reach) for reach in reaches if reach.begin > 0), default=0.0)
        highest = min((_last_key(reach) for reach in reaches if not reach.is_at_end), default=None)
        merged = heapq.merge(*map(_keyed, reaches), key=itemgetter(0))
        between = [line for key, line in merged if key >= lowest and (highest is None or key <= highest)]
        self.lines = [*before, *between]


def _keyed(reach: Reach) -> list[tuple[float, Line]]:
    """Its lines with when they came; what is not dated goes with the line before it."""
    key, keyed = 0.0, []
    for line in reach.lines:
        key = key if line.at is None else line.at
        keyed.append((key, line))
    return keyed


def _first_key(reach: Reach) -> float:
    return (reach.lines[0].at or 0.0) if reach.lines else 0.0


def _last_key(reach: Reach) -> float:
    return next((line.at for line in reversed(reach.lines) if line.at is not None), 0.0)
