"""Makes pools of what agents announce: a node that declares one in its configuration becomes a part of it.

The first node that announces a name makes the pool, others that say the same of it join; a replicated one is
made once so many announce it as its volumes lie on. Pools that operators made take no node by themselves.
What does not agree is told once, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bus.declared_pools import PoolDeclared
from bus.mounts import VOLUME_NAME, path_fault
from bus.units import counted, format_size_mib
from bus.values import NodeHealth, NodeName
from bus.volumes import PoolCreate
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.loop import Loop
from coordinator.store.volumes import PoolRow, VolumeStore
from coordinator.volumes import VolumeBook

BY_NODE = "node:"
"""Who made a pool that was announced: no user has such a name."""

TIERS = ("nvme", "ssd", "standard", "cold")
_SIZE_MAX_MIB = 1 << 40
_REPLICAS_MAX = 100


class AnnouncedPools:
    """`look` in each round, after the book was read."""

    def __init__(
        self,
        book: VolumeBook,
        store: VolumeStore,
        loop: Loop,
        clock: Clock,
        *,
        record: Callable[[Sequence[Record]], object],
    ) -> None:
        self._book = book
        self._store = store
        self._loop = loop
        self._clock = clock
        self._record = record
        self._told: dict[tuple[str, str], str] = {}  # what does not agree, by node and pool

    def any(self) -> bool:
        """Whether any node announces one."""
        return next(self._said(), None) is not None

    def of(self, pool: str) -> list[str]:
        """Nodes that announce it."""
        return sorted(node for node, each in self._said() if each.name == pool)

    async def look(self) -> bool:
        """Whether anything changed in the database. Raises StoreUnavailable, Disagreement."""
        for node, each in list(self._said()):
            pool = self._book.pool(each.name)
            fault = _fault(each) or (_difference(pool, each, node) if pool is not None else "")
            if fault:
                self._tell(node, each, fault)
                continue
            nodes = [node] if pool is not None else self._alike(each)
            if pool is None and len(nodes) < each.replicas:
                more = counted(each.replicas - len(nodes), "more node")
                self._tell(node, each, f"waits for {more} to announce it", kind="pool_waits")
                continue
            self._told.pop((node, each.name), None)
            if pool is None:
                asked = PoolCreate(
                    name=each.name,
                    type="replicated" if each.replicas > 1 else "local",
                    nodes=nodes[: each.replicas],
                    path=each.path,
                    size=each.size_mib,
                    tier=each.tier,
                    compress=each.compress,
                    encrypt=each.encrypt,
                    replicas=each.replicas,
                )
                await self._store.add_pool(asked, size_mib=each.size_mib, by=f"{BY_NODE}{node}")
                return True  # who else announces it joins in the next round
            if node not in pool.nodes:
                await self._store.join_pool(pool.id, node, by=f"{BY_NODE}{node}")
                return True
        return False

    def _alike(self, pool: PoolDeclared) -> list[str]:
        """Nodes that say the same of it, the one that is asked about among them."""
        return sorted(node for node, each in self._said() if each == pool)

    def _said(self) -> Iterator[tuple[str, PoolDeclared]]:
        for node in self._loop.cluster.nodes.values():
            if node.health is not NodeHealth.UNREACHABLE:
                for each in node.inventory.pools:
                    yield str(node.name), each

    def _tell(self, node: str, pool: PoolDeclared, fault: str, *, kind: str = "pool_refused") -> None:
        if self._told.get((node, pool.name)) == fault:
            return
        self._told[node, pool.name] = fault
        event = EventRecord(
            at=self._clock.now_s(),
            event_type=kind,
            severity="warning" if kind == "pool_refused" else "info",
            message=f"pool {pool.name[:80]!r} that {node} announces "
            + (f"is none: {fault}" if kind == "pool_refused" else fault),
            node=NodeName(node),
            details={"pool": pool.name[:80]},
        )
        self._record([event])


def _fault(pool: PoolDeclared) -> str:
    if VOLUME_NAME.fullmatch(pool.name) is None:
        return "its name is not 1–63 of a–z, 0–9, _ and -"
    if why := path_fault(pool.path):
        return f"not a path for a pool: {why}"
    if pool.tier not in TIERS:
        return f"its tier is none of {', '.join(TIERS)}"
    if not 1 <= pool.size_mib <= _SIZE_MAX_MIB:
        return "its size is not 1 MiB to 1 EiB"
    if not 1 <= pool.replicas <= _REPLICAS_MAX:
        return f"its volumes are to lie on 1 to {_REPLICAS_MAX} nodes"
    return ""


def _difference(pool: PoolRow, said: PoolDeclared, node: str) -> str:
    if not pool.created_by.startswith(BY_NODE):
        if node in pool.nodes:
            return ""  # an operator has named it there already
        return f"{pool.created_by} made a pool of that name, which takes no node by itself"
    for what, known, here in (
        ("path", pool.path, said.path),
        ("size", format_size_mib(pool.node_mib), format_size_mib(said.size_mib)),
        ("tier", pool.tier, said.tier),
        ("compression", _is_on(pool.compress), _is_on(said.compress)),
        ("encryption", _is_on(pool.encrypt), _is_on(said.encrypt)),
        ("number of replicas", str(pool.replicas), str(said.replicas)),
    ):
        if known != here:
            return f"its {what} is {known} elsewhere, and {here} here"
    return ""


def _is_on(flag: bool) -> str:
    return "on" if flag else "off"
