"""Which published submissions are jobs already, asked for many at once."""

from __future__ import annotations

from collections.abc import Sequence

from bus.values import UserName
from coordinator.store.connection import WRITER_SESSION, Session
from coordinator.store.reads import DuplicateOf
from sql import queries

Key = tuple[UserName, str]
"""An owner, and a key that is unique among theirs."""

_SQL = queries("messages")


class PublishedKeys:
    """Looks keys up; raises StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, settings=WRITER_SESSION)

    async def by_message(self, keys: Sequence[Key]) -> dict[Key, DuplicateOf]:
        """The jobs that came by messages with these keys."""
        return await self._find("by_message_keys", keys)

    async def by_dedupe_key(self, keys: Sequence[Key]) -> dict[Key, DuplicateOf]:
        """The jobs whose specs had these dedupe keys."""
        return await self._find("by_dedupe_keys", keys)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def _find(self, query: str, keys: Sequence[Key]) -> dict[Key, DuplicateOf]:
        if not keys:
            return {}
        owners, names = zip(*keys, strict=True)
        rows = await self._session.fetch(_SQL[query], owners, names)
        return {
            (row["owner"], row["key"]): DuplicateOf(row["number"], row["id"], row["digest"], row["total"])
            for row in rows
        }
