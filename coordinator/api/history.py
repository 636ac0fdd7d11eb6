"""What was done and what was noticed: the audit, and events that somebody has dealt with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from msgspec import Struct

from bus import api
from bus.bulk import AuditList, Audits, EventResolve
from bus.errors import ApiError
from bus.fields import AUDIT_FIELDS
from bus.filter import Order
from bus.refusal import quote, refusal
from bus.values import Role
from coordinator.api.access import viewer
from coordinator.api.find import not_found
from coordinator.api.listing import understand
from coordinator.clock import Clock
from coordinator.loop import Loop
from coordinator.store.audit_list import AuditList as AuditPages
from coordinator.store.events import Events
from coordinator.store.rows import UserRow
from coordinator.versions import Versions

NOTE_MAX = 500
_NEWEST = Order("at", descending=True)
_NOTICE = "1:"
"""How the ids of notices begin; the others are changes of jobs and tasks, which nobody can resolve."""


class History:
    """The handlers of `event.resolve` and `audit.list`."""

    def __init__(
        self, loop: Loop, clock: Clock, *, events: Events, audit: AuditPages, versions: Versions
    ) -> None:
        self._versions = versions
        self._loop = loop
        self._clock = clock
        self._events = events
        self._audit = audit

    @property
    def handlers(self) -> dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]]:
        """By the name of the operation."""
        return {"event.resolve": self.resolve, "audit.list": self.audits}

    async def resolve(self, user: UserRow, request: Struct) -> api.Resolved:
        """`event.resolve`: one's own jobs' events, or any for operators. Committed when it is answered."""
        assert isinstance(request, EventResolve)
        ident = _notice_id(request.event)
        note = request.note.strip()
        if len(note) > NOTE_MAX or "\0" in note:
            got, expected = f"{len(note)} characters", f"at most {NOTE_MAX}, all of them visible"
            raise ApiError(refusal("E_TOO_LARGE", "a long note", field="/note", got=got, expected=expected))
        found = await self._events.notice(ident)
        if found is None:
            raise not_found(request.event, "/event")
        if user.role.rank < Role.OPERATOR.rank:
            if found.is_everybodys:
                message, hint = "what is about a node is for operators", "ask an operator"
                raise ApiError(refusal("E_FORBIDDEN", message, field="/event", hint=hint))
            if found.owner != user.id:
                raise not_found(request.event, "/event")
        audit = await self._events.resolve(ident, by=user.name, note=note)
        self._versions.noticed()
        self._versions.came()  # who resolves is on record
        resolved = await self._events.notice(ident)
        if resolved is None:
            raise not_found(request.event, "/event")
        return api.Resolved(event=resolved.told, audit=audit)

    async def audits(self, user: UserRow, request: Struct) -> Audits:
        """`audit.list`: newest first."""
        assert isinstance(request, AuditList)
        listing = understand(request, user, AUDIT_FIELDS, _NEWEST, now_s=self._clock.now_s())
        if listing.order.field != "at":
            raise ApiError(refusal("E_FIELD", field="/sort", got=quote(request.sort), expected="at or -at"))
        await self._loop.barrier()
        return await self._audit.page(listing, ident=request.id, actor=viewer(user))


def _notice_id(text: str) -> UUID:
    """Raises ApiError (E_ID, E_CONFLICT)."""
    if text[:2] in ("0:", "2:", "3:"):
        hint = "events that corral events shows with an id of 1:… can be resolved"
        message = "this is a change of a job or task, and not something that was noticed"
        raise ApiError(refusal("E_CONFLICT", message, field="/event", got=quote(text), hint=hint))
    try:
        return UUID(text.removeprefix(_NOTICE))
    except ValueError:
        hint = "corral events -o name lists them"
        raise ApiError(
            refusal("E_ID", field="/event", got=quote(text), expected="the id of an event", hint=hint)
        ) from None
