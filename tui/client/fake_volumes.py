"""Volumes of the cluster that never was: made, deleted and brought back as the coordinator would."""

from __future__ import annotations

import time

from msgspec.structs import replace

from bus.errors import ApiError
from bus.mounts import AccessMode
from bus.refusal import quote, refusal
from bus.units import parse_size_mib
from bus.volumes import (
    Backup,
    PoolCreate,
    PoolEntries,
    PoolEntry,
    PoolNode,
    Snapshot,
    VolumeCopy,
    VolumeCreate,
    VolumeEntries,
    VolumeEntry,
    VolumeList,
)
from tui.client.fake_world import World


class FakeVolumes:
    """What `Source` asks of pools and volumes: one volume in use, one nearly full, one whose node is away."""

    world: World
    done: list[tuple[str, str]]
    volumes_kept: dict[str, VolumeEntry]
    pools_kept: dict[str, PoolEntry]

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def pools(self) -> PoolEntries:
        """One that volumes lie in, one with a part that cannot be used."""
        self._check("pools")
        return PoolEntries(pools=[*self.pools_kept.values()] if self.world.nodes else [])

    async def create_pool(self, pool: PoolCreate) -> PoolEntry:
        """There at once."""
        self._check("create_pool")
        made = PoolEntry(
            name=pool.name, type=pool.type, path=pool.path, tier=pool.tier, compress=pool.compress,
            total_mib=parse_size_mib(pool.size) * len(pool.nodes), used_mib=0, encrypt=pool.encrypt,
            replicas=pool.replicas, nodes=[_part(node, 0, 700_000) for node in pool.nodes],
        )  # fmt: skip
        self.done.append(("pool_create", pool.name))
        self.pools_kept[pool.name] = made
        return made

    async def remove_pool(self, pool: str) -> PoolEntry:
        """Gone at once."""
        self._check("remove_pool")
        self.done.append(("pool_remove", pool))
        return self.pools_kept.pop(pool)

    async def volumes(self, query: VolumeList | None = None) -> VolumeEntries:
        """Those of a pool, or all."""
        self._check("volumes")
        asked = query or VolumeList()
        if not self.world.nodes:
            return VolumeEntries(volumes=[])
        return VolumeEntries(
            volumes=[
                each
                for each in self.volumes_kept.values()
                if asked.pool in ("", each.pool) and (each.deleted_at is None or asked.deleted)
            ]
        )

    async def create_volume(self, volume: VolumeCreate) -> VolumeEntry:
        """There at once."""
        self._check("create_volume")
        if volume.name in self.volumes_kept:
            message = f"there is a volume {volume.name}"
            raise ApiError(refusal("E_NAME_CLASH", message, field="/name", got=quote(volume.name)))
        return self._keep_volume(
            "create",
            VolumeEntry(
                name=volume.name, id=volume.name, pool=volume.pool, size_mib=parse_size_mib(volume.size),
                mode=volume.mode, state="ready", node=volume.node or self.world.nodes[0].name, owner="demo",
                path=volume.path, shared=volume.shared, storage_class=volume.storage_class,
                policy=volume.snapshots, backup_pool=volume.pool if volume.backup else "",
                backup_copies=volume.backup_copies,
                created_at=time.time(),
            ),
        )  # fmt: skip

    async def remove_volume(self, volume: str, *, now: bool = False) -> VolumeEntry:
        """Kept for a while, unless `now`."""
        found = self._volume("remove_volume", volume)
        gone = self._keep_volume("remove", replace(found, state="deleted", deleted_at=time.time()))
        if now:
            del self.volumes_kept[volume]
        return gone

    async def undelete_volume(self, volume: str) -> VolumeEntry:
        """As it was."""
        found = self._volume("undelete_volume", volume)
        return self._keep_volume("undelete", replace(found, state="ready", deleted_at=None))

    async def snapshot_volume(self, volume: str, snapshot: str) -> VolumeEntry:
        """Taken at once."""
        found = self._volume("snapshot_volume", volume)
        taken = Snapshot(name=snapshot, ready=True, size=found.used, created_at=time.time())
        return self._keep_volume("snapshot", replace(found, snapshots=[*found.snapshots, taken]))

    async def remove_snapshot(self, volume: str, snapshot: str) -> VolumeEntry:
        """For ever."""
        found = self._volume("remove_snapshot", volume)
        left = [each for each in found.snapshots if each.name != snapshot]
        return self._keep_volume("unsnapshot", replace(found, snapshots=left))

    async def restore_volume(self, volume: str, snapshot: str) -> VolumeEntry:
        """What it has is as large as the snapshot then."""
        found = self._volume("restore_volume", volume)
        size = next(each.size for each in found.snapshots if each.name == snapshot)
        return self._keep_volume("restore", replace(found, used=size))

    async def set_volume(
        self,
        volume: str,
        *,
        snapshots: str | None = None,
        backup: bool | None = None,
        backup_pool: str | None = None,
        backup_copies: int | None = None,
    ) -> VolumeEntry:
        """All of them are said."""
        found = self._volume("set_volume", volume)
        changed = replace(
            found, policy=snapshots or "", backup_pool=backup_pool or (found.pool if backup else ""),
            backup_copies=backup_copies or 1,
        )  # fmt: skip
        return self._keep_volume("set", changed)

    async def promote_volume(self, volume: str) -> VolumeEntry:
        """Its first copy takes over."""
        found = self._volume("promote_volume", volume)
        return self._keep_volume(
            "promote", replace(found, state="ready", node=found.copies[0].node, copies=[])
        )

    def _volume(self, operation: str, name: str) -> VolumeEntry:
        self._check(operation)
        if name not in self.volumes_kept:
            raise ApiError(refusal("E_NOT_FOUND", f"no volume {name}", field="/volume"))
        return self.volumes_kept[name]

    def _keep_volume(self, verb: str, volume: VolumeEntry) -> VolumeEntry:
        self.done.append((verb, volume.name))
        self.volumes_kept[volume.name] = volume
        return volume


def first_pools() -> dict[str, PoolEntry]:
    """As they are at the start."""
    archive = PoolEntry(
        name="archive", type="local", path="/srv/archive", total_mib=4_000_000, used_mib=0,
        tier="cold", compress=True,
        nodes=[_part("n-0001", 0, 3_000_000), _part("n-0002", 0, 0, "no disk below /srv")],
    )  # fmt: skip
    fast = PoolEntry(
        name="fast", type="local", path="/scratch/volumes", total_mib=1_600_000, used_mib=524_288,
        tier="nvme", encrypt=True, volumes=3,
        nodes=[_part(f"n-{index:04d}", 131_072, 700_000) for index in (0, 1, 12)],
    )  # fmt: skip
    return {each.name: each for each in (archive, fast)}


def _part(node: str, given_mib: int, free_mib: int, fault: str = "") -> PoolNode:
    return PoolNode(node=node, given_mib=given_mib, free_mib=free_mib, fault=fault)


def first_volumes() -> dict[str, VolumeEntry]:
    """As they are at the start."""
    made = {
        name: VolumeEntry(
            name=name, id=name, pool="fast", size_mib=size_mib, mode=mode, state=state, node=node,
            owner=owner, used=int(size_mib * used * 2**20), sealed=name == "patients", tasks=tasks,
            writers=tasks[:1], snapshots=[Snapshot(name="monday", ready=True, size=3 * 2**30)],
            path=f"/mnt/{name}",
            copies=[VolumeCopy(node="n-0000", state="active")] if state == "away" else [],
        )
        for name, size_mib, mode, state, node, owner, used, tasks in (
            ("data", 512_000, AccessMode.READ_WRITE_ONCE, "ready", "n-0000", "ann", 0.4, ["37.0"]),
            ("patients", 10_240, AccessMode.READ_ONLY_MANY, "ready", "n-0001", "bob", 0.93, []),
            ("scratch", 2_048, AccessMode.READ_WRITE_MANY, "away", "n-0012", "demo", 0.1, []),
        )
    }  # fmt: skip
    made["patients"] = replace(
        made["patients"], policy="@daily keep 7", backup_pool="archive", backup_copies=2,
        backups=[
            Backup(
                volume="patients", name="monday", pool="archive", node=node, state=state, fault=fault,
                size=2 * 2**30, copies=2, owner="bob", taken_at=1_600_000_000.0,
            )
            for node, state, fault in (
                ("n-0000", "ready", ""),
                ("n-0002", "away", "n-0002 is lost: made again elsewhere in 7 min"),
            )
        ],
    )  # fmt: skip
    return made
