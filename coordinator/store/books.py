"""The database against itself, and the snapshot that memory is compared with: one instant for all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg.connection import Connection
from asyncpg.protocol import Record
from msgspec import Struct

from bus.values import TaskRef
from coordinator.core.verify import Flaw
from coordinator.store import load
from coordinator.store.connection import LIST_SESSION, Session
from coordinator.store.rows import Snapshot
from sql import queries

FLAWS_MAX = 100
"""Of each check: enough to see what is wrong."""

_SQL = queries("books")

_CHECKS = {
    "lost_tasks": ("I1", ""),
    "counters": ("I4", ""),
    "ends": ("I1", ""),
    "keys": ("I1", "the same submission again would become another job"),
    "orphans": ("I1", ""),
    "two_live": ("I2", "corral cancel the job, and see what its nodes run"),
    "fences": ("I2", ""),
    "alive_though_over": ("I3", ""),
    "alive_though_waiting": ("I2", ""),
    "abandoned": ("I1", "corral requeue it"),
    "ledgers": ("I4", ""),
    "holdings": ("I4", ""),
    "gpus": ("I4", ""),
    "transitions": ("I6", ""),
    "leaders": ("I2", "corral status: only one coordinator may lead"),
}
"""The invariant that each query of books.sql stands for, and what to do."""

_OTHER_HANDS = (
    "rows were changed by other hands than the coordinator's, or this is a fault of Corral: report it"
)


class OpenBooks:
    """The database at the instant at which it was opened."""

    def __init__(self, connection: Connection[Record]) -> None:
        self._connection = connection

    async def sizes(self) -> dict[str, int]:
        """How many rows there are, by kind."""
        row = await self._connection.fetchrow(_SQL["sizes"])
        assert row is not None
        return dict(row)

    async def snapshot(self) -> Snapshot:
        """What a new leader would rebuild its memory from."""
        return await load.read(self._connection)

    async def flaws(self, *, epoch: int) -> list[Flaw]:
        """Where the database contradicts itself; `epoch` is the one that we lead."""
        found = []
        for check, (invariant, hint) in _CHECKS.items():
            arguments = (FLAWS_MAX, epoch) if check == "leaders" else (FLAWS_MAX,)
            for row in await self._connection.fetch(_SQL[check], *arguments):
                name = row["object"] or "nowhere"
                found.append(Flaw(invariant, f"database.{check}", name, row["what"], hint or _OTHER_HANDS))
        return found


class StuckTask(Struct, frozen=True):
    """A running task that should have been done long ago; `tasks` is how many of them there are."""

    task: TaskRef
    node: str
    running_s: float
    expected_s: float
    tasks: int


class Books:
    """Opens the books, on a connection of its own: a look that takes long is in nobody's way."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, settings=LIST_SESSION)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OpenBooks]:
        """The instant is that of entering. Raises StoreUnavailable."""
        async with (
            self._session.use() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.fetchval(_SQL["snapshot"])
            yield OpenBooks(connection)

    async def stuck(self, *, limit: int) -> list[StuckTask]:
        """The worst of them first. Raises StoreUnavailable."""
        return [
            StuckTask(
                TaskRef(row["job"], row["index"]),
                row["node"] or "?",
                row["running_s"],
                row["expected_s"],
                row["tasks"],
            )
            for row in await self._session.fetch(_SQL["stuck"], limit)
        ]

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()
