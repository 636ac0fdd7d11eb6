"""Pools, volumes and snapshots in a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from msgspec.structs import replace

from bus.mounts import AccessMode
from bus.volumes import PoolCreate
from coordinator.store.errors import Disagreement
from coordinator.store.volumes import VolumeRow, VolumeStore
from tests.integration.store.conftest import Leader
from tests.store_rows import node

POOL = PoolCreate(name="fast", nodes=["vol-1"], path="/srv/fast", size="1GiB", encrypt=True)


def row(pool: str, name: str = "data", **changes: object) -> VolumeRow:
    made = VolumeRow(
        id="",
        pool=pool,
        name=name,
        size_mib=100,
        path="",
        mode=AccessMode.READ_WRITE_ONCE,
        storage_class="",
        owner="alice",
        shared=False,
        node="vol-1",
        ready=False,
        used=0,
        sha256="",
        fill_number=0,
        fill_volume="",
        fill_snapshot="",
        removing=False,
        created_at=0.0,
        deleted_at=None,
    )
    return replace(made, **changes)


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[VolumeStore]:
    made = VolumeStore(coordinator_dsn)
    yield made
    await made.close()


@pytest.mark.contract("S2.64", "S2.65", "S2.66", "S2.67", "S2.68", "S2.69", "S2.72")
async def test_a_volume_from_its_making_to_its_end(
    leader: Leader, store: VolumeStore, database: asyncpg.Connection
) -> None:
    await leader.commit(nodes=(node("vol-1"),))
    identity = await store.add_pool(POOL, size_mib=1024, by="olga")
    (pool,) = await store.pools()
    assert (pool.nodes, pool.encrypt, pool.compress, pool.tier) == (("vol-1",), True, False, "standard")
    await store.add_volume(row(identity))
    with pytest.raises(Disagreement):
        await store.add_volume(row(identity))
    (volume,) = await store.volumes()
    assert (volume.node, volume.mode, volume.ready) == ("vol-1", AccessMode.READ_WRITE_ONCE, False)
    total = "select total_mib, used_mib, available_mib from corral.storage_pools"
    assert tuple(await database.fetchrow(total)) == (1024, 100, 924)
    await store.found(volume.id, ready=True, used=7, sha256="ab" * 32)
    await store.add_snapshot(volume.id, "one", by="alice")
    (snapshot,) = await store.snapshots()
    await store.found_snapshot(snapshot.id, size=5)
    await store.restore(volume.id, snapshot.id, by="alice")
    await store.add_volume(row(identity, "copy", fill_volume=volume.id, fill_snapshot=snapshot.id))
    copy, volume = await store.volumes()
    assert (volume.fill_number, copy.fill_number, copy.fill_snapshot) == (1, 1, snapshot.id)
    await store.drop_snapshot(snapshot.id, by="alice")
    assert [(each.dropping, each.size) for each in await store.snapshots()] == [(True, 5)]
    await store.forget_snapshot(snapshot.id)
    await store.delete(volume.id, by="alice", now=False)
    assert await store.undelete(volume.id, by="alice")
    await store.delete(volume.id, by="alice", now=False)
    await store.expire(grace_s=3600.0)
    assert not any(each.removing for each in await store.volumes())
    await store.expire(grace_s=-1.0)
    assert not await store.undelete(volume.id, by="alice")
    await store.add_volume(row(identity, "data"))  # the name is free again
    for each in await store.volumes():
        await store.forget(each.id)
    assert tuple(await database.fetchrow(total)) == (1024, 0, 1024)
    await store.remove_pool(identity, by="olga")
    assert await store.pools() == []
    actions = await database.fetch("select action from corral.audit where object in ('fast', 'data')")
    assert {"pool.create", "volume.create", "volume.snapshot", "volume.restore", "pool.remove"} <= {
        each["action"] for each in actions
    }


@pytest.mark.contract("S2.65", "S2.66", "S2.70", "S2.71")
async def test_the_database_refuses_what_no_pool_is(
    leader: Leader, store: VolumeStore, database: asyncpg.Connection
) -> None:
    await leader.commit(nodes=(node("vol-2"),))
    pool = PoolCreate(name="odd", nodes=["vol-2"], path="/srv/odd", size=10)
    identity = await store.add_pool(pool, size_mib=10, by="olga")
    for change in (
        "used_mib = total_mib + 1",
        "replication_factor = 0",
        "replication_factor = 2",
        "pool_type = 'floppy'",
        "performance_tier = 'tape'",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await database.execute(f"update corral.storage_pools set {change} where name = 'odd'")
    for path in ("/../etc", "etc"):
        with pytest.raises(Disagreement):
            await store.add_volume(row(identity, path=path))
    with pytest.raises(asyncpg.CheckViolationError):
        insert = "insert into corral.storage_volumes (pool_id, name, size_mib, access_mode)"
        await database.execute(f"{insert} values ('{identity}', 'x', 1, 'Sometimes')")
    await store.remove_pool(identity, by="olga")
