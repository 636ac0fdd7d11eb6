"""`pool.*` and `volume.*`: what people ask of pools and volumes. `coordinator.volume_keeper` tells the nodes.

Pools are the operators' (`bus.volumes`). A volume is its owner's: others see it and use it where it is
shared, and only its owner and operators change it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from bus.api import Error
from bus.errors import ApiError
from bus.mounts import VOLUME_NAME, path_fault
from bus.refusal import quote, refusal
from bus.units import UnitError, format_size_mib, parse_size_mib
from bus.values import NodeName, Role
from bus.volumes import (
    PoolCreate,
    PoolEntries,
    PoolEntry,
    PoolQuery,
    SnapshotQuery,
    VolumeCreate,
    VolumeEntries,
    VolumeEntry,
    VolumeList,
    VolumeQuery,
    VolumeRemove,
)
from coordinator.api.volume_entries import pool_entry, volume_entry
from coordinator.core.checks import is_plain
from coordinator.core.effects import Fault
from coordinator.loop import Loop
from coordinator.pool_drivers import OWN, MakeKey, driver_of
from coordinator.replies import fault_error
from coordinator.store.rows import UserRow
from coordinator.store.volumes import PoolRow, SnapshotRow, VolumeRow, VolumeStore
from coordinator.volume_keeper import VolumeKeeper
from coordinator.volumes import VolumeBook, may_have

TYPES = ("local", "replicated", "distributed", "erasure_coded")
TIERS = ("nvme", "ssd", "standard", "cold")
CLASS_MAX = 100
SIZE_MAX_MIB = 1 << 40
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
        self._make_key = make_key
        self.handlers = {
            "pool.create": self.create_pool,
            "pool.list": self.pools,
            "pool.show": self.pool,
            "pool.remove": self.remove_pool,
            "volume.create": self.create,
            "volume.list": self.list,
            "volume.show": self.show,
            "volume.remove": self.remove,
            "volume.undelete": self.undelete,
            "volume.snapshot": self.snapshot,
            "volume.restore": self.restore,
            "volume.unsnapshot": self.unsnapshot,
            "volume.promote": self.promote,
        }

    # pools

    async def create_pool(self, user: UserRow, request: Struct) -> PoolEntry:
        """`pool.create`: raises ApiError with all that is wrong, and with what a node says against it."""
        assert isinstance(request, PoolCreate)
        await self._loop.barrier()
        faults: list[Fault] = []
        size_mib = _size(request.size, faults)
        faults += self._pool_faults(request)
        if faults:
            raise ApiError(fault_error(faults))
        if self._book.pool(request.name) is not None:
            message = f"there is a pool {request.name}"
            raise ApiError(refusal("E_NAME_CLASH", message, field="/name", got=quote(request.name)))
        identity = await self._store.add_pool(request, size_mib=size_mib, by=user.name)
        if request.encrypt:
            self._book.keys[identity] = self._make_key()
        try:
            await self._keeper.round()
            await self._keeper.read()
            pool = self._book.pools[identity]
            problem = self._problem(pool)
            if problem is not None:
                await self._drop_pool(pool, by=user.name)
                raise ApiError(problem)
        finally:
            self._book.keys.pop(identity, None)
        return pool_entry(self._book, pool)

    def _problem(self, pool: PoolRow) -> Error | None:
        for node in pool.nodes:
            found = self._book.pools_found.get((pool.id, node))
            if node in self._book.silent or found is None:
                return refusal("E_UNAVAILABLE", f"node {node} does not answer", field="/nodes", got=node)
            if found.fault:
                code, _, message = found.fault.partition(": ")
                known = code if code.startswith("E_") else "E_PATH"
                hint = f"name an empty folder of {node}, or one that its agent can make"
                text = f"node {node}: {message or code}"
                hint = hint if known == "E_PATH" else ""
                return refusal(known, text, field="/path", got=quote(pool.path), hint=hint)
        return None

    async def _drop_pool(self, pool: PoolRow, *, by: str) -> None:
        await self._store.remove_pool(pool.id, by=by)
        self._book.dropped[pool.id] = pool
        await self._keeper.read()
        for node in pool.nodes:
            await self._keeper.ask(node)

    async def pools(self, user: UserRow, request: Struct) -> PoolEntries:
        """`pool.list`."""
        await self._loop.barrier()
        return PoolEntries(pools=[pool_entry(self._book, row) for row in self._book.pools.values()])

    async def pool(self, user: UserRow, request: Struct) -> PoolEntry:
        """`pool.show`."""
        assert isinstance(request, PoolQuery)
        return pool_entry(self._book, self._find_pool(request.pool))

    async def remove_pool(self, user: UserRow, request: Struct) -> PoolEntry:
        """`pool.remove`: what it was."""
        assert isinstance(request, PoolQuery)
        pool = self._find_pool(request.pool)
        left = sorted({row.name for row in self._book.volumes.values() if row.pool == pool.id})
        if left:
            message = f"pool {pool.name} has volumes: {', '.join(left[:5])}"
            hint = "corral volume rm NAME --now; deleted ones count until they are gone"
            raise ApiError(refusal("E_CONFLICT", message, field="/pool", hint=hint))
        told = pool_entry(self._book, pool)
        await self._drop_pool(pool, by=user.name)
        return told

    def _find_pool(self, name: str, field: str = "/pool") -> PoolRow:
        pool = self._book.pool(name)
        if pool is None:
            known = ", ".join(row.name for row in list(self._book.pools.values())[:5])
            hint = f"there are: {known}" if known else "an operator makes one: corral pool create"
            raise ApiError(refusal("E_NOT_FOUND", f"no pool {name[:80]!r}", field=field, hint=hint))
        return pool

    def _pool_faults(self, pool: PoolCreate) -> Iterator[Fault]:
        yield from _name_faults(pool.name)
        if pool.type not in TYPES:
            got, expected = quote(pool.type), f"one of {', '.join(TYPES)}"
            yield Fault(code="E_ENUM", field="/type", got=got, expected=expected)
        elif pool.type not in OWN:
            driver = driver_of(pool.type)
            fault = f"no driver for pools of type {pool.type}" if driver is None else driver.fault(pool)
            if fault:
                yield Fault(code="E_UNSUPPORTED", message=fault, field="/type", got=pool.type)
        if pool.tier not in TIERS:
            expected = f"one of {', '.join(TIERS)}"
            yield Fault(code="E_ENUM", field="/tier", got=quote(pool.tier), expected=expected)
        if not pool.nodes:
            yield Fault(code="E_REQUIRED", field="/nodes", expected="the nodes that have the folder")
        for name in dict.fromkeys(pool.nodes):
            if NodeName(name) not in self._loop.cluster.nodes:
                got = quote(name)
                yield Fault(code="E_NOT_FOUND", message="no such node", field="/nodes", got=got, status=404)
        why = path_fault(pool.path)
        if why:
            message = f"not a path for a pool: {why}"
            yield Fault(code="E_PATH", message=message, field="/path", got=quote(pool.path))
        if pool.type == "replicated" and len(set(pool.nodes)) == 1:
            message = "each volume of a replicated pool lies on two nodes at least"
            got = quote(pool.nodes[0])
            yield Fault(code="E_RANGE", message=message, field="/nodes", got=got, expected="2 nodes or more")
        elif not 1 <= pool.replicas <= max(len(set(pool.nodes)), 1):
            expected = f"1 to {max(len(set(pool.nodes)), 1)}, the pool's nodes"
            yield Fault(code="E_RANGE", field="/replicas", got=quote(pool.replicas), expected=expected)
        elif pool.replicas > 1 and pool.type == "local":
            hint = "leave it out, or --type replicated"
            yield Fault(code="E_FIELD", message="a local pool has one copy", field="/replicas", hint=hint)
        elif pool.replicas < 2 and pool.type == "replicated":
            message = "each volume of it lies on two nodes at least"
            expected = f"2 to {len(set(pool.nodes))}, the pool's nodes"
            got = quote(pool.replicas)
            yield Fault(code="E_RANGE", message=message, field="/replicas", got=got, expected=expected)

    # volumes

    async def create(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.create`: raises ApiError with all that is wrong."""
        assert isinstance(request, VolumeCreate)
        await self._loop.barrier()
        faults: list[Fault] = []
        size_mib = _size(request.size, faults)
        faults += _volume_faults(request)
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
        await self._store.delete(row.id, by=user.name, now=request.now)
        return await self._changed(row.name)

    async def undelete(self, user: UserRow, request: Struct) -> VolumeEntry:
        """`volume.undelete`."""
        assert isinstance(request, VolumeQuery)
        row = self._own(user, request.volume)
        if row.deleted_at is None:
            raise ApiError(refusal("E_CONFLICT", f"volume {row.name} is not deleted", field="/volume"))
        if not await self._store.undelete(row.id, by=user.name):
            raise ApiError(refusal("E_CONFLICT", f"volume {row.name} is going already", field="/volume"))
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


def _sees(user: UserRow, row: VolumeRow) -> bool:
    return may_have(row, user.name) or user.role.rank >= Role.OPERATOR.rank


def _size(size: int | str, faults: list[Fault]) -> int:
    """In MiB; what cannot be one is a fault."""
    try:
        found = parse_size_mib(size)
    except UnitError as error:
        faults.append(Fault(code=error.code, field="/size", got=quote(error.got), expected=error.expected))
        return 0
    if not 1 <= found <= SIZE_MAX_MIB:
        faults.append(Fault(code="E_RANGE", field="/size", got=quote(size), expected="1 MiB to 1 EiB"))
    return found


def _name_faults(name: str) -> Iterator[Fault]:
    if VOLUME_NAME.fullmatch(name) is None:
        expected = "1–63 of a–z, 0–9, _ and -, the first a letter or digit"
        yield Fault(code="E_NAME", field="/name", got=quote(name), expected=expected)


def _volume_faults(volume: VolumeCreate) -> Iterator[Fault]:
    yield from _name_faults(volume.name)
    why = path_fault(volume.path) if volume.path else ""
    if why:
        message = f"not a path to mount at: {why}"
        yield Fault(code="E_PATH", message=message, field="/path", got=quote(volume.path))
    if volume.backup:
        message = "there is no backup of volumes yet"
        yield Fault(
            code="E_UNSUPPORTED", message=message, field="/backup", hint="snapshots, or a copy: --from"
        )
    if volume.snapshots:
        message = "snapshots are not taken by themselves yet"
        hint = "a schedule that calls corral volume snapshot"
        yield Fault(code="E_UNSUPPORTED", message=message, field="/snapshots", hint=hint)
    if len(volume.storage_class) > CLASS_MAX or not is_plain(volume.storage_class):
        expected = f"at most {CLASS_MAX} visible characters"
        yield Fault(
            code="E_VALUE", field="/storage_class", got=quote(volume.storage_class), expected=expected
        )
    if volume.mode == "ReadOnlyMany" and not volume.source:
        message = "nothing could ever be written into it"
        hint = "fill it when it is made: --from VOLUME@SNAPSHOT"
        yield Fault(code="E_ACCESS_MODE", message=message, field="/mode", hint=hint)
