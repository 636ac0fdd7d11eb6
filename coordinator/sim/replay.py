"""A window of a trace through one machine, as RLScheduler evaluates orders (Zhang et al., SC'20, section V).

The machine starts empty. A chosen job that does not fit is committed to: all others wait behind it, or with
`backfill` those start that end before its reservation, first come first served. The reservation is computed
once, from what running jobs asked for. At equal times arrivals come before releases.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from coordinator.sim.swf import TraceJob

BOUND_S = 10
"""Below it a run time does not make a slowdown larger."""


class Running(NamedTuple):
    """An entry of the heap of what runs; `sequence` is unique."""

    end_s: float
    sequence: int
    job: int
    started_s: float


class Machine:
    """What an order may look at: who waits (indices into `jobs`, as they came), who runs, what is free.

    Run times of jobs that are not over are in `jobs`, and none of an order's business.
    """

    def __init__(self, jobs: Sequence[TraceJob], nodes: int) -> None:
        self.jobs = jobs
        self.now_s: float = jobs[0].submitted_s
        self.free = nodes
        self.waiting = [0]
        self.running: list[Running] = []
        self.over: list[int] = []
        self.started_s: list[float] = [math.nan] * len(jobs)
        self.arrived = 1
        self._sequence = 0

    def advance(self) -> None:
        """To the next arrival or end; there must be one."""
        end_s = self.running[0].end_s if self.running else math.inf
        if self.arrived < len(self.jobs) and self.jobs[self.arrived].submitted_s <= end_s:
            self.now_s = max(self.now_s, self.jobs[self.arrived].submitted_s)
            self.waiting.append(self.arrived)
            self.arrived += 1
        else:
            ended = heapq.heappop(self.running)
            self.now_s = max(self.now_s, ended.end_s)
            self.free += self.jobs[ended.job].nodes
            self.over.append(ended.job)

    def start(self, index: int) -> None:
        job = self.jobs[index]
        self._sequence += 1
        self.waiting.remove(index)
        self.started_s[index] = self.now_s
        self.free -= job.nodes
        heapq.heappush(self.running, Running(self.now_s + job.run_s, self._sequence, index, self.now_s))

    def reservation_s(self, nodes: int) -> float:
        """When so many are free at the latest, by what running jobs asked for."""
        free, at_s = self.free, self.now_s
        for end_s, freed in sorted(
            (each.started_s + self.jobs[each.job].requested_s, self.jobs[each.job].nodes)
            for each in self.running
        ):
            free, at_s = free + freed, end_s
            if free >= nodes:
                break
        return at_s

    def backfill(self, before_s: float) -> None:
        """Start what fits and ends before then as it asked for, first come first served."""
        for index in sorted(self.waiting, key=lambda index: self.jobs[index].submitted_s):
            job = self.jobs[index]
            if job.nodes <= self.free and self.now_s + job.requested_s < before_s:
                self.start(index)


class Order(Protocol):
    """Who goes next."""

    def choose(self, machine: Machine) -> int:
        """One of `machine.waiting`, which is not empty."""


def replay(jobs: Sequence[TraceJob], nodes: int, order: Order, *, backfill: bool) -> list[float]:
    """When each job starts, seconds of the trace."""
    machine = Machine(jobs, nodes)
    while machine.waiting:
        chosen = order.choose(machine)
        needed = jobs[chosen].nodes
        if needed > machine.free:
            reserved_s = machine.reservation_s(needed) if backfill else -math.inf
            while needed > machine.free:
                if backfill:
                    machine.backfill(reserved_s)
                machine.advance()
        machine.start(chosen)
        while not machine.waiting and machine.arrived < len(jobs):
            machine.advance()
    return machine.started_s


def bounded_slowdown(jobs: Sequence[TraceJob], started_s: Sequence[float]) -> float:
    """Mean of max(1, (wait + run) / max(run, 10 s)) (Feitelson & Rudolph, JSSPP 1998)."""
    return math.fsum(
        max(1.0, (start_s - job.submitted_s + job.run_s) / max(job.run_s, BOUND_S))
        for job, start_s in zip(jobs, started_s, strict=True)
    ) / len(jobs)
