"""Pools and volumes as people are told of them."""

from __future__ import annotations

from bus.volumes import Backup, PoolEntry, PoolNode, Snapshot, VolumeCopy, VolumeEntry
from coordinator.store.backups import BackupRow
from coordinator.store.volumes import PoolRow, VolumeRow
from coordinator.volumes import VolumeBook


def pool_entry(book: VolumeBook, pool: PoolRow) -> PoolEntry:
    """A pool, with what each of its nodes said last."""
    nodes = []
    for node in pool.nodes:
        found = book.pools_found.get((pool.id, node))
        away = node in book.silent
        fault = "does not answer" if away else found.fault if found else "not asked yet"
        free_mib = found.free_mib if found else 0
        given = book.given_mib(pool, node)
        nodes.append(PoolNode(node=node, given_mib=given, free_mib=free_mib, fault=fault))
    return PoolEntry(
        name=pool.name,
        type=pool.type,
        path=pool.path,
        total_mib=pool.node_mib * len(pool.nodes),
        used_mib=sum(each.given_mib for each in nodes),
        tier=pool.tier,
        compress=pool.compress,
        encrypt=pool.encrypt,
        replicas=pool.replicas,
        nodes=nodes,
        volumes=sum(row.pool == pool.id and row.deleted_at is None for row in book.volumes.values()),
        created_at=pool.created_at,
        created_by=pool.created_by,
    )


def volume_entry(book: VolumeBook, row: VolumeRow) -> VolumeEntry:
    """A volume, with what its node said last."""
    found = book.found_of(row)
    pool = book.pools[row.pool]
    return VolumeEntry(
        name=row.name,
        id=row.id,
        pool=pool.name,
        size_mib=row.size_mib,
        mode=row.mode,
        state=_state(book, row),
        node=row.node,
        owner=row.owner,
        path=row.path,
        shared=row.shared,
        storage_class=row.storage_class,
        used=row.used,
        sealed=pool.encrypt,
        fault=book.stuck.get(row.id) or (found.fault if found is not None else ""),
        tasks=[str(each.task) for each in found.uses] if found is not None else [],
        writers=[str(each.task) for each in found.writers] if found is not None else [],
        snapshots=[
            Snapshot(
                name=each.name,
                ready=each.ready,
                size=each.size,
                created_at=each.created_at,
                created_by=each.created_by,
                automatic=each.automatic,
                taken_at=each.taken_at,
            )
            for each in book.of_volume(row.id)
        ],
        copies=[
            VolumeCopy(node=each.node, state=each.state, generation=each.generation, fault=each.fault)
            for each in book.copies.get(row.id, {}).values()
            if not each.removing
        ],
        generation=row.generation,
        created_at=row.created_at,
        deleted_at=row.deleted_at,
        policy=row.policy,
        next_snapshot_at=row.next_snapshot_at,
        backup_pool=book.pools[row.backup_pool].name if row.backup else "",
        backup_copies=row.backup_copies,
        backups=[backup_entry(book, each) for each in book.backups_of(row.id)],
    )


def backup_entry(book: VolumeBook, row: BackupRow) -> Backup:
    """A backup, with what its node said last."""
    if not row.ready:
        state = "copying" if row.node else "waiting"
    else:
        state = "away" if row.node in book.silent else "damaged" if book.is_damaged(row) else "ready"
    return Backup(
        volume=row.volume_name,
        name=row.name,
        state=state,
        pool=book.pools[row.pool].name,
        node=row.node,
        size=row.size,
        used=row.used,
        taken_at=row.taken_at,
        automatic=row.automatic,
        owner=row.owner,
        fault=book.backup_faults.get(row.id, ""),
        copies=row.copies,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _state(book: VolumeBook, row: VolumeRow) -> str:
    if row.deleted_at is not None:
        return "removing" if row.removing else "deleted"
    if row.node in book.silent:
        return "away"
    found = book.found_of(row)
    if found is not None and found.damaged:
        return "damaged"
    return "ready" if row.ready else "making"
