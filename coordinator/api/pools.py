"""`pool.*`: the folders that operators give on nodes, for volumes to lie in."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bus.errors import ApiError, Error
from bus.mounts import VOLUME_NAME, path_fault
from bus.refusal import quote, refusal
from bus.units import UnitError, parse_size_mib
from bus.values import NodeName
from bus.volumes import PoolCreate, PoolEntries, PoolEntry, PoolQuery
from coordinator.api.volume_entries import pool_entry
from coordinator.core.effects import Fault
from coordinator.loop import Loop
from coordinator.pool_drivers import OWN, MakeKey, driver_of
from coordinator.replies import fault_error
from coordinator.store.rows import UserRow
from coordinator.store.volumes import PoolRow, VolumeStore
from coordinator.volume_keeper import VolumeKeeper
from coordinator.volumes import VolumeBook

TYPES = ("local", "replicated", "distributed", "erasure_coded")
TIERS = ("nvme", "ssd", "standard", "cold")
SIZE_MAX_MIB = 1 << 40


class PoolDesk:
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
        }

    async def create_pool(self, user: UserRow, request: Struct) -> PoolEntry:
        """`pool.create`: raises ApiError with all that is wrong, and with what a node says against it."""
        assert isinstance(request, PoolCreate)
        await self._loop.barrier()
        faults: list[Fault] = []
        size_mib = size_of(request.size, faults)
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
        await self._keeper.leave(pool, by=by)

    async def pools(self, user: UserRow, request: Struct) -> PoolEntries:
        """`pool.list`."""
        await self._loop.barrier()
        return PoolEntries(pools=[pool_entry(self._book, row) for row in self._book.pools.values()])

    async def pool(self, user: UserRow, request: Struct) -> PoolEntry:
        """`pool.show`."""
        assert isinstance(request, PoolQuery)
        return pool_entry(self._book, self.find(request.pool))

    async def remove_pool(self, user: UserRow, request: Struct) -> PoolEntry:
        """`pool.remove`: what it was."""
        assert isinstance(request, PoolQuery)
        pool = self.find(request.pool)
        left = sorted({row.name for row in self._book.volumes.values() if row.pool == pool.id})
        if left:
            message = f"pool {pool.name} has volumes: {', '.join(left[:5])}"
            hint = "corral volume rm NAME --now; deleted ones count until they are gone"
            raise ApiError(refusal("E_CONFLICT", message, field="/pool", hint=hint))
        self._check_backups(pool)
        announcers = self._keeper.announcers(pool.name)
        if announcers:
            message = f"{', '.join(announcers[:5])} announce pool {pool.name}"
            hint = "take it out of agent.pools there, and start those agents anew"
            raise ApiError(refusal("E_CONFLICT", message, field="/pool", hint=hint))
        told = pool_entry(self._book, pool)
        await self._drop_pool(pool, by=user.name)
        return told

    def _check_backups(self, pool: PoolRow) -> None:
        """Raises ApiError where backups need it: they lie in it, are to, or are sealed with its key."""
        rows = self._book.backups.values()
        needing = {f"backup {row.volume_name}@{row.name}" for row in rows if row.pool == pool.id}
        needing |= {
            f"the key of backup {row.volume_name}@{row.name}"
            for row in rows
            if row.encrypted and row.source_pool == pool.id
        }
        needing |= {
            f"backups of volume {row.name}"
            for row in self._book.volumes.values()
            if row.backup_pool == pool.id
        }
        if needing:
            some = ", ".join(sorted(needing)[:3])
            hint = "corral volume unbackup VOLUME BACKUP; corral volume set VOLUME --no-backup"
            message = f"pool {pool.name} is needed for {some}"
            raise ApiError(refusal("E_CONFLICT", message, field="/pool", hint=hint))

    def find(self, name: str, field: str = "/pool") -> PoolRow:
        """Raises ApiError (E_NOT_FOUND)."""
        pool = self._book.pool(name)
        if pool is None:
            known = ", ".join(row.name for row in list(self._book.pools.values())[:5])
            hint = f"there are: {known}" if known else "an operator makes one: corral pool create"
            raise ApiError(refusal("E_NOT_FOUND", f"no pool {name[:80]!r}", field=field, hint=hint))
        return pool

    def _pool_faults(self, pool: PoolCreate) -> Iterator[Fault]:
        yield from name_faults(pool.name)
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


def size_of(size: int | str, faults: list[Fault]) -> int:
    """In MiB; what cannot be one is a fault."""
    try:
        found = parse_size_mib(size)
    except UnitError as error:
        faults.append(Fault(code=error.code, field="/size", got=quote(error.got), expected=error.expected))
        return 0
    if not 1 <= found <= SIZE_MAX_MIB:
        faults.append(Fault(code="E_RANGE", field="/size", got=quote(size), expected="1 MiB to 1 EiB"))
    return found


def name_faults(name: str) -> Iterator[Fault]:
    """What is wrong with the name of a pool or volume."""
    if VOLUME_NAME.fullmatch(name) is None:
        expected = "1–63 of a–z, 0–9, _ and -, the first a letter or digit"
        yield Fault(code="E_NAME", field="/name", got=quote(name), expected=expected)
