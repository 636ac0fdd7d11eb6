"""Tasks assigned ahead of a free place, where all places are taken.

A node gets as many as it gets through in `prefill_s` at its own pace: a queue of short tasks never waits for
a round trip, a queue of long ones is never committed early.

    pace(t) = pace(t₀) · exp(−(t − t₀) / τ),   + 1/τ for each end
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from typing import NamedTuple

from bus.values import NodeName
from coordinator.core.model import Cluster, Node, Shape
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.feasible import closed, gpus_wanted, mismatches
from coordinator.core.scheduler.order import static_order

_PACE_TAU_S = 0.5


class Ahead(NamedTuple):
    """The next task of `shape` is to wait on `node`."""

    shape: Shape
    node: Node
    explanation: Explanation


def prefill(
    cluster: Cluster, blocked: list[Shape], kept: Container[NodeName], *, now_s: float
) -> Iterator[Ahead]:
    """Which tasks of the blocked shapes to assign ahead; nowhere where anything is `kept` for somebody."""
    nodes = [
        node
        for node in cluster.nodes.values()
        if node.ends_per_s
        and prefill_room(cluster, node, now_s=now_s) > 0
        and node.takes_work
        and not closed(node)
        and node.name not in kept
    ]
    for shape in blocked:
        line = cluster.lines.get(shape)
        if line is None or gpus_wanted(shape) or shape.wishes is not None or shape.gang or shape.claims:
            continue  # which GPUs it gets is decided when they are free, and so is where it would rather be
        for node in nodes:
            if mismatches(node, shape):
                continue
            room = prefill_room(cluster, node, now_s=now_s)
            explanation = Explanation(
                order=static_order(cluster), rank="prefill", pace_per_s=round(pace(node, now_s), 1)
            )
            while room > 0 and line.head() is not None:
                yield Ahead(shape, node, explanation)
                room -= 1


def prefill_room(cluster: Cluster, node: Node, *, now_s: float) -> int:
    """How many more tasks may wait on `node` ahead of a free place."""
    limits = cluster.limits
    return min(limits.prefill_max, int(pace(node, now_s) * limits.prefill_s)) - node.waiting


def pace(node: Node, now_s: float) -> float:
    """Attempts that end on `node` per second: an exponentially decayed rate."""
    return node.ends_per_s * math.exp(-max(now_s - node.ends_s, 0.0) / _PACE_TAU_S)


def note_ends(node: Node, ends: int, now_s: float) -> None:
    """Count `ends` attempts that have just ended towards the node's pace."""
    node.ends_per_s = pace(node, now_s) + ends / _PACE_TAU_S
    node.ends_s = now_s
