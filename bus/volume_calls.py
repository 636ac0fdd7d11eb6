"""One method for each operation of pools and volumes (`bus.volumes`); part of `bus.calls.Calls`."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from bus.volumes import (
    Backup,
    BackupCreate,
    BackupEntries,
    BackupList,
    PoolCreate,
    PoolEntries,
    PoolEntry,
    PoolList,
    PoolQuery,
    SnapshotQuery,
    VolumeCreate,
    VolumeEntries,
    VolumeEntry,
    VolumeList,
    VolumeQuery,
    VolumeRehome,
    VolumeRemove,
    VolumeSet,
)

S = TypeVar("S", bound=Struct)

CREATE_TIMEOUT_S = 30.0
"""All nodes of a pool are asked before it is there."""


class VolumeCalls:
    """Pools of disks, and volumes in them."""

    async def create_pool(self, pool: PoolCreate) -> PoolEntry:
        return await self._call("pool.create", pool, PoolEntry, timeout_s=CREATE_TIMEOUT_S)

    async def pools(self) -> PoolEntries:
        return await self._call("pool.list", PoolList(), PoolEntries)

    async def pool(self, pool: str) -> PoolEntry:
        return await self._call("pool.show", PoolQuery(pool=pool), PoolEntry)

    async def remove_pool(self, pool: str) -> PoolEntry:
        """Only where no volume is in it."""
        return await self._call("pool.remove", PoolQuery(pool=pool), PoolEntry)

    async def create_volume(self, volume: VolumeCreate) -> VolumeEntry:
        return await self._call("volume.create", volume, VolumeEntry)

    async def volumes(self, query: VolumeList | None = None) -> VolumeEntries:
        return await self._call("volume.list", query or VolumeList(), VolumeEntries)

    async def volume(self, volume: str) -> VolumeEntry:
        return await self._call("volume.show", VolumeQuery(volume=volume), VolumeEntry)

    async def remove_volume(self, volume: str, *, now: bool = False, lost: bool = False) -> VolumeEntry:
        """It goes after some days; `now`: at once. `lost`: without what lies on lost nodes."""
        query = VolumeRemove(volume=volume, now=now, lost=lost)
        return await self._call("volume.remove", query, VolumeEntry)

    async def undelete_volume(self, volume: str) -> VolumeEntry:
        """What was deleted and has not gone yet is there again."""
        return await self._call("volume.undelete", VolumeQuery(volume=volume), VolumeEntry)

    async def set_volume(
        self,
        volume: str,
        *,
        snapshots: str | None = None,
        backup: bool | None = None,
        backup_pool: str | None = None,
        backup_copies: int | None = None,
    ) -> VolumeEntry:
        """Snapshots by the clock, such as "@daily keep 7" ("": none), and whether they are backed up."""
        query = VolumeSet(
            volume=volume,
            snapshots=snapshots,
            backup=backup,
            backup_pool=backup_pool,
            backup_copies=backup_copies,
        )
        return await self._call("volume.set", query, VolumeEntry)

    async def snapshot_volume(self, volume: str, snapshot: str) -> VolumeEntry:
        """It is there once the entry says so; until then ask for the volume."""
        query = SnapshotQuery(volume=volume, snapshot=snapshot)
        return await self._call("volume.snapshot", query, VolumeEntry)

    async def restore_volume(self, volume: str, snapshot: str) -> VolumeEntry:
        """As in a snapshot, or a backup. What is in the volume now is lost."""
        query = SnapshotQuery(volume=volume, snapshot=snapshot)
        return await self._call("volume.restore", query, VolumeEntry)

    async def rehome_volume(self, volume: str, backup: str, *, node: str = "", pool: str = "") -> VolumeEntry:
        """A volume whose node is lost begins anew on another, with what a backup has."""
        query = VolumeRehome(volume=volume, backup=backup, node=node, pool=pool)
        return await self._call("volume.rehome", query, VolumeEntry)

    async def backup_volume(
        self, volume: str, snapshot: str = "", *, pool: str = "", copies: int = 0
    ) -> VolumeEntry:
        """It is there once the entry says so; a snapshot that is not there is taken."""
        query = BackupCreate(volume=volume, snapshot=snapshot, pool=pool, copies=copies)
        return await self._call("volume.backup", query, VolumeEntry)

    async def backups(self, volume: str = "") -> BackupEntries:
        """All, or those of a volume, also where it is gone."""
        return await self._call("volume.backups", BackupList(volume=volume), BackupEntries)

    async def remove_backup(self, volume: str, backup: str) -> Backup:
        query = SnapshotQuery(volume=volume, snapshot=backup)
        return await self._call("volume.unbackup", query, Backup)

    async def promote_volume(self, volume: str) -> VolumeEntry:
        """The best copy of it takes over from a lost node, although that has what no copy has."""
        return await self._call("volume.promote", VolumeQuery(volume=volume), VolumeEntry)

    async def remove_snapshot(self, volume: str, snapshot: str) -> VolumeEntry:
        query = SnapshotQuery(volume=volume, snapshot=snapshot)
        return await self._call("volume.unsnapshot", query, VolumeEntry)

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        raise NotImplementedError
