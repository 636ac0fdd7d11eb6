"""Lists of items that jobs point to, in the database: one row each, whatever their length."""

from __future__ import annotations

from asyncpg.protocol import Record

from bus.item_lists import ItemList
from coordinator.store.connection import RETRYABLE, Session
from coordinator.store.errors import StoreUnavailable
from sql import queries

_SQL = queries("item_lists")


class ItemListStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def find(self, sha256: str) -> ItemList | None:
        """By the hash of its text. It stays a while, for who submits it again."""
        row = await self._session.fetchrow(_SQL["find"], sha256)
        return None if row is None else item_list(row)

    async def keep(self, sha256: str, items: ItemList) -> None:
        """Twice is fine."""
        try:
            await self._session.fetch(_SQL["keep"], sha256, items.count, items.blocks)
        except RETRYABLE as fault:
            raise StoreUnavailable(str(fault)) from fault

    async def drop(self, *, unused_s: float) -> int:
        """Let go of what no job names and nobody submitted for so long; says how many."""
        return len(await self._session.fetch(_SQL["drop"], unused_s))

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()


def item_list(row: Record) -> ItemList:
    return ItemList(row["items"], tuple(row["blocks"]))
