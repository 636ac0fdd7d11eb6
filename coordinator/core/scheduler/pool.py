"""All nodes as arrays: where tasks of a shape fit is answered for the whole pool at once.

`feasible` says the same of one node, with the words; tests/unit/coordinator/test_pool.py holds them together.
Rows are nodes in the cluster's order, columns the five resources in the order of `RESOURCES`, GPUs in
thousandths. Which GPUs are free matters too: a table of them is made for the first shape that asks for any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bus.values import GPU_MILLI, NodeHealth, NodeName, Resources
from coordinator.core.model import Cluster, Node, Shape
from coordinator.core.scheduler import live_gpus
from coordinator.core.scheduler.feasible import (
    LEFT_OUT,
    NAMED,
    NAMED_OUT,
    Traits,
    avoided,
    closed,
    find_gpus,
    gpu_mismatch,
    gpus_wanted,
    traits_of,
)
from coordinator.core.scheduler.gpus import GpuPool

Mask = NDArray[np.bool_]
_Known = TypeVar("_Known")

RESOURCES = ("cpu_millis", "mem_mib", "gpus", "storage_mib", "net_mbps")

MATCHED_MAX = 1_024
"""Shapes of which it is remembered where they could run, and where they fitted last."""


def pool_of(cluster: Cluster) -> Pool:
    """The pool of the round before, brought up to date; or a new one, where more than books has changed."""
    nodes = cluster.nodes.values()
    if cluster.pool is None or not cluster.pool.update(nodes):
        cluster.pool = Pool(nodes)
    return cluster.pool


class Pool:
    """What the nodes have free, as of now; `refresh` a node after it got something."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = tuple(nodes)
        self._rows = {node.name: row for row, node in enumerate(self.nodes)}
        self._lasting = [_lasting(node) for node in self.nodes]
        self._given = [(node.allocated, node.gpu_taken) for node in self.nodes]
        self._free = _table([node.free for node in self.nodes])
        self._capacity = _table([node.capacity for node in self.nodes])
        closed_for = [closed(node) for node in self.nodes]
        self._open = np.array([not reasons for reasons in closed_for], dtype=np.bool_)
        self._closed = Counter(reason for reasons in closed_for for reason in reasons)
        known: dict[Traits, int] = {}
        self._trait = np.array(
            [known.setdefault(traits_of(node), len(known)) for node in self.nodes], dtype=np.intp
        )
        self._traits = tuple(known)
        self._holders = np.bincount(self._trait, minlength=len(known))
        self._gpus: _Gpus | None = None
        self._live: GpuPool | None = None
        self._matched: dict[Shape, Mask] = {}
        self._changes = 0  # of what is free: what was said of a shape holds until the next
        self._fitting: dict[Shape, tuple[int, Mask]] = {}
        self._in_the_way: dict[Shape, tuple[int, dict[str, int]]] = {}
        self._takes_work = self._open & np.array(
            [node.health is NodeHealth.HEALTHY for node in self.nodes], dtype=np.bool_
        )

    def refresh(self, node: Node) -> None:
        """Its free resources have changed."""
        row = self._rows[node.name]
        self._changes += 1
        self._given[row] = node.allocated, node.gpu_taken
        self._free[row] = amounts(node.free)
        if self._gpus is not None:
            self._gpus.refresh(row, node)
        if self._live is not None:
            live_gpus.refresh(self._live, row, node)

    def update(self, nodes: Collection[Node]) -> bool:
        """Look only at those whose books have changed; False: more than that has.

        Amounts are replaced and never changed, so what is the same object is the same amount.
        """
        if len(nodes) != len(self.nodes):
            return False
        changed = []
        for node, before, lasting, given in zip(nodes, self.nodes, self._lasting, self._given, strict=True):
            if node is not before or _lasting(node) != lasting:
                return False
            if node.allocated is not given[0] or node.gpu_taken is not given[1]:
                changed.append(node)
        for node in changed:
            self.refresh(node)
        return True

    @property
    def free(self) -> NDArray[np.int64]:
        """What each node has free; to be looked at only."""
        return self._free

    @property
    def live(self) -> GpuPool:
        """The same as learned placements see it; to be looked at only."""
        if self._live is None:
            self._live = live_gpus.live_pool(self.nodes)
        return self._live

    def rows(self, names: Collection[NodeName]) -> Mask:
        """Those of these names; who is not known has none."""
        found = np.zeros(len(self.nodes), dtype=np.bool_)
        found[[row for name in names if (row := self._rows.get(name)) is not None]] = True
        return found

    def row(self, name: NodeName) -> int | None:
        return self._rows.get(name)

    def able(self, shape: Shape) -> Mask:
        """Where work is taken, and `shape` is kept off by nothing but tasks that will end."""
        return self._matches(shape) & self._takes_work

    def fits(self, shape: Shape) -> Mask:
        """Where a task of `shape` could start now; not to be changed."""
        known = self._fitting.get(shape)
        if known is not None and known[0] == self._changes:
            return known[1]
        found: Mask = self._matches(shape) & self._open & (self._free >= amounts(shape.resources)).all(axis=1)
        if gpus_wanted(shape):
            found &= self._gpus_of(shape).fits(shape)
        if shape.gpu_uuid:
            found &= self._named_free(shape)
        if not _avoids(shape):
            _remember(self._fitting, shape, (self._changes, found))
        return found

    def obstacles(self, shape: Shape) -> dict[str, int]:
        """Reason -> number of the nodes on which it keeps `shape` off now; not to be changed."""
        known = self._in_the_way.get(shape)
        if known is not None and known[0] == self._changes:
            return known[1]
        found = self._count_obstacles(shape)
        if not _avoids(shape):
            _remember(self._in_the_way, shape, (self._changes, found))
        return found

    def _count_obstacles(self, shape: Shape) -> dict[str, int]:
        counts = Counter(self._closed)
        for traits, holders in zip(self._traits, self._holders.tolist(), strict=True):
            for reason in traits.mismatches(shape):
                counts[reason] += holders
        if _avoids(shape):
            counts.update(reason for node in self.nodes for reason in avoided(node, shape))
        if shape.nodes:
            counts["node"] = len(self.nodes) - len(self._rows.keys() & set(shape.nodes))
        if shape.without:
            counts[LEFT_OUT] = len(self._rows.keys() & set(shape.without))
        if shape.gpu_uuid:
            there, held = (len(rows.get(shape.gpu_uuid, ())) for rows in self._by_uuid.values())
            counts[NAMED_OUT], counts[NAMED] = held, len(self.nodes) - there - held
        request = np.array(amounts(shape.resources))
        short = self._free < request
        if gpus_wanted(shape):  # enough of them may be free, and lie in no useful pieces
            gpus = self._gpus_of(shape)
            fits = gpus.fits(shape)
            if shape.gpu_uuid:
                fits = self._named_free(shape) | ~self._named(shape)
            short[:, 2] |= ~gpus.mismatch(shape) & ~fits
        beyond = self._capacity < request
        out = [traits.lacks_only_quarantined(shape) for traits in self._traits]
        beyond[:, 2] &= ~np.array(out, dtype=np.bool_)[self._trait]  # said already, by a better word
        for word, lacks in (("capacity", beyond), ("busy", short)):
            lacking = lacks.sum(axis=0).tolist()
            counts.update({f"{word}:{name}": n for name, n in zip(RESOURCES, lacking, strict=True)})
        return {reason: number for reason, number in counts.items() if number}

    def _matches(self, shape: Shape) -> Mask:
        """Where no trait, name, capacity or avoided job speaks against it; not to be changed."""
        found = self._matched.get(shape)
        if found is None:
            found = self._suited(shape)
            _remember(self._matched, shape, found)
        if not _avoids(shape):
            return found
        return found & np.array([not avoided(node, shape) for node in self.nodes], dtype=np.bool_)

    def _suited(self, shape: Shape) -> Mask:
        """Where it could run, whoever else is there: that stays as long as this pool does."""
        by_trait = np.array([not traits.mismatches(shape) for traits in self._traits], dtype=np.bool_)
        found: Mask = by_trait[self._trait] & (self._capacity >= amounts(shape.resources)).all(axis=1)
        if shape.gpu_uuid:
            found &= self._named(shape)
        if shape.without:
            found &= ~self.rows(shape.without)
        if not shape.nodes:
            return found
        rows = [row for name in set(shape.nodes) if (row := self._rows.get(NodeName(name))) is not None]
        named = np.zeros_like(found)
        named[rows] = True
        return found & named

    def roomiest(self, shape: Shape, among: Mask) -> Node | None:
        """The node among these on which `shape` would leave the largest shares free; by name where equal."""
        rows = np.flatnonzero(among)
        if not rows.size:
            return None
        left = self.left_over(shape.resources)[rows]
        best: list[int] = rows[left == left.max()].tolist()
        return min((self.nodes[row] for row in best), key=lambda node: node.name)

    def left_over(self, request: Resources) -> NDArray[np.float64]:
        """Σ (free − request) / capacity, as `rank.best_fit` adds it up; shape (nodes,)."""
        shares = (self._free - np.array(amounts(request))) / np.maximum(self._capacity, 1)
        shares[:, 2:][self._capacity[:, 2:] == 0] = 0.0
        total: NDArray[np.float64] = shares[:, 0]
        for column in range(1, shares.shape[1]):
            total = total + shares[:, column]
        return total

    def _named(self, shape: Shape) -> Mask:
        """Where the GPU is that `shape` names, and is given to tasks."""
        found = np.zeros(len(self.nodes), dtype=np.bool_)
        found[self._by_uuid[""].get(shape.gpu_uuid, [])] = True
        return found

    def _named_free(self, shape: Shape) -> Mask:
        """Where as much of it is free as `shape` wants."""
        free = self._named(shape)
        free[[row for row in np.flatnonzero(free) if find_gpus(self.nodes[row], shape) is None]] = False
        return free

    @cached_property
    def _by_uuid(self) -> dict[str, dict[str, list[int]]]:
        """The rows of the nodes that have each GPU: "" of those given out, NAMED_OUT of those in quarantine.

        Looked up once: a job that names its GPU would else have every GPU looked at in each step of a round.
        """
        found: dict[str, dict[str, list[int]]] = {"": {}, NAMED_OUT: {}}
        for row, node in enumerate(self.nodes):
            for gpu in node.offered_gpus:
                found[""].setdefault(gpu.uuid, []).append(row)
            for gpu in node.withheld_gpus:
                found[NAMED_OUT].setdefault(gpu.uuid, []).append(row)
        return found

    def _gpus_of(self, shape: Shape) -> _Gpus:
        if self._gpus is None:
            self._gpus = _Gpus(self.nodes, self._trait, self._traits)
        return self._gpus


class _Gpus:
    """What is free of each GPU of each node: shape (nodes, most GPUs), 0 where a node has fewer."""

    def __init__(self, nodes: tuple[Node, ...], trait: NDArray[np.intp], traits: tuple[Traits, ...]) -> None:
        width = max((len(each.gpus) for each in traits), default=0)
        self._trait, self._traits = trait, traits
        self._free = np.zeros((len(nodes), width), dtype=np.int64)
        for row, node in enumerate(nodes):
            self.refresh(row, node)

    def refresh(self, row: int, node: Node) -> None:
        gpus = node.offered_gpus
        self._free[row, : len(gpus)] = [node.free_milli(gpu.uuid) for gpu in gpus]

    def mismatch(self, shape: Shape) -> Mask:
        """Where too few of them would ever do."""
        by_trait = [bool(gpu_mismatch(each.gpus, shape)) for each in self._traits]
        return np.array(by_trait, dtype=np.bool_)[self._trait]

    def fits(self, shape: Shape) -> Mask:
        """Where enough of those that do are free; see `feasible.find_gpus`."""
        suits = np.zeros((len(self._traits), self._free.shape[1]), dtype=np.bool_)
        for row, traits in enumerate(self._traits):
            suits[row, : len(traits.gpus)] = [gpu.suits(shape) for gpu in traits.gpus]
        able = (self._free >= (shape.resources.gpu_milli or GPU_MILLI)) & suits[self._trait]
        found: Mask = able.sum(axis=1) >= gpus_wanted(shape)
        return found


def _lasting(node: Node) -> tuple[object, ...]:
    """What makes a node another one to a pool; to compare it is cheap where all are the same objects."""
    return (
        node.capacity,
        node.declared,
        node.health,
        node.admin,
        node.overdue,
        node.declined,
        node.kind,
        node.labels,
        node.tools,
        node.version,
        node.roles,
        node.capabilities,
        node.volumes,
        node.inventory,
        node.quarantines,
    )


def _avoids(shape: Shape) -> bool:
    """Whether it matters to it who is on a node: that changes without the books, too."""
    return bool(shape.claims) or (shape.wishes is not None and bool(shape.wishes.never))


def _remember(known: dict[Shape, _Known], shape: Shape, found: _Known) -> None:
    if len(known) >= MATCHED_MAX:
        known.clear()
    known[shape] = found


def amounts(of: Resources) -> tuple[int, int, int, int, int]:
    """In the order of the columns."""
    return of.cpu_millis, of.mem_mib, of.gpu_millis, of.storage_mib, of.net_mbps


def _table(rows: list[Resources]) -> NDArray[np.int64]:
    return np.array([amounts(each) for each in rows], dtype=np.int64).reshape(-1, len(RESOURCES))
