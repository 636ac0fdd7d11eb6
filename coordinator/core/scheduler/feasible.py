"""Hard constraints. "Does not fit" is a value with reasons, and never a policy's choice."""

from __future__ import annotations

from collections.abc import Iterable

from bus.values import NodeAdmin, NodeHealth, NodeKind
from coordinator.core.model import Node, Shape


def obstacles(node: Node, shape: Shape) -> tuple[str, ...]:
    """Everything that keeps tasks of `shape` off `node` now, as short stable words; empty: feasible."""
    found: list[str] = []
    if node.health is NodeHealth.UNREACHABLE or node.overdue:
        found.append(f"health:{node.health}")
    if node.admin is not NodeAdmin.ACTIVE:
        found.append(f"admin:{node.admin}")
    found += mismatches(node, shape)
    found += (f"busy:{name}" for name in shape.resources.lacking(node.free))
    return tuple(found)


def mismatches(node: Node, shape: Shape) -> tuple[str, ...]:
    """What will not change by waiting for other tasks to end."""
    found: list[str] = []
    if node.kind is NodeKind.CONTROL:
        found.append("kind:control")
    if shape.nodes and node.name not in shape.nodes:
        found.append("node")
    found += (f"label:{key}" for key, value in shape.labels if node.labels.get(key) != value)
    if shape.tool is not None and shape.tool not in node.tools:
        found.append(f"tool:{shape.tool}")
    found += (f"capacity:{name}" for name in shape.resources.lacking(node.capacity))
    return tuple(found)


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
