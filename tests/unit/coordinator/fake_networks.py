"""Declared networks in memory, as `coordinator.store.networks.NetworkStore` keeps them."""

from __future__ import annotations

from msgspec.structs import replace

from coordinator.store.networks import NetworkRow, NetworkStore


class FakeNetworks(NetworkStore):
    def __init__(self) -> None:
        self.rows: dict[str, NetworkRow] = {}

    async def close(self) -> None:
        """Nothing is open."""

    async def every(self) -> list[NetworkRow]:
        return [self.rows[name] for name in sorted(self.rows)]

    async def add(self, row: NetworkRow) -> None:
        assert row.name not in self.rows
        self.rows[row.name] = replace(row, created_at=1.0)

    async def remove(self, name: str, *, by: str) -> None:
        del self.rows[name]
