"""What tasks print: kept by the node that ran them, fetched by offset, followed live."""

from __future__ import annotations

from msgspec import Struct

from bus import api, requests, subjects
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import LogChunk
from bus.refusal import refusal
from bus.values import Stream, TaskRef
from coordinator.api.access import viewer
from coordinator.api.find import Finder, bad_id, not_found
from coordinator.api.jobs import check_range
from coordinator.core.model import TERMINAL
from coordinator.loop import Loop
from coordinator.store.reads import AttemptPlace, Reads
from coordinator.store.rows import UserRow
from coordinator.tell import Teller

_LIMIT_MAX = 512 * 1024
_ATTEMPT_MAX = 2**31 - 1
_OFFSET_MAX = 2**63 - 1
_FOLLOW_S = 30.0


class Source(Struct, frozen=True):
    """Where output lies; no place: it has not begun. `settled`: no later attempt is asked about."""

    task: TaskRef
    place: AttemptPlace | None
    settled: bool

    def is_complete(self, chunk: LogChunk) -> bool:
        """Whether nothing more will come after what `chunk` says there is."""
        gone = self.place is not None and self.place.ended and chunk.error is not None
        return self.settled and (chunk.ended or gone)


class Logs:
    """The handlers of `task.logs` and `task.follow`."""

    def __init__(self, loop: Loop, finder: Finder, reads: Reads, teller: Teller) -> None:
        self._loop = loop
        self._finder = finder
        self._reads = reads
        self._teller = teller

    async def read(self, user: UserRow, request: Struct) -> Struct:
        """`task.logs`: a piece of one stream; empty and not ended while the task has no attempt yet."""
        assert isinstance(request, requests.LogQuery)
        check_range(request.offset, 0, _OFFSET_MAX, field="/offset")
        check_range(request.limit, 1, _LIMIT_MAX, field="/limit")
        source = await self.find(user, request.task, attempt=request.attempt)
        if source.place is None:
            return api.Log(
                task=str(source.task),
                attempt=0,
                node="",
                stream=request.stream,
                offset=request.offset,
                data=b"",
                size=0,
                ended=source.settled,
            )
        chunk = await self.fetch(source, request.stream, offset=request.offset, limit=request.limit)
        return api.Log(
            task=str(source.task),
            attempt=source.place.fence,
            node=source.place.node,
            stream=request.stream,
            offset=chunk.offset,
            data=chunk.data,
            size=chunk.size,
            came=chunk.came,
            ended=source.is_complete(chunk),
        )

    async def find(self, user: UserRow, task: str, *, attempt: int) -> Source:
        """Where the output of an attempt lies; 0: of the newest. Raises ApiError."""
        check_range(attempt, 0, _ATTEMPT_MAX, field="/attempt")
        ref, named = await self._finder.attempt(user, task, field="/task")
        if named and attempt not in (0, named):
            raise bad_id(task, "/task", expected=f"attempt {attempt}, as /attempt says")
        attempt = named or attempt
        shown = await self._reads.task(ref, viewer=viewer(user))
        if shown is None or ref.rank >= max(shown.ranks, 1):
            raise not_found(task, "/task")
        place = await self._reads.attempt_place(ref, fence=attempt, viewer=viewer(user))
        if place is None and named:
            raise not_found(task, "/task")
        # a task that will run again has not said its last word; what never started has none to say
        over = shown.state in TERMINAL
        return Source(ref, place, settled=over or (attempt > 0 and place is not None))

    async def fetch(self, source: Source, stream: Stream, *, offset: int, limit: int) -> LogChunk:
        """A piece from the node that keeps it. Raises ApiError."""
        assert source.place is not None
        place = source.place
        try:
            return await self._teller.fetch_log(
                place.node, source.task, fence=place.fence, stream=stream, offset=offset, limit=limit
            )
        except (BusError, DecodeError) as error:
            message = f"node {place.node} keeps this output and does not answer: {error}"
            hint = "try again when the node is back"
            raise ApiError(refusal("E_UNAVAILABLE", message, hint=hint, retry_after_s=2.0)) from error

    async def follow(self, user: UserRow, request: Struct) -> Struct:
        """`task.follow`: the subject that carries new output for the next 30 s."""
        assert isinstance(request, requests.LogFollow)
        ref, attempt = await self._finder.attempt(user, request.task, field="/task")
        place = await self._reads.attempt_place(ref, fence=attempt, viewer=viewer(user))
        if place is None and attempt:
            raise not_found(request.task, "/task")
        if place is None:
            return api.Following(subject="", node=None, attempt=0, seconds=_FOLLOW_S)
        if not place.ended:
            self._teller.follow(place.node, ref, fence=place.fence, user=user.name, seconds=_FOLLOW_S)
        return api.Following(
            subject=subjects.log(place.node, user.name, ref),
            node=place.node,
            attempt=place.fence,
            seconds=_FOLLOW_S,
        )
