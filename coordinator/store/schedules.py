"""Schedules in the database; making, pausing and removing one writes its row of the audit as well."""

from __future__ import annotations

from uuid import UUID

import msgspec
from asyncpg.protocol import Record
from msgspec import Struct

from bus.schedules import Schedule
from bus.spec import JobSpec
from bus.values import UserName
from coordinator.store.connection import Session
from coordinator.store.rows import UserRow
from sql import queries

_SQL = queries("schedules")


class Kept(Struct, frozen=True):
    """A schedule as it stands; `next_at_s` also while it is paused, as of when it was."""

    id: UUID
    told: Schedule
    spec: JobSpec
    digest: bytes
    next_at_s: float


class Firing(Struct, frozen=True, kw_only=True):
    """What came of a schedule's turn: `job` None: nothing was submitted, for the reason in `error`."""

    at_s: float
    next_at_s: float
    job: int | None = None
    skipped: int = 0
    error: str = ""


class Schedules:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def create(
        self, owner: UserRow, told: Schedule, *, spec: bytes, digest: bytes, next_at_s: float
    ) -> UUID | None:
        """None: the owner has one of that name. `spec` is JSON."""
        row = await self._session.fetchrow(
            _SQL["create"],
            owner.id,
            told.name,
            told.cron,
            told.zone,
            told.overlap,
            spec.decode(),
            digest,
            next_at_s,
        )
        return None if row is None else row["id"]

    async def count_of(self, owner: UserRow) -> int:
        """How many `owner` has."""
        row = await self._session.fetchrow(_SQL["count_of"], owner.id)
        assert row is not None
        return int(row["count"])

    async def find(self, owner: str, name: str) -> Kept | None:
        """One of them."""
        row = await self._session.fetchrow(_SQL["find"], owner, name)
        return None if row is None else _kept(row)

    async def every(self, owner: str | None, *, limit: int) -> list[Schedule]:
        """By name; `owner` None: everybody's."""
        return [_kept(row).told for row in await self._session.fetch(_SQL["every"], owner, limit)]

    async def due(self, now_s: float, *, limit: int) -> list[Kept]:
        """Those whose time has come, the most overdue first."""
        return [_kept(row) for row in await self._session.fetch(_SQL["due"], now_s, limit)]

    async def note(self, schedule: Kept, firing: Firing) -> None:
        """Keep what came of the turn that was due at `schedule.next_at_s`; a second time changes nothing."""
        await self._session.fetchrow(
            _SQL["note"],
            schedule.id,
            schedule.next_at_s,
            firing.next_at_s,
            firing.at_s,
            firing.job,
            firing.skipped,
            firing.error[:500],
        )

    async def set_paused(
        self, owner: str, name: str, *, paused: bool, next_at_s: float, by: UserName
    ) -> Schedule | None:
        """The schedule after it; None where there is none."""
        row = await self._session.fetchrow(_SQL["set_paused"], owner, name, paused, next_at_s, by)
        return None if row is None else _kept(row).told

    async def remove(self, owner: str, name: str, *, by: UserName) -> Schedule | None:
        """The schedule as it was; None where there is none."""
        row = await self._session.fetchrow(_SQL["remove"], owner, name, by)
        return None if row is None else _kept(row).told


def _kept(row: Record) -> Kept:
    next_at_s = row["next_at"].timestamp()
    told = Schedule(
        name=row["name"],
        user=row["username"],
        cron=row["cron"],
        zone=row["zone"],
        overlap=row["overlap"],
        paused=row["paused"],
        created_at=row["created_at"].timestamp(),
        next_at=None if row["paused"] else next_at_s,
        last_at=None if row["last_at"] is None else row["last_at"].timestamp(),
        last_job=row["last_job"],
        fired=row["fired"],
        skipped=row["skipped"],
        last_error=row["last_error"],
    )
    spec = msgspec.json.decode(row["spec"], type=JobSpec)
    return Kept(row["id"], told, spec, bytes(row["digest"]), next_at_s)
