"""Static ranks: which feasible node. Smaller scores first; ties by node name.

Scores compare what would be left free after the placement, each resource as a share of the node's
capacity, summed over the resources that the node has.

- `best_fit`: the node with the least left over, so that large gaps stay whole.
- `worst_fit`: the node with the most left over, so that load spreads.
- `first_fit`: by name.
"""

from __future__ import annotations

from collections.abc import Callable

from bus.values import Resources
from coordinator.core.model import Node

Score = Callable[[Node, Resources], float]


def left_over(node: Node, request: Resources) -> dict[str, float]:
    """What `best_fit` adds up: the share of each resource of `node` that would be free after `request`."""
    free, capacity = node.free, node.capacity
    pairs = (
        ("cpu", free.cpu_millis - request.cpu_millis, capacity.cpu_millis),
        ("memory", free.mem_mib - request.mem_mib, capacity.mem_mib),
        ("gpus", free.gpu_millis - request.gpu_millis, capacity.gpu_millis),
        ("storage", free.storage_mib - request.storage_mib, capacity.storage_mib),
        ("net", free.net_mbps - request.net_mbps, capacity.net_mbps),
    )
    return {name: round(left / has, 4) for name, left, has in pairs if has}


def best_fit(node: Node, request: Resources) -> float:
    """Σ (free − request) / capacity."""
    free, capacity = node.free, node.capacity
    left = (free.cpu_millis - request.cpu_millis) / max(capacity.cpu_millis, 1)
    left += (free.mem_mib - request.mem_mib) / max(capacity.mem_mib, 1)
    if capacity.gpus:
        left += (free.gpu_millis - request.gpu_millis) / capacity.gpu_millis
    if capacity.storage_mib:
        left += (free.storage_mib - request.storage_mib) / capacity.storage_mib
    if capacity.net_mbps:
        left += (free.net_mbps - request.net_mbps) / capacity.net_mbps
    return left


def worst_fit(node: Node, request: Resources) -> float:
    """The opposite of `best_fit`."""
    return -best_fit(node, request)


def first_fit(node: Node, request: Resources) -> float:
    """No preference: the name decides."""
    return 0.0


RANKS: dict[str, Score] = {"best_fit": best_fit, "worst_fit": worst_fit, "first_fit": first_fit}
