"""What was learned, in rows: snapshots, notes, experiences."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from asyncpg.connection import Connection
from asyncpg.protocol import Record
from msgspec import Struct

from coordinator.core.effects import LearnedState, LearningNotes
from coordinator.core.scheduler.policies import Mode
from coordinator.store.connection import Session
from sql import queries

_SQL = queries("learned")
KEEP_STATES = 200
"""Snapshots; older ones go, but for those that say why mode or policy changed."""


class Ran(Struct, frozen=True):
    """A task of the past that ran to its end, as the learner was told of it."""

    submitted_s: float
    run_s: float
    requested_s: float
    user: str
    width: int
    nodes: int


class Kept(Struct, frozen=True):
    """A snapshot without its tables."""

    number: int
    at: float
    reason: str
    mode: str
    policy: str
    sequence: int
    digest: str
    epsilon: float
    reward_avg: float | None
    evidence: dict[str, object]


async def newest(connection: Connection[Record]) -> LearnedState | None:
    """The newest snapshot."""
    row = await connection.fetchrow(_SQL["newest"])
    return None if row is None else _state(row)


async def notes(connection: Connection[Record]) -> tuple[LearningNotes, ...]:
    """Those that the newest snapshot does not have, in their order."""
    rows = await connection.fetch(_SQL["notes_since"])
    return tuple(
        LearningNotes(at=row["at"], last=row["sequence"], notes=row["notes"].encode()) for row in rows
    )


class Learned:
    """On a connection of its own; all raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def states(self, limit: int) -> list[Kept]:
        """The newest first."""
        return [kept_of(row) for row in await self._session.fetch(_SQL["states"], limit)]

    async def state(self, number: int) -> LearnedState | None:
        row = await self._session.fetchrow(_SQL["state"], number)
        return None if row is None else _state(row)

    async def history(self, limit: int) -> list[Ran]:
        """The newest `limit` tasks that ran, in order of submission."""
        rows = await self._session.fetch(_SQL["history"], limit)
        found = [
            Ran(
                row["at_s"],
                row["run_s"],
                row["requested_s"],
                row["user"],
                row["width"],
                row["nodes"],
            )
            for row in rows
        ]
        return sorted(found, key=lambda ran: ran.submitted_s)

    async def missing(self, sequences: Sequence[int], *, since_s: float) -> set[int]:
        """Of these notes, those whose experience was never written."""
        rows = await self._session.fetch(_SQL["written"], list(sequences), since_s)
        return set(sequences) - {row["sequence"] for row in rows}

    async def prune(self, *, epoch: int) -> None:
        """Notes that the newest snapshots have, and old snapshots, while `epoch` leads."""
        await self._session.execute(_SQL["prune_notes"], epoch)
        await self._session.execute(_SQL["prune_states"], epoch, KEEP_STATES)


def kept_of(row: Record) -> Kept:
    """A row of `learned.states`, or of `past.snapshots`."""
    return Kept(
        row["number"],
        row["at"],
        row["reason"],
        row["mode"] or "",
        row["policy_version"],
        row["sequence"],
        row["digest"],
        row["epsilon"],
        row["reward_avg"],
        msgspec.json.decode(row["evidence"]) if row["evidence"] else {},
    )


def _state(row: Record) -> LearnedState:
    return LearnedState(
        at=row["at"],
        mode=Mode(row["mode"]) if row["mode"] else None,
        policy=row["policy_version"],
        schema=row["feature_schema"],
        sequence=row["sequence"],
        learner=row["learner"].encode(),
        digest=row["digest"],
        epsilon=row["epsilon"],
        reward_avg=row["reward_avg"],
        reward_window=row["reward_window"],
        q_table=msgspec.json.decode(row["q_table"]) if row["q_table"] else {},
        weights=bytes(row["model_weights"] or b""),
        reason=row["reason"],
        evidence=msgspec.json.decode(row["evidence"]) if row["evidence"] else {},
    )
