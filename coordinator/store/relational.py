"""The coordinator's door to PostgreSQL: leadership, group commits, start-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

from bus.values import Role, UserName
from coordinator.store import commit, leadership, load
from coordinator.store.connection import RETRYABLE, WRITER_SESSION, Session
from coordinator.store.errors import NotLeader, StoreUnavailable
from coordinator.store.rows import Batch, Snapshot
from sql import queries

COMMIT_TRIES = 5


class RelationalStore:
    """Connections by purpose: one writes, one keeps the leadership and is never behind a commit, and one
    waits, where a commit's outcome is unknown, for what may still be going on in the server."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._writer = Session(dsn, settings=WRITER_SESSION)
        self._keeper = Session(dsn)
        self._asker = Session(dsn)
        self._epoch: int | None = None

    @classmethod
    async def connect(cls, dsn: str) -> RelationalStore:
        """Raises StoreUnavailable when the database does not answer."""
        store = cls(dsn)
        async with store._writer.use():
            return store

    @property
    def epoch(self) -> int:
        """Of our leadership. Raises NotLeader before `lead`."""
        if self._epoch is None:
            raise NotLeader("this coordinator has not led yet")
        return self._epoch

    async def lead(
        self,
        holder: str,
        wait_s: float,
        *,
        fit: Callable[[], bool] = lambda: True,
        led: Callable[[], None] = lambda: None,
    ) -> int:
        """Become the leader, once `fit`; answers the epoch. `led`: another one was seen to renew.

        Raises NotLeader, StoreUnavailable.
        """
        self._epoch = await leadership.take(self._writer, holder=holder, wait_s=wait_s, fit=fit, led=led)
        return self._epoch

    async def renew(self) -> None:
        """To be called each second. Raises NotLeader: stop at once. StoreUnavailable: try again."""
        await leadership.renew(self._keeper, self.epoch)
        if not self._writer.connected:  # a leader without a session is taken for dead
            await leadership.adopt(self._writer, self.epoch)

    async def someone_stands_by(self) -> bool:
        """Whether another coordinator could lead at once. Raises StoreUnavailable."""
        return await leadership.someone_stands_by(self._keeper)

    async def resign(self) -> None:
        """On a clean end, after the last commit: a standby takes over at once."""
        epoch, self._epoch = self.epoch, None
        await leadership.resign(self._keeper, epoch)

    async def commit(self, batch: Batch) -> None:
        """All rows of `batch` in one transaction; the same batch again changes nothing.

        Raises NotLeader, StoreUnavailable (nothing committed), OutcomeUnknown (ask `committed`) or
        Disagreement.
        """
        if not self._writer.connected:
            await leadership.adopt(self._writer, self.epoch)
        for attempt in range(COMMIT_TRIES):
            try:
                await commit.write(self._writer, self.epoch, batch)
                return
            except RETRYABLE as fault:
                if attempt == COMMIT_TRIES - 1:
                    raise StoreUnavailable(f"given up after {COMMIT_TRIES} tries: {fault}") from fault
                await asyncio.sleep(0.005 * 2**attempt)

    async def committed(self, number: int) -> bool:
        """Whether batch `number` of this epoch is in the database."""
        return await commit.is_committed(self._asker, self.epoch, number)

    async def load(self) -> Snapshot:
        """What memory is rebuilt from. Raises StoreUnavailable."""
        session = Session(self._dsn)  # of its own: the leadership is renewed meanwhile
        try:
            return await load.load(session)
        finally:
            await session.close()

    async def ensure_user(self, name: UserName, role: Role) -> UUID:
        """Make a user, or give an existing one this role; answers the id."""
        row = await self._keeper.fetchrow(queries("users")["ensure"], name, role)
        assert row is not None
        user_id: UUID = row["id"]
        return user_id

    async def close(self) -> None:
        """Twice is fine."""
        for session in (self._writer, self._keeper, self._asker):
            await session.close()
