"""Which node, by what was learned: `after_state` on the cluster itself, while the gate lets it act.

    score(n) = −Q(task, n) in GPUs, the smallest first; with ε any that is at most MARGIN worse

Weights act that won paired fills of this cluster's nodes with its newest requests (`places`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bus.values import Resources
from coordinator.core.model import Cluster, Node, Shape
from coordinator.core.scheduler.after_state import AfterState
from coordinator.core.scheduler.feasible import gpus_of
from coordinator.core.scheduler.gpus import WHOLE, GpuPool
from coordinator.core.scheduler.live_gpus import request_of
from coordinator.core.scheduler.node_features import NAMES
from coordinator.core.scheduler.places import read
from coordinator.core.scheduler.policies import Mode
from coordinator.core.scheduler.pool import Pool

LEARNED = "learned"
"""The rank."""

_FALLBACK = "best_fit"
"""Where nothing passed the gate."""

LOOK_S = 60.0
"""Between two looks at what all nodes are like."""


def acting(cluster: Cluster) -> AfterState | None:
    """What ranks nodes now, if it is learned."""
    if cluster.rank != LEARNED or cluster.mode is not Mode.ON or not cluster.planner.weights:
        return None
    return read(cluster.planner.weights)


def static_rank(cluster: Cluster) -> str:
    """The rule that ranks where nothing learned does."""
    return _FALLBACK if cluster.rank == LEARNED else cluster.rank


def rank_in_force(cluster: Cluster) -> str:
    """What ranks nodes now."""
    return static_rank(cluster) if acting(cluster) is None else LEARNED


def epsilon(cluster: Cluster) -> float:
    """The share of placements that may be explored where learned values rank nodes."""
    return 0.0 if cluster.deterministic else cluster.planner.epsilon


class _Known(NamedTuple):
    """As long as the node's ledger is this object, it is as it was."""

    ledger: Resources
    taken: dict[str, int]
    score: float
    gpu: int


class Values:
    """−Q of nodes for one shape, as a rank; nodes are asked all at once, and again when they have changed."""

    def __init__(self, rule: AfterState, pool: Pool, shape: Shape) -> None:
        self._rule = rule
        self._pool = pool
        self._shape = shape
        self._request = request_of(shape.resources)
        self._known: dict[int, _Known] = {}
        self._look(np.flatnonzero(pool.fits(shape)).tolist())

    def __call__(self, node: Node, request: Resources) -> float:
        return self._of(node).score

    def gpus(self, node: Node) -> tuple[str, ...]:
        """Of which GPU it gets its share there; empty: it wants none, or not such a one."""
        if not self._request.shares:
            return ()
        place = self._of(node).gpu
        uuid = node.offered_gpus[place].uuid
        is_its_own = self._shape.gpu_uuid in ("", uuid)
        return (uuid,) if is_its_own and gpus_of(node)[place].suits(self._shape) else ()

    def features(self, node: Node) -> dict[str, float]:
        """What its score is the sum of, but for the steps of Q; nothing where there is no room any more."""
        row = self._pool.row(node.name)
        assert row is not None, "it has a score"
        parts = self._rule.gains(self._pool.live, self._request, np.array([row])).parts
        summed = zip(NAMES, (-parts).sum(axis=0).tolist(), strict=True)
        return {name: round(part, 4) for name, part in summed if part}

    def _of(self, node: Node) -> _Known:
        row = self._pool.row(node.name)
        assert row is not None, "only nodes of the pool are ranked"
        found = self._known.get(row)
        if found is None or found.ledger is not node.allocated or found.taken is not node.gpu_taken:
            self._pool.refresh(node)
            self._look([row])
        return self._known[row]

    def _look(self, rows: list[int]) -> None:
        if not rows:
            return
        found = self._rule.gains(self._pool.live, self._request, np.array(rows))
        for row, score, gpu in zip(rows, (-found.score).tolist(), found.gpu.tolist(), strict=True):
            node = self._pool.nodes[row]
            self._known[row] = _Known(node.allocated, node.gpu_taken, score, gpu)


def seen(rule: AfterState, pool: GpuPool) -> tuple[tuple[float, ...], float]:
    """Σ φ over the nodes as a share of the GPUs, and the share of them that is free."""
    features, capacity = rule.features, max(pool.capacity, 1)
    phi = features.of(features.sums(pool.gpus), pool.cpu, pool.memory, pool.whole).sum(axis=0)
    free = int(pool.free_gpu(np.arange(len(pool.nodes))).sum())
    return tuple((phi * WHOLE / capacity).tolist()), free / capacity
