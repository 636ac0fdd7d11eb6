"""How true forecasts of starts come: on recorded workloads, asked at submission, compared with what came.

The trace is replayed under a static rule. Then its life is gone through again: at every so many submissions
the cluster is put together as it was, from what was known by then (what runs and since when, who waits, what
ended), and when the new one will start is foretold. Only jobs that do wait are asked about: the others tell
nothing.
"""

from __future__ import annotations

import heapq
import math
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.forecast import Forecast, Tracker, foresee, ratios
from coordinator.core.scheduler.forward import Discipline, Entry, Scene, Times
from coordinator.core.scheduler.predict import Predictor
from coordinator.core.scheduler.rules import RULES, Waits
from coordinator.sim.orders import ByRule
from coordinator.sim.replay import replay
from coordinator.sim.swf import TraceJob

STEPS = 20_000


class Coverage(Struct, frozen=True, kw_only=True):
    """Of one trace under one rule. `inside`, `inside_raw`: shares of the starts that lay in the 80 %
    interval.

    `median_error`: how many times too long or too short the median forecast of the waiting time was, itself
    the median; `median_width`: how many times the low end of the interval goes into its high end.
    """

    asked: int
    untold: int
    inside: float
    inside_raw: float
    median_error: float
    median_width: float
    ms_each: float


def judge_forecasts(
    jobs: Sequence[TraceJob], nodes: int, *, rule: str, backfill: bool, every: int
) -> Coverage:
    """Replay `jobs` and ask at the submission of every so many."""
    started_s = replay(jobs, nodes, ByRule(jobs, RULES[rule]), backfill=backfill)
    past = _Past(jobs, started_s)
    tracker = Tracker()
    open_ones: list[_Open] = []
    inside = raw_inside = untold = asked = 0
    errors: list[float] = []
    widths: list[float] = []
    seconds = 0.0
    for index in range(0, len(jobs), every):
        now_s = float(jobs[index].submitted_s)
        if started_s[index] <= now_s:
            continue
        asked += 1
        past.learn_until(now_s)
        _settle(open_ones, tracker, now_s=now_s)
        scene, entry = past.scene(index, nodes, rule=rule, backfill=backfill)
        begin = time.perf_counter()
        raw = foresee(scene, [entry], past.ratios(), steps=STEPS)
        seconds += time.perf_counter() - begin
        if raw is None:
            untold += 1
            continue
        told = tracker.corrected(raw, now_s=now_s)
        truth = started_s[index]
        inside += told.low_s <= truth <= told.high_s
        raw_inside += raw.low_s <= truth <= raw.high_s
        errors.append(abs(math.log((truth - now_s + 10.0) / (told.start_s - now_s + 10.0))))
        widths.append((told.high_s - now_s + 10.0) / (told.low_s - now_s + 10.0))
        heapq.heappush(open_ones, _Open(min(truth, told.high_s), index, now_s, truth, raw, told))
    told_of = max(len(errors), 1)
    return Coverage(
        asked=asked,
        untold=untold,
        inside=inside / told_of,
        inside_raw=raw_inside / told_of,
        median_error=math.exp(statistics.median(errors or [0.0])),
        median_width=statistics.median(widths or [1.0]),
        ms_each=seconds / max(asked, 1) * 1000,
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


class _Past:
    """What could be known at each moment of a replayed trace."""

    def __init__(self, jobs: Sequence[TraceJob], started_s: Sequence[float]) -> None:
        self._jobs = jobs
        self._started_s = started_s
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

    def scene(self, asked: int, nodes: int, *, rule: str, backfill: bool) -> tuple[Scene, int]:
        """The machine when job `asked` came, and which entry that job is."""
        jobs, started_s = self._jobs, self._started_s
        now_s = float(jobs[asked].submitted_s)
        running = [
            index
            for index in range(asked + 1)
            if started_s[index] <= now_s < started_s[index] + jobs[index].run_s
        ]
        waiting = [index for index in range(asked + 1) if started_s[index] > now_s]
        waiting.sort(key=lambda index: (RULES[rule](_waits(jobs[index]), now_s), index))
        lines: dict[tuple[int, int], int] = {}
        entries = []
        for index in waiting:
            job = jobs[index]
            line = lines.setdefault((job.nodes, job.requested_s), len(lines))
            entries.append(Entry(line, 1, self._run_s(job), float(job.requested_s)))
        begun = np.array([started_s[index] for index in running], dtype=np.float64)
        held = np.array([[jobs[index].nodes] for index in running], dtype=np.int64).reshape(-1, 1)
        scene = Scene(
            now_s=now_s,
            free=np.array([[nodes - held.sum()]], dtype=np.int64),
            rows=np.zeros(len(running), dtype=np.intp),
            held=held,
            begun=begun,
            ends=begun + np.array([self._run_s(jobs[index]) for index in running], dtype=np.float64),
            limits=begun + np.array([jobs[index].requested_s for index in running], dtype=np.float64),
            requests=np.array([[key[0]] for key in lines], dtype=np.int64),
            allowed=np.ones((len(lines), 1), dtype=np.bool_),
            entries=tuple(entries),
            discipline=Discipline.EASY if backfill else Discipline.STRICT,
            beside=False,  # nor does the replayer
        )
        return scene, waiting.index(asked)


def _waits(job: TraceJob) -> Waits:
    return Waits(job.requested_s, job.processors, job.submitted_s)
