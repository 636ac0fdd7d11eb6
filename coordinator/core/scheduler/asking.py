"""What a job says of itself, as the planner wants to hear it.

    nodes = ⌈UNITS · maxᵣ requestᵣ / Σ capacityᵣ⌉     (the dominant share: Ghodsi et al., NSDI'11)

The planner's machine is one pool of `UNITS`. A task takes its dominant share of what all nodes that could
ever hold it have together: one that may run on few nodes fills more of the pool than one of its size that may
run anywhere. How requests lie on single nodes is not in that model; the round's reservations know it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from bus.values import NodeKind, Resources
from coordinator.core.model import Cluster, Group, Node, Shape
from coordinator.core.scheduler.feasible import other_gpu, traits_of
from coordinator.core.scheduler.live_gpus import request_of
from coordinator.core.scheduler.planner import Asked

UNITS = 1_000_000
"""Of the whole pool: one core of 80,000 is still a dozen."""

UNSAID_S = 3600.5
"""The walltime of who gave none, to the predictor; it promises nothing, and nobody says just that."""

SIZES_MAX = 4_096
"""Shapes of which it is remembered at once how large they are."""

TASKS_MAX = 8
"""Of one group that the planner takes note of: an array of a million is no million users' habits."""


class Size(NamedTuple):
    """What a task takes, as in `Asked`, and what the nodes that could ever hold it have together."""

    width: int
    nodes: int
    total: Resources


def note_arrival(cluster: Cluster, group: Group, *, now_s: float, tasks: int = TASKS_MAX) -> None:
    """The tasks of `group`, or so many of them, come into line for the first time."""
    asked = asked_of(cluster, group, at_s=now_s)
    request = request_of(group.settings.resources)
    wanted = (request.cpu_millis, request.mem_mib, request.gpus, request.milli)
    for _ in range(min(group.count, tasks, TASKS_MAX)):
        cluster.planner.note_arrival(asked, wanted)


def asked_of(cluster: Cluster, group: Group, *, at_s: float) -> Asked:
    """One task of `group` that came into line at `at_s`."""
    timeout_s = group.settings.timeout_s
    width, nodes, _ = size_of(cluster, group.shape)
    return Asked(at_s, group.job.owner, width, nodes, UNSAID_S if timeout_s is None else timeout_s)


def width_of(request: Resources) -> int:
    """Processors: cores begun, or GPUs where those are more; at least one."""
    return max(-(-request.cpu_millis // 1000), request.gpus, 1)


def units(request: Resources, total: Resources) -> int:
    """The dominant share of `request` in `total`, at least one unit and at most all."""
    share = 0.0
    for wanted, has in (
        (request.cpu_millis, total.cpu_millis),
        (request.mem_mib, total.mem_mib),
        (request.gpu_millis, total.gpu_millis),
        (request.storage_mib, total.storage_mib),
        (request.net_mbps, total.net_mbps),
    ):
        if wanted:
            share = max(share, wanted / has if has else 1.0)
    return min(max(math.ceil(share * UNITS), 1), UNITS)


def size_of(cluster: Cluster, shape: Shape) -> Size:
    """Of a task of `shape`; looked up once until a node registers."""
    found = cluster.sizes.get(shape)
    if found is None:
        if len(cluster.sizes) >= SIZES_MAX:
            cluster.sizes.clear()
        able = (node.declared for node in cluster.nodes.values() if _could_hold(node, shape))
        ranks = 1 if shape.gang is None else shape.gang.size
        request, total = sum([shape.resources] * ranks, Resources()), sum(able, Resources())
        found = cluster.sizes[shape] = Size(width_of(request), units(request, total), total)
    return found


def _could_hold(node: Node, shape: Shape) -> bool:
    """As `feasible.mismatches`, by what the node declared: what it is over-committed by is nobody's share."""
    return (
        node.kind is not NodeKind.CONTROL
        and (not shape.nodes or node.name in shape.nodes)
        and shape.resources.fits(node.declared)
        and not traits_of(node).mismatches(shape)
        and not other_gpu(node, shape)
    )
