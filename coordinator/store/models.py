"""The registry of models in the database. Only the leader writes it."""

from __future__ import annotations

from uuid import UUID

import msgspec
from asyncpg.protocol import Record
from msgspec import Struct

from bus.models import Model, ModelRegister
from coordinator.store.connection import Session
from coordinator.store.json_text import storable
from sql import queries

_SQL = queries("models")


class ModelRow(Struct, frozen=True):
    """A version, and whether it has been removed. `id` is the cursor of lists."""

    model: Model
    removed: bool
    id: str = ""


class ModelStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def register(self, asked: ModelRegister, artifact: str, *, by: str) -> ModelRow | None:
        """The version as it is now: a new one, or what had that name before. None: the artifact is gone."""
        async with self._session.use() as connection, connection.transaction():
            content = await connection.fetchrow(_SQL["content"], UUID(artifact))
            if content is None:
                return None
            await connection.execute(
                _SQL["register"],
                asked.name,
                asked.version,
                UUID(artifact),
                content["sha256"],
                storable(msgspec.json.encode(asked.config)),
                by,
                content["file_name"],
                content["mime_type"],
                content["size_bytes"],
                sorted(set(asked.tags)),
                storable(msgspec.json.encode(asked.metrics)),
            )
            row = await connection.fetchrow(_SQL["find"], asked.name, asked.version, True)
        assert row is not None
        return _row(row)

    async def find(self, name: str, version: str, *, removed: bool = False) -> ModelRow | None:
        """`version`, or with "" the one registered last."""
        row = await self._session.fetchrow(_SQL["find"], name, version, removed)
        return None if row is None else _row(row)

    async def page(self, *, name: str, tag: str, limit: int, before: UUID | None) -> list[ModelRow]:
        """The newest first."""
        rows = await self._session.fetch(_SQL["list"], name, tag, limit, before)
        return [_row(row, row["id"]) for row in rows]

    async def users_of(self, name: str, version: str) -> list[int]:
        """The first jobs that are not over and name it."""
        rows = await self._session.fetch(_SQL["users_of"], name, version)
        return [row["number"] for row in rows]

    async def remove(self, name: str, version: str, *, by: str) -> bool:
        """False: it was gone already."""
        return await self._session.fetchrow(_SQL["remove"], name, version, by) is not None

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()


def _row(row: Record, identity: str = "") -> ModelRow:
    model = Model(
        name=row["name"],
        version=row["version"],
        file=row["file_name"],
        media_type=row["mime_type"],
        size=row["size_bytes"],
        sha256=row["sha256"],
        url=row["url"],
        user=row["username"],
        at=row["created_at"].timestamp(),
        tags=list(row["tags"]),
        metrics=msgspec.json.decode(row["metrics"]),
        config=msgspec.json.decode(row["config"]),
        nodes=list(row["nodes"]),
    )
    return ModelRow(model, row["removed"], identity)
