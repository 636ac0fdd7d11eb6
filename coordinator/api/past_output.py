"""`past.output`: how far the output of a task had come at a moment.

Its node keeps when bytes were seen to be there (`agent.guard.arrivals`); these marks grow with the offset, so
the last byte of then is found by halving: 30 small questions to the node for a gigabyte.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from bus import past
from bus.errors import ApiError
from bus.refusal import refusal
from bus.then import attempt_then
from bus.values import Stream
from coordinator.api.access import viewer
from coordinator.api.find import parse_target
from coordinator.api.logs import Logs, Source
from coordinator.api.moments import moment
from coordinator.clock import Clock
from coordinator.store.reads import Reads
from coordinator.store.rows import UserRow


class PastOutputs:
    """The handler."""

    def __init__(self, logs: Logs, reads: Reads, clock: Clock) -> None:
        self._logs = logs
        self._reads = reads
        self._clock = clock
        self.handlers: dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]] = {
            "past.output": self.output
        }

    async def output(self, user: UserRow, request: Struct) -> Struct:
        """`past.output`."""
        assert isinstance(request, past.PastOutput)
        at_s = moment(request.at, "/at", now_s=self._clock.now_s())
        source = await self._logs.find(user, request.task, attempt=request.attempt)
        task = await self._reads.task(source.task, viewer=viewer(user))
        if task is None or task.submitted_at > at_s:
            message, hint = f"task {source.task} was not there yet", "ask for a later moment"
            raise ApiError(refusal("E_NOT_FOUND", message, field="/at", hint=hint))
        attempt = request.attempt or parse_target(request.task, field="/task").attempt or 0
        begun = [each for each in task.attempts if each.assigned_at <= at_s and attempt in (0, each.fence)]
        if not begun:
            return past.OutputThen(task=str(source.task), attempt=0, node="", stream=request.stream, size=0)
        then = attempt_then(begun[-1], at_s)
        source = await self._logs.find(user, str(source.task), attempt=then.fence)
        size, dated = await self._size(source, request.stream, at_s, is_over=then.ended_at is not None)
        return past.OutputThen(
            task=str(source.task), attempt=then.fence, node=then.node, stream=request.stream, size=size,
            dated=dated,
        )  # fmt: skip

    async def _size(self, source: Source, stream: Stream, at_s: float, *, is_over: bool) -> tuple[int, bool]:
        """How many bytes had come, and whether anybody noted when."""
        whole = (await self._logs.fetch(source, stream, offset=0, limit=0)).size
        if is_over or not whole:
            return whole, True
        low, high, dated = 0, whole, False  # the first `low` bytes were there, byte `high` was not
        while low < high:
            middle = (low + high) // 2
            marks = (await self._logs.fetch(source, stream, offset=middle, limit=1)).came
            came = [mark for mark in marks if mark[0] > middle][:1]
            dated = dated or bool(came)
            if came and came[0][1] <= at_s:
                low = max(came[0][0], middle + 1)
            else:
                high = middle
        return min(low, whole), dated
