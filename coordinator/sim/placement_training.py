"""Weights for placements, learned from filling the cluster with other arrivals than those it is judged by.

Each round fills lanes under weights drawn around those that act, all with the same few arrivals: what differs
is the weights' doing. Two proposals come of it, the mean of the best (cross-entropy: Rubinstein, Methodology
and Computing in Applied Probability 1999) and a step towards the weights that explain, by what was seen on
the way, what stayed unused in the end (`after_state.Learner`). The best on arrivals kept for that acts from
then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.after_state import START, Learner
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import Floats, GpuNode, Request
from coordinator.core.scheduler.node_features import CLASSES, TRAITS
from coordinator.sim.lanes import Lanes, Run
from coordinator.sim.openb import arrivals

ROUNDS, COURSES, VARIANTS, ELITE, KEPT = 8, 3, 16, 5, 6
"""A round has `COURSES` arrivals and `VARIANTS` weights, of which the best `ELITE` count; `KEPT` choose."""

NODES_MAX = 400
"""Of more, every so many in order of their kinds stand for all: what counts is the mix."""

MARKS = (0.4, 0.55, 0.7, 0.85)
SPREAD, SPREAD_MIN, TRUST = 0.5, 0.05, 0.7
TRAIT_SPREAD = 0.05
"""Classes spread by factors, the other weights by this, for each unit of spread."""

COLLAPSED = 1.25
"""Lanes where so many times as much stayed unused as in the best say nothing about those that did well."""

STEP = 0.25
"""Towards the explanation: it holds near by, not far away."""

_CLASSES, _LEARNED = len(CLASSES), len(CLASSES) + len(TRAITS)
_WEIGHT_MIN = 0.02


class Round(Struct, frozen=True, kw_only=True):
    """Mean allocation on the kept arrivals: of what acted, and of the two proposals."""

    acting: float
    elite: float
    explained: float


class Trained(Struct, frozen=True, kw_only=True):
    weights: tuple[float, ...]
    rounds: tuple[Round, ...]


def train(
    nodes: Sequence[GpuNode],
    pods: Sequence[Request],
    typical: Typical,
    *,
    rng: np.random.Generator,
    heard: Callable[[], None],
) -> Trained:
    """Weights for work like `pods`; `heard` is called after each round."""
    lanes = Lanes(some_of(nodes), pods, typical)
    kept = _courses(lanes, pods, KEPT, rng)
    learner = Learner()
    acting, spread = _point(START), np.full(_LEARNED, SPREAD)
    rounds = []
    for _ in range(ROUNDS):
        drawn = acting + spread * rng.standard_normal((VARIANTS, _LEARNED))
        drawn[0] = acting
        run = lanes.run(
            _each(_courses(lanes, pods, COURSES, rng), VARIANTS),
            np.tile(_weights(drawn), (COURSES, 1)),
            marks=MARKS,
        )
        _explain(learner, run, lanes.pool.capacity)
        means = run.allocation.reshape(COURSES, VARIANTS).mean(axis=0)
        elite = drawn[np.argsort(-means, kind="stable")[:ELITE]]
        proposals = np.array(
            [
                acting,
                acting + TRUST * (elite.mean(axis=0) - acting),
                acting + STEP * (_point(learner.weights) - acting),
            ]
        )
        tried = lanes.run(_each(kept, len(proposals)), np.tile(_weights(proposals), (KEPT, 1)))
        scores = tried.allocation.reshape(KEPT, len(proposals)).mean(axis=0).tolist()
        rounds.append(Round(acting=scores[0], elite=scores[1], explained=scores[2]))
        acting = proposals[scores.index(max(scores))]
        spread = np.maximum(spread + TRUST * (elite.std(axis=0) - spread), SPREAD_MIN)
        heard()
    return Trained(weights=tuple(_weights(acting[None])[0].tolist()), rounds=tuple(rounds))


def some_of(nodes: Sequence[GpuNode]) -> list[GpuNode]:
    """At most `NODES_MAX`, of each kind its share."""
    kinds = sorted(range(len(nodes)), key=lambda place: (nodes[place][1:], place))
    chosen = kinds[:: -(-len(nodes) // NODES_MAX)]
    return [nodes[place] for place in sorted(chosen)]


def _courses(
    lanes: Lanes, pods: Sequence[Request], number: int, rng: np.random.Generator
) -> list[list[Request]]:
    return [list(arrivals(pods, lanes.pool.capacity, rng)) for _ in range(number)]


def _each(courses: Sequence[list[Request]], times: int) -> list[list[Request]]:
    return [course for course in courses for _ in range(times)]


def _explain(learner: Learner, run: Run, capacity: int) -> None:
    """Teach what differs between lanes of the same arrivals, but for those that collapsed."""
    unused = 1 - run.allocation / 100
    good = unused <= COLLAPSED * unused.min()
    seen = run.seen / (capacity / 1000)
    for course in np.arange(len(unused)).reshape(COURSES, VARIANTS):
        lanes = course[good[course]]
        if not lanes.size:
            continue
        for features in np.moveaxis(seen[lanes] - seen[lanes].mean(axis=0), 1, 0):
            for sample, waste in zip(features, unused[lanes] - unused[lanes].mean(), strict=True):
                learner.update(sample, waste)


def _point(weights: Floats) -> Floats:
    """Where they lie in the space that is searched: equal distances are equal changes."""
    classes = np.log(np.maximum(weights[:_CLASSES], _WEIGHT_MIN))
    return np.concatenate([classes, weights[_CLASSES:_LEARNED] / TRAIT_SPREAD])


def _weights(points: Floats) -> Floats:
    found = np.tile(START, (len(points), 1))
    found[:, :_CLASSES] = np.exp(points[:, :_CLASSES])
    found[:, _CLASSES:_LEARNED] = points[:, _CLASSES:] * TRAIT_SPREAD
    return found
