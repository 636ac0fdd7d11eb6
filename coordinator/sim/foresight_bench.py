"""How true forecasts of starts come: on recorded workloads, asked at submission, compared with what came.

The trace is replayed under an order. Then its life is gone through again: at every so many submissions the
cluster is put together as it was, from what was known by then (what runs and since when, who waits, whom the
machine is kept for, who came lately, what ended), and when the new one will start is foretold. Only jobs that
do wait are asked about: the others tell nothing.
"""

from __future__ import annotations

import heapq
import math
import statistics
import time
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from coordinator.core.foresight import FORECAST_STEPS
from coordinator.core.scheduler.coming import Coming, Newcomer, Place, gaps
from coordinator.core.scheduler.forecast import SHORT_S, Forecast, Tracker, foresee, ratios
from coordinator.core.scheduler.forward import Discipline, Entry, Scene, Times
from coordinator.core.scheduler.planner import RECENT
from coordinator.core.scheduler.policies import Kind, Policy, base_key
from coordinator.core.scheduler.predict import Predictor
from coordinator.core.scheduler.rules import RULES, Waits
from coordinator.sim.orders import pick
from coordinator.sim.replay import Machine, Order, replay
from coordinator.sim.swf import TraceJob


class Coverage(Struct, frozen=True, kw_only=True):
    """Of one trace under one rule. `inside`, `inside_raw`: shares of the starts that lay in the 80 %
    interval.

    `median_error`: how many times too long or too short the median forecast of the waiting time was, itself
    the median; `median_width`: how many times the low end of the interval goes into its high end;
    `relative_width`: the interval's length over the foretold waiting time, the median too.
    """

    asked: int
    untold: int
    inside: float
    inside_raw: float
    median_error: float
    median_width: float
    relative_width: float
    ms_each: float


def judge_forecasts(
    jobs: Sequence[TraceJob], nodes: int, *, policy: Policy, backfill: bool, every: int
) -> Coverage:
    """Replay `jobs` and ask at the submission of every so many."""
    order = _Heard(pick(policy)(jobs, backfill=backfill, seed=1))
    started_s = replay(jobs, nodes, order, backfill=backfill)
    past = _Past(jobs, started_s, policy, order.chosen)
    tracker = Tracker()
    open_ones: list[_Open] = []
    all_told: list[_Open] = []
    untold = asked = 0
    seconds = 0.0
    for index in range(0, len(jobs), every):
        now_s = float(jobs[index].submitted_s)
        if started_s[index] <= now_s:
            continue
        asked += 1
        past.learn_until(now_s)
        _settle(open_ones, tracker, now_s=now_s)
        scene, entry, coming = past.scene(index, nodes, backfill=backfill)
        begin = time.perf_counter()
        raw = foresee(scene, [entry], past.ratios(), steps=FORECAST_STEPS, coming=coming)
        seconds += time.perf_counter() - begin
        if raw is None:
            untold += 1
            continue
        told = tracker.corrected(raw, now_s=now_s)
        all_told.append(_Open(min(started_s[index], told.high_s), index, now_s, started_s[index], raw, told))
        heapq.heappush(open_ones, all_told[-1])
    return _coverage(all_told, asked=asked, untold=untold, ms_each=seconds / max(asked, 1) * 1000)


def _coverage(all_told: Sequence[_Open], *, asked: int, untold: int, ms_each: float) -> Coverage:
    count = max(len(all_told), 1)
    waits = [(each, each.told.start_s - each.asked_s + SHORT_S) for each in all_told]
    errors = [abs(math.log((each.started_s - each.asked_s + SHORT_S) / wait_s)) for each, wait_s in waits]
    widths = [
        (each.told.high_s - each.asked_s + SHORT_S) / (each.told.low_s - each.asked_s + SHORT_S)
        for each in all_told
    ]
    return Coverage(
        asked=asked,
        untold=untold,
        inside=sum(each.told.low_s <= each.started_s <= each.told.high_s for each in all_told) / count,
        inside_raw=sum(each.raw.low_s <= each.started_s <= each.raw.high_s for each in all_told) / count,
        median_error=math.exp(statistics.median(errors or [0.0])),
        median_width=statistics.median(widths or [1.0]),
        relative_width=statistics.median(
            [(each.told.high_s - each.told.low_s) / wait_s for each, wait_s in waits] or [0.0]
        ),
        ms_each=ms_each,
    )


def _settle(open_ones: list[_Open], tracker: Tracker, *, now_s: float) -> None:
    """Learn from all that have started by now, and from those that are late."""
    while open_ones and open_ones[0].at_s <= now_s:
        done = heapq.heappop(open_ones)
        if done.started_s > done.told.high_s and done.at_s < done.started_s:
            tracker.note_late()
            heapq.heappush(open_ones, done._replace(at_s=done.started_s))
            continue
        tracker.observe(done.raw, done.told, asked_s=done.asked_s, started_s=done.started_s)


class _Open(NamedTuple):
    """A forecast that has not come out yet. `at_s`: when something will be known of it."""

    at_s: float
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    asked_s: float
    started_s: float
    raw: Forecast
    told: Forecast


class _Heard:
    """An order that keeps whom it chose, and when: until its start the machine is kept for that job."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.chosen: list[tuple[float, int]] = []

    def choose(self, machine: Machine) -> int:
        index = self._order.choose(machine)
        self.chosen.append((machine.now_s, index))
        return index


class _Past:
    """What could be known at each moment of a replayed trace."""

    def __init__(
        self,
        jobs: Sequence[TraceJob],
        started_s: Sequence[float],
        policy: Policy,
        chosen: Sequence[tuple[float, int]],
    ) -> None:
        self._jobs = jobs
        self._started_s = started_s
        self._policy = policy
        self._chosen = chosen
        self._predictor = Predictor()
        self._ends = sorted((started_s[index] + job.run_s, index) for index, job in enumerate(jobs))
        self._over = 0

    def learn_until(self, now_s: float) -> None:
        """Take note of all that has ended."""
        while self._over < len(self._ends) and self._ends[self._over][0] <= now_s:
            job = self._jobs[self._ends[self._over][1]]
            self._predictor.observe(str(job.user), job.processors, job.requested_s, job.run_s)
            self._over += 1

    def ratios(self) -> Times:
        """Of run to predicted times, as they came out."""
        return ratios(self._predictor)

    def _run_s(self, job: TraceJob) -> float:
        return self._predictor.predict(str(job.user), job.processors, job.requested_s).run_s

    def _key(self, job: TraceJob, *, at_s: float, now_s: float) -> float:
        """Of a job that came `at_s`."""
        rule = self._policy.rules[0]
        if self._policy.kind is Kind.STATIC:
            return RULES[rule](Waits(job.requested_s, job.processors, at_s), now_s)
        run_s, weight = self._predictor.predict(str(job.user), job.processors, job.requested_s)
        return base_key(rule, Waits(run_s, job.processors, at_s), nodes=job.nodes, weight=weight)

    def _kept_for(self, now_s: float) -> int | None:
        """Whom the machine is kept for."""
        place = bisect_right(self._chosen, (now_s, len(self._jobs))) - 1
        chosen = self._chosen[place][1] if place >= 0 else None
        return chosen if chosen is not None and self._started_s[chosen] > now_s else None

    def scene(self, asked: int, nodes: int, *, backfill: bool) -> tuple[Scene, int, Coming]:
        """The machine when job `asked` came, which entry that job is, and who may come."""
        jobs, started_s = self._jobs, self._started_s
        now_s = float(jobs[asked].submitted_s)
        running = [
            index
            for index in range(asked + 1)
            if started_s[index] <= now_s < started_s[index] + jobs[index].run_s
        ]
        kept_for = self._kept_for(now_s)
        places: list[Place] = sorted(
            (-1 if index == kept_for else 0, 0, self._key(jobs[index], at_s=at_s, now_s=now_s), index)
            for index, at_s in enumerate(job.submitted_s for job in jobs[: asked + 1])
            if started_s[index] > now_s
        )
        lines: dict[tuple[int, int], int] = {}
        entries = tuple(self._entry(jobs[int(place[-1])], lines) for place in places)
        latest = jobs[max(asked + 1 - RECENT, 0) : asked + 1]
        between = gaps([job.submitted_s for job in latest], now_s=now_s)
        coming = Coming(
            tuple(places),
            tuple(
                Newcomer(gap_s, 0, 0, self._key(job, at_s=now_s, now_s=now_s), self._entry(job, lines))
                for gap_s, job in zip(between, latest, strict=True)
            ),
        )
        begun = np.array([started_s[index] for index in running], dtype=np.float64)
        held = np.array([[jobs[index].nodes] for index in running], dtype=np.int64).reshape(-1, 1)
        scene = Scene(
            now_s=now_s,
            free=np.array([[nodes - held.sum()]], dtype=np.int64),
            rows=np.zeros(len(running), dtype=np.intp),
            held=held,
            begun=begun,
            ends=begun + np.array([self._run_s(jobs[index]) for index in running], dtype=np.float64),
            limits=begun + np.array([_limit_s(jobs[index]) for index in running], dtype=np.float64),
            requests=np.array([[key[0]] for key in lines], dtype=np.int64),
            allowed=np.ones((len(lines), 1), dtype=np.bool_),
            entries=entries,
            discipline=Discipline.EASY if backfill else Discipline.STRICT,
            beside=False,  # nor does the replayer
        )
        return scene, [place[-1] for place in places].index(asked), coming

    def _entry(self, job: TraceJob, lines: dict[tuple[int, int], int]) -> Entry:
        line = lines.setdefault((job.nodes, job.requested_s), len(lines))
        return Entry(line, 1, self._run_s(job), _limit_s(job))


def _limit_s(job: TraceJob) -> float:
    """Some traces have requests below zero; nothing is over before it begins."""
    return max(float(job.requested_s), 1.0)
