"""Pools, volumes and snapshots in a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from bus.mounts import AccessMode, Mounted
from bus.spec import JobSpec
from bus.volume_wire import VolumeFound
from bus.volumes import PoolCreate
from coordinator.core.replication import ReplicaState
from coordinator.core.volume_copies import Place
from coordinator.core.volume_snapshots import Due
from coordinator.store.backups import BackupStore
from coordinator.store.errors import Disagreement
from coordinator.store.leftovers import LeftoverStore
from coordinator.store.volumes import VolumeRow, VolumeStore
from tests.integration.store.conftest import Leader
from tests.integration.store.test_results import running
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
async def backups(coordinator_dsn: str) -> AsyncIterator[BackupStore]:
    made = BackupStore(coordinator_dsn)
    yield made
    await made.close()


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
    await store.found(replace(volume, ready=True, used=7, sha256="ab" * 32))
    await store.add_snapshot(volume.id, "one", by="alice")
    (snapshot,) = await store.snapshots()
    await store.found_snapshot(snapshot.id, size=5, sha256="cd" * 32)
    assert (await store.snapshots())[0].taken_at is not None
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


@pytest.mark.contract("S2.72")
async def test_the_clock_asks_for_each_snapshot_once(leader: Leader, store: VolumeStore) -> None:
    await leader.commit(nodes=(node("clock-1"),))
    pool = PoolCreate(name="timed", nodes=["clock-1"], path="/srv/timed", size=1024)
    identity = await store.add_pool(pool, size_mib=1024, by="olga")
    await store.add_volume(
        row(identity, "timed", node="clock-1", policy="@daily keep 2", next_snapshot_at=86_400.0)
    )
    (volume,) = await store.volumes()
    assert (volume.policy, volume.next_snapshot_at) == ("@daily keep 2", 86_400.0)
    asked = Due("auto-1", 86_400.0, 2 * 86_400.0)
    for _ in range(2):
        await store.snapshot_by_clock(volume, asked, by="clock")
    (snapshot,) = await store.snapshots()
    assert (snapshot.name, snapshot.automatic, snapshot.taken_at) == ("auto-1", True, None)
    (moved,) = await store.volumes()
    assert moved.next_snapshot_at == 2 * 86_400.0
    await store.snapshot_by_clock(moved, Due("", 0.0, 3 * 86_400.0), by="clock")
    assert len(await store.snapshots()) == 1, "it was left out"
    await store.outlive([snapshot.id])
    assert [each.dropping for each in await store.snapshots()] == [True]
    await store.set_policy(replace(volume, policy="", next_snapshot_at=None), by="alice")
    (stopped,) = await store.volumes()
    assert (stopped.policy, stopped.next_snapshot_at) == ("", None)
    with pytest.raises(Disagreement):
        await store.set_policy(replace(volume, next_snapshot_at=None), by="alice")
    await store.forget(volume.id)
    await store.remove_pool(identity, by="olga")


async def test_what_is_left_on_a_lost_node_outlives_its_volume_and_its_pool(
    leader: Leader, store: VolumeStore, coordinator_dsn: str
) -> None:
    await leader.commit(nodes=(node("left-1"), node("left-2")))
    pool = PoolCreate(name="left", nodes=["left-1", "left-2"], path="/srv/left", size=1024)
    identity = await store.add_pool(pool, size_mib=1024, by="olga")
    await store.add_volume(row(identity, "left", node="left-1"))
    (volume,) = await store.volumes()
    leftovers = LeftoverStore(coordinator_dsn)
    try:
        for _ in range(2):
            await leftovers.give_up(volume.id, ["left-1"], by="olga")
        await store.forget(volume.id)
        await leftovers.leave_pool(identity, "left", "/srv/left", nodes=["left-2"], by="olga")
        await store.remove_pool(identity, by="olga")
        kept = await leftovers.all()
        assert [(each.id, each.node, each.pool, each.kind) for each in kept] == [
            (volume.id, "left-1", identity, "volume"),
            (identity, "left-2", identity, "pool"),
        ]
        for each in kept:
            await leftovers.gone(each)
        assert await leftovers.all() == []
    finally:
        await leftovers.close()


COPIED = PoolCreate(
    name="safe", nodes=["c-1", "c-2"], path="/srv/safe", size=1, type="replicated", replicas=2
)


@pytest.mark.contract("S2.66", "S0.47")
async def test_a_copy_takes_over_once_and_under_whoever_leads(
    leader: Leader, store: VolumeStore, database: asyncpg.Connection
) -> None:
    await leader.commit(nodes=(node("c-1"), node("c-2")))
    identity = await store.add_pool(COPIED, size_mib=1024, by="olga")
    await store.add_volume(row(identity, "copied", node="c-1"))
    (volume,) = await store.volumes()
    known = replace(volume, ready=True, sha256="ab" * 32, generation=3, sealed_bytes=9, unsealed=("7.0.1",))
    await store.found(known)
    used = "select used_mib from corral.storage_pools where name = 'safe'"
    copy = Place(node="c-2", state=ReplicaState.ACTIVE, sha256="ab" * 32, generation=3)
    for _ in range(2):
        await store.put_copy(volume.id, copy)
    assert await database.fetchval(used) == 200
    assert [(each.volume, each.place) for each in await store.copies()] == [(volume.id, copy)]
    await store.put_copy(volume.id, replace(copy, node="c-1"))
    assert len(await store.copies()) == 1, "a copy on its own node is none"
    epoch = int(await database.fetchval("select epoch from corral.leadership"))
    found = VolumeFound(id=volume.id, sha256="ab" * 32, generation=3, size=9, sealed_fill=2, used=5)
    assert not await store.promote(known, "c-2", found, epoch=epoch + 1, by="x")
    assert await store.promote(known, "c-2", found, epoch=epoch, by="x")
    assert not await store.promote(known, "c-2", found, epoch=epoch, by="x"), "it lies there already"
    await store.found(replace(known, sha256="cd" * 32))
    (moved,) = await store.volumes()
    assert (moved.node, moved.sha256, moved.unsealed) == ("c-2", "ab" * 32, ()), "its old node's word is none"
    assert (moved.fill_number, moved.used, moved.ready) == (2, 5, True)
    assert [(each.place.node, each.place.state) for each in await store.copies()] == [
        ("c-1", ReplicaState.FAILED)
    ]
    assert await database.fetchval(used) == 200
    await store.forget_copy(volume.id, "c-1")
    assert await database.fetchval(used) == 100
    await store.put_copy(volume.id, replace(copy, node="c-1"))
    await store.forget(volume.id)
    assert await database.fetchval(used) == 0
    with pytest.raises(asyncpg.CheckViolationError):
        await store.add_volume(row(identity, "again", node="c-1"))
        again = "select v.id, v.node_id from corral.storage_volumes v where v.name = 'again'"
        await database.execute(
            "insert into corral.storage_replicas (volume_id, node_id, state)"
            f" select id, node_id, 'active' from ({again}) a"
        )
    for each in await store.volumes():
        await store.forget(each.id)
    await store.remove_pool(identity, by="olga")


async def test_who_wrote_since_a_volume_was_sealed(
    leader: Leader, store: VolumeStore, database: asyncpg.Connection
) -> None:
    task = await running(leader, node("w-1"))
    number, index = task.task.job, task.task.index
    pool = PoolCreate(name="wrote", nodes=["w-1"], path="/srv/wrote", size=1024)
    identity = await store.add_pool(pool, size_mib=1024, by="olga")
    await store.add_volume(row(identity, "written", node="w-1"))
    (volume,) = await store.volumes()
    spec = msgspec.json.encode(JobSpec(command=["true"], mounted={"written": Mounted(id=volume.id)})).decode()
    await database.execute("update corral.jobs set spec = $1::jsonb where number = $2", spec, number)
    assert await store.wrote(volume) == [], "it runs yet"
    await database.execute(
        "update corral.attempts a set state = 'completed', holding = false, ended_at = to_timestamp(1000)"
        " from corral.tasks t where t.id = a.task_id and a.node_name = 'w-1'"
    )
    wrote = await store.wrote(replace(volume, sealed_at=999.0))
    assert [(each.job, each.indices) for each in wrote] == [(number, (index,))]
    assert await store.wrote(replace(volume, sealed_at=1001.0)) == []
    fence = await database.fetchval("select fence from corral.attempts where node_name = 'w-1'")
    unsealed = (f"{number}.{index}.{fence}",)
    assert len(await store.wrote(replace(volume, sealed_at=1001.0, unsealed=unsealed))) == 1
    assert await store.wrote(replace(volume, id="0" * 8, sealed_at=999.0)) == []
    await store.forget(volume.id)
    await store.remove_pool(identity, by="olga")


async def test_backups_have_copies_that_go_and_come(
    store: VolumeStore, backups: BackupStore, leader: Leader
) -> None:
    await leader.commit(nodes=tuple(node(name) for name in ("back-1", "back-2", "back-3")))
    pool = await store.add_pool(
        replace(POOL, name="backed", nodes=["back-1", "back-2", "back-3"]), size_mib=1024, by="olga"
    )
    await store.add_volume(
        row(
            pool,
            name="kept",
            node="back-1",
            backup=True,
            backup_pool=pool,
            backup_copies=2,
            policy="@daily keep 2",
            next_snapshot_at=9e9,
        )
    )
    (volume,) = [each for each in await store.volumes() if each.name == "kept"]
    assert (volume.backup_copies, volume.backup) == (2, True)
    await store.add_snapshot(volume.id, "one", by="alice")
    (snapshot,) = [each for each in await store.snapshots() if each.volume == volume.id]
    for _ in range(2):  # twice is once
        await backups.add(snapshot.id, pool, by="clock", automatic=True, copies=2)
    (first,) = await backups.all()
    await store.found_snapshot(snapshot.id, size=1, sha256="")
    await backups.place(first.id, "back-2", sha256="ab" * 32, size=3_000_000, used=7)
    await backups.backed_up(first.id)
    await backups.copy(first.id)
    placed, second = await backups.all()
    assert (second.name, second.node, second.ready, second.copies) == ("one", "", False, 2)
    assert second.taken_at == placed.taken_at is not None and second.created_at == placed.created_at
    await backups.drop_copies([placed.id, second.id])
    assert not any(each.dropping for each in await backups.all()), "one has to stay"
    await store.drop_snapshot(snapshot.id, by="alice")
    await store.forget_snapshot(snapshot.id)
    await backups.place(second.id, "back-3", sha256="ab" * 32, size=3_000_000, used=7)
    await backups.backed_up(second.id)
    there = {each.node: each for each in await backups.all()}
    assert there["back-3"].taken_at == there["back-2"].taken_at, "although its snapshot is gone"
    await store.set_policy(replace(volume, backup_copies=1), by="alice")
    assert {each.copies for each in await backups.all()} == {1}
    await backups.drop_copies([there["back-2"].id])
    assert [each.node for each in await backups.all() if not each.dropping] == ["back-3"]
    await backups.copy(there["back-3"].id)
    await backups.drop(there["back-3"].id, by="alice")
    assert all(each.dropping for each in await backups.all()), "with all of its copies"
