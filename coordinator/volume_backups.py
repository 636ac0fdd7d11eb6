"""Has snapshots of volumes backed up: as sealed files on other nodes, which outlive volume and node.

A backup waits for its snapshot, then for its volume's node to have that as a sealed file, then it is given a
place: a node of its pool that has room and is not the volume's. All of it is written before a node is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bus.errors import ApiError
from bus.refusal import refusal
from bus.snapshot_policy import parse_policy
from bus.units import UnitError, format_size_mib
from bus.values import UserName
from bus.volume_wire import SnapshotFound
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.core.volume_copies import Disk, roomiest
from coordinator.core.volume_snapshots import Taken, surplus
from coordinator.store.backups import BackupRow, BackupStore, mib
from coordinator.store.volumes import PoolRow, VolumeRow
from coordinator.volumes import VolumeBook

BY_CLOCK = "clock"


class VolumeBackups:
    """`look` after each time that the nodes were asked. `disks`: the nodes of a pool as they are now."""

    def __init__(
        self,
        book: VolumeBook,
        store: BackupStore,
        clock: Clock,
        *,
        disks: Callable[[PoolRow], dict[str, Disk]],
        record: Callable[[Sequence[Record]], object],
    ) -> None:
        self._book = book
        self._store = store
        self._clock = clock
        self._disks = disks
        self._record = record

    async def look(self) -> bool:
        """Whether anything changed in the database. Raises StoreUnavailable."""
        changed = False
        for row in list(self._book.volumes.values()):
            if row.backup and row.deleted_at is None:
                changed = await self._by_clock(row) or changed
        for each in list(self._book.backups.values()):
            changed = await self._settle(each) or changed
        return changed

    async def _by_clock(self, row: VolumeRow) -> bool:
        asked = [
            each
            for each in self._book.of_volume(row.id)
            if each.automatic and each.ready and not each.backup_asked
        ]
        for each in asked:
            await self._store.add(each.id, row.backup_pool, by=BY_CLOCK, automatic=True)
        gone: list[str] = []
        try:
            gone = surplus(self._taken(row), keep=parse_policy(row.policy).keep)
        except UnitError:
            pass  # told of where snapshots are asked for
        if gone:
            await self._store.outlive(gone)
        return bool(asked or gone)

    def _taken(self, row: VolumeRow) -> list[Taken]:
        filling = {each.fill_snapshot for each in self._book.volumes.values() if not each.ready}
        return [
            Taken(id=each.id, asked_at_s=each.created_at, ready=each.ready, used=each.id in filling)
            for each in self._book.backups_of(row.id)
            if each.automatic
        ]

    async def _settle(self, row: BackupRow) -> bool:
        if row.dropping:
            return await self._drop(row)
        snapshot = self._book.snapshots.get(row.snapshot)
        volume = self._book.volumes.get(row.volume)
        if row.ready:
            if not self._book.is_damaged(row) or snapshot is None or snapshot.dropping or volume is None:
                return False
            await self._store.displace(row, left=True)  # its snapshot is there: it is made anew
            return True
        if snapshot is None or snapshot.dropping or volume is None or volume.removing:
            self._tell(row, "volume_backup_failed", "error", "is not made: its snapshot is gone")
            await self._store.drop(row.id, by=BY_CLOCK)
            return True
        pack = self._pack(volume, row.snapshot)
        if not row.node:
            return pack is not None and await self._place(row, volume, pack)
        pool = self._book.pools[row.pool]
        disk = self._disks(pool).get(row.node)
        if disk is None or disk.lost or (pack is not None and pack.sha256 != row.sha256):
            await self._store.displace(row, left=True)
            return True
        found = self._book.backups_found.get((row.id, row.node))
        if found is None or row.node in self._book.silent:
            return False
        self._book.backup_faults[row.id] = found.fault
        if not found.ready:
            return False
        await self._store.backed_up(row.id)
        self._tell(row, "volume_backed_up", "info", f"lies on {row.node}")
        return True

    def _pack(self, volume: VolumeRow, snapshot: str) -> SnapshotFound | None:
        """The sealed file of a snapshot, if the volume's node has it."""
        found = self._book.found_of(volume)
        if found is None or volume.node in self._book.silent:
            return None
        sealed = [each for each in (*found.packs, *found.snapshots) if each.id == snapshot and each.sha256]
        return sealed[0] if sealed else None

    async def _place(self, row: BackupRow, volume: VolumeRow, pack: SnapshotFound) -> bool:
        pool = self._book.pools[row.pool]
        disks = self._disks(pool)
        taken = set(self._book.nodes_of(volume)) | self._left_on(row)
        size_mib = mib(pack.size)
        node = roomiest(disks, size_mib, but=taken) or roomiest(
            disks, size_mib, but={volume.node} | self._left_on(row)
        )
        if node is None:
            why = f"no other node of pool {pool.name} that answers has {format_size_mib(size_mib)} left"
            if self._book.backup_faults.get(row.id) != why:
                self._book.backup_faults[row.id] = why
                self._tell(row, "volume_backup_failed", "warning", f"waits: {why}")
            return False
        self._book.backup_faults.pop(row.id, None)
        await self._store.place(row.id, node, sha256=pack.sha256, size=pack.size, used=volume.used)
        return True

    def _left_on(self, row: BackupRow) -> set[str]:
        """Nodes that are to let go of what they had of it first."""
        return {node for identity, node in self._book.leftovers if identity == row.id}

    async def _drop(self, row: BackupRow) -> bool:
        if row.node:
            disk = self._disks(self._book.pools[row.pool]).get(row.node)
            found = self._book.backups_found.get((row.id, row.node))
            is_gone = found is not None and found.removed and row.node not in self._book.silent
            is_lost = disk is None or disk.lost
            if not is_gone and not is_lost:
                return False
            await self._store.displace(row, left=not is_gone)
        await self._store.forget(row.id)
        self._book.backup_faults.pop(row.id, None)
        return True

    def _tell(self, row: BackupRow, kind: str, severity: str, what: str) -> None:
        event = EventRecord(
            at=self._clock.now_s(),
            event_type=kind,
            severity=severity,
            message=f"backup {row.name} of volume {row.volume_name} {what}",
            user=UserName(row.owner),
            details={"volume": row.volume_name, "backup": row.name},
        )
        self._record([event])


def check_backup_pool(pool: PoolRow, own: PoolRow, node: str) -> None:
    """Whether a volume on `node` in pool `own` can be backed up in `pool`. Raises ApiError."""
    if all(each == node for each in pool.nodes):
        message = f"a backup lies on another node than its volume, and pool {pool.name} is on {node} alone"
        hint = "another pool: --backup-pool NAME"
        raise ApiError(refusal("E_CONSTRAINT", message, field="/backup_pool", hint=hint))
    if own.encrypt and len(own.nodes) == 1:
        message = f"only {node} has the key of pool {own.name}: without it nobody could read a backup"
        hint = "an encrypted pool on two nodes or more"
        raise ApiError(refusal("E_CONSTRAINT", message, field="/backup", hint=hint))
    if pool.encrypt and pool.id != own.id:
        message = (
            f"pool {pool.name} is encrypted, and a backup is sealed with the key of the volume's own pool"
        )
        hint = "a backup pool without encryption: what is encrypted in its own pool is so there too"
        raise ApiError(refusal("E_CONSTRAINT", message, field="/backup_pool", hint=hint))
