"""`stream.open`: who may have a byte stream to what runs, and with which node.

Owners have sessions with their own tasks, operators and admins with everybody's; who may only look has none.
Each that is granted leaves a line in the audit before the node hears of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from bus import subjects
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import OpenStream
from bus.refusal import quote, refusal
from bus.sessions import PORT_MAX, SIDE_MAX, PtyParams, SessionKind, StreamOpen, StreamOpened, TcpParams
from bus.subjects import Direction
from bus.values import AttemptRef, NodeName
from coordinator.api.access import viewer
from coordinator.api.find import Finder
from coordinator.store.reads import Reads
from coordinator.store.rows import UserRow
from coordinator.tell import Teller

P = TypeVar("P", bound=Struct)


class Target(Struct, frozen=True):
    """Which node a stream goes to, and what that needs to know."""

    node: NodeName
    attempt: AttemptRef | None = None
    params: dict[str, Any] = {}


Place = Callable[[UserRow, StreamOpen], Awaitable[Target]]
"""Judges a request of one kind and finds its node. Raises ApiError."""


class Audited(Protocol):
    async def done(self, actor: str, action: str, *, object: str, details: dict[str, object]) -> None: ...


class StreamDesk:
    """The handler of `stream.open`. `kinds`: further kinds of sessions, by name."""

    def __init__(
        self,
        finder: Finder,
        reads: Reads,
        teller: Teller,
        audit: Audited,
        *,
        kinds: Mapping[str, Place] | None = None,
    ) -> None:
        self._finder = finder
        self._reads = reads
        self._teller = teller
        self._audit = audit
        self._kinds: dict[str, Place] = {
            SessionKind.PTY: self._with_terminal,
            SessionKind.TCP: self._with_port,
            **(kinds or {}),
        }

    @property
    def handlers(self) -> dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]]:
        return {"stream.open": self.open}

    async def open(self, user: UserRow, request: Struct) -> Struct:
        """`stream.open`. Raises ApiError."""
        assert isinstance(request, StreamOpen)
        place = self._kinds.get(request.kind)
        if place is None:
            known = ", ".join(sorted(self._kinds))
            raise ApiError(refusal("E_ENUM", field="/kind", got=quote(request.kind), expected=known))
        target = await place(user, request)
        stream = f"{request.kind.replace('.', '_')}_{secrets.token_hex(6)}"
        task = str(target.attempt.task) if target.attempt else ""
        details: dict[str, object] = {
            "stream": stream,
            "node": target.node,
            "attempt": target.attempt.fence if target.attempt else None,
            "params": target.params,
        }
        await self._audit.done(
            user.name, f"session.{request.kind}", object=task or target.node, details=details
        )
        await self._prepare(user, request.kind, stream, target=target)
        return StreamOpened(
            stream=stream,
            node=target.node,
            up=subjects.stream(user.name, target.node, stream, direction=Direction.UP),
            down=subjects.stream(user.name, target.node, stream, direction=Direction.DOWN),
            task=task,
            attempt=target.attempt.fence if target.attempt else 0,
            params=target.params,
        )

    async def _prepare(self, user: UserRow, kind: str, stream: str, *, target: Target) -> None:
        command = OpenStream(
            epoch=0,  # the teller's to say
            stream=stream,
            user=user.name,
            kind=kind,
            attempt=target.attempt,
            params=target.params,
        )
        try:
            reply = await self._teller.open_stream(target.node, command)
        except (BusError, DecodeError) as error:
            message = f"node {target.node} does not answer: {error}"
            hint = "try again when the node is back"
            raise ApiError(refusal("E_UNAVAILABLE", message, hint=hint, retry_after_s=2.0)) from error
        if reply.code:
            raise ApiError(refusal(reply.code, reply.error))

    async def _with_terminal(self, user: UserRow, request: StreamOpen) -> Target:
        params = _params(request, PtyParams)
        for name, side in (("rows", params.rows), ("columns", params.columns)):
            if not 1 <= side <= SIDE_MAX:
                raise ApiError(
                    refusal("E_RANGE", field=f"/params/{name}", got=quote(side), expected=f"1 to {SIDE_MAX}")
                )
        return await self._running(user, request, msgspec.structs.asdict(params))

    async def _with_port(self, user: UserRow, request: StreamOpen) -> Target:
        params = _params(request, TcpParams)
        if not 1 <= params.port <= PORT_MAX:
            raise ApiError(
                refusal("E_PORT", field="/params/port", got=quote(params.port), expected=f"1 to {PORT_MAX}")
            )
        return await self._running(user, request, msgspec.structs.asdict(params))

    async def _running(self, user: UserRow, request: StreamOpen, params: dict[str, Any]) -> Target:
        """The attempt of a task that the user may have a session with. Raises ApiError."""
        if not request.task:
            raise ApiError(refusal("E_REQUIRED", field="/task", expected="the task of the session"))
        ref, attempt = await self._finder.attempt(user, request.task, field="/task")
        place = await self._reads.attempt_place(ref, fence=attempt, viewer=viewer(user))
        if place is None or place.ended:
            message = f"task {ref} is over" if place is not None else f"task {ref} has not started"
            raise ApiError(refusal("E_NOT_RUNNING", message, field="/task", got=quote(request.task)))
        return Target(place.node, AttemptRef(ref.job, ref.index, place.fence), params)


def _params(request: StreamOpen, kind: type[P]) -> P:
    try:
        return msgspec.convert(request.params, kind)
    except msgspec.ValidationError as error:
        fields = ", ".join(kind.__struct_fields__)
        raise ApiError(
            refusal("E_TYPE", f"params: {error}", field="/params", expected=f"an object with {fields}")
        ) from None
