"""A task's output as it was at a moment: of the attempt of then, the bytes that had been seen to be there.

It stands in for a `Source` wherever output is read. Who asks for more than there was then is told that this
is all: nothing of the past goes on.
"""

from __future__ import annotations

from msgspec.structs import replace

from bus.api import Log
from bus.grep import FoundLine, Grep, LogGrep
from bus.past import OutputThen
from bus.values import Stream
from tui.client.source import LogSource


class LogsThen:
    """`at_s` is in seconds of the Unix epoch. How far an output had come is asked once of each stream."""

    def __init__(self, source: LogSource, at_s: float) -> None:
        self._source = source
        self._at_s = at_s
        self._known: dict[tuple[str, Stream, int], OutputThen] = {}

    async def output_then(
        self, task: str | int, at: float, *, stream: Stream = Stream.STDOUT, attempt: int = 0
    ) -> OutputThen:
        """As the source says."""
        return await self._source.output_then(task, at, stream=stream, attempt=attempt)

    async def logs(
        self,
        task: str | int,
        *,
        stream: Stream = Stream.STDOUT,
        attempt: int = 0,
        offset: int = 0,
        limit: int = 262_144,
    ) -> Log:
        """A piece of it; attempt 0 is the newest of then. Raises CorralErrors."""
        then = await self._then(str(task), stream, attempt)
        left = then.size - offset
        if left <= 0:
            return Log(
                task=then.task, attempt=then.attempt, node=then.node, stream=stream, offset=offset, data=b"",
                size=then.size, ended=True,
            )  # fmt: skip
        log = await self._source.logs(
            task, stream=stream, attempt=then.attempt, offset=offset, limit=min(limit, left)
        )
        return replace(log, data=log.data[:left], size=min(log.size, then.size), ended=True)

    async def grep(self, query: LogGrep) -> Grep:
        """What matched of it. Raises CorralErrors."""
        then = await self._then(query.task, query.stream, query.attempt)
        if not then.size:
            return Grep(
                task=then.task, attempt=then.attempt, node=then.node, stream=query.stream, over=True,
                complete=True,
            )  # fmt: skip
        if query.backward:
            asked = replace(query, attempt=then.attempt, offset=min(query.offset, then.size))
            return replace(await self._source.grep(asked), size=then.size)
        answer = await self._source.grep(replace(query, attempt=then.attempt))
        is_over = answer.over or answer.next >= then.size
        lines = [_cut(line, then.size) for line in answer.lines if _had_come(line, then.size)]
        return replace(
            answer, lines=lines, next=min(answer.next, then.size), size=then.size, over=is_over,
            complete=is_over,
        )  # fmt: skip

    async def _then(self, task: str, stream: Stream, attempt: int) -> OutputThen:
        found = self._known.get((task, stream, attempt))
        if found is None:
            found = await self.output_then(task, self._at_s, stream=stream, attempt=attempt)
            # what follows names the attempt that was told
            self._known[task, stream, attempt] = self._known[task, stream, found.attempt] = found
        return found


def _had_come(line: FoundLine, size: int) -> bool:
    return (line.offset if line.match is None else line.match) < size


def _cut(line: FoundLine, size: int) -> FoundLine:
    return replace(line, text=line.text[: size - line.offset])
