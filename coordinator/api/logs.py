"""What tasks print: kept by the node that ran them, fetched by offset, followed live."""

from __future__ import annotations

from msgspec import Struct

from bus import api, subjects
from bus.api import Error
from bus.errors import ApiError, BusError, DecodeError
from bus.values import NodeName
from coordinator.api.jobs import Jobs
from coordinator.loop import Loop
from coordinator.store.reads import Place, Reads
from coordinator.store.rows import UserRow
from coordinator.tell import Teller

_LIMIT_MAX = 512 * 1024
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
        assert isinstance(request, api.LogQuery)
        if request.offset < 0 or not 1 <= request.limit <= _LIMIT_MAX or request.attempt < 0:
            raise ApiError(
                Error(
                    code="E_RANGE",
                    message=f"offset ≥ 0, attempt ≥ 0, limit 1–{_LIMIT_MAX}",
                    field="/limit",
                    status=422,
                )
            )
        ref = await self._jobs.resolve_task(user, request.task)
        place = await self._reads.attempt_place(ref, request.attempt)
        if place is None:
            raise ApiError(Error(code="E_NOT_FOUND", message=f"no task {ref}", field="/task", status=404))
        if place.node is None:
            return api.Log(
                task=str(ref),
                attempt=place.fence,
                node="",
                stream=request.stream,
                offset=request.offset,
                data=b"",
                size=0,
                ended=place.over,
            )
        return await self._fetch(request, place)

    async def _fetch(self, request: api.LogQuery, place: Place) -> api.Log:
        assert place.node is not None
        try:
            chunk = await self._teller.fetch_log(
                NodeName(place.node),
                place.task,
                fence=place.fence,
                stream=request.stream,
                offset=request.offset,
                limit=request.limit,
            )
        except (BusError, DecodeError) as error:
            raise ApiError(
                Error(
                    code="E_UNAVAILABLE",
                    message=f"node {place.node} keeps this output and does not answer: {error}",
                    status=503,
                    hint="try again when the node is back",
                    retry_after_s=2.0,
                )
            ) from error
        if chunk.error is not None and not (place.ended or place.waiting):
            raise ApiError(
                Error(code="E_NOT_FOUND", message=f"{place.node}: {chunk.error}", field="/task", status=404)
            )
        return api.Log(
            task=str(place.task),
            attempt=place.fence,
            node=place.node,
            stream=request.stream,
            offset=chunk.offset,
            data=chunk.data,
            size=chunk.size,
            ended=place.over and (chunk.ended or chunk.error is not None),
        )

    async def follow(self, user: UserRow, request: Struct) -> Struct:
        """`task.follow`: the subject that carries new output for the next 30 s."""
        assert isinstance(request, api.LogFollow)
        ref = await self._jobs.resolve_task(user, request.task)
        place = await self._reads.attempt_place(ref, 0)
        if place is None or place.node is None:
            return api.Following(subject="", node=None, attempt=0, seconds=_FOLLOW_S)
        if not place.ended:
            self._teller.follow(
                NodeName(place.node), ref, fence=place.fence, user=user.name, seconds=_FOLLOW_S
            )
        return api.Following(
            subject=subjects.log(place.node, user.name, ref),
            node=place.node,
            attempt=place.fence,
            seconds=_FOLLOW_S,
        )
