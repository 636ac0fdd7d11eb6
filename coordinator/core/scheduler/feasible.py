"""Hard constraints. "Does not fit" is a value with reasons, and never a policy's choice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bus.values import NodeAdmin, NodeHealth, NodeKind
from coordinator.core.model import Node, Shape


def obstacles(node: Node, shape: Shape) -> tuple[str, ...]:
    """Everything that keeps tasks of `shape` off `node` now, as short stable words; empty: feasible."""
    busy = (f"busy:{name}" for name in shape.resources.lacking(node.free))
    return (*closed(node), *mismatches(node, shape), *busy)


def closed(node: Node) -> tuple[str, ...]:
    """What keeps every task off it now."""
    found: list[str] = []
    if node.health is NodeHealth.UNREACHABLE or node.overdue:
        found.append(f"health:{node.health}")
    if node.admin is not NodeAdmin.ACTIVE:
        found.append(f"admin:{node.admin}")
    return tuple(found)


def mismatches(node: Node, shape: Shape) -> tuple[str, ...]:
    """What will not change by waiting for other tasks to end."""
    name = ("node",) if shape.nodes and node.name not in shape.nodes else ()
    capacity = (f"capacity:{name}" for name in shape.resources.lacking(node.capacity))
    return (*name, *traits_of(node).mismatches(shape), *capacity)


class Traits(NamedTuple):
    """What many nodes have in common."""

    kind: NodeKind
    labels: frozenset[tuple[str, str]]
    tools: tuple[str, ...]

    def mismatches(self, shape: Shape) -> list[str]:
        """What keeps `shape` off all of them."""
        found = ["kind:control"] if self.kind is NodeKind.CONTROL else []
        found += (f"label:{label[0]}" for label in shape.labels if label not in self.labels)
        if shape.tool is not None and shape.tool not in self.tools:
            found.append(f"tool:{shape.tool}")
        return found


def traits_of(node: Node) -> Traits:
    return Traits(node.kind, frozenset(node.labels.items()), node.tools)


def never_fits(nodes: Iterable[Node], shape: Shape) -> str | None:
    """Why no registered node, up or down, could ever hold `shape`; None if one could, or there is none.

    Names the node that comes nearest: the one with the fewest mismatches.
    """
    nearest: tuple[int, str, tuple[str, ...]] | None = None
    for node in nodes:
        found = mismatches(node, shape)
        if not found:
            return None
        candidate = (len(found), node.name, found)
        if nearest is None or candidate < nearest:
            nearest = candidate
    if nearest is None:
        return None
    return f"no node could ever hold it; nearest is {nearest[1]}: {', '.join(nearest[2])}"
