"""Backups of volumes in the database. Only the leader writes them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from coordinator.store.connection import Session
from coordinator.store.volumes import VolumeRow
from sql import queries

_SQL = queries("backups")
_MIB = 1024 * 1024


class BackupRow(Struct, frozen=True, kw_only=True):
    """A copy of a backup: the sealed file `sha256` of a snapshot, in `pool` on `node` ("": no place yet).

    It is of `volume`, which may be gone; `encrypted`: with the key of `source_pool`. `size` in bytes of the
    sealed file, `used` of its content; `taken_at`: the moment that it goes back to. It should have `copies`.
    """

    id: str
    volume: str
    volume_name: str
    owner: str
    name: str
    snapshot: str
    source_pool: str
    encrypted: bool
    pool: str
    node: str = ""
    sha256: str = ""
    size: int = 0
    used: int = 0
    ready: bool = False
    dropping: bool = False
    automatic: bool = False
    copies: int = 1
    taken_at: float | None = None
    created_by: str = ""
    created_at: float = 0.0

    @property
    def size_mib(self) -> int:
        """What it takes of its pool, in MiB, rounded up."""
        return mib(self.size) if self.node else 0


def mib(size: int) -> int:
    """Bytes as MiB, rounded up."""
    return -(-size // _MIB)


class BackupStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def all(self) -> list[BackupRow]:
        """The oldest first."""
        return [msgspec.convert(dict(row), BackupRow) for row in await self._session.fetch(_SQL["backups"])]

    async def add(
        self, snapshot: str, pool: str, *, by: str, automatic: bool = False, copies: int = 1
    ) -> None:
        """Of a snapshot that there is, or that is being taken; nothing where there is one."""
        await self._session.fetchrow(_SQL["add_backup"], snapshot, pool, by, automatic, copies)

    async def copy(self, backup: str) -> None:
        """One copy more of it, which has no place yet."""
        await self._session.execute(_SQL["copy_backup"], backup)

    async def drop_copies(self, backups: Sequence[str]) -> None:
        """They are to go, where a copy is left that is ready."""
        await self._session.execute(_SQL["drop_copies"], list(backups))

    async def place(self, backup: str, node: str, *, sha256: str, size: int, used: int) -> None:
        await self._session.execute(_SQL["place_backup"], backup, node, sha256, size, used, mib(size))

    async def backed_up(self, backup: str) -> None:
        await self._session.execute(_SQL["backed_up"], backup)

    async def drop(self, backup: str, *, by: str) -> None:
        """It is to go, with all of its copies."""
        await self._session.execute(_SQL["drop_backup"], backup, by)

    async def outlive(self, backups: Sequence[str]) -> None:
        """They are to go, since newer ones replace them."""
        await self._session.execute(_SQL["outlive_backups"], list(backups))

    async def displace(self, row: BackupRow, *, left: bool) -> None:
        """It has no place any more; `left`: its node still has it, and is to let go of it one day."""
        await self._session.execute(_SQL["displace_backup"], row.id, row.size_mib, left)

    async def forget(self, backup: str) -> None:
        """One that has no place."""
        await self._session.execute(_SQL["forget_backup"], backup)

    async def rehome(
        self, row: VolumeRow, backup: BackupRow, *, node: str, pool: str, epoch: int, by: str
    ) -> bool:
        """False: another coordinator leads, it has another node by now, or the backup is going."""
        done = await self._session.fetchrow(
            _SQL["rehome"], row.id, row.node, node, pool, backup.id, epoch, by
        )
        return done is not None
