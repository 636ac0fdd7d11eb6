"""Whether learned weights may place work: they and the best static rule fill a cluster with equal arrivals.

The cost of a fill is the percentage of the GPUs that stayed unused; `gate.judge` says what is enough. The
arrivals are of the work that is to be placed, whatever work the weights were learned from: weights that do
well on one mix can collapse on another, and are caught here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gate import WINDOWS_MIN, Verdict, judge
from coordinator.core.scheduler.gpu_rules import GPU_RULES
from coordinator.core.scheduler.gpus import Floats, GpuNode, GpuPool, Request
from coordinator.sim.filling import fill
from coordinator.sim.lanes import Lanes
from coordinator.sim.openb import arrivals

ACTING = "after_state"
HEATS = 2
"""Fills after which the best static rule is known: they differ by whole percents, heats by tenths."""

UNUSED_MIN = 0.01
"""Percent: so little counts as this, for its logarithm's sake."""

ANY_OF_BEST = ("random",)
"""Rules without a fixed order among equals: the floor of a comparison, nobody's fallback."""


def gate(
    nodes: Sequence[GpuNode],
    pods: Sequence[Request],
    typical: Typical,
    weights: Floats,
    *,
    rng: np.random.Generator,
) -> Verdict:
    """Its policy is `ACTING`, or "" where the static rule has to place."""
    lanes = Lanes(nodes, pods, typical)
    courses = [list(arrivals(pods, lanes.pool.capacity, rng)) for _ in range(WINDOWS_MIN)]
    rules = [name for name in GPU_RULES if name not in ANY_OF_BEST]
    heats = {
        name: sum(_unused(nodes, course, typical, name, rng) for course in courses[:HEATS]) for name in rules
    }
    rule = min(rules, key=lambda name: heats[name])
    costs = {
        rule: [_unused(nodes, course, typical, rule, rng) for course in courses],
        ACTING: [
            max(100 - allocation, UNUSED_MIN)
            for allocation in lanes.run(courses, np.tile(weights, (len(courses), 1))).allocation.tolist()
        ],
    }
    return judge(costs, static=rules)


def _unused(
    nodes: Sequence[GpuNode],
    course: Sequence[Request],
    typical: Typical,
    rule: str,
    rng: np.random.Generator,
) -> float:
    filled = fill(GpuPool(nodes), course, GPU_RULES[rule], typical=typical, rng=rng)
    return max(100 - filled.allocation, UNUSED_MIN)
