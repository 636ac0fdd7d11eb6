"""Orders for the replayer: the static rules, and the planner with all that it learns on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from coordinator.core.scheduler.planner import Asked, Begun, Planner
from coordinator.core.scheduler.policies import Kind, Policy
from coordinator.core.scheduler.qlearning import QTable
from coordinator.core.scheduler.rules import RULES, Rule, Waits
from coordinator.sim.replay import Machine, Order, bounded_slowdown, replay
from coordinator.sim.swf import TraceJob


class ByRule:
    """The smallest score of a static rule first, ties by arrival."""

    def __init__(self, jobs: Sequence[TraceJob], rule: Rule) -> None:
        self._rule = rule
        self._tasks = [Waits(job.requested_s, job.processors, job.submitted_s) for job in jobs]

    def choose(self, machine: Machine) -> int:
        tasks, rule, now_s = self._tasks, self._rule, machine.now_s
        return min(machine.waiting, key=lambda index: rule(tasks[index], now_s))


class ByPlanner:
    """A planner that knows nothing of the window's jobs at its beginning; `table`: of earlier ones.

    `before`: jobs that were over by then, from which it has learned how long work takes.
    """

    def __init__(
        self,
        jobs: Sequence[TraceJob],
        policy: Policy,
        *,
        backfill: bool,
        seed: int,
        table: QTable | None = None,
        before: Sequence[TraceJob] = (),
    ) -> None:
        self._asked = [_asked(job) for job in jobs]
        self.planner = Planner()
        if table is not None:
            self.planner.table = table
        for job in before:
            asked = _asked(job)
            self.planner.note_arrival(asked)
            self.planner.note_end(asked, job.run_s)
        self._policy = policy
        self._backfill = backfill
        self._rng = np.random.default_rng(seed)
        self._arrived = self._over = 0

    def choose(self, machine: Machine) -> int:
        self._note(machine)
        asked = self._asked
        waiting = sorted(machine.waiting)
        found = [asked[index] for index in waiting]
        running = [Begun(asked[each.job], each.started_s) for each in machine.running]
        choice = self.planner.choose(
            self.policy(machine, found, running),
            found,
            running,
            now_s=machine.now_s,
            free=machine.free,
            backfill=self._backfill,
            rng=self._rng,
        )
        return waiting[choice.place]

    def policy(self, machine: Machine, waiting: Sequence[Asked], running: Sequence[Begun]) -> Policy:
        """By which to decide now."""
        return self._policy

    def _note(self, machine: Machine) -> None:
        for index in range(self._arrived, machine.arrived):
            self.planner.note_arrival(self._asked[index])
        for index in machine.over[self._over :]:
            self.planner.note_end(self._asked[index], machine.jobs[index].run_s)
        self._arrived, self._over = machine.arrived, len(machine.over)


def _asked(job: TraceJob) -> Asked:
    return Asked(job.submitted_s, str(job.user), job.processors, job.nodes, job.requested_s)


class Pick(Protocol):
    """Makes the order of one window."""

    def __call__(self, jobs: Sequence[TraceJob], *, backfill: bool, seed: int) -> Order: ...


def pick(policy: Policy, *, table: QTable | None = None, before: Sequence[TraceJob] = ()) -> Pick:
    """Orders by `policy`; `table` and `before`: what a planner knows when a window begins."""

    def picked(jobs: Sequence[TraceJob], *, backfill: bool, seed: int) -> Order:
        if policy.kind is Kind.STATIC:
            return ByRule(jobs, RULES[policy.rules[0]])
        return ByPlanner(jobs, policy, backfill=backfill, seed=seed, table=table, before=before)

    return picked


def slowdowns(
    picked: Pick,
    windows: Sequence[Sequence[TraceJob]],
    nodes: int,
    *,
    backfill: bool,
    seed: int,
    heard: Callable[[], None],
) -> list[float]:
    """What an order costs on each window, its mean bounded slowdown; `heard` after every replay."""
    found = []
    for jobs in windows:
        started_s = replay(jobs, nodes, picked(jobs, backfill=backfill, seed=seed), backfill=backfill)
        found.append(bounded_slowdown(jobs, started_s))
        heard()
    return found
