"""All nodes as arrays: where tasks of a shape fit is answered for the whole pool at once.

`feasible` says the same of one node, with the words; tests/unit/coordinator/test_pool.py holds them together.
Rows are nodes in the cluster's order, columns the five resources in the order of `Resources`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from bus.values import NodeHealth, NodeName, Resources
from coordinator.core.model import Node, Shape
from coordinator.core.scheduler.feasible import Traits, closed, traits_of

Mask = NDArray[np.bool_]


class Pool:
    """What the nodes have free, as of now; `refresh` a node after it got something."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = tuple(nodes)
        self._rows = {node.name: row for row, node in enumerate(self.nodes)}
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
        self._takes_work = self._open & np.array(
            [node.health is NodeHealth.HEALTHY for node in self.nodes], dtype=np.bool_
        )

    def refresh(self, node: Node) -> None:
        """Its free resources have changed."""
        self._free[self._rows[node.name]] = astuple(node.free)

    def row(self, name: NodeName) -> int | None:
        return self._rows.get(name)

    def able(self, shape: Shape) -> Mask:
        """Where work is taken, and `shape` is kept off by nothing but tasks that will end."""
        return self._matches(shape) & self._takes_work

    def fits(self, shape: Shape) -> Mask:
        """Where a task of `shape` could start now."""
        return self._matches(shape) & self._open & (self._free >= astuple(shape.resources)).all(axis=1)

    def obstacles(self, shape: Shape) -> dict[str, int]:
        """Reason -> number of the nodes on which it keeps `shape` off now."""
        counts = Counter(self._closed)
        for traits, holders in zip(self._traits, self._holders.tolist(), strict=True):
            for reason in traits.mismatches(shape):
                counts[reason] += holders
        if shape.nodes:
            counts["node"] = len(self.nodes) - len(self._rows.keys() & set(shape.nodes))
        request = np.array(astuple(shape.resources))
        for word, table in (("capacity", self._capacity), ("busy", self._free)):
            short = (table < request).sum(axis=0).tolist()
            counts.update(
                {f"{word}:{name}": n for name, n in zip(Resources.__struct_fields__, short, strict=True)}
            )
        return {reason: number for reason, number in counts.items() if number}

    def _matches(self, shape: Shape) -> Mask:
        """Where no trait, name or capacity speaks against it."""
        by_trait = np.array([not traits.mismatches(shape) for traits in self._traits], dtype=np.bool_)
        found: Mask = by_trait[self._trait] & (self._capacity >= astuple(shape.resources)).all(axis=1)
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
        shares = (self._free - np.array(astuple(request))) / np.maximum(self._capacity, 1)
        shares[:, 2:][self._capacity[:, 2:] == 0] = 0.0
        total: NDArray[np.float64] = shares[:, 0]
        for column in range(1, shares.shape[1]):
            total = total + shares[:, column]
        return total


def _table(amounts: list[Resources]) -> NDArray[np.int64]:
    columns = len(Resources.__struct_fields__)
    return np.array([astuple(each) for each in amounts], dtype=np.int64).reshape(-1, columns)
