"""What tasks print: kept by the node that ran them, fetched by offset, followed live."""

from __future__ import annotations

from msgspec import Struct

from bus import api, requests, subjects
from bus.errors import ApiError, BusError, DecodeError
from bus.refusal import refusal
from bus.values import TaskRef
from coordinator.api.access import viewer
from coordinator.api.jobs import Jobs, check_range, not_found
from coordinator.core.model import TERMINAL
from coordinator.loop import Loop
from coordinator.store.reads import AttemptPlace, Reads
from coordinator.store.rows import UserRow
from coordinator.tell import Teller

_LIMIT_MAX = 512 * 1024
_ATTEMPT_MAX = 2**31 - 1
_OFFSET_MAX = 2**63 - 1
_FOLLOW_S = 30.0


class Logs:
    """The handlers of `task.logs` and `task.follow`."""

    def __init__(self, loop: Loop, jobs: Jobs, reads: Reads, teller: Teller) -> None:
        self._loop = loop
        self._jobs = jobs
        self._reads = reads
        self._teller = teller

    async def read(self, user: UserRow, request: Struct) -> Struct:
        """`task.logs`: a piece of one stream; empty and not ended while the task has no attempt yet."""
        assert isinstance(request, requests.LogQuery)
        check_range(request.offset, 0, _OFFSET_MAX, field="/offset")
        check_range(request.limit, 1, _LIMIT_MAX, field="/limit")
        check_range(request.attempt, 0, _ATTEMPT_MAX, field="/attempt")
        ref = await self._jobs.resolve_task(user, request.task)
        task = await self._reads.task(ref, viewer=viewer(user))
        if task is None:
            raise not_found(request.task, "/task")
        place = await self._reads.attempt_place(ref, fence=request.attempt, viewer=viewer(user))
        over = task.state in TERMINAL
        if place is not None:
            return await self._fetch(request, ref, place, over=over)
        return api.Log(
            task=str(ref),
            attempt=0,
            node="",
            stream=request.stream,
            offset=request.offset,
            data=b"",
            size=0,
            ended=over,
        )

    async def _fetch(
        self, request: requests.LogQuery, ref: TaskRef, place: AttemptPlace, *, over: bool
    ) -> api.Log:
        try:
            chunk = await self._teller.fetch_log(
                place.node,
                ref,
                fence=place.fence,
                stream=request.stream,
                offset=request.offset,
                limit=request.limit,
            )
        except (BusError, DecodeError) as error:
            message = f"node {place.node} keeps this output and does not answer: {error}"
            hint = "try again when the node is back"
            raise ApiError(refusal("E_UNAVAILABLE", message, hint=hint, retry_after_s=2.0)) from error
        return api.Log(
            task=str(ref),
            attempt=place.fence,
            node=place.node,
            stream=request.stream,
            offset=chunk.offset,
            data=chunk.data,
            size=chunk.size,
            # a task that will run again has not said its last word; what never started has none to say
            ended=(over or request.attempt > 0)
            and (chunk.ended or (place.ended and chunk.error is not None)),
        )

    async def follow(self, user: UserRow, request: Struct) -> Struct:
        """`task.follow`: the subject that carries new output for the next 30 s."""
        assert isinstance(request, requests.LogFollow)
        ref = await self._jobs.resolve_task(user, request.task)
        place = await self._reads.attempt_place(ref, fence=0, viewer=viewer(user))
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
