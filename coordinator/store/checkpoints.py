"""Checkpoints and where their content lies, in the database."""

from __future__ import annotations

from uuid import UUID

import msgspec
from asyncpg.protocol import Record
from msgspec import Struct

from bus.checkpoints import Checkpoint, CheckpointFile, CheckpointKind, Saved, SavedFile
from bus.values import RANK_STRIDE, AttemptRef, NodeName, TaskRef, UserName
from coordinator.store.connection import RETRYABLE, Session
from coordinator.store.errors import StoreUnavailable
from coordinator.store.json_text import clean
from sql import queries

_SQL = queries("checkpoints")
_LOWEST, _HIGHEST = "0" * 32, "f" * 32


class Kept(Struct, frozen=True, kw_only=True):
    """`refused`: a code of why it is not. `freed`: content that no checkpoint names any more. `gone`: paths
    of the attempt whose checkpoints are not kept any longer."""

    id: str = ""
    refused: str = ""
    complete: bool = False
    freed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


class Resumed(Struct, frozen=True, kw_only=True):
    """`id` empty: from nothing. `passed`: so many newer ones that no node has just now."""

    refused: str = ""
    passed: int = 0
    id: str = ""
    step: int = 0
    path: str = ""
    digest: str = ""
    sharded: bool = False
    world_size: int = 1


class CheckpointStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._writes, self._reads = Session(dsn), Session(dsn)

    async def keep(self, node: NodeName, saved: Saved) -> Kept:
        """What one rank saved. Twice is fine."""
        metrics = None if saved.metrics is None else msgspec.json.encode(saved.metrics).decode()
        kind = CheckpointKind.DISTRIBUTED if saved.shard else CheckpointKind.REGULAR
        try:
            row = await self._writes.fetchrow(
                _SQL["keep"],
                node,
                *_place(saved.attempt),
                saved.step,
                clean(saved.path),
                CheckpointKind.EMERGENCY if saved.emergency else kind,
                saved.shard,
                metrics,
                [file.name for file in saved.files],
                [file.sha256 for file in saved.files],
                [file.size for file in saved.files],
            )
        except RETRYABLE as fault:
            raise StoreUnavailable(str(fault)) from fault
        assert row is not None
        return Kept(
            id=row["id"] or "",
            refused=row["refused"] or "",
            complete=bool(row["complete"]),
            freed=tuple(row["freed"] or ()),
            gone=tuple(row["gone"] or ()),
        )

    async def resume(self, node: NodeName, attempt: AttemptRef, *, live: list[str]) -> Resumed:
        """From what an attempt goes on that its node is about to start; `live`: nodes that can be asked."""
        try:
            row = await self._writes.fetchrow(_SQL["resume"], node, *_place(attempt), live)
        except RETRYABLE as fault:
            raise StoreUnavailable(str(fault)) from fault
        assert row is not None
        if row["refused"] or row["id"] is None:
            return Resumed(refused=row["refused"] or "", passed=row["passed"])
        return Resumed(
            passed=row["passed"],
            id=str(row["id"]),
            step=row["step"],
            path=row["path"],
            digest=row["sha256"],
            sharded=row["sharded"],
            world_size=row["world_size"],
        )

    async def files(self, identity: str, *, rank: int | None = None) -> list[CheckpointFile]:
        """Of a checkpoint: of one rank, or all."""
        rows = await self._reads.fetch(_SQL["files"], UUID(identity), rank)
        return [
            CheckpointFile(
                rank=row["rank"],
                name=row["name"],
                sha256=row["sha256"],
                size=row["size_bytes"],
                nodes=list(row["nodes"]),
            )
            for row in rows
        ]

    async def page(
        self, *, viewer: str | None, job: int | None, index: int | None, limit: int, before: UUID | None
    ) -> list[Checkpoint]:
        """Newest first."""
        rows = await self._reads.fetch(_SQL["list"], viewer, job, index, limit, before)
        return [_checkpoint(row) for row in rows]

    async def find(
        self, *, viewer: str | None, prefix: str, task: TaskRef | None, step: int | None
    ) -> list[Checkpoint]:
        """What is meant by the start of an id (hexadecimal digits; "": by none), or by a task and a step; two
        at most, the newest first."""
        lowest = UUID(prefix + _LOWEST[len(prefix) :]) if prefix else None
        highest = UUID(prefix + _HIGHEST[len(prefix) :]) if prefix else None
        job, index = (None, None) if task is None else (task.job, task.index)
        rows = await self._reads.fetch(_SQL["find"], viewer, lowest, highest, job, index, step)
        return [_checkpoint(row) for row in rows]

    async def best(
        self, *, viewer: str | None, job: int, index: int | None, metric: str, most: bool
    ) -> Checkpoint | None:
        """The complete one with the least, or the largest, value of a metric."""
        rows = await self._reads.fetch(_SQL["best"], viewer, job, index, metric, -1.0 if most else 1.0)
        return _checkpoint(rows[0]) if rows else None

    async def metrics(self, *, viewer: str | None, job: int, index: int | None) -> list[str]:
        """The names of all metrics that checkpoints of a job or task have."""
        return [row["name"] for row in await self._reads.fetch(_SQL["metrics"], viewer, job, index)]

    async def choose(self, identity: str, *, by: UserName) -> None:
        """The next attempt of its task goes on from it."""
        await self._writes.fetch(_SQL["choose"], UUID(identity), by)

    async def remove(self, identity: str, *, by: UserName) -> list[str]:
        """It goes; answers the content that no checkpoint names any more."""
        row = await self._writes.fetchrow(_SQL["remove"], UUID(identity), by)
        return list(row["freed"] or ()) if row is not None else []

    async def close(self) -> None:
        """Twice is fine."""
        await self._writes.close()
        await self._reads.close()


def _place(attempt: AttemptRef) -> tuple[int, int, int, int]:
    return attempt.job, attempt.index % RANK_STRIDE, attempt.fence, attempt.rank


def saved_files(files: list[CheckpointFile]) -> tuple[SavedFile, ...]:
    """As they are sent to a node."""
    return tuple([SavedFile(file.name, file.sha256, file.size) for file in files])


def _checkpoint(row: Record) -> Checkpoint:
    copies = int(row["copies"])
    return Checkpoint(
        id=str(row["id"]),
        task=f"{row['number']}.{row['index']}",
        attempt=row["fence"],
        step=row["step"],
        kind=CheckpointKind(row["kind"]),
        path=row["path"],
        complete=row["complete"],
        size=row["size_bytes"],
        files=row["files"],
        digest=row["sha256"],
        ranks=row["ranks"],
        world_size=row["world_size"],
        replicas=row["replicas"],
        copies=copies,
        durable=bool(row["complete"]) and copies > row["replicas"],
        chosen=row["chosen"],
        at=(row["completed_at"] or row["created_at"]).timestamp(),
        metrics={} if row["metrics"] is None else msgspec.json.decode(row["metrics"]),
        nodes=list(row["nodes"]),
        best=row["best"],
    )
