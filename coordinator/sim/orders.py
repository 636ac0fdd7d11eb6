"""Orders for the replayer: the static rules, and the planner with all that it learns on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from coordinator.core.scheduler.planner import Asked, Begun, Planner
from coordinator.core.scheduler.policies import POLICIES as ORDERS
from coordinator.core.scheduler.policies import Policy
from coordinator.core.scheduler.rules import RULES, Rule, Waits
from coordinator.sim.replay import Machine, Order
from coordinator.sim.swf import TraceJob


class ByRule:
    """The smallest score of a static rule first, ties by arrival."""

    def __init__(self, jobs: Sequence[TraceJob], rule: Rule) -> None:
        self._rule = rule
        self._tasks = [Waits(job.requested_s, job.processors, job.submitted_s) for job in jobs]

    def choose(self, machine: Machine) -> int:
        tasks, rule, now_s = self._tasks, self._rule, machine.now_s
        return min(machine.waiting, key=lambda index: rule(tasks[index], now_s))


class ByRollout:
    """A planner that knows nothing at the beginning of the window."""

    def __init__(
        self, jobs: Sequence[TraceJob], *, backfill: bool, seed: int, policy: Policy = ORDERS["rollout"]
    ) -> None:
        self._asked = [
            Asked(job.submitted_s, str(job.user), job.processors, job.nodes, job.requested_s) for job in jobs
        ]
        self._planner = Planner()
        self._policy = policy
        self._backfill = backfill
        self._rng = np.random.default_rng(seed)
        self._arrived = self._over = 0

    def choose(self, machine: Machine) -> int:
        asked = self._asked
        for index in range(self._arrived, machine.arrived):
            self._planner.note_arrival(asked[index])
        for index in machine.over[self._over :]:
            self._planner.note_end(asked[index], machine.jobs[index].run_s)
        self._arrived, self._over = machine.arrived, len(machine.over)
        waiting = sorted(machine.waiting)
        choice = self._planner.choose(
            self._policy,
            [asked[index] for index in waiting],
            [Begun(asked[each.job], each.started_s) for each in machine.running],
            now_s=machine.now_s,
            free=machine.free,
            backfill=self._backfill,
            rng=self._rng,
        )
        return waiting[choice.place]


class Pick(Protocol):
    """Makes the order of one window."""

    def __call__(self, jobs: Sequence[TraceJob], *, backfill: bool, seed: int) -> Order: ...


def _static(rule: Rule) -> Pick:
    def pick(jobs: Sequence[TraceJob], *, backfill: bool, seed: int) -> Order:
        return ByRule(jobs, rule)

    return pick


POLICIES: dict[str, Pick] = {**{name: _static(rule) for name, rule in RULES.items()}, "rollout": ByRollout}
