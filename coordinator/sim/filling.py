"""A cluster filled until it overflows, as FGD is evaluated (Weng et al., ATC'23): nothing ever ends.

What is measured is the share of all GPUs that is given away when requests for 130 % of them have come. Scores
are kept for each kind of request and made anew only for nodes that changed: one placement changes one node.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpu_rules import GpuRule
from coordinator.core.scheduler.gpus import Floats, GpuPool, Ints, Request


class Scores(Struct):
    """Of one kind of request on every node, as of the first `seen` placements."""

    score: Floats
    gpu: Ints
    seen: int = 0


class Filled(Struct, frozen=True):
    """`allocation`: percent of the cluster's GPUs."""

    allocation: float
    placed: int
    refused: int


def fill(
    pool: GpuPool,
    requests: Iterable[Request],
    rule: GpuRule,
    *,
    typical: Typical,
    rng: np.random.Generator,
    epsilon: float = 0.0,
) -> Filled:
    """Place one after the other where the score is highest: on the first such node, or with ε on any."""
    known: dict[Request, Scores] = {}
    changed: list[int] = []
    given = refused = 0
    for request in requests:
        scores = known.get(request)
        if scores is None:
            scores = known[request] = Scores(
                np.full(len(pool.nodes), -np.inf), np.zeros(len(pool.nodes), dtype=np.int64)
            )
            stale = np.arange(len(pool.nodes))
        else:
            stale = np.unique(np.array(changed[scores.seen :], dtype=np.int64))
        scores.seen = len(changed)
        _update(scores, pool, request, rule, stale, typical=typical, rng=rng)
        if scores.score.max() == -np.inf:
            refused += 1
            continue
        best = _chosen(scores.score, epsilon=epsilon, rng=rng)
        pool.take(request, best, int(scores.gpu[best]))
        changed.append(best)
        given += request.total_milli
    return Filled(given / pool.capacity * 100, len(changed), refused)


def _chosen(scores: Floats, *, epsilon: float, rng: np.random.Generator) -> int:
    """`rng` is not asked at ε = 0."""
    best = int(scores.argmax())
    if epsilon <= 0 or rng.random() >= epsilon:
        return best
    return int(rng.choice(np.flatnonzero(scores == scores[best])))


def _update(
    scores: Scores,
    pool: GpuPool,
    request: Request,
    rule: GpuRule,
    stale: Ints,
    *,
    typical: Typical,
    rng: np.random.Generator,
) -> None:
    scores.score[stale] = -np.inf
    rows = stale[pool.fits(request, stale)]
    if rows.size:
        scores.score[rows], scores.gpu[rows] = rule(pool, request, rows, typical=typical, rng=rng)
