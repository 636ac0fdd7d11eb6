"""The table of base rules, learned on replayed windows: ε-greedy decisions, told afterwards what they cost.

    r_k = −(W(t_k+1) − W(t_k)),   W(t) = Σ over jobs of (seconds waited until t) / max(run, 10 s)

t_k is when decision k was made. A window is learned from its end to its beginning, so that one passage
carries what came of a decision back to all that led to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coordinator.core.scheduler.planner import Asked, Begun
from coordinator.core.scheduler.policies import POLICIES, TABLE, Policy
from coordinator.core.scheduler.qlearning import QTable
from coordinator.sim.orders import ByPlanner
from coordinator.sim.replay import BOUND_S, Machine, replay
from coordinator.sim.swf import TraceJob

EPSILONS = (0.5, 0.3, 0.1)
"""How often a rule is tried at random, passage by passage."""


class Exploring(ByPlanner):
    """Goes by the table's rule or by any; `decisions`: when, in which state, and which."""

    def __init__(
        self, jobs: Sequence[TraceJob], table: QTable, *, epsilon: float, rng: np.random.Generator
    ) -> None:
        super().__init__(jobs, POLICIES[f"predicted {TABLE}"], backfill=False, seed=0, table=table)
        self._explored, self._epsilon = rng, epsilon
        self.decisions: list[tuple[float, str, str]] = []

    def policy(self, machine: Machine, waiting: Sequence[Asked], running: Sequence[Begun]) -> Policy:
        state = self.planner.state(waiting, running, free=machine.free)
        rule = self.planner.table.explore(state, epsilon=self._epsilon, rng=self._explored)
        self.decisions.append((machine.now_s, state, rule))
        return POLICIES[f"predicted {rule}"]


def learn(
    table: QTable,
    windows: Sequence[Sequence[TraceJob]],
    nodes: int,
    *,
    backfill: bool,
    rng: np.random.Generator,
) -> None:
    """All windows once for each of `EPSILONS`."""
    for epsilon in EPSILONS:
        for jobs in windows:
            order = Exploring(jobs, table, epsilon=epsilon, rng=rng)
            started_s = replay(jobs, nodes, order, backfill=backfill)
            paid = weighted_waiting([at_s for at_s, _, _ in order.decisions], jobs, started_s)
            after = None
            for place in reversed(range(len(order.decisions))):
                _, state, rule = order.decisions[place]
                table.update(state, rule, reward=float(paid[place] - paid[place + 1]), after=after)
                after = state


def weighted_waiting(
    at_s: Sequence[float], jobs: Sequence[TraceJob], started_s: Sequence[float]
) -> NDArray[np.float64]:
    """W at each of `at_s`, and in the end."""
    submitted = np.array([job.submitted_s for job in jobs], dtype=float)
    weights = np.array([1.0 / max(job.run_s, BOUND_S) for job in jobs])
    moments = np.array([*at_s, math.inf])[:, None]
    return np.asarray((np.clip(moments, submitted, np.array(started_s)) - submitted) @ weights)
