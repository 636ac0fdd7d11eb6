"""Who did what, and what was refused to whom: rows of `corral.audit`, written apart from the commits.

Whoever is refused can ask again ten thousand times a second; the audit must not grow with it. The first
refusal of a kind is written at once, the further ones are counted and written as one row when a minute has
passed: a row per sender, kind and minute. Steering is audited elsewhere, in the commit that it changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from bus.values import UserName
from coordinator.core.effects import EventRecord, Record
from coordinator.store.connection import Session
from coordinator.store.errors import Disagreement, StoreUnavailable
from coordinator.store.json_text import clean, storable
from sql import queries

log = logging.getLogger(__name__)

WINDOW_S = 60.0
WAITING_MAX = 10_000
_POLL_S = 0.2

_SQL = queries("audit")


class Refused(Struct, frozen=True, kw_only=True):
    """`actor` was refused `action` ("request", "publish") on `object`; `code` says why."""

    actor: str
    action: str
    object: str
    code: str
    details: dict[str, str] = {}


class _Window(Struct):
    """Refusals of one kind: `count` of them since `began_s` are not yet written, `last` among them."""

    began_s: float
    last: Refused
    count: int = 0


class Audit:
    """`refused` notes, `run` writes; what is written becomes an event of the cluster too.

    `written` is called after each row.
    """

    def __init__(
        self,
        dsn: str,
        *,
        now_s: Callable[[], float],
        record: Callable[[Sequence[Record]], None],
        window_s: float = WINDOW_S,
        written: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = Session(dsn)
        self._now_s = now_s
        self._record = record
        self._window_s = window_s
        self._written = written
        self._windows: dict[tuple[str, str, str], _Window] = {}
        self._waiting: list[tuple[float, Refused, int]] = []
        self.dropped = 0

    def refused(self, refusal: Refused) -> None:
        """Never blocks, never fails."""
        kind = (refusal.actor, refusal.action, refusal.code)
        window = self._windows.get(kind)
        if window is None:
            self._windows[kind] = _Window(self._now_s(), refusal)
            self._put(refusal, 1)
            return
        window.count += 1
        window.last = refusal

    async def done(self, actor: str, action: str, *, object: str, details: dict[str, object]) -> None:
        """A row for what was granted, before it is. Raises StoreUnavailable."""
        text = storable(msgspec.json.encode(details))
        await self._session.execute(_SQL["note"], self._now_s(), actor, action, clean(object), "done", text)
        self._written()

    @property
    def open_windows(self) -> int:
        """Kinds of refusals that are being counted."""
        return len(self._windows)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._close_windows(self._now_s())
            try:
                await self._write()
            except StoreUnavailable as error:
                log.warning("%d audit rows wait, %d dropped: %s", len(self._waiting), self.dropped, error)
                await asyncio.sleep(1.0)
            await asyncio.sleep(_POLL_S)

    async def close(self) -> None:
        """Write what was counted, if the database is there. Twice is fine."""
        self._close_windows(float("inf"))
        try:
            await self._write()
        except StoreUnavailable as error:
            log.warning("%d audit rows are lost: %s", len(self._waiting), error)
        await self._session.close()

    def _close_windows(self, now_s: float) -> None:
        for kind, window in list(self._windows.items()):
            if now_s - window.began_s < self._window_s:
                continue
            if not window.count:
                del self._windows[kind]
                continue
            self._put(window.last, window.count)
            self._windows[kind] = _Window(now_s, window.last)

    def _put(self, refusal: Refused, count: int) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            return
        now_s = self._now_s()
        self._waiting.append((now_s, refusal, count))
        event = EventRecord(
            at=now_s,
            event_type=f"{refusal.action}_refused",
            severity="warning",
            message=f"{refusal.actor} on {refusal.object}: {refusal.code}, {count} times",
            user=UserName(refusal.actor),
            details=refusal.details,
        )
        self._record([event])

    async def _write(self) -> None:
        """One row after the other: there are few. Raises StoreUnavailable; what is not written stays."""
        while self._waiting:
            at_s, refusal, count = self._waiting[0]
            details = {**refusal.details, "code": refusal.code, "count": count}
            try:
                await self._session.execute(
                    _SQL["note"],
                    at_s,
                    refusal.actor,
                    refusal.action,
                    clean(refusal.object),
                    "refused",
                    storable(msgspec.json.encode(details)),
                )
            except Disagreement as error:
                log.warning("audit row of %s not taken: %s", refusal.actor, error)
            self._waiting.pop(0)
            self._written()
