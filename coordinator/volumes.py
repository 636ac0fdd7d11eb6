"""Pools and volumes in memory: what the database has, what their nodes said last, who may have them."""

from __future__ import annotations

from collections.abc import Iterable

from bus.mounts import Mounted, reads, writes
from bus.spec import JobSpec
from bus.values import NodeName, UserName
from bus.volume_wire import (
    CopyOf,
    PoolFound,
    PoolWanted,
    VolumeFound,
    VolumesFound,
    VolumesWanted,
    VolumeWanted,
)
from coordinator.store.volumes import PoolRow, SnapshotRow, VolumeRow


class VolumeBook:
    """`put` what the database has; `hear` what a node answers."""

    def __init__(self) -> None:
        self.pools: dict[str, PoolRow] = {}
        self.volumes: dict[str, VolumeRow] = {}
        self.snapshots: dict[str, SnapshotRow] = {}
        self.found: dict[str, VolumeFound] = {}
        self.pools_found: dict[tuple[str, str], PoolFound] = {}  # by pool and node
        self.keys: dict[str, bytes] = {}  # of pools that are being made: told to their nodes, then forgotten
        self.dropped: dict[str, PoolRow] = {}  # pools that are to go from their nodes
        self.silent: set[str] = set()  # nodes that did not answer when they were asked last

    def put(
        self, pools: Iterable[PoolRow], volumes: Iterable[VolumeRow], snapshots: Iterable[SnapshotRow]
    ) -> None:
        """What there is from now on."""
        self.pools = {row.id: row for row in pools}
        self.volumes = {row.id: row for row in volumes}
        self.snapshots = {row.id: row for row in snapshots}

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

    def given_mib(self, pool: PoolRow, node: str) -> int:
        """How much of the pool's room on a node volumes have, deleted ones included until they are gone."""
        return sum(
            each.size_mib for each in self.volumes.values() if (each.pool, each.node) == (pool.id, node)
        )

    @property
    def nodes(self) -> list[str]:
        """Those with a part of a pool."""
        return sorted({node for pool in self.pools.values() for node in pool.nodes})

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
            )
            for pool in self.pools.values()
            if node in pool.nodes
        ) + tuple(
            PoolWanted(id=pool.id, name=pool.name, type=pool.type, path=pool.path, removed=True)
            for pool in self.dropped.values()
            if node in pool.nodes
        )
        volumes = tuple(self._wanted(row) for row in self.volumes.values() if row.node == node)
        return VolumesWanted(epoch=0, pools=pools, volumes=volumes)

    def _wanted(self, row: VolumeRow) -> VolumeWanted:
        content = None
        if row.fill_number:
            content = CopyOf(volume=row.fill_volume, snapshot=row.fill_snapshot, number=row.fill_number)
        own = [each for each in self.snapshots.values() if each.volume == row.id]
        return VolumeWanted(
            id=row.id,
            pool=row.pool,
            name=row.name,
            size_mib=row.size_mib,
            removed=row.removing,
            content=content,
            snapshots=tuple(each.id for each in own if not each.dropping),
            dropped=tuple(each.id for each in own if each.dropping),
        )

    def hear(self, node: str, found: VolumesFound) -> None:
        """What a node has said."""
        self.silent.discard(node)
        self.found |= {each.id: each for each in found.volumes}
        self.pools_found |= {(each.id, node): each for each in found.pools}

    def features(self) -> dict[NodeName, tuple[str, ...]]:
        """Where tasks can have which volumes: those that are whole on their node."""
        features: dict[NodeName, list[str]] = {}
        for row in self.volumes.values():
            if row.ready and row.node and row.deleted_at is None:
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
