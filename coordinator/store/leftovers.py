"""What nodes still have that nobody waits for any more, in the database. Only the leader writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from coordinator.store.connection import Session
from coordinator.store.json_text import clean
from sql import queries

_SQL = queries("leftovers")


LeftoverKind = Literal["volume", "pool", "backup"]


class Leftover(Struct, frozen=True, kw_only=True):
    """A volume or backup `id` on a node, or the node's part of a pool, which is at `path`."""

    id: str
    node: str
    pool: str
    kind: LeftoverKind
    name: str
    path: str


class LeftoverStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def all(self) -> list[Leftover]:
        """The oldest first."""
        return [msgspec.convert(dict(row), Leftover) for row in await self._session.fetch(_SQL["leftovers"])]

    async def give_up(self, volume: str, nodes: Sequence[str], *, by: str) -> None:
        """What of a volume lies on these nodes. Twice is fine."""
        await self._session.fetchrow(_SQL["give_up"], volume, list(nodes), by)

    async def leave_pool(self, pool: str, name: str, path: str, *, nodes: Sequence[str], by: str) -> None:
        """A pool that is removed, on nodes that could not be told so."""
        await self._session.execute(_SQL["leave_pool"], pool, name, clean(path), list(nodes), by)

    async def gone(self, leftover: Leftover) -> None:
        await self._session.execute(_SQL["gone"], leftover.id, leftover.node)
