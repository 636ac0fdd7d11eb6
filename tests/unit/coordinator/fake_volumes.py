"""A stand-in for the store of pools and volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from msgspec.structs import replace

from bus.volume_wire import VolumeFound
from bus.volumes import PoolCreate
from coordinator.core.replication import ReplicaState
from coordinator.core.volume_copies import Place
from coordinator.core.volume_snapshots import Due
from coordinator.store.backups import BackupRow, BackupStore
from coordinator.store.errors import Disagreement
from coordinator.store.leftovers import Leftover, LeftoverStore
from coordinator.store.volumes import CopyRow, PoolRow, SnapshotRow, VolumeRow, VolumeStore, Wrote


class FakeVolumes(VolumeStore):
    """Keeps rows in memory; `done` is the audit."""

    def __init__(self) -> None:
        self.kept_pools: dict[str, PoolRow] = {}
        self.kept: dict[str, VolumeRow] = {}
        self.kept_snapshots: dict[str, SnapshotRow] = {}
        self.kept_copies: dict[tuple[str, str], Place] = {}
        self.written: list[Wrote] = []
        self.others_lead = False
        self.on_policy: Callable[[VolumeRow], object] = lambda _: None
        self.done: list[tuple[str, str]] = []
        self._last = 0

    def new_id(self) -> str:
        self._last += 1
        return str(UUID(int=self._last))

    async def close(self) -> None:
        pass

    async def pools(self) -> list[PoolRow]:
        return list(self.kept_pools.values())

    async def volumes(self) -> list[VolumeRow]:
        return list(self.kept.values())

    async def snapshots(self) -> list[SnapshotRow]:
        return list(self.kept_snapshots.values())

    async def add_pool(self, pool: PoolCreate, *, size_mib: int, by: str) -> str:
        made = PoolRow(
            id=self.new_id(),
            name=pool.name,
            type=pool.type,
            path=pool.path,
            node_mib=size_mib,
            tier=pool.tier,
            compress=pool.compress,
            encrypt=pool.encrypt,
            replicas=pool.replicas,
            nodes=tuple(sorted(pool.nodes)),
            created_by=by,
            created_at=0.0,
        )
        self.kept_pools[made.id] = made
        self.done.append((by, "pool.create"))
        return made.id

    async def join_pool(self, pool: str, node: str, *, by: str) -> None:
        row = self.kept_pools[pool]
        self.kept_pools[pool] = replace(row, nodes=(*row.nodes, node))

    async def remove_pool(self, pool: str, *, by: str) -> None:
        del self.kept_pools[pool]
        self.done.append((by, "pool.remove"))

    async def add_volume(self, volume: VolumeRow) -> None:
        if any(each.name == volume.name and each.deleted_at is None for each in self.kept.values()):
            raise Disagreement("storage_volumes_current")
        identity = self.new_id()
        filled = int(bool(volume.fill_volume))
        self.kept[identity] = replace(volume, id=identity, fill_number=filled, created_at=float(self._last))
        self.done.append((volume.owner, "volume.create"))

    async def delete(self, volume: str, *, by: str, now: bool) -> None:
        row = self.kept[volume]
        self.kept[volume] = replace(row, deleted_at=row.deleted_at or 1.0, removing=row.removing or now)
        self.done.append((by, "volume.remove"))

    async def undelete(self, volume: str, *, by: str) -> bool:
        if self.kept[volume].removing:
            return False
        self.kept[volume] = replace(self.kept[volume], deleted_at=None)
        return True

    async def expire(self, *, grace_s: float) -> None:
        pass

    async def forget(self, volume: str) -> None:
        del self.kept[volume]
        self.kept_copies = {key: each for key, each in self.kept_copies.items() if key[0] != volume}

    async def found(self, row: VolumeRow) -> None:
        self.kept[row.id] = row

    async def copies(self) -> list[CopyRow]:
        return [CopyRow(volume=volume, place=each) for (volume, _), each in self.kept_copies.items()]

    async def put_copy(self, volume: str, place: Place) -> None:
        self.kept_copies[volume, place.node] = place

    async def forget_copy(self, volume: str, node: str) -> None:
        del self.kept_copies[volume, node]

    async def promote(self, row: VolumeRow, to: str, found: VolumeFound, *, epoch: int, by: str) -> bool:
        if self.others_lead:
            return False
        self.kept[row.id] = replace(
            self.kept[row.id], node=to, ready=True, sha256=found.sha256, generation=found.generation
        )
        del self.kept_copies[row.id, to]
        self.kept_copies[row.id, row.node] = Place(node=row.node, state=ReplicaState.FAILED)
        self.done.append((by, "volume.promote"))
        return True

    async def wrote(self, row: VolumeRow) -> list[Wrote]:
        return self.written

    async def set_policy(self, row: VolumeRow, *, by: str) -> None:
        self.kept[row.id] = row
        self.on_policy(row)
        self.done.append((by, "volume.set"))

    async def snapshot_by_clock(self, row: VolumeRow, due: Due, *, by: str) -> None:
        self.kept[row.id] = replace(self.kept[row.id], next_snapshot_at=due.next_at_s)
        if due.name:
            await self.add_snapshot(row.id, due.name, by=by)
            made = list(self.kept_snapshots.values())[-1]
            self.kept_snapshots[made.id] = replace(made, automatic=True, created_at=due.at_s)

    async def outlive(self, snapshots: Sequence[str]) -> None:
        for each in snapshots:
            self.kept_snapshots[each] = replace(self.kept_snapshots[each], dropping=True)

    async def add_snapshot(self, volume: str, name: str, *, by: str) -> None:
        made = SnapshotRow(
            id=self.new_id(),
            volume=volume,
            name=name,
            ready=False,
            size=0,
            dropping=False,
            created_by=by,
            created_at=0.0,
        )
        self.kept_snapshots[made.id] = made

    async def found_snapshot(self, snapshot: str, *, size: int, sha256: str) -> None:
        row = self.kept_snapshots[snapshot]
        self.kept_snapshots[snapshot] = replace(row, ready=True, size=size, sha256=sha256)

    async def drop_snapshot(self, snapshot: str, *, by: str) -> None:
        self.kept_snapshots[snapshot] = replace(self.kept_snapshots[snapshot], dropping=True)

    async def remove_snapshots(self, volume: str) -> None:
        """Those of one volume."""
        kept = self.kept_snapshots.items()
        self.kept_snapshots = {name: each for name, each in kept if each.volume != volume}

    async def forget_snapshot(self, snapshot: str) -> None:
        del self.kept_snapshots[snapshot]

    async def restore(self, volume: str, snapshot: str, *, by: str) -> None:
        row = self.kept[volume]
        self.kept[volume] = replace(
            row, fill_number=row.fill_number + 1, fill_volume=volume, fill_snapshot=snapshot, ready=False
        )


class FakeLeftovers(LeftoverStore):
    """Keeps them in memory."""

    def __init__(self, volumes: FakeVolumes) -> None:
        self._volumes = volumes
        self.kept: list[Leftover] = []

    async def close(self) -> None:
        pass

    async def all(self) -> list[Leftover]:
        return list(self.kept)

    async def give_up(self, volume: str, nodes: Sequence[str], *, by: str) -> None:
        row = self._volumes.kept[volume]
        self.kept += [
            Leftover(id=volume, node=each, pool=row.pool, kind="volume", name=row.name, path="")
            for each in nodes
        ]
        self._volumes.done.append((by, "volume.give_up"))

    async def leave_pool(self, pool: str, name: str, path: str, *, nodes: Sequence[str], by: str) -> None:
        self.kept += [
            Leftover(id=pool, node=each, pool=pool, kind="pool", name=name, path=path) for each in nodes
        ]

    async def gone(self, leftover: Leftover) -> None:
        self.kept.remove(leftover)


class FakeBackups(BackupStore):
    """Keeps them in memory."""

    def __init__(self, volumes: FakeVolumes, leftovers: FakeLeftovers) -> None:
        self._volumes = volumes
        self._leftovers = leftovers
        self.kept: dict[str, BackupRow] = {}
        self.others_lead = False
        volumes.on_policy = self._copies

    def _copies(self, row: VolumeRow) -> None:
        for each in list(self.kept.values()):
            if each.volume == row.id and each.automatic and row.backup:
                self.kept[each.id] = replace(each, copies=row.backup_copies)

    async def close(self) -> None:
        pass

    async def all(self) -> list[BackupRow]:
        return list(self.kept.values())

    async def add(
        self, snapshot: str, pool: str, *, by: str, automatic: bool = False, copies: int = 1
    ) -> None:
        known = self._volumes.kept_snapshots[snapshot]
        self._volumes.kept_snapshots[snapshot] = replace(known, backup_asked=True)
        volume = self._volumes.kept[known.volume]
        if any((each.volume, each.name) == (volume.id, known.name) for each in self.kept.values()):
            return
        row = BackupRow(
            id=self._volumes.new_id(),
            volume=volume.id,
            volume_name=volume.name,
            owner=volume.owner,
            name=known.name,
            snapshot=snapshot,
            source_pool=volume.pool,
            encrypted=self._volumes.kept_pools[volume.pool].encrypt,
            pool=pool,
            automatic=automatic,
            copies=copies,
            created_by=by,
            created_at=known.created_at,
        )
        self.kept[row.id] = row

    async def copy(self, backup: str) -> None:
        made = replace(self.kept[backup], id=self._volumes.new_id(), node="", sha256="", ready=False)
        self.kept[made.id] = made

    async def drop_copies(self, backups: Sequence[str]) -> None:
        for each in backups:
            self.kept[each] = replace(self.kept[each], dropping=True)

    async def place(self, backup: str, node: str, *, sha256: str, size: int, used: int) -> None:
        self.kept[backup] = replace(
            self.kept[backup], node=node, sha256=sha256, size=size, used=used, taken_at=1.0
        )

    async def backed_up(self, backup: str) -> None:
        self.kept[backup] = replace(self.kept[backup], ready=True)

    async def drop(self, backup: str, *, by: str) -> None:
        known = self.kept[backup]
        for each in list(self.kept.values()):
            if (each.volume, each.name) == (known.volume, known.name):
                self.kept[each.id] = replace(each, dropping=True)
        self._volumes.done.append((by, "volume.unbackup"))

    async def outlive(self, backups: Sequence[str]) -> None:
        for each in backups:
            self.kept[each] = replace(self.kept[each], dropping=True)

    async def displace(self, row: BackupRow, *, left: bool) -> None:
        if left:
            name = f"{row.volume_name}@{row.name}"
            self._leftovers.kept.append(
                Leftover(id=row.id, node=row.node, pool=row.pool, kind="backup", name=name, path="")
            )
        self.kept[row.id] = replace(row, node="", sha256="", ready=False)

    async def forget(self, backup: str) -> None:
        del self.kept[backup]

    async def rehome(
        self, row: VolumeRow, backup: BackupRow, *, node: str, pool: str, epoch: int, by: str
    ) -> bool:
        if self.others_lead:
            return False
        self._volumes.kept[row.id] = replace(
            row,
            node=node,
            pool=pool,
            ready=False,
            fill_number=row.fill_number + 1,
            fill_volume=backup.volume,
            fill_snapshot=backup.id,
        )
        await self._leftovers.give_up(row.id, [row.node], by=by)
        await self._volumes.remove_snapshots(row.id)
        return True
