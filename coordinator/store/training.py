"""Gangs in the database: how far they are, rank by rank."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from asyncpg.protocol import Record
from msgspec import Struct

from bus.training import GangProgress, Rank
from bus.values import TaskRef, TaskState
from coordinator.store.connection import Session
from coordinator.store.shown import instant_s, shown_result
from sql import queries

_SQL = queries("training")


class GangRow(Struct, frozen=True, kw_only=True):
    """A gang as it is shown, with what finds the rest of it. `ended_at`: of the task, Unix epoch."""

    id: UUID
    index: int
    shown: GangProgress
    ended_at: float | None


class TrainingStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def gangs(
        self, *, viewer: str | None, job: int, index: int | None, after: int, limit: int
    ) -> list[GangRow]:
        """Of a job or one task, by index, from behind `after` on."""
        rows = await self._session.fetch(_SQL["gangs"], viewer, job, index, after, limit)
        return [_gang(row) for row in rows]

    async def ranks(self, gang: GangRow) -> list[Rank]:
        """Of its newest try, without what they use."""
        rows = await self._session.fetch(_SQL["ranks"], gang.id, gang.shown.attempt)
        return [_rank(row) for row in rows]

    async def available(self, gang: GangRow) -> list[int]:
        """The ranks that nobody has now."""
        return [row["rank"] for row in await self._session.fetch(_SQL["available"], gang.id)]


def _gang(row: Record) -> GangRow:
    shown = GangProgress(
        task=str(TaskRef(row["number"], row["index"])),
        name=row["group_name"],
        state=TaskState(row["state"]),
        attempt=row["fence"],
        ranks=row["required_ranks"],
        nodes=row["active_nodes"],
        live=row["live_ranks"],
        running=row["running_ranks"],
        completed=row["completed_ranks"],
        progress=row["progress"],
        message=row["told"],
        metrics=_numbers(row["metrics"]),
        step=row["saved_step"],
        saved_at=instant_s(row["saved_at"]),
        saving=row["saving_step"],
        shards=row["saving_ranks"],
    )
    return GangRow(
        id=row["task_id"], index=row["index"], shown=shown, ended_at=instant_s(row["completed_at"])
    )


def _rank(row: Record) -> Rank:
    return Rank(
        rank=row["rank"],
        node=row["node_name"],
        state=row["state"],
        assigned_at=row["assigned_at"].timestamp(),
        started_at=instant_s(row["started_at"]),
        ended_at=instant_s(row["ended_at"]),
        exit_code=row["exit_code"],
        signal=row["signal"],
        message=row["why"],
        checkpoint=row["checkpoint_path"],
        metrics=_numbers(row["saved_metrics"]),
        told=shown_result(row),
    )


def _numbers(text: str) -> dict[str, float]:
    """Metrics are numbers; whatever else a hand put there is left out."""
    values = msgspec.json.decode(text, type=dict[str, Any])
    return {name: float(value) for name, value in values.items() if type(value) in (int, float)}
