"""Pools, volumes and snapshots in the database. Only the leader writes them."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bus.mounts import AccessMode
from bus.volumes import PoolCreate
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
    """`fill_number` counts the times that it was to be filled with `fill_snapshot` of `fill_volume`."""

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


class SnapshotRow(Struct, frozen=True, kw_only=True):
    id: str
    volume: str
    name: str
    ready: bool
    size: int
    dropping: bool
    created_by: str
    created_at: float


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

    async def found(self, volume: str, *, ready: bool, used: int, sha256: str) -> None:
        await self._session.execute(_SQL["found_volume"], volume, ready, used, sha256)

    async def add_snapshot(self, volume: str, name: str, *, by: str) -> None:
        await self._session.execute(_SQL["add_snapshot"], volume, name, by)

    async def found_snapshot(self, snapshot: str, *, size: int) -> None:
        await self._session.execute(_SQL["found_snapshot"], snapshot, size)

    async def drop_snapshot(self, snapshot: str, *, by: str) -> None:
        await self._session.execute(_SQL["drop_snapshot"], snapshot, by)

    async def forget_snapshot(self, snapshot: str) -> None:
        await self._session.execute(_SQL["forget_snapshot"], snapshot)

    async def restore(self, volume: str, snapshot: str, *, by: str) -> None:
        await self._session.execute(_SQL["restore"], volume, snapshot, by)
