"""`volume.*`: what people ask of volumes. `coordinator.volume_keeper` tells the nodes.

A volume is its owner's: others see it and use it where it is
shared, and only its owner and operators change it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from bus.errors import ApiError
from bus.mounts import path_fault
from bus.refusal import quote, refusal
from bus.snapshot_policy import SnapshotPolicy, parse_policy
from bus.units import UnitError, format_size_mib
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
from coordinator.api.pools import PoolDesk, name_faults, size_of
from coordinator.api.volume_entries import volume_entry
from coordinator.core.checks import is_plain
from coordinator.core.effects import Fault
from coordinator.loop import Loop
from coordinator.pool_drivers import MakeKey
from coordinator.replies import fault_error
from coordinator.store.rows import UserRow
from coordinator.store.volumes import PoolRow, SnapshotRow, VolumeRow, VolumeStore
from coordinator.volume_keeper import VolumeKeeper
from coordinator.volumes import VolumeBook, may_have

CLASS_MAX = 100
_SNAPSHOT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class VolumeDesk:
    """The handlers. `make_key` makes the keys of encrypted pools."""

    def __init__(
        self, loop: Loop, book: VolumeBook, store: VolumeStore, keeper: VolumeKeeper, *, make_key: MakeKey
    ) -> None:
        self._loop = loop
        self._book = book
        self._store = store
        self._keeper = keeper
        pools = PoolDesk(loop, book, store, keeper, make_key=make_key)
        self._find_pool = pools.find
        self.handlers = {
            **pools.handlers,
            "volume.create": self.create,
            "volume.list": self.list,
            "volume.show": self.show,
            "volume.remove": self.remove,
            "volume.undelete": self.undelete,
            "volume.set": self.set,
            "volume.snapshot": self.snapshot,
            "volume.restore": self.restore,
            "volume.unsnapshot": self.unsnapshot,
            "volume.promote": self.promote,
        }

    async def create(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.create`: raises ApiError with all that is wrong."""
        assert isinstance(request, VolumeCreate)
        await self._loop.barrier()
        faults: list[Fault] = []
        size_mib = size_of(request.size, faults)
        faults += _volume_faults(request)
        policy = _policy(request.snapshots, faults)
        if faults:
            raise ApiError(fault_error(faults))
        pool = self._find_pool(request.pool)
        there = self._book.volume(request.name)
        if there is not None and there.deleted_at is None:
            message = f"there is a volume {request.name}"
            raise ApiError(refusal("E_NAME_CLASH", message, field="/name", got=quote(request.name)))
        source, snapshot, node = self._source(user, request, pool)
        node = self._roomiest(pool, node, size_mib)
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
        )
        await self._store.add_volume(row)
        return await self._changed(request.name)

    def _source(self, user: UserRow, request: VolumeCreate, pool: PoolRow) -> tuple[str, str, str]:
        """Volume and snapshot that it begins with, and the node that has them. Raises ApiError."""
        if not request.source:
            return "", "", request.node
        name, _, snapshot = request.source.partition("@")
        row = self._find(user, name, field="/source")
        found = self._snapshot(row, snapshot, field="/source")
        if row.pool != pool.id or request.node not in ("", row.node):
            message = f"the snapshot lies in pool {self._book.pools[row.pool].name} on {row.node}"
            raise ApiError(refusal("E_CONSTRAINT", message, field="/source", hint="make the volume there"))
        return row.id, found.id, row.node

    def _roomiest(self, pool: PoolRow, wanted: str, size_mib: int) -> str:
        """The node of the pool with most room that is there; `wanted` if it is said. Raises ApiError."""
        if wanted and wanted not in pool.nodes:
            expected = ", ".join(pool.nodes)
            raise ApiError(
                refusal("E_CONSTRAINT", "not a node of that pool", field="/node", expected=expected)
            )
        left = {
            node: pool.node_mib - self._book.given_mib(pool, node)
            for node in pool.nodes
            if wanted in ("", node) and self._usable(pool, node)
        }
        if not left:
            message = f"no node of pool {pool.name} can be used now"
            hint = f"corral pool show {pool.name}"
            raise ApiError(refusal("E_UNAVAILABLE", message, hint=hint, retry_after_s=2.0))
        node = max(left, key=lambda name: (left[name], name))
        if left[node] < size_mib:
            got = format_size_mib(size_mib)
            message = f"{node} has {format_size_mib(max(left[node], 0))} left of pool {pool.name}"
            raise ApiError(refusal("E_POOL_FULL", message, field="/size", got=got))
        self._check_copies(pool, node, size_mib)
        return node

    def _check_copies(self, pool: PoolRow, primary: str, size_mib: int) -> None:
        """Raises ApiError where not all copies would have room now."""
        roomy = [
            node
            for node in pool.nodes
            if node != primary and pool.node_mib - self._book.given_mib(pool, node) >= size_mib
        ]
        if pool.type == "replicated" and len(roomy) < pool.replicas - 1:
            beside = f"{len(roomy)} other {'node has' if len(roomy) == 1 else 'nodes have'}"
            message = f"{pool.replicas} copies are kept in pool {pool.name}, and {beside} room for one"
            raise ApiError(refusal("E_POOL_FULL", message, field="/size", got=format_size_mib(size_mib)))

    def _usable(self, pool: PoolRow, node: str) -> bool:
        found = self._book.pools_found.get((pool.id, node))
        return found is not None and not found.fault and node not in self._book.silent

    async def list(self, user: UserRow, request: Struct) -> VolumeEntries:
        """`volume.list`: those that the user may see."""
        assert isinstance(request, VolumeList)
        await self._loop.barrier()
        pool = self._find_pool(request.pool).id if request.pool else ""
        rows = [
            row
            for row in self._book.volumes.values()
            if _sees(user, row) and pool in ("", row.pool) and (row.deleted_at is None or request.deleted)
        ]
        return VolumeEntries(volumes=[volume_entry(self._book, row) for row in rows])

    async def show(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.show`."""
        assert isinstance(request, VolumeQuery)
        await self._loop.barrier()
        return volume_entry(self._book, self._find(user, request.volume))

    async def remove(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.remove`: of one's own, or by an operator."""
        assert isinstance(request, VolumeRemove)
        row = self._own(user, request.volume)
        self._check_idle(row)
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
        row = self._own(user, request.volume)
        if row.deleted_at is None:
            raise ApiError(refusal("E_CONFLICT", f"volume {row.name} is not deleted", field="/volume"))
        if not await self._store.undelete(row.id, by=user.name):
            raise ApiError(refusal("E_CONFLICT", f"volume {row.name} is going already", field="/volume"))
        return await self._changed(row.name)

    async def set(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.set`: of one's own, or by an operator."""
        assert isinstance(request, VolumeSet)
        row = self._own(user, request.volume)
        faults: list[Fault] = []
        policy = _policy(request.snapshots, faults)
        if faults:
            raise ApiError(fault_error(faults))
        next_at_s = self._keeper.next_snapshot_at(policy)
        await self._store.set_policy(row.id, request.snapshots, next_at_s, by=user.name)
        return await self._changed(row.name)

    async def snapshot(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.snapshot`: the same name twice is the same snapshot."""
        assert isinstance(request, SnapshotQuery)
        row = self._own(user, request.volume)
        if _SNAPSHOT.fullmatch(request.snapshot) is None:
            expected = "1–63 of a–z, 0–9, _, . and -, the first a letter or digit"
            got = quote(request.snapshot)
            raise ApiError(refusal("E_NAME", field="/snapshot", got=got, expected=expected))
        if all(each.name != request.snapshot for each in self._book.of_volume(row.id)):
            self._check_idle(row, writers_only=True)
            await self._store.add_snapshot(row.id, request.snapshot, by=user.name)
        return await self._changed(row.name)

    async def restore(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.restore`: what is in it now is lost."""
        assert isinstance(request, SnapshotQuery)
        row = self._own(user, request.volume)
        found = self._snapshot(row, request.snapshot, field="/snapshot")
        self._check_idle(row)
        await self._store.restore(row.id, found.id, by=user.name)
        return await self._changed(row.name)

    async def unsnapshot(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.unsnapshot`."""
        assert isinstance(request, SnapshotQuery)
        row = self._own(user, request.volume)
        found = self._snapshot(row, request.snapshot, field="/snapshot")
        await self._store.drop_snapshot(found.id, by=user.name)
        return await self._changed(row.name)

    async def promote(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.promote`: raises ApiError where its node is not lost, or nobody has a copy."""
        assert isinstance(request, VolumeQuery)
        row = self._own(user, request.volume)
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

    def _find(self, user: UserRow, name: str, *, field: str = "/volume") -> VolumeRow:
        row = self._book.volume(name)
        if row is None or not _sees(user, row):
            hint = "corral volume ls shows what there is"
            raise ApiError(refusal("E_NOT_FOUND", f"no volume {name[:80]!r}", field=field, hint=hint))
        return row

    def _own(self, user: UserRow, name: str) -> VolumeRow:
        row = self._find(user, name)
        if row.owner != user.name and user.role.rank < Role.OPERATOR.rank:
            raise ApiError(refusal("E_FORBIDDEN", f"volume {name} is {row.owner}'s", field="/volume"))
        return row

    def _snapshot(self, row: VolumeRow, name: str, *, field: str) -> SnapshotRow:
        for each in self._book.of_volume(row.id):
            if each.name == name:
                found = self._book.found_of(row)
                there = found is None or any(seen.id == each.id for seen in found.snapshots)
                if not each.ready or not there:
                    message = f"snapshot {name} is not there yet"
                    if each.ready:
                        message = f"snapshot {name} is not on {row.node}, where the volume is now"
                    raise ApiError(refusal("E_UNAVAILABLE", message, field=field, retry_after_s=2.0))
                return each
        raise ApiError(
            refusal("E_NOT_FOUND", f"volume {row.name} has no snapshot {name[:80]!r}", field=field)
        )

    def _check_idle(self, row: VolumeRow, *, writers_only: bool = False) -> None:
        """Raises ApiError (E_VOLUME_IN_USE) where tasks have it, or are about to."""
        tasks = [
            str(attempt.ref.task.whole)
            for attempt in self._loop.cluster.attempts()
            for mount in attempt.task.group.settings.volumes
            if mount.volume == row.id and not (writers_only and mount.read_only)
        ]
        if tasks:
            message = f"tasks have volume {row.name}: {', '.join(tasks[:5])}"
            raise ApiError(refusal("E_VOLUME_IN_USE", message, field="/volume"))


def _check_may_give_up(user: UserRow, request: VolumeRemove) -> None:
    """Raises ApiError."""
    if user.role.rank < Role.OPERATOR.rank:
        message = "that a node never comes back is for operators to say"
        raise ApiError(refusal("E_FORBIDDEN", message, field="/lost"))
    if not request.now:
        message = "nothing of it is given up while it can be undeleted"
        raise ApiError(refusal("E_FIELD", message, field="/lost", hint="with now: rm NAME --now --lost"))


def _sees(user: UserRow, row: VolumeRow) -> bool:
    return may_have(row, user.name) or user.role.rank >= Role.OPERATOR.rank


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
    if volume.backup:
        message = "there is no backup of volumes yet"
        yield Fault(
            code="E_UNSUPPORTED", message=message, field="/backup", hint="snapshots, or a copy: --from"
        )
    if len(volume.storage_class) > CLASS_MAX or not is_plain(volume.storage_class):
        expected = f"at most {CLASS_MAX} visible characters"
        yield Fault(
            code="E_VALUE", field="/storage_class", got=quote(volume.storage_class), expected=expected
        )
    if volume.mode == "ReadOnlyMany" and not volume.source:
        message = "nothing could ever be written into it"
        hint = "fill it when it is made: --from VOLUME@SNAPSHOT"
        yield Fault(code="E_ACCESS_MODE", message=message, field="/mode", hint=hint)
