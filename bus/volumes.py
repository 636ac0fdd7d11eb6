"""Pools and volumes: what is asked of the coordinator, and what is told of them."""

from __future__ import annotations

from msgspec import Struct, field

from bus.mounts import AccessMode
from bus.requests import Request
from bus.values import Role


class PoolCreate(Request, kw_only=True):
    """A folder `path` on each of `nodes`, with room for volumes of `size` (MiB or "10GiB") on each of them.

    `type`: local; replicated, where each volume lies on `replicas` nodes; others where a driver is
    registered. `compress` and `encrypt`: volumes are sealed while no task has them; each node keeps the key,
    and nobody else does.
    """

    name: str
    type: str = "local"
    nodes: list[str]
    path: str
    size: int | str
    tier: str = "standard"
    compress: bool = False
    encrypt: bool = False
    replicas: int = 1


class PoolQuery(Request):
    pool: str


class PoolNode(Struct, kw_only=True):
    """`fault`: why its part cannot be used now; `free_mib` of the disk under it."""

    node: str
    given_mib: int = 0
    free_mib: int = 0
    fault: str = ""


class PoolEntry(Struct, kw_only=True):
    """`total_mib` over all nodes, `used_mib` of it given to volumes."""

    name: str
    type: str
    path: str
    total_mib: int
    used_mib: int
    tier: str = "standard"
    compress: bool = False
    encrypt: bool = False
    replicas: int = 1
    nodes: list[PoolNode] = []
    volumes: int = 0
    created_at: float = 0.0
    created_by: str = ""


class PoolEntries(Struct, kw_only=True):
    pools: list[PoolEntry]


class VolumeCreate(Request, kw_only=True):
    """`node`: where it lies ("": where most room is). `source`: VOLUME@SNAPSHOT that it begins with.

    `path`: where tasks find it that do not say. `shared`: everybody's tasks may have it. `snapshots`: taken
    by the clock, and how many are kept (`bus.snapshot_policy`). `backup`: each of those is kept on another
    node too, in `backup_pool` ("": the volume's own), or on `backup_copies`. `storage_class` is a word of
    one's own.
    """

    name: str
    pool: str
    size: int | str
    mode: AccessMode = AccessMode.READ_WRITE_ONCE
    node: str = ""
    path: str = ""
    shared: bool = False
    source: str = ""
    storage_class: str = ""
    snapshots: str = ""
    backup: bool = False
    backup_pool: str = ""
    backup_copies: int = 1


class VolumeQuery(Request):
    volume: str


class VolumeList(Request, kw_only=True):
    """`pool`: only its own. `deleted`: those too that are deleted and not gone yet."""

    pool: str = ""
    deleted: bool = False


class VolumeRemove(Request, kw_only=True):
    """`now`: at once, rather than after the days of grace.

    `lost`: what lies on lost nodes is given up, for operators.
    """

    volume: str
    now: bool = False
    lost: bool = False


class VolumeSet(Request, kw_only=True):
    """`snapshots`: taken by the clock from now on ("": none any more); what was taken stays.

    `backup`: those are backed up from now on, or are no more, in `backup_pool` ("": the volume's own) on
    `backup_copies` nodes, which also holds for what there is. What is not said stays as it is.
    """

    volume: str
    snapshots: str | None = None
    backup: bool | None = None
    backup_pool: str | None = None
    backup_copies: int | None = None


class SnapshotQuery(Request, kw_only=True):
    volume: str
    snapshot: str


class VolumeRehome(Request, kw_only=True):
    """A volume whose node is lost begins anew with a backup.

    On `node` ("": where most room is) of `pool` ("": its own).
    """

    volume: str
    backup: str
    node: str = ""
    pool: str = ""


class BackupCreate(Request, kw_only=True):
    """`snapshot`: what is backed up; it is taken where it is not there ("": one is, named by the time).

    `pool`: where the backup lies ("": as the volume says, else its own), on `copies` nodes (0: as it says).
    """

    volume: str
    snapshot: str = ""
    pool: str = ""
    copies: int = 0


class BackupList(Request, kw_only=True):
    """`volume`: only its own, also where it is gone."""

    volume: str = ""


class Backup(Struct, kw_only=True):
    """A copy of a backup: a sealed file of `size` bytes, with what a volume had at `taken_at`.

    `state`: waiting, copying, ready, damaged, away (its node is). `fault`: why it is not there, and what
    comes of that. There should be so many `copies`.
    """

    volume: str
    name: str
    state: str
    pool: str
    node: str = ""
    size: int = 0
    used: int = 0
    taken_at: float | None = None
    automatic: bool = False
    owner: str = ""
    fault: str = ""
    created_at: float = 0.0
    created_by: str = ""
    copies: int = 1


class BackupEntries(Struct, kw_only=True):
    backups: list[Backup]


class Snapshot(Struct, kw_only=True):
    """`size` in bytes on the disk, as if it shared no blocks with others. `ready`: it is there.

    `automatic`: the clock had it taken; `taken_at`: when its node was seen to have it.
    """

    name: str
    ready: bool
    size: int = 0
    created_at: float = 0.0
    created_by: str = ""
    automatic: bool = False
    taken_at: float | None = None


class VolumeCopy(Struct, kw_only=True):
    """A place of a volume beside its `node`. `state`: active, out_of_sync, failed.

    `generation` of what it has: active is who has that of the volume.
    """

    node: str
    state: str
    generation: int = 0
    fault: str = ""


class VolumeEntry(Struct, kw_only=True):
    """`state`: making, ready, damaged, away (its node is), deleted, removing. `used` in bytes, as seen last.

    `tasks` have it open, `writers` among them. `generation` counts the times that it was sealed. `policy`:
    of snapshots by the clock, the next of which is due at `next_snapshot_at`; `backup_pool`: where those are
    backed up ("": nowhere), on `backup_copies` nodes.
    """

    name: str
    id: str
    pool: str
    size_mib: int
    mode: AccessMode
    state: str
    node: str
    owner: str
    path: str = ""
    shared: bool = False
    storage_class: str = ""
    used: int = 0
    sealed: bool = False
    fault: str = ""
    tasks: list[str] = []
    writers: list[str] = []
    snapshots: list[Snapshot] = field(default_factory=list)
    copies: list[VolumeCopy] = field(default_factory=list)
    generation: int = 0
    created_at: float = 0.0
    deleted_at: float | None = None
    policy: str = ""
    next_snapshot_at: float | None = None
    backup_pool: str = ""
    backups: list[Backup] = field(default_factory=list)
    backup_copies: int = 1


class VolumeEntries(Struct, kw_only=True):
    volumes: list[VolumeEntry]


class PoolList(Request):
    """All of them."""


VOLUME_OPERATIONS: dict[str, tuple[type[Struct], type[Struct], Role]] = {
    "pool.create": (PoolCreate, PoolEntry, Role.OPERATOR),
    "pool.list": (PoolList, PoolEntries, Role.READONLY),
    "pool.show": (PoolQuery, PoolEntry, Role.READONLY),
    "pool.remove": (PoolQuery, PoolEntry, Role.OPERATOR),
    "volume.create": (VolumeCreate, VolumeEntry, Role.USER),
    "volume.list": (VolumeList, VolumeEntries, Role.READONLY),
    "volume.show": (VolumeQuery, VolumeEntry, Role.READONLY),
    "volume.remove": (VolumeRemove, VolumeEntry, Role.USER),
    "volume.undelete": (VolumeQuery, VolumeEntry, Role.USER),
    "volume.set": (VolumeSet, VolumeEntry, Role.USER),
    "volume.snapshot": (SnapshotQuery, VolumeEntry, Role.USER),
    "volume.restore": (SnapshotQuery, VolumeEntry, Role.USER),
    "volume.rehome": (VolumeRehome, VolumeEntry, Role.USER),
    "volume.backup": (BackupCreate, VolumeEntry, Role.USER),
    "volume.backups": (BackupList, BackupEntries, Role.READONLY),
    "volume.unbackup": (SnapshotQuery, Backup, Role.USER),
    "volume.promote": (VolumeQuery, VolumeEntry, Role.USER),
    "volume.unsnapshot": (SnapshotQuery, VolumeEntry, Role.USER),
}
"""Operation -> what is asked, what comes back, who may."""
