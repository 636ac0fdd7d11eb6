"""Who leads: a row in the database, renewed each second, checked by every write.

A row and not an advisory lock: the session of a leader that was stopped (SIGSTOP, a paused machine)
would keep a lock for ever, while a row grows old. The taker first ends the old leader's backend, so that a
transaction it left open is rolled back, then raises the epoch. A write transaction holds the epoch's key
share lock: it ends before a takeover, or finds the epoch gone.

How old the row is, the taker measures by its own clock: from when it first saw this renewal. The database's
clock may be stepped by an hour, and neither a living leader falls nor a dead one stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime

from coordinator.store.connection import Session
from coordinator.store.errors import Disagreement, NotLeader, StoreUnavailable
from sql import queries

STALE_AFTER_S = 4.0
"""Without a renewal for so long, a leader is replaced."""

GONE_AFTER_S = 1.0
"""Without a session for so long: a restarted database has nobody's, and the leader comes back first."""

POLL_INTERVAL_S = 0.2
BLIND_AFTER_S = 2.0
"""Without a look for so long, what was seen before says nothing about the leader: the database was away."""

LOOK_TIMEOUT_S = 6.0
"""Of one attempt; ending the old leader's backend may take 5 s of it."""

STANDING_BY = "corral-standby"
"""The application_name of a session whose owner could lead at once."""

_NOT_FIT = "corral"

log = logging.getLogger(__name__)

_SQL = queries("leadership")


async def take(
    writer: Session,
    *,
    holder: str,
    wait_s: float,
    fit: Callable[[], bool] = lambda: True,
    led: Callable[[], None] = lambda: None,
) -> int:
    """Become the leader within `wait_s`; answers the epoch. A later taker will end `writer`'s backend.

    Waits for a living leader to go stale or away, and for ourselves to be `fit`: whom nobody hears does not
    lead. `led` is told of each renewal of another one. Raises NotLeader when time runs out, StoreUnavailable
    when the database was away at its end.
    """
    deadline_s = time.monotonic() + wait_s
    standby = Standby(writer, holder=holder, led=led)
    while True:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                epoch = await standby.look(fit=fit())
        except (StoreUnavailable, TimeoutError) as error:
            if time.monotonic() >= deadline_s:
                raise StoreUnavailable(str(error) or "the database does not answer") from error
        else:
            if epoch is not None:
                await writer.execute(_SQL["open_batches"], epoch)
                return epoch
            if time.monotonic() >= deadline_s:
                raise NotLeader(f"another coordinator leads; waited {wait_s:g} s")
        await asyncio.sleep(POLL_INTERVAL_S)


class Standby:
    """Watches the leader's row, and takes it over when its time has come."""

    def __init__(self, writer: Session, *, holder: str, led: Callable[[], None]) -> None:
        self._writer = writer
        self._led = led
        self._holder = holder
        self._seen: tuple[int, datetime] | None = None
        self._seen_s = 0.0  # when this renewal was seen first
        self._looked_s = 0.0
        self._gone_s: float | None = None  # since when the leader has no session
        self._shown = _NOT_FIT
        self._told = False

    async def look(self, *, fit: bool) -> int | None:
        """The epoch if it is ours now. Raises StoreUnavailable."""
        if not self._writer.connected:
            self._shown = _NOT_FIT
        current = await self._writer.fetchrow(_SQL["current"])
        if not fit:
            await self._show(_NOT_FIT)
            return None
        if current is None:
            return await self._won("take_first", self._holder)
        if (
            not self._is_due(current["epoch"], current["renewed_at"], gone=not current["alive"])
            and not (current["resigned"])
        ):
            if not self._told:
                log.info("standing by: %s leads, epoch %d", current["holder"], current["epoch"])
                self._told = True
            await self._show(STANDING_BY)
            return None
        if current["alive"]:
            await self._end(current["backend_pid"])
        return await self._won("take_over", self._holder, current["epoch"])

    def _is_due(self, epoch: int, renewed_at: datetime, *, gone: bool) -> bool:
        now_s = time.monotonic()
        blind = now_s - self._looked_s > BLIND_AFTER_S  # the leader may have been as blind as we were
        self._looked_s = now_s
        if self._seen is not None and self._seen != (epoch, renewed_at):
            self._led()
        if blind or self._seen != (epoch, renewed_at):
            self._seen, self._seen_s, self._gone_s = (epoch, renewed_at), now_s, None
        if not gone:
            self._gone_s = None
        elif self._gone_s is None:
            self._gone_s = now_s
        return now_s - self._seen_s >= STALE_AFTER_S or (
            self._gone_s is not None and now_s - self._gone_s >= GONE_AFTER_S
        )

    async def _end(self, backend_pid: int) -> None:
        try:
            await self._writer.execute(_SQL["end_backend"], backend_pid)
        except Disagreement as refused:
            # another login's session: the epoch shuts it out, and the server ends what it left open
            log.warning("the session of the old leader goes on: %s", refused)

    async def _won(self, how: str, *arguments: object) -> int | None:
        row = await self._writer.fetchrow(_SQL[how], *arguments)
        if row is None:
            return None
        await self._show(_NOT_FIT)
        return int(row["epoch"])

    async def _show(self, name: str) -> None:
        if name != self._shown:
            await self._writer.execute(_SQL["stand_by"], name)
            self._shown = name


async def renew(keeper: Session, epoch: int) -> None:
    """Still here. Raises NotLeader when the epoch has passed on."""
    if await keeper.fetchrow(_SQL["renew"], epoch) is None:
        raise NotLeader(f"epoch {epoch} is over")


async def adopt(writer: Session, epoch: int) -> None:
    """`writer` has a new backend since it became the leader: record it. Raises NotLeader."""
    if await writer.fetchrow(_SQL["adopt_backend"], epoch) is None:
        raise NotLeader(f"epoch {epoch} is over")


async def someone_stands_by(keeper: Session) -> bool:
    """Whether another coordinator could lead at once."""
    row = await keeper.fetchrow(_SQL["someone_stands_by"], STANDING_BY)
    return row is not None and bool(row["waits"])


async def resign(keeper: Session, epoch: int) -> None:
    """Let the next one take over at once."""
    await keeper.execute(_SQL["resign"], epoch)
