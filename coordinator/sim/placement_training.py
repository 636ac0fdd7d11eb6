"""Weights for placements, learned from filling the cluster with other arrivals than those it is judged by.

Each round fills lanes under weights drawn around those that act, all with the same few arrivals: what differs
is the weights' doing. Proposals come of it: the mean of the best (cross-entropy: Rubinstein, Methodology
and Computing in Applied Probability 1999) and steps towards the weights that explain, by what was seen on
the way, what stayed unused in the end (`after_state.Learner`). The best on arrivals kept for that acts from
then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.after_state import START, Learner
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import WHOLE, Floats, GpuNode, Request
from coordinator.sim.lanes import Lanes, Run
from coordinator.sim.openb import arrivals

ROUNDS, COURSES, VARIANTS, ELITE, KEPT = 10, 3, 24, 6, 10
"""A round has `COURSES` arrivals and `VARIANTS` weights, of which the best `ELITE` count; `KEPT` choose."""

NODES_MAX = 400
"""Of more, every so many in order of their kinds stand for all: what counts is the mix."""

MARKS = (0.4, 0.55, 0.7, 0.85)
SPREAD, SPREAD_MIN, TRUST = 0.025, 0.0025, 0.7
"""Of the weights that are drawn, as multiples of their reach; so much of it moves to that of the best."""

COLLAPSED = 1.25
"""Lanes where so many times as much stayed unused as in the best say nothing about those that did well."""

STEPS = (0.25, 0.5, 1.0)
"""Towards the explanation: it holds near by, it may not far away."""


class Round(Struct, frozen=True, kw_only=True):
    """Mean allocation on the kept arrivals: of what acted, of the best's mean, of the best step."""

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
    known: Sequence[Floats] = (),
) -> Trained:
    """Weights for work like `pods`, from the best of `known` on; `heard` is called after each round."""
    lanes = Lanes(some_of(nodes), pods, typical)
    kept = _courses(lanes, pods, KEPT, rng)
    reach = lanes.features.reach
    learner = Learner(reach, lanes.pool.capacity // WHOLE)
    acting, spread = _best(lanes, kept, [START.copy(), *known]), SPREAD * reach
    rounds = []
    for _ in range(ROUNDS):
        drawn = acting + spread * rng.standard_normal((VARIANTS, len(START)))
        drawn[0] = acting
        run = lanes.run(
            _each(_courses(lanes, pods, COURSES, rng), VARIANTS),
            np.tile(drawn, (COURSES, 1)),
            marks=MARKS,
        )
        _explain(learner, run, lanes.pool.capacity)
        means = run.allocation.reshape(COURSES, VARIANTS).mean(axis=0)
        elite = drawn[np.argsort(-means, kind="stable")[:ELITE]]
        proposals = np.array(
            [
                acting,
                acting + TRUST * (elite.mean(axis=0) - acting),
                *(acting + step * (learner.weights - acting) for step in STEPS),
            ]
        )
        tried = lanes.run(_each(kept, len(proposals)), np.tile(proposals, (KEPT, 1)))
        scores = tried.allocation.reshape(KEPT, len(proposals)).mean(axis=0).tolist()
        rounds.append(Round(acting=scores[0], elite=scores[1], explained=max(scores[2:])))
        acting = proposals[scores.index(max(scores))]
        spread = np.maximum(spread + TRUST * (elite.std(axis=0) - spread), SPREAD_MIN * reach)
        heard()
    return Trained(weights=tuple(acting.tolist()), rounds=tuple(rounds))


def _best(lanes: Lanes, kept: list[list[Request]], weights: Sequence[Floats]) -> Floats:
    """Those that do best on the kept arrivals."""
    if len(weights) == 1:
        return weights[0]
    tried = lanes.run(_each(kept, len(weights)), np.tile(np.array(weights), (len(kept), 1)))
    return weights[int(tried.allocation.reshape(len(kept), -1).mean(axis=0).argmax())]


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
    seen = run.seen / (capacity / WHOLE)
    for course in np.arange(len(unused)).reshape(COURSES, VARIANTS):
        lanes = course[good[course]]
        if not lanes.size:
            continue
        for features in np.moveaxis(seen[lanes] - seen[lanes].mean(axis=0), 1, 0):
            for sample, waste in zip(features, unused[lanes] - unused[lanes].mean(), strict=True):
                learner.update(sample, waste)
