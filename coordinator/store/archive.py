"""The archive: jobs that are over leave the tables that everything asks, and their rows are kept beside."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from asyncpg.protocol import Record
from msgspec import Struct

from bus.values import JobState
from coordinator.store.connection import Session
from sql import queries

MOVE_TIMEOUT_S = 600.0
"""The tasks of a job go with it, and there may be a million of them."""

_SQL = queries("archive")


class Before(Struct, frozen=True):
    """Jobs that ended before these instants are old enough, by how they ended; None: never."""

    completed: float | None = None
    failed: float | None = None
    cancelled: float | None = None


class Old(Struct, frozen=True):
    """A job that is old enough, and how many tasks it has."""

    number: int
    tasks: int


class Moved(Struct, frozen=True):
    """So many jobs that ended in `state`, with all their tasks."""

    state: JobState
    jobs: int
    tasks: int


class Archive:
    """On a connection of its own; all raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def count(self, before: Before) -> list[Moved]:
        """What is old enough."""
        return _moved(await self._session.fetch(_SQL["count"], *_instants(before)))

    async def oldest(self, before: Before, *, but: Collection[int], limit: int) -> list[Old]:
        """The jobs that ended first, without those in `but`."""
        rows = await self._session.fetch(_SQL["oldest"], *_instants(before), list(but), limit)
        return [Old(row["number"], row["total"]) for row in rows]

    async def move(self, numbers: Collection[int], before: Before, *, epoch: int, by: str) -> list[Moved]:
        """These jobs, in one transaction with its line of the audit; those that are not old any more stay.

        Nothing is moved where `epoch` does not lead any more: the next leader may be queueing one again.
        """
        async with self._session.use() as connection:
            rows = await connection.fetch(
                _SQL["move"], *_instants(before), list(numbers), epoch, by, timeout=MOVE_TIMEOUT_S
            )
        return _moved(rows)


def _instants(before: Before) -> tuple[float | None, ...]:
    return before.completed, before.failed, before.cancelled


def _moved(rows: Sequence[Record]) -> list[Moved]:
    return [Moved(JobState(row["state"]), row["jobs"], row["tasks"]) for row in rows]
