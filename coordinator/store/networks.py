"""Declared networks in the database. Only the leader writes them."""

from __future__ import annotations

from msgspec import Struct

from coordinator.store.connection import Session
from sql import queries

_SQL = queries("networks")


class NetworkRow(Struct, frozen=True, kw_only=True):
    """Units as in `bus.networks.TopologyEntry`."""

    name: str
    network_type: str
    subnet: str
    bandwidth_mbps: int
    vlan_id: int | None = None
    latency_ms: float | None = None
    mtu: int = 1500
    share: int = 100
    created_by: str = ""
    created_at: float = 0.0


class NetworkStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def every(self) -> list[NetworkRow]:
        """By name."""
        return [NetworkRow(**dict(row)) for row in await self._session.fetch(_SQL["every"])]

    async def add(self, row: NetworkRow) -> None:
        """Raises Disagreement where the name or the subnet is taken."""
        async with self._session.use() as connection, connection.transaction():
            await connection.execute(
                _SQL["add"],
                row.name,
                row.network_type,
                row.subnet,
                row.vlan_id,
                row.bandwidth_mbps,
                row.latency_ms,
                row.mtu,
                row.created_by,
                row.share,
            )
            await connection.execute(_SQL["place"])

    async def remove(self, name: str, *, by: str) -> None:
        """Nodes that were in it are in a wider one, or in none."""
        async with self._session.use() as connection, connection.transaction():
            await connection.execute(_SQL["remove"], name, by)
            await connection.execute(_SQL["place"])
