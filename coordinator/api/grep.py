"""`task.grep`: lines of output that match, found here so that nobody has to fetch 100 MB to look for a word.

The output is read from its node piece by piece. One question looks at no more than `BYTES_MAX` and takes no
longer than `SECONDS_MAX`; it answers what it has, and `next` says where to go on. Few are answered at a time.
"""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from bus.errors import ApiError
from bus.grep import (
    CONTEXT_MAX,
    MATCHES_MAX,
    PATTERN_CHARS_MAX,
    TEXT_BYTES_MAX,
    FoundLine,
    Gathering,
    Grep,
    LogGrep,
    Pattern,
    whole_lines,
)
from bus.refusal import quote, refusal
from coordinator.api.jobs import check_range
from coordinator.api.logs import Logs, Source
from coordinator.store.rows import UserRow

PIECE_BYTES = 512 * 1024
BYTES_MAX = 64 * 1024 * 1024
SECONDS_MAX = 2.0
AT_ONCE_MAX = 4
ANSWER_TEXT_MAX = 512 * 1024

_OFFSET_MAX = 2**63 - 1


class Greps:
    """The handler of `task.grep`."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def grep(self, user: UserRow, request: Struct) -> Struct:
        """Matching lines from an offset on, or the nearest before it."""
        assert isinstance(request, LogGrep)
        pattern = _checked(request)
        source = await self._logs.find(user, request.task, attempt=request.attempt)
        if source.place is None:
            return Grep(
                task=str(source.task),
                attempt=0,
                node="",
                stream=request.stream,
                over=True,
                complete=source.settled,
            )
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await self._turns.acquire()
        except TimeoutError:
            hint = "ask again in a moment"
            raise ApiError(
                refusal("E_UNAVAILABLE", "too many searches at once", hint=hint, retry_after_s=1.0)
            ) from None
        try:
            look = self._before if request.backward else self._onwards
            return await look(request, source, pattern)
        finally:
            self._turns.release()

    async def _onwards(self, request: LogGrep, source: Source, pattern: Pattern) -> Grep:
        assert source.place is not None
        gathering = Gathering(pattern, context=request.context, limit=request.limit, offset=request.offset)
        begun, at, rest = time.monotonic(), request.offset, b""
        while True:
            chunk = await self._logs.fetch(source, request.stream, offset=at, limit=PIECE_BYTES)
            rest += chunk.data
            at += len(chunk.data)
            is_last = at >= chunk.size or not chunk.data
            complete = is_last and source.is_complete(chunk)
            # the line that is being written is found when its end has come
            whole = whole_lines(rest, final=is_last and (complete or chunk.ended))
            goes_on = gathering.take(rest[:whole])
            rest = rest[whole:]
            spent = time.monotonic() - begun > SECONDS_MAX or at - request.offset > BYTES_MAX
            if is_last or spent or not goes_on or gathering.text_bytes > ANSWER_TEXT_MAX:
                break
        return Grep(
            task=str(source.task),
            attempt=source.place.fence,
            node=source.place.node,
            stream=request.stream,
            lines=gathering.lines,
            next=gathering.next,
            size=chunk.size,
            over=is_last and goes_on,
            complete=complete and goes_on,
        )

    async def _before(self, request: LogGrep, source: Source, pattern: Pattern) -> Grep:
        assert source.place is not None
        chunk = await self._logs.fetch(source, request.stream, offset=0, limit=0)
        begun, end, looked = time.monotonic(), min(request.offset, chunk.size), 0
        lines: list[FoundLine] = []  # the last one first
        while end > 0 and len(lines) < request.limit:
            begin = max(0, end - PIECE_BYTES)
            piece = await self._logs.fetch(source, request.stream, offset=begin, limit=end - begin)
            data = piece.data[: end - begin]
            looked += len(data)
            # the line that the piece begins in is looked at with the piece before
            cut = data.find(b"\n") + 1 if begin > 0 else 0
            cut = cut if cut < len(data) else 0
            spans = list(pattern.spans(data[cut:]))
            for span in reversed(spans):
                text = data[cut + span.begin : min(cut + span.end, cut + span.begin + TEXT_BYTES_MAX)]
                at = begin + cut
                lines.append(FoundLine(offset=at + span.begin, text=text, match=at + span.match))
            end = begin + cut
            if looked > BYTES_MAX or time.monotonic() - begun > SECONDS_MAX:
                break
        if len(lines) > request.limit:
            del lines[request.limit :]
            end = lines[-1].offset
        return Grep(
            task=str(source.task),
            attempt=source.place.fence,
            node=source.place.node,
            stream=request.stream,
            lines=lines[::-1],
            next=end,
            size=chunk.size,
            over=end == 0,
            complete=end == 0 and source.is_complete(chunk),
        )


def _checked(request: LogGrep) -> Pattern:
    check_range(request.offset, 0, _OFFSET_MAX, field="/offset")
    check_range(request.limit, 1, MATCHES_MAX, field="/limit")
    check_range(request.context, 0, 0 if request.backward else CONTEXT_MAX, field="/context")
    check_range(len(request.pattern), 1, PATTERN_CHARS_MAX, field="/pattern")
    try:
        return Pattern(request.pattern, exact_case=request.exact_case)
    except ValueError as error:
        raise ApiError(
            refusal("E_RANGE", str(error), field="/pattern", got=quote(request.pattern), expected="words")
        ) from None
