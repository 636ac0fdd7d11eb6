"""`volume.*`: what people ask of volumes. `coordinator.volume_keeper` tells the nodes.

A volume is its owner's: others see it and use it where it is
shared, and only its owner and operators change it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from bus.errors import ApiError
from bus.mounts import path_fault
from bus.refusal import quote, refusal
from bus.snapshot_policy import SnapshotPolicy, parse_policy
from bus.units import UnitError
from bus.values import Role
from bus.volumes import (
    SnapshotQuery,
    VolumeCreate,
    VolumeEntries,
    VolumeEntry,
    VolumeList,
    VolumeQuery,
    VolumeRemove,
    VolumeSet,
)
from coordinator.api.backups import BackupDesk
from coordinator.api.pools import PoolDesk, name_faults, size_of
from coordinator.api.room import Room
from coordinator.api.volume_entries import volume_entry
from coordinator.api.volume_find import VolumeFinder, check_snapshot_name, sees
from coordinator.core.checks import is_plain
from coordinator.core.effects import Fault
from coordinator.loop import Loop
from coordinator.pool_drivers import MakeKey
from coordinator.replies import fault_error
from coordinator.store.backups import BackupStore
from coordinator.store.rows import UserRow
from coordinator.store.volumes import PoolRow, VolumeRow, VolumeStore
from coordinator.volume_backups import COPIES_MAX, check_backup_pool
from coordinator.volume_keeper import VolumeKeeper
from coordinator.volumes import VolumeBook

CLASS_MAX = 100


class VolumeDesk:
    """The handlers. `make_key` makes the keys of encrypted pools."""

    def __init__(
        self,
        loop: Loop,
        book: VolumeBook,
        store: VolumeStore,
        backups: BackupStore,
        keeper: VolumeKeeper,
        *,
        make_key: MakeKey,
    ) -> None:
        self._loop = loop
        self._book = book
        self._store = store
        self._keeper = keeper
        pools = PoolDesk(loop, book, store, keeper, make_key=make_key)
        self._find_pool = pools.find
        self._finder, self._room = VolumeFinder(loop, book), Room(book)
        self._backups = BackupDesk(loop, book, (store, backups), keeper, pools=pools, changed=self._changed)
        self.handlers = {
            **pools.handlers,
            **self._backups.handlers,
            "volume.create": self.create,
            "volume.list": self.list,
            "volume.show": self.show,
            "volume.remove": self.remove,
            "volume.undelete": self.undelete,
            "volume.set": self.set,
            "volume.snapshot": self.snapshot,
            "volume.unsnapshot": self.unsnapshot,
            "volume.promote": self.promote,
        }

    async def create(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.create`: raises ApiError with all that is wrong."""
        assert isinstance(request, VolumeCreate)
        if request.backup_pool or request.backup_copies != 1:
            request = replace(request, backup=True)
        await self._loop.barrier()
        faults: list[Fault] = []
        size_mib = size_of(request.size, faults)
        faults += _volume_faults(request)
        policy = _policy(request.snapshots, faults)
        faults += _backup_faults(request.snapshots, request.backup, request.backup_copies)
        if faults:
            raise ApiError(fault_error(faults))
        pool = self._find_pool(request.pool)
        there = self._book.volume(request.name)
        if there is not None and there.deleted_at is None:
            message = f"there is a volume {request.name}"
            raise ApiError(refusal("E_NAME_CLASH", message, field="/name", got=quote(request.name)))
        source, snapshot, node = self._source(user, request, pool, size_mib=size_mib)
        backup_pool = ""
        if request.backup:
            backup_pool = self._backup_pool(request.backup_pool, pool, node, copies=request.backup_copies)
        row = VolumeRow(
            id="",
            pool=pool.id,
            name=request.name,
            size_mib=size_mib,
            path=request.path,
            mode=request.mode,
            storage_class=request.storage_class,
            owner=user.name,
            shared=request.shared,
            node=node,
            ready=False,
            used=0,
            sha256="",
            fill_number=0,
            fill_volume=source,
            fill_snapshot=snapshot,
            removing=False,
            created_at=0.0,
            deleted_at=None,
            policy=request.snapshots,
            next_snapshot_at=self._keeper.next_snapshot_at(policy),
            backup=request.backup,
            backup_pool=backup_pool,
            backup_copies=request.backup_copies,
        )
        await self._store.add_volume(row)
        return await self._changed(request.name)

    def _source(
        self, user: UserRow, request: VolumeCreate, pool: PoolRow, *, size_mib: int
    ) -> tuple[str, str, str]:
        """Volume, and snapshot or backup, that it begins with, and the node for it. Raises ApiError."""
        if not request.source:
            return "", "", self._room.find(pool, request.node, size_mib)
        name, _, snapshot = request.source.partition("@")
        try:
            row = self._finder.find(user, name, field="/source")
            found = self._finder.snapshot(row, snapshot, field="/source")
            if row.pool != pool.id or request.node not in ("", row.node):
                message = f"the snapshot lies in pool {self._book.pools[row.pool].name} on {row.node}"
                hint = "make the volume there, or of a backup: corral volume backup"
                raise ApiError(refusal("E_CONSTRAINT", message, field="/source", hint=hint))
            return row.id, found.id, self._room.find(pool, row.node, size_mib)
        except ApiError:
            backup = self._finder.backup(user, name, snapshot)
            if backup is None:
                raise
        self._backups.check_fits(backup, size_mib)
        node = self._room.find(pool, request.node, size_mib, among=self._backups.openers(backup))
        return backup.volume, backup.id, node

    def _backup_pool(self, name: str, own: PoolRow, node: str, *, copies: int) -> str:
        """Where its backups lie. Raises ApiError."""
        pool = self._find_pool(name, "/backup_pool") if name else own
        check_backup_pool(pool, own, node, copies=copies)
        return pool.id

    async def list(self, user: UserRow, request: Struct) -> VolumeEntries:
        """`volume.list`: those that the user may see."""
        assert isinstance(request, VolumeList)
        await self._loop.barrier()
        pool = self._find_pool(request.pool).id if request.pool else ""
        rows = [
            row
            for row in self._book.volumes.values()
            if sees(user, row) and pool in ("", row.pool) and (row.deleted_at is None or request.deleted)
        ]
        return VolumeEntries(volumes=[volume_entry(self._book, row) for row in rows])

    async def show(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.show`."""
        assert isinstance(request, VolumeQuery)
        await self._loop.barrier()
        return volume_entry(self._book, self._finder.find(user, request.volume))

    async def remove(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.remove`: of one's own, or by an operator."""
        assert isinstance(request, VolumeRemove)
        row = self._finder.own(user, request.volume)
        self._finder.check_idle(row)
        if request.lost:
            _check_may_give_up(user, request)
            await self._keeper.give_up(row.id, by=user.name)
        await self._store.delete(row.id, by=user.name, now=request.now)
        told = volume_entry(self._book, row)
        await self._keeper.round()
        left = self._book.volumes.get(row.id)
        return volume_entry(self._book, left) if left is not None else told

    async def undelete(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.undelete`."""
        assert isinstance(request, VolumeQuery)
        row = self._finder.own(user, request.volume)
        if row.deleted_at is None:
            raise ApiError(refusal("E_CONFLICT", f"volume {row.name} is not deleted", field="/volume"))
        if not await self._store.undelete(row.id, by=user.name):
            raise ApiError(refusal("E_CONFLICT", f"volume {row.name} is going already", field="/volume"))
        return await self._changed(row.name)

    async def set(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.set`: of one's own, or by an operator."""
        assert isinstance(request, VolumeSet)
        row = self._finder.own(user, request.volume)
        faults: list[Fault] = []
        if request.snapshots is not None:
            policy = _policy(request.snapshots, faults)
            next_at_s = self._keeper.next_snapshot_at(policy)
            row = replace(row, policy=request.snapshots, next_snapshot_at=next_at_s)
        asked = request.backup, request.backup_pool, request.backup_copies
        if any(each is not None for each in asked):
            row = replace(row, backup=request.backup is not False)
        if request.backup_copies is not None:
            row = replace(row, backup_copies=request.backup_copies)
        faults += _backup_faults(row.policy, row.backup, row.backup_copies)
        if faults:
            raise ApiError(fault_error(faults))
        known = self._book.pools[row.backup_pool].name if row.backup_pool else ""
        wanted = known if request.backup_pool is None else request.backup_pool
        pool = self._book.pools[row.pool]
        where = ""
        if row.backup:
            where = self._backup_pool(wanted, pool, row.node, copies=row.backup_copies)
        row = replace(row, backup_pool=where)
        await self._store.set_policy(row, by=user.name)
        return await self._changed(row.name)

    async def snapshot(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.snapshot`: the same name twice is the same snapshot."""
        assert isinstance(request, SnapshotQuery)
        row = self._finder.own(user, request.volume)
        check_snapshot_name(request.snapshot)
        if all(each.name != request.snapshot for each in self._book.of_volume(row.id)):
            self._finder.check_idle(row, writers_only=True)
            await self._store.add_snapshot(row.id, request.snapshot, by=user.name)
        return await self._changed(row.name)

    async def unsnapshot(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.unsnapshot`."""
        assert isinstance(request, SnapshotQuery)
        row = self._finder.own(user, request.volume)
        found = self._finder.snapshot(row, request.snapshot, field="/snapshot")
        if any(
            each.snapshot == found.id and self._book.is_first(each) for each in self._book.backups_of(row.id)
        ):
            message = f"snapshot {found.name} is being backed up"
            raise ApiError(refusal("E_CONFLICT", message, field="/snapshot", retry_after_s=2.0))
        await self._store.drop_snapshot(found.id, by=user.name)
        return await self._changed(row.name)

    async def promote(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.promote`: raises ApiError where its node is not lost, or nobody has a copy."""
        assert isinstance(request, VolumeQuery)
        row = self._finder.own(user, request.volume)
        if not self._book.is_copied(row):
            message = f"pool {self._book.pools[row.pool].name} keeps no copies of its volumes"
            raise ApiError(refusal("E_CONFLICT", message, field="/volume"))
        await self._keeper.move(row.id, by=user.name)
        return await self._changed(row.name)

    async def _changed(self, name: str) -> VolumeEntry:
        """After the commit: its node is asked at once."""
        await self._keeper.round()
        row = self._book.volume(name)
        assert row is not None, "a volume with tasks or content goes only when its node has said so"
        return volume_entry(self._book, row)


def _check_may_give_up(user: UserRow, request: VolumeRemove) -> None:
    """Raises ApiError."""
    if user.role.rank < Role.OPERATOR.rank:
        message = "that a node never comes back is for operators to say"
        raise ApiError(refusal("E_FORBIDDEN", message, field="/lost"))
    if not request.now:
        message = "nothing of it is given up while it can be undeleted"
        raise ApiError(refusal("E_FIELD", message, field="/lost", hint="with now: rm NAME --now --lost"))


def _backup_faults(policy: str, backup: bool, copies: int) -> Iterator[Fault]:
    if not 1 <= copies <= COPIES_MAX:
        expected = f"1 to {COPIES_MAX}"
        yield Fault(code="E_RANGE", field="/backup_copies", got=str(copies), expected=expected)
    if backup and not policy:
        message = "what is backed up is what the clock has taken"
        expected = 'when, and how many are kept: "@daily keep 7"'
        yield Fault(code="E_REQUIRED", message=message, field="/snapshots", expected=expected)


def _policy(text: str, faults: list[Fault]) -> SnapshotPolicy | None:
    """Snapshots by the clock; "" is none."""
    if not text:
        return None
    try:
        return parse_policy(text)
    except UnitError as error:
        got = quote(error.got)
        faults.append(Fault(code=error.code, field="/snapshots", got=got, expected=error.expected))
        return None


def _volume_faults(volume: VolumeCreate) -> Iterator[Fault]:
    yield from name_faults(volume.name)
    why = path_fault(volume.path) if volume.path else ""
    if why:
        message = f"not a path to mount at: {why}"
        yield Fault(code="E_PATH", message=message, field="/path", got=quote(volume.path))
    if len(volume.storage_class) > CLASS_MAX or not is_plain(volume.storage_class):
        expected = f"at most {CLASS_MAX} visible characters"
        yield Fault(
            code="E_VALUE", field="/storage_class", got=quote(volume.storage_class), expected=expected
        )
    if volume.mode == "ReadOnlyMany" and not volume.source:
        message = "nothing could ever be written into it"
        hint = "fill it when it is made: --from VOLUME@SNAPSHOT"
        yield Fault(code="E_ACCESS_MODE", message=message, field="/mode", hint=hint)
