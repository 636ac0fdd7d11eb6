"""Artifacts and where their content lies, in the database."""

from __future__ import annotations

from uuid import UUID

from asyncpg.protocol import Record
from msgspec import Struct

from bus.artifact_names import clash_key
from bus.artifacts import Artifact, KeptFile, LeftFile
from bus.values import NodeName, TaskRef, UserName
from coordinator.store.connection import RETRYABLE, Session
from coordinator.store.errors import StoreUnavailable
from coordinator.store.json_text import clean
from sql import queries

_SQL = queries("artifacts")
_LOWEST, _HIGHEST = "0" * 32, "f" * 32


class Unnamed(Struct, frozen=True):
    """Content on a node that nothing names any more."""

    sha256: str
    node: NodeName
    size: int


class Integrity(Struct, frozen=True):
    """What has lost what it belongs to. `named`: newest orphans. `bytes`: of content that nothing names."""

    orphans: int
    named: list[str]
    blobs: int
    bytes: int
    tools_of_any_node: int
    tools: int


class ArtifactStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def keep(self, node: NodeName, file: LeftFile, *, owner: UserName | None) -> KeptFile:
        """A file of an attempt, or that `owner` brought, becomes an artifact. Twice is fine."""
        attempt = file.attempt
        try:
            row = await self._session.fetchrow(
                _SQL["keep"],
                node,
                None if attempt is None else attempt.job,
                None if attempt is None else attempt.index,
                None if attempt is None else attempt.fence,
                owner,
                file.name,
                clean(clash_key(file.name)),
                file.media_type,
                file.size,
                file.sha256,
            )
        except RETRYABLE as fault:
            raise StoreUnavailable(str(fault)) from fault
        assert row is not None
        return KeptFile(row["id"] or "", row["refused"] or "")

    async def page(
        self, *, viewer: str | None, job: int | None, index: int | None, limit: int, before: UUID | None
    ) -> list[Artifact]:
        """Newest first."""
        rows = await self._session.fetch(_SQL["list"], viewer, job, index, limit, before)
        return [_artifact(row) for row in rows]

    async def find(
        self, *, viewer: str | None, prefix: str, name: str, task: TaskRef | None, sha256: str = ""
    ) -> list[Artifact]:
        """What is meant by the start of an id (hexadecimal digits), a hash ("": by none), or a name.

        Two at most.
        """
        lowest = UUID(prefix + _LOWEST[len(prefix) :]) if prefix else None
        highest = UUID(prefix + _HIGHEST[len(prefix) :]) if prefix else None
        job, index = (None, None) if task is None else (task.job, task.index)
        rows = await self._session.fetch(_SQL["find"], viewer, lowest, highest, name, job, index, sha256)
        return [_artifact(row) for row in rows]

    async def remove(self, identity: str, *, by: UserName) -> bool:
        """False: it was gone already."""
        return await self._session.fetchrow(_SQL["remove"], UUID(identity), by) is not None

    async def orphans(self, *, remove: bool) -> int:
        """How many there are of jobs that are gone; they go where that is asked for."""
        row = await self._session.fetchrow(_SQL["remove_orphans" if remove else "orphans"])
        assert row is not None
        return int(row["count"])

    async def integrity(self) -> Integrity:
        """For `corral doctor`."""
        row = await self._session.fetchrow(_SQL["integrity"])
        assert row is not None
        return Integrity(
            orphans=row["orphans"],
            named=list(row["named"]),
            blobs=row["blobs"],
            bytes=row["bytes"],
            tools_of_any_node=row["tools_of_any_node"],
            tools=row["tools"],
        )

    async def unnamed(self, *, with_orphans: bool) -> list[Unnamed]:
        """Content that nothing names; `with_orphans`: as if those were gone already."""
        rows = await self._session.fetch(_SQL["unnamed"], with_orphans)
        return [Unnamed(row["sha256"], NodeName(row["node"]), row["size_bytes"]) for row in rows]

    async def mark(self, node: NodeName, hashes: list[str]) -> list[str]:
        """Those on which nothing counts from now on: only they may be let go."""
        return [row["sha256"] for row in await self._session.fetch(_SQL["mark"], node, hashes)]

    async def dropped(self, node: NodeName, hashes: list[str]) -> None:
        """The node has let them go."""
        await self._session.fetch(_SQL["dropped"], node, hashes)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()


def _artifact(row: Record) -> Artifact:
    return Artifact(
        id=row["id"],
        name=row["name"],
        media_type=row["mime_type"],
        size=row["size_bytes"],
        sha256=row["sha256"],
        pointer=row["storage_pointer"],
        user=row["username"],
        at=row["created_at"].timestamp(),
        task="" if row["number"] is None else f"{row['number']}.{row['index']}",
        attempt=row["fence"],
        nodes=list(row["nodes"]),
    )
