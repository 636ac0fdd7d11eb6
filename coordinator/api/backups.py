"""Backups as people ask for them: taken, listed, restored, also of volumes that are lost or gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime

from msgspec import Struct

from bus.errors import ApiError
from bus.refusal import refusal
from bus.units import format_size_mib
from bus.volumes import (
    Backup,
    BackupCreate,
    BackupEntries,
    BackupList,
    SnapshotQuery,
    VolumeEntry,
    VolumeRehome,
)
from coordinator.api.pools import PoolDesk
from coordinator.api.room import Room
from coordinator.api.volume_entries import backup_entry
from coordinator.api.volume_find import VolumeFinder, check_snapshot_name, is_theirs
from coordinator.loop import Loop
from coordinator.store.backups import BackupRow, BackupStore, mib
from coordinator.store.rows import UserRow
from coordinator.store.volumes import VolumeStore
from coordinator.volume_backups import COPIES_MAX, check_backup_pool
from coordinator.volume_keeper import VolumeKeeper
from coordinator.volumes import VolumeBook

Changed = Callable[[str], Awaitable[VolumeEntry]]
"""After the commit: the volume, once its node was asked."""


class BackupDesk:
    """The handlers."""

    def __init__(
        self,
        loop: Loop,
        book: VolumeBook,
        stores: tuple[VolumeStore, BackupStore],
        keeper: VolumeKeeper,
        *,
        pools: PoolDesk,
        changed: Changed,
    ) -> None:
        self._loop = loop
        self._book = book
        self._store, self._backups = stores
        self._keeper = keeper
        self._pools = pools
        self._changed = changed
        self._finder = VolumeFinder(loop, book)
        self._room = Room(book)
        self.handlers = {
            "volume.restore": self.restore,
            "volume.rehome": self.rehome,
            "volume.backup": self.create,
            "volume.backups": self.list,
            "volume.unbackup": self.remove,
        }

    async def create(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.backup`: the same name twice is the same backup."""
        assert isinstance(request, BackupCreate)
        row = self._finder.own(user, request.volume)
        name = request.snapshot or f"backup-{datetime.fromtimestamp(self._keeper.now_s, UTC):%Y%m%d-%H%M%S}"
        check_snapshot_name(name)
        own = self._book.pools[row.pool]
        pool = self._book.pools[row.backup_pool] if row.backup_pool else own
        if request.pool:
            pool = self._pools.find(request.pool)
        copies = request.copies or row.backup_copies
        if not 1 <= copies <= COPIES_MAX:
            expected = f"1 to {COPIES_MAX}"
            raise ApiError(refusal("E_RANGE", field="/copies", got=str(copies), expected=expected))
        check_backup_pool(pool, own, row.node, copies=copies, field="/copies")
        if row.deleted_at is not None:
            raise ApiError(refusal("E_CONFLICT", f"volume {row.name} is deleted", field="/volume"))
        if all(each.name != name for each in self._book.of_volume(row.id)):
            self._finder.check_idle(row, writers_only=True)
            await self._store.add_snapshot(row.id, name, by=user.name)
            await self._keeper.read()
        snapshot = next(each for each in self._book.of_volume(row.id) if each.name == name)
        await self._backups.add(snapshot.id, pool.id, by=user.name, copies=copies)
        return await self._changed(row.name)

    async def list(self, user: UserRow, request: Struct) -> BackupEntries:
        """`volume.backups`: one's own; of operators all."""
        assert isinstance(request, BackupList)
        await self._loop.barrier()
        rows = [
            row
            for row in self._book.backups.values()
            if not row.dropping and is_theirs(user, row) and request.volume in ("", row.volume_name)
        ]
        return BackupEntries(backups=[backup_entry(self._book, row) for row in rows])

    async def remove(self, user: UserRow, request: Struct) -> Backup:
        """`volume.unbackup`: what it was. All copies go."""
        assert isinstance(request, SnapshotQuery)
        rows = [
            row
            for row in self._book.backups.values()
            if (row.volume_name, row.name) == (request.volume, request.snapshot)
            if is_theirs(user, row) and not row.dropping
        ]
        if not rows:
            message = f"no backup {request.snapshot[:80]!r} of a volume {request.volume[:80]!r}"
            hint = "corral volume backups shows what there is"
            raise ApiError(refusal("E_NOT_FOUND", message, field="/snapshot", hint=hint))
        row = rows[-1]
        copies = {row.id, *(each.id for each in self._book.copies_of(row))}
        if any(each.fill_snapshot in copies and not each.ready for each in self._book.volumes.values()):
            message = f"a volume is being filled with backup {row.name}"
            raise ApiError(refusal("E_CONFLICT", message, field="/snapshot", retry_after_s=2.0))
        told = backup_entry(self._book, row)
        await self._backups.drop(row.id, by=user.name)
        await self._keeper.round()
        return told

    async def restore(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.restore`: what is in it now is lost."""
        assert isinstance(request, SnapshotQuery)
        row = self._finder.own(user, request.volume)
        backup = self._finder.backup(user, row.name, request.snapshot)
        self._finder.check_idle(row)
        try:
            source = self._finder.snapshot(row, request.snapshot, field="/snapshot").id
        except ApiError:
            if backup is None:
                raise
            self.check_fits(backup, row.size_mib)
            if backup.encrypted and row.node not in self._book.pools[backup.source_pool].nodes:
                raise self._keyless(backup) from None
            source = backup.id
        await self._store.restore(row.id, source, by=user.name)
        return await self._changed(row.name)

    async def rehome(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.rehome`: raises ApiError where its node is not lost."""
        assert isinstance(request, VolumeRehome)
        row = self._finder.own(user, request.volume)
        backup = self._finder.backup(user, row.name, request.backup)
        self._finder.check_idle(row)
        if backup is None:
            message = f"volume {row.name} has no backup {request.backup[:80]!r}"
            hint = "corral volume backups shows what there is"
            raise ApiError(refusal("E_NOT_FOUND", message, field="/backup", hint=hint))
        if not self._keeper.is_lost(row.node):
            hint = f"a new volume: corral volume create NAME --from {row.name}@{backup.name}"
            message = f"its node {row.node} is not lost"
            raise ApiError(refusal("E_CONFLICT", message, field="/node", hint=hint))
        if self._book.is_copied(row):
            message = "it has copies on other nodes, and one of them takes over"
            hint = f"corral volume promote {row.name}, then restore it there"
            raise ApiError(refusal("E_CONFLICT", message, field="/node", hint=hint))
        pool = self._pools.find(request.pool) if request.pool else self._book.pools[row.pool]
        self.check_fits(backup, row.size_mib)
        node = self._room.find(pool, request.node, row.size_mib, among=self.openers(backup))
        if (row.id, node) in self._book.leftovers:
            message = f"{node} still has what it had of volume {row.name} before"
            raise ApiError(refusal("E_CONFLICT", message, field="/node", retry_after_s=2.0))
        await self._keeper.rehome(row.id, backup, node=node, pool=pool.id, by=user.name)
        return await self._changed(row.name)

    def openers(self, backup: BackupRow) -> Collection[str] | None:
        """Nodes that have the key of an encrypted backup; None: it needs none."""
        return self._book.pools[backup.source_pool].nodes if backup.encrypted else None

    def check_fits(self, backup: BackupRow, size_mib: int) -> None:
        """Raises ApiError where a volume of that size is too small for it."""
        if mib(backup.used) > size_mib:
            held = format_size_mib(mib(backup.used))
            message = f"backup {backup.name} holds {held}"
            got, expected = format_size_mib(size_mib), f"{held} or more"
            raise ApiError(refusal("E_RANGE", message, field="/size", got=got, expected=expected))

    def _keyless(self, backup: BackupRow) -> ApiError:
        nodes = ", ".join(self._book.pools[backup.source_pool].nodes)
        message = f"the backup is sealed with a key that {nodes} have"
        return ApiError(refusal("E_CONSTRAINT", message, field="/snapshot", hint="make a new volume there"))
