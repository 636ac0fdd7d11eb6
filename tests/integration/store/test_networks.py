"""Declared networks in a real database: what is added is there again, with its share for tasks."""

from __future__ import annotations

import asyncpg
import pytest
from msgspec.structs import replace

from coordinator.store.networks import NetworkRow, NetworkStore


@pytest.mark.contract("S2.73")
async def test_what_is_declared_is_kept(coordinator_dsn: str, database: asyncpg.Connection) -> None:
    store = NetworkStore(coordinator_dsn)
    whole = NetworkRow(
        name="lab", network_type="roce", subnet="10.1.0.0/16", bandwidth_mbps=10_000, vlan_id=7,
        latency_ms=0.5, mtu=9000, created_by="olga",
    )  # fmt: skip
    shared = replace(whole, name="rack", subnet="10.1.7.0/24", share=40)
    try:
        for row in (whole, shared):
            await store.add(row)
        assert [replace(row, created_at=0.0) for row in await store.every()] == [whole, shared]
        policies = "select name, qos_policies::text from corral.network_topologies order by name"
        assert [tuple(row) for row in await database.fetch(policies)] == [
            ("lab", "{}"),
            ("rack", '{"task_share_percent": 40}'),
        ]
        for row in (whole, shared):
            await store.remove(row.name, by="olga")
        assert await store.every() == []
    finally:
        await store.close()
