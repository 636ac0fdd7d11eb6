"""Pools, volumes and snapshots in the database. Only the leader writes them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from bus.mounts import AccessMode
from bus.spec import JobSpec
from bus.values import UserName
from bus.volume_wire import VolumeFound
from bus.volumes import PoolCreate
from coordinator.core.replication import ReplicaState
from coordinator.core.volume_copies import Place
from coordinator.core.volume_snapshots import Due
from coordinator.store.connection import Session
from coordinator.store.json_text import clean
from sql import queries

_SQL = queries("volumes")


class PoolRow(Struct, frozen=True, kw_only=True):
    """`node_mib`: what volumes may be given on each node."""

    id: str
    name: str
    type: str
    path: str
    node_mib: int
    tier: str
    compress: bool
    encrypt: bool
    replicas: int
    nodes: tuple[str, ...]
    created_by: str
    created_at: float


class VolumeRow(Struct, frozen=True, kw_only=True):
    """`fill_number` counts the times that it was to be filled with `fill_snapshot` of `fill_volume`.

    `sha256` to `sealed_fill` are of its sealed file as its node said when it was asked at `sealed_at`;
    `unsealed`: attempts that may have written more than that has.
    """

    id: str
    pool: str
    name: str
    size_mib: int
    path: str
    mode: AccessMode
    storage_class: str
    owner: str
    shared: bool
    node: str
    ready: bool
    used: int
    sha256: str
    fill_number: int
    fill_volume: str
    fill_snapshot: str
    removing: bool
    created_at: float
    deleted_at: float | None
    generation: int = 0
    sealed_bytes: int = 0
    sealed_fill: int = 0
    sealed_at: float = 0.0
    unsealed: tuple[str, ...] = ()
    policy: str = ""  # of snapshots by the clock
    next_snapshot_at: float | None = None
    backup: bool = False  # those are backed up, in the pool
    backup_pool: str = ""
    backup_copies: int = 1


class CopyRow(Struct, frozen=True, kw_only=True):
    """A place of a volume beside its own node."""

    volume: str
    place: Place


class Wrote(Struct, frozen=True, kw_only=True):
    """Tasks `indices` of a job completed, and the job has a volume."""

    job: int
    spec: JobSpec
    owner: UserName
    indices: tuple[int, ...]


class SnapshotRow(Struct, frozen=True, kw_only=True):
    id: str
    volume: str
    name: str
    ready: bool
    size: int
    dropping: bool
    created_by: str
    created_at: float
    sha256: str = ""
    automatic: bool = False
    taken_at: float | None = None
    backup_asked: bool = False


class VolumeStore:
    """All raise StoreUnavailable when the database is away, Disagreement where a name is taken."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def pools(self) -> list[PoolRow]:
        return [
            PoolRow(
                id=row["id"],
                name=row["name"],
                type=row["pool_type"],
                path=row["path"],
                node_mib=row["node_mib"],
                tier=row["performance_tier"],
                compress=row["compression_enabled"],
                encrypt=row["encryption_enabled"],
                replicas=row["replication_factor"],
                nodes=tuple(row["nodes"]),
                created_by=row["created_by"],
                created_at=row["created_at"],
            )
            for row in await self._session.fetch(_SQL["pools"])
        ]

    async def volumes(self) -> list[VolumeRow]:
        return [
            VolumeRow(
                id=row["id"],
                pool=row["pool"],
                name=row["name"],
                size_mib=row["size_mib"],
                path=row["mount_path"] or "",
                mode=AccessMode(row["access_mode"]),
                storage_class=row["storage_class"] or "",
                owner=row["owner"],
                shared=row["shared"],
                node=row["node"] or "",
                ready=row["ready"],
                used=row["used_bytes"],
                sha256=row["sealed_sha256"] or "",
                fill_number=row["fill_number"],
                fill_volume=row["fill_volume"] or "",
                fill_snapshot=row["fill_snapshot"] or "",
                removing=row["removing"],
                created_at=row["created_at"],
                deleted_at=row["deleted_at"],
                generation=row["generation"],
                sealed_bytes=row["sealed_bytes"],
                sealed_fill=row["sealed_fill"],
                sealed_at=row["sealed_at"],
                unsealed=tuple(row["unsealed"]),
                policy=row["snapshot_policy"],
                next_snapshot_at=row["snapshot_next_at"],
                backup=row["backup_enabled"],
                backup_pool=row["backup_pool"],
                backup_copies=row["backup_copies"],
            )
            for row in await self._session.fetch(_SQL["volumes"])
        ]

    async def snapshots(self) -> list[SnapshotRow]:
        return [
            msgspec.convert(dict(row) | {"size": row["size_bytes"]}, SnapshotRow)
            for row in await self._session.fetch(_SQL["snapshots"])
        ]

    async def add_pool(self, pool: PoolCreate, *, size_mib: int, by: str) -> str:
        """Its id."""
        row = await self._session.fetchrow(
            _SQL["add_pool"],
            pool.name,
            pool.type,
            clean(pool.path),
            size_mib,
            pool.tier,
            pool.compress,
            pool.encrypt,
            pool.replicas,
            sorted(set(pool.nodes)),
            by,
        )
        assert row is not None
        return str(row["id"])

    async def join_pool(self, pool: str, node: str, *, by: str) -> None:
        """A node becomes a part of it. Twice is fine."""
        await self._session.execute(_SQL["join_pool"], pool, node, by)

    async def remove_pool(self, pool: str, *, by: str) -> None:
        await self._session.execute(_SQL["remove_pool"], pool, by)

    async def add_volume(self, volume: VolumeRow) -> None:
        """Its id and what only its node knows are not looked at."""
        await self._session.execute(
            _SQL["add_volume"],
            volume.pool,
            volume.name,
            volume.size_mib,
            volume.path,
            volume.mode,
            clean(volume.storage_class),
            volume.owner,
            volume.shared,
            volume.node,
            volume.fill_volume,
            volume.fill_snapshot,
            volume.policy,
            volume.next_snapshot_at,
            volume.backup,
            volume.backup_pool,
            volume.backup_copies,
        )

    async def set_policy(self, row: VolumeRow, *, by: str) -> None:
        """Snapshots by the clock from now on, and backups of them, as `row` has them."""
        await self._session.execute(
            _SQL["set_volume"],
            row.id,
            row.policy,
            row.next_snapshot_at,
            by,
            row.backup,
            row.backup_pool,
            row.backup_copies,
        )

    async def delete(self, volume: str, *, by: str, now: bool) -> None:
        await self._session.execute(_SQL["delete_volume"], volume, by, now)

    async def undelete(self, volume: str, *, by: str) -> bool:
        """False: it is going already."""
        return await self._session.fetchrow(_SQL["undelete_volume"], volume, by) is not None

    async def expire(self, *, grace_s: float) -> None:
        await self._session.execute(_SQL["expire_volumes"], grace_s)

    async def forget(self, volume: str) -> None:
        await self._session.execute(_SQL["forget_volume"], volume)

    async def found(self, row: VolumeRow) -> None:
        """What its node says of it, as `row` has it; nothing where it has another node by now."""
        await self._session.execute(
            _SQL["found_volume"],
            row.id,
            row.node,
            row.ready,
            row.used,
            row.sha256,
            row.generation,
            row.sealed_bytes,
            row.sealed_fill,
            row.sealed_at,
            list(row.unsealed),
        )

    async def copies(self) -> list[CopyRow]:
        return [
            CopyRow(
                volume=row["volume"],
                place=Place(
                    node=row["node"],
                    state=ReplicaState(row["state"]),
                    sha256=row["sha256"],
                    generation=row["generation"],
                    removing=row["removing"],
                    fault=row["fault"],
                ),
            )
            for row in await self._session.fetch(_SQL["copies"])
        ]

    async def put_copy(self, volume: str, place: Place) -> None:
        await self._session.execute(
            _SQL["put_copy"],
            volume,
            place.node,
            place.state,
            place.sha256,
            place.generation,
            place.removing,
            place.fault,
        )

    async def forget_copy(self, volume: str, node: str) -> None:
        await self._session.execute(_SQL["forget_copy"], volume, node)

    async def promote(self, row: VolumeRow, to: str, found: VolumeFound, *, epoch: int, by: str) -> bool:
        """False: another coordinator leads, or it has another node by now."""
        return (
            await self._session.fetchrow(
                _SQL["promote"],
                row.id,
                row.node,
                to,
                epoch,
                found.sha256,
                found.generation,
                found.size,
                found.sealed_fill,
                found.used,
                by,
            )
            is not None
        )

    async def wrote(self, row: VolumeRow) -> list[Wrote]:
        """Whose tasks completed on its node and may have written more than is sealed."""
        found = await self._session.fetch(
            _SQL["wrote"], row.id, row.name, row.node, row.sealed_at, list(row.unsealed)
        )
        return [
            Wrote(
                job=each["number"],
                spec=msgspec.json.decode(each["spec"], type=JobSpec),
                owner=UserName(each["owner"]),
                indices=tuple(each["indices"]),
            )
            for each in found
        ]

    async def add_snapshot(self, volume: str, name: str, *, by: str) -> None:
        await self._session.execute(_SQL["add_snapshot"], volume, name, by)

    async def snapshot_by_clock(self, row: VolumeRow, due: Due, *, by: str) -> None:
        """Nothing where the clock was heard by somebody else."""
        await self._session.execute(
            _SQL["snapshot_by_clock"], row.id, due.name, row.next_snapshot_at, due.next_at_s, by
        )

    async def outlive(self, snapshots: Sequence[str]) -> None:
        """They are to go, since newer ones replace them."""
        await self._session.execute(_SQL["outlive_snapshots"], list(snapshots))

    async def found_snapshot(self, snapshot: str, *, size: int, sha256: str) -> None:
        await self._session.execute(_SQL["found_snapshot"], snapshot, size, sha256)

    async def drop_snapshot(self, snapshot: str, *, by: str) -> None:
        await self._session.execute(_SQL["drop_snapshot"], snapshot, by)

    async def forget_snapshot(self, snapshot: str) -> None:
        await self._session.execute(_SQL["forget_snapshot"], snapshot)

    async def restore(self, volume: str, snapshot: str, *, by: str) -> None:
        await self._session.execute(_SQL["restore"], volume, snapshot, by)
