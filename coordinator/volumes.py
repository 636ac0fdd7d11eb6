"""Pools and volumes in memory: what the database has, what their nodes said last, who may have them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from bus.mounts import Mounted, reads, writes
from bus.spec import JobSpec
from bus.values import NodeName, UserName
from bus.volume_wire import (
    BackupFound,
    BackupWanted,
    CopyOf,
    PoolFound,
    PoolWanted,
    SnapshotKept,
    VolumeFound,
    VolumesFound,
    VolumesWanted,
    VolumeWanted,
)
from coordinator.core.replication import ReplicaState
from coordinator.core.volume_copies import Place
from coordinator.store.backups import BackupRow
from coordinator.store.leftovers import Leftover
from coordinator.store.volumes import CopyRow, PoolRow, SnapshotRow, VolumeRow


class VolumeBook:
    """`put` what the database has; `hear` what a node answers."""

    def __init__(self) -> None:
        self.pools: dict[str, PoolRow] = {}
        self.volumes: dict[str, VolumeRow] = {}
        self.snapshots: dict[str, SnapshotRow] = {}
        self.copies: dict[str, dict[str, Place]] = {}  # by volume and node
        self.found: dict[tuple[str, str], VolumeFound] = {}  # by volume and node
        self.pools_found: dict[tuple[str, str], PoolFound] = {}  # by pool and node
        self.keys: dict[str, bytes] = {}  # of pools with nodes that lack it: told to them, then forgotten
        self.key_holders: dict[str, str] = {}  # by pool: the node that is to tell its key, for another
        self.dropped: dict[str, PoolRow] = {}  # pools that are to go from their nodes
        self.leftovers: dict[tuple[str, str], Leftover] = {}  # by volume or pool, and node
        self.backups: dict[str, BackupRow] = {}
        self.backups_found: dict[tuple[str, str], BackupFound] = {}  # by backup and node
        self.backup_faults: dict[str, str] = {}  # of those that are not there yet
        self.silent: set[str] = set()  # nodes that did not answer when they were asked last
        self.moving: set[str] = set()  # volumes that tasks can have nowhere for the moment
        self.stuck: dict[str, str] = {}  # volumes of lost nodes, and why none of their copies takes over

    def put(
        self,
        pools: Iterable[PoolRow],
        volumes: Iterable[VolumeRow],
        snapshots: Iterable[SnapshotRow],
        copies: Iterable[CopyRow],
        leftovers: Iterable[Leftover],
        backups: Iterable[BackupRow],
    ) -> None:
        """What there is from now on."""
        self.copies = {}
        for each in copies:
            self.copies.setdefault(each.volume, {})[each.place.node] = each.place
        self.pools = {row.id: row for row in pools}
        self.volumes = {row.id: row for row in volumes}
        self.snapshots = {row.id: row for row in snapshots}
        self.backups = {row.id: row for row in backups}
        self.leftovers = {(each.id, each.node): each for each in leftovers}

    def pool(self, name: str) -> PoolRow | None:
        return next((row for row in self.pools.values() if row.name == name), None)

    def volume(self, name: str) -> VolumeRow | None:
        """The one that is not deleted; else the one that was deleted last."""
        named = [row for row in self.volumes.values() if row.name == name]
        named.sort(key=lambda row: (row.deleted_at is None, row.created_at))
        return named[-1] if named else None

    def of_volume(self, volume: str) -> list[SnapshotRow]:
        """The snapshots that are not going, the oldest first."""
        return [each for each in self.snapshots.values() if each.volume == volume and not each.dropping]

    def backups_of(self, volume: str) -> list[BackupRow]:
        """The backups that are not going, the oldest first."""
        return [each for each in self.backups.values() if each.volume == volume and not each.dropping]

    def copies_of(self, row: BackupRow) -> list[BackupRow]:
        """The other copies of a backup that are not going."""
        return [each for each in self.backups_of(row.volume) if each.name == row.name and each.id != row.id]

    def is_whole(self, row: BackupRow) -> bool:
        """Whether a copy of a backup can be read now."""
        return row.ready and row.node not in self.silent and not self.is_damaged(row)

    def is_first(self, row: BackupRow) -> bool:
        """Whether a copy of a backup is not there, nor any other that it could be made of."""
        return not row.ready and not any(map(self.is_whole, self.copies_of(row)))

    def nodes_of(self, row: VolumeRow) -> list[str]:
        """Its own, and those of its copies."""
        return [row.node, *self.copies.get(row.id, ())]

    def found_of(self, row: VolumeRow) -> VolumeFound | None:
        """What its own node said of it last."""
        return self.found.get((row.id, row.node))

    def given_mib(self, pool: PoolRow, node: str) -> int:
        """How much of the pool's room on a node is given: to volumes, until they are gone, and to backups."""
        volumes = sum(
            each.size_mib
            for each in self.volumes.values()
            if each.pool == pool.id and node in self.nodes_of(each)
        )
        return volumes + sum(
            each.size_mib for each in self.backups.values() if each.pool == pool.id and each.node == node
        )

    def is_copied(self, row: VolumeRow) -> bool:
        """Whether it is to have copies on other nodes."""
        return self.pools[row.pool].type == "replicated"

    @property
    def nodes(self) -> list[str]:
        """Those with a part of a pool, or with what is to go."""
        parts = {node for pool in self.pools.values() for node in pool.nodes}
        return sorted(parts | {node for _, node in self.leftovers})

    def is_gone(self, row: VolumeRow, node: str) -> bool:
        """Whether a node has said that it has let go of a volume, or nobody waits for its word."""
        if (row.id, node) in self.leftovers:
            return True
        found = self.found.get((row.id, node))
        return found is not None and not (found.ready or found.damaged) and node not in self.silent

    def is_damaged(self, row: BackupRow) -> bool:
        """Whether its node said that a backup which was there is not whole."""
        found = self.backups_found.get((row.id, row.node))
        return found is not None and found.damaged

    def wanted(self, node: str) -> VolumesWanted:
        """All that should be on one node."""
        pools = tuple(
            PoolWanted(
                id=pool.id,
                name=pool.name,
                type=pool.type,
                path=pool.path,
                compress=pool.compress,
                encrypt=pool.encrypt,
                size_mib=pool.node_mib,
                key=self.keys.get(pool.id, b""),
                tell_key=self.key_holders.get(pool.id) == node,
            )
            for pool in self.pools.values()
            if node in pool.nodes
        ) + tuple(
            PoolWanted(id=pool.id, name=pool.name, type=pool.type, path=pool.path, removed=True)
            for pool in self.dropped.values()
            if node in pool.nodes
        )
        volumes = tuple(
            self._wanted(row, node) for row in self.volumes.values() if node in self.nodes_of(row)
        )
        named = {pool.id for pool in pools} | {volume.id for volume in volumes}
        named |= {each.id for each in self.backups.values() if each.node == node}
        left = [
            each
            for (identity, there), each in self.leftovers.items()
            if there == node and identity not in named
        ]
        pools += tuple(
            PoolWanted(id=each.id, name=each.name, type="local", path=each.path, removed=True)
            for each in left
            if each.kind == "pool"
        )
        volumes += tuple(
            VolumeWanted(id=each.id, pool=each.pool, name=each.name, size_mib=0, primary=False, removed=True)
            for each in left
            if each.kind == "volume"
        )
        backups = tuple(
            BackupWanted(
                id=each.id, pool=each.pool, sha256=each.sha256, size=each.size, removed=each.dropping
            )
            for each in self.backups.values()
            if each.node == node
        ) + tuple(
            BackupWanted(id=each.id, pool=each.pool, removed=True) for each in left if each.kind == "backup"
        )
        return VolumesWanted(epoch=0, pools=pools, volumes=volumes, backups=backups)

    def _wanted(self, row: VolumeRow, node: str) -> VolumeWanted:
        is_primary, is_copied = row.node == node, self.is_copied(row)
        content = None
        if row.fill_number and is_primary:
            content = self._content(row)
        own = [each for each in self.snapshots.values() if each.volume == row.id]
        return VolumeWanted(
            id=row.id,
            pool=row.pool,
            name=row.name,
            size_mib=row.size_mib,
            primary=is_primary,
            removed=row.removing or (not is_primary and self.copies[row.id][node].removing),
            content=content,
            snapshots=tuple(each.id for each in own if is_primary and not each.ready and not each.dropping),
            dropped=tuple(each.id for each in own if each.dropping),
            packed=tuple(
                each.snapshot for each in self.backups_of(row.id) if is_primary and self.is_first(each)
            ),
            generation=row.generation if is_copied else 0,
            sha256=row.sha256 if is_copied else "",
            size=row.sealed_bytes if is_copied else 0,
            filled=row.sealed_fill if is_copied else 0,
            used=row.used if is_copied else 0,
            kept=tuple(
                SnapshotKept(id=each.id, sha256=each.sha256, size=each.size)
                for each in own
                if is_copied and each.ready and each.sha256 and not each.dropping
            ),
        )

    def _content(self, row: VolumeRow) -> CopyOf:
        """What it was filled with last: a snapshot, or a backup of one."""
        made = CopyOf(volume=row.fill_volume, snapshot=row.fill_snapshot, number=row.fill_number)
        backup = self.backups.get(row.fill_snapshot)
        if backup is None:
            return made
        key_pool = backup.source_pool if backup.encrypted else ""
        return replace(made, sha256=backup.sha256, size=backup.size, key_pool=key_pool)

    def move(self, row: VolumeRow, found: VolumeFound, *, to: str) -> None:
        """As the database has it after a copy took over."""
        self.volumes[row.id] = replace(
            row,
            node=to,
            ready=True,
            sha256=found.sha256,
            generation=found.generation,
            sealed_bytes=found.size,
            sealed_fill=found.sealed_fill,
            fill_number=found.sealed_fill,
            used=found.used,
            unsealed=(),
        )
        copies = self.copies[row.id]
        del copies[to]
        copies[row.node] = Place(node=row.node, state=ReplicaState.FAILED)
        self.stuck.pop(row.id, None)

    def may_fetch(self, node: str, sha256: str) -> bool:
        """Whether a node is to bring this content of a volume."""
        wanted = self.wanted(node)
        return any(sha256 == each.sha256 and not each.removed for each in wanted.backups) or any(
            sha256 in (each.sha256, *(kept.sha256 for kept in each.kept))
            or (each.content is not None and sha256 == each.content.sha256)
            for each in wanted.volumes
            if not each.removed
        )

    def holders(self, sha256: str) -> set[str]:
        """Nodes that said that they have this content of a volume."""
        return {
            node
            for (_, node), found in self.found.items()
            if sha256 == found.sha256
            or any(sha256 == each.sha256 for each in (*found.snapshots, *found.packs))
        } | {
            row.node
            for row in self.backups.values()
            if row.ready and row.sha256 == sha256 and not self.is_damaged(row)
        }

    def hear(self, node: str, found: VolumesFound) -> None:
        """What a node has said."""
        self.silent.discard(node)
        self.found |= {(each.id, node): each for each in found.volumes}
        for each in found.pools:
            if each.key and self.key_holders.get(each.id) == node:
                self.keys[each.id] = each.key
            self.pools_found[each.id, node] = replace(each, key=b"")
        self.backups_found |= {(each.id, node): each for each in found.backups}

    def features(self) -> dict[NodeName, tuple[str, ...]]:
        """Where tasks can have which volumes: those that are whole on their node."""
        features: dict[NodeName, list[str]] = {}
        for row in self.volumes.values():
            if row.ready and row.node and row.deleted_at is None and row.id not in self.moving:
                features.setdefault(NodeName(row.node), []).extend((reads(row.name), writes(row.name)))
        return {node: tuple(sorted(each)) for node, each in features.items()}

    def mounted(self, spec: JobSpec, user: str) -> dict[str, Mounted]:
        """What is kept in the spec of a job of `user`: the volumes that it names and may have."""
        words = [*spec.volumes, *(word for task in spec.tasks or () for word in task.volumes or ())]
        found = {}
        for name in {word.partition(":")[0] for word in words}:
            row = self.volume(name)
            if row is not None and row.deleted_at is None and may_have(row, UserName(user)):
                found[name] = Mounted(id=row.id, mode=row.mode, target=row.path)
        return found


def may_have(row: VolumeRow, user: UserName) -> bool:
    """Whether tasks of `user` may have a volume."""
    return row.shared or row.owner == user
