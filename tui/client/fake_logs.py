"""The output of tasks that never ran: small and the same for all in tests; in the demo each task has its own,
growing while it runs, one of a hundred megabytes. None of it is held: any piece is made when it is asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from bus.api import Log, Task
from bus.follow import Piece, Place
from bus.grep import FoundLine, Gathering, Grep, LogGrep, Pattern
from bus.past import OutputThen
from bus.values import Stream, TaskState
from tui.client import fake_world

LOOK_S = 0.05
ROW_BYTES = 96
ROWS_A_SECOND = 25
ROWS_MAX = 1_100_000
"""Of ROW_BYTES each: a hundred megabytes."""

BIG_JOB_FIRST_TASK = 0
LIVE = frozenset({TaskState.RUNNING, TaskState.ASSIGNED})
_WORDS = (
    "epoch {i:7d}  loss {loss:.4f}  accuracy {accuracy:.3f}",
    "batch {i:7d}  \x1b[32mok\x1b[0m  {rate} samples/s",
    "\x1b[33mwarning\x1b[0m step {i}: gradient norm {loss:.2f} clipped",
    "อ่านข้อมูลชุดที่ {i} แล้ว  {rate} แถว",
    "checkpoint {i} written  📦 {rate} MiB",
    "\x1b[1;31mretry\x1b[0m shard {i}: 读取超时, 再试一次",
)


class FakeLogs:
    """The part of the fake cluster that has printed something. `printing`: more is to come."""

    world: fake_world.World
    lively: bool
    output: Mapping[Stream, Sequence[bytes]]
    printing = False

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def logs(
        self,
        task: str | int,
        *,
        stream: Stream = Stream.STDOUT,
        attempt: int = 0,
        offset: int = 0,
        limit: int = 262_144,
    ) -> Log:
        """One piece of a task's output."""
        self._check("logs")
        shown = self._shown(task)
        size = self._size(shown, stream)
        data = self._read(shown, stream, offset, min(limit, size - offset))
        return Log(
            task=str(task),
            attempt=attempt or max(1, shown.fence),
            node=shown.node or "n-0000",
            stream=stream,
            offset=offset,
            data=data,
            size=size,
            ended=not self._goes_on(shown),
            came=self._came(shown, stream, offset, offset + len(data)),
        )

    async def output_then(
        self, task: str | int, at: float, *, stream: Stream = Stream.STDOUT, attempt: int = 0
    ) -> OutputThen:
        """How far it had come, by the times of its lines."""
        self._check("output_then")
        shown = self._shown(task)
        begun = shown.started_at is not None and shown.started_at <= at
        whole = self._size(shown, stream) if begun else 0
        came = self._came(shown, stream, 0, whole)
        return OutputThen(
            task=str(task),
            attempt=max(1, shown.fence) if begun else 0,
            node=(shown.node or "n-0000") if begun else "",
            stream=stream,
            size=min(whole, max((size for size, at_s in came if at_s <= at), default=0)),
        )

    async def grep(self, query: LogGrep) -> Grep:
        """Lines of a task's output that match."""
        self._check("grep")
        shown = self._shown(query.task)
        size = self._size(shown, query.stream)
        pattern = Pattern(query.pattern, exact_case=query.exact_case)
        answer = Grep(
            task=query.task,
            attempt=query.attempt or max(1, shown.fence),
            node=shown.node or "n-0000",
            stream=query.stream,
            size=size,
            over=True,
            complete=not self._goes_on(shown),
        )
        if query.backward:
            data = self._read(shown, query.stream, 0, min(query.offset, size))
            spans = list(pattern.spans(data))[-query.limit :]
            answer.lines = [
                FoundLine(offset=span.begin, text=data[span.begin : span.end], match=span.match)
                for span in spans
            ]
            return answer
        gathering = Gathering(pattern, context=query.context, limit=query.limit, offset=query.offset)
        answer.over = gathering.take(self._read(shown, query.stream, query.offset, size - query.offset))
        answer.lines, answer.next = gathering.lines, gathering.next
        answer.complete &= answer.over
        return answer

    async def pieces(
        self, task: str | int, *, stream: Stream = Stream.STDOUT, place: Place | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Its output from `place` on; fails where the cluster is taken away meanwhile."""
        place = place or Place()
        while True:
            log = await self.logs(task, stream=stream, attempt=place.attempt, offset=place.offset)
            place.attempt, place.offset = log.attempt, log.offset + len(log.data)
            if log.data:
                yield Piece(log.attempt, log.offset, log.data, log.came)
            elif log.ended:
                return
            else:
                await asyncio.sleep(LOOK_S)

    def _shown(self, task: str | int) -> Task:
        number, _, index = str(task).partition(".")
        return self.world.tasks(int(number))[int(index.partition(":")[0] or 0)]

    def _is_made_up(self, stream: Stream) -> bool:
        return self.lively and self.output is fake_world.OUTPUT and stream is Stream.STDOUT

    def _goes_on(self, task: Task) -> bool:
        return self.printing or (self._is_made_up(Stream.STDOUT) and task.state in LIVE)

    def _size(self, task: Task, stream: Stream) -> int:
        if not self._is_made_up(stream):
            return sum(map(len, self.output.get(stream, ())))
        return ROW_BYTES * self._rows(task)

    def _rows(self, task: Task) -> int:
        if task.job == self.world.jobs[-1].number and task.index == BIG_JOB_FIRST_TASK:
            return ROWS_MAX
        begun = task.started_at or task.submitted_at
        seconds = (task.ended_at or time.time()) - begun
        return min(ROWS_MAX, max(1, int(seconds * ROWS_A_SECOND)))

    def _read(self, task: Task, stream: Stream, offset: int, limit: int) -> bytes:
        if limit <= 0:
            return b""
        if not self._is_made_up(stream):
            return b"".join(self.output.get(stream, ()))[offset : offset + limit]
        first, last = offset // ROW_BYTES, (offset + limit - 1) // ROW_BYTES
        seed = 1_000_003 * task.job + task.index
        data = b"".join(row(seed, number) for number in range(first, last + 1))
        return data[offset - first * ROW_BYTES :][:limit]

    def _came(self, task: Task, stream: Stream, begin: int, end: int) -> list[tuple[int, float]]:
        if end <= begin:
            return []
        begun = task.started_at or task.submitted_at
        if not self._is_made_up(stream):
            return [(end, begun + 1)]
        size, ended = self._size(task, stream), task.ended_at or time.time()
        steps = range(max(1, begin * 64 // size), 65)
        marks = [(-(-size * step // 64), begun + (ended - begun) * step / 64) for step in steps]
        last: list[Any] = [mark for mark in marks if mark[0] > begin]
        covering = next((index for index, mark in enumerate(last) if mark[0] >= end), len(last) - 1)
        return last[: covering + 1]


def row(seed: int, number: int) -> bytes:
    """Line `number` of one task's output: always as many bytes."""
    mixed = (seed * 2_654_435_761 + number * 40_503) & 0xFFFF
    words = _WORDS[0 if mixed % 16 else mixed // 16 % len(_WORDS)]
    text = words.format(
        i=number, loss=2.3 / (1 + number / 400), accuracy=min(0.999, number / 9_000), rate=900 + mixed % 97
    )
    return text.encode()[: ROW_BYTES - 1].ljust(ROW_BYTES - 1) + b"\n"
