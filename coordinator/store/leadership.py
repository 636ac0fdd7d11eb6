"""Who leads: a row in the database, renewed each second, checked by every write.

A row and not an advisory lock: the session of a leader that was stopped (SIGSTOP, a paused machine)
would keep a lock for ever, while a row grows old. The taker first ends the old leader's backend, so that a
transaction it left open is rolled back, then raises the epoch. A write transaction holds the epoch's key
share lock: it ends before a takeover, or finds the epoch gone.
"""

from __future__ import annotations

import asyncio
import logging
import time

from coordinator.store.connection import Session
from coordinator.store.errors import NotLeader, StoreUnavailable
from sql import queries

STALE_AFTER_S = 4.0
POLL_INTERVAL_S = 0.2

log = logging.getLogger(__name__)

_SQL = queries("leadership")


async def take(writer: Session, *, holder: str, wait_s: float) -> int:
    """Become the leader within `wait_s`; answers the epoch. A later taker will end `writer`'s backend.

    Waits for a living leader to go stale or away. Raises NotLeader when time runs out, or StoreUnavailable
    when the database was away at the end of it.
    """
    deadline_s = time.monotonic() + wait_s
    told = False
    while True:
        try:
            epoch = await _attempt(writer, holder)
        except StoreUnavailable:
            if time.monotonic() >= deadline_s:
                raise
        else:
            if epoch is not None:
                await writer.execute(_SQL["open_batches"], epoch)
                return epoch
            if time.monotonic() >= deadline_s:
                raise NotLeader(f"another coordinator leads; waited {wait_s:g} s")
            if not told:
                log.info("standing by: another coordinator leads")
                told = True
        await asyncio.sleep(POLL_INTERVAL_S)


async def _attempt(writer: Session, holder: str) -> int | None:
    current = await writer.fetchrow(_SQL["current"])
    if current is None:
        row = await writer.fetchrow(_SQL["take_first"], holder)
    elif current["alive"] and current["age_s"] < STALE_AFTER_S:
        return None
    else:
        if current["alive"]:
            await writer.execute(_SQL["end_backend"], current["backend_pid"])
        row = await writer.fetchrow(_SQL["take_over"], holder, current["epoch"])
    return None if row is None else int(row["epoch"])


async def renew(keeper: Session, epoch: int) -> None:
    """Still here. Raises NotLeader when the epoch has passed on."""
    if await keeper.fetchrow(_SQL["renew"], epoch) is None:
        raise NotLeader(f"epoch {epoch} is over")


async def adopt(writer: Session, epoch: int) -> None:
    """`writer` has a new backend since it became the leader: record it. Raises NotLeader."""
    if await writer.fetchrow(_SQL["adopt_backend"], epoch) is None:
        raise NotLeader(f"epoch {epoch} is over")


async def resign(keeper: Session, epoch: int) -> None:
    """Let the next one take over at once."""
    await keeper.execute(_SQL["resign"], epoch)
