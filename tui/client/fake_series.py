"""Gauges of the cluster that never was: the same for each moment, however often one looks."""

from __future__ import annotations

import math
import time
import zlib

from bus.errors import ApiError
from bus.refusal import refusal
from bus.series import METRICS, Aggregate, Measured, Series, SeriesKind, SeriesQuery, States
from tui.client.fake_upcoming import FakeUpcoming
from tui.client.fake_world import World

DAY_S = 86_400.0
STEPS_S = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 10_800.0, 21_600.0, 86_400.0)
SILENT_EVERY = 17
"""Every so many things were away for a while each day."""

_SCALES = {
    "millicores": 64_000.0, "MiB": 262_144.0, "GPUs": 8.0, "Mbit/s": 4_000.0, "°C": 80.0, "runnable": 64.0,
    "W": 700.0, "tasks": 20_000.0, "s": 900.0, "nodes": 12.0, "%": 85.0, "tasks/s": 40.0,
}  # fmt: skip
_LEARNED = {
    "reward": (-2.6, 0.9), "reward_mean": (-2.5, 0.05), "td_error": (1.1, 0.5), "epsilon": (6.0, 0.0),
    "forecasts_right": (81.0, 6.0), "policy_cost": (92.0, 1.0), "policy_cost_low": (86.0, 1.0),
    "policy_cost_high": (98.0, 1.0),
}  # fmt: skip
"""About how much, and how restless."""

_CALM = {"nodes_healthy": 981.0, "nodes_degraded": 6.0, "nodes_unreachable": 13.0, "failed": 1.5}


class FakeSeries(FakeUpcoming):
    """What FakeCluster answers to questions about time."""

    world: World

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def series(self, query: SeriesQuery) -> Measured:
        """Buckets as the coordinator makes them, of figures that a formula gives."""
        self._check("series")
        until_s = time.time() if query.until is None else query.until
        rough = (until_s - query.since) / query.points
        step_s = query.step_s or next((step for step in STEPS_S if step >= rough), STEPS_S[-1])
        since_s = math.floor(query.since / step_s) * step_s
        times = [since_s + place * step_s for place in range(math.ceil((until_s - since_s) / step_s))]
        ids = [""] if query.kind is SeriesKind.CLUSTER else query.ids
        if query.kind is SeriesKind.NODE:
            for node in ids:
                self.world.node(node)
        if query.kind is SeriesKind.GPU:
            ids = [each for named in ids for each in self._gpus(named)]
        known = METRICS[query.kind]
        for place, metric in enumerate(query.metrics):
            if metric not in known:
                raise ApiError(
                    refusal("E_ENUM", f"no metric {metric!r}", field=f"/metrics/{place}", status=422)
                )
        series = [
            Series(
                id=each,
                metric=metric,
                unit=known[metric].unit,
                aggregate=_aggregate(query.aggregate, counted=known[metric].counted),
                values=[
                    None
                    if lacks
                    else _spread(figure(each, metric, at, unit=known[metric].unit), query.aggregate, scale)
                    for at in times
                ],
                lacks=lacks,
            )
            for each in ids
            for metric in query.metrics
            for scale in (self._scale(metric) if query.kind is SeriesKind.CLUSTER else 1.0,)
            for lacks in (self._lacks(query.kind, each, metric),)
        ]
        return Measured(times=times, step_s=step_s, resolution_s=0.0 if step_s < 60 else 60.0, series=series)

    def _gpus(self, named: str) -> list[str]:
        """ "n1:0" for "n1:0", all of n1 for "n1", and "n1" itself where it has none."""
        node, colon, which = named.partition(":")
        names = [f"{node}:{number}" for number in range(self.world.node(node).capacity.gpus)]
        if colon and named not in names:
            raise ApiError(refusal("E_NOT_FOUND", f"no GPU {which!r} of {node}", field="/ids/0"))
        return [named] if colon else names or [node]

    def _lacks(self, kind: SeriesKind, thing: str, metric: str) -> str:
        """ "GPU" where a node has none."""
        is_asked = kind in (SeriesKind.NODE, SeriesKind.GPU) and metric.startswith("gpu")
        return "GPU" if is_asked and not self.world.node(thing.partition(":")[0]).capacity.gpus else ""

    def _scale(self, metric: str) -> float:
        """Such that counts of the whole cluster are about those of its jobs."""
        state = {"queue_depth": "queued", "running": "running"}.get(metric)
        if state is None:
            return 1.0
        number = self.world.summary().tasks[state]
        return 2.0 * number / _SCALES["tasks"]

    async def states(self, window_s: float = DAY_S) -> States:
        """Of the jobs that came in that time."""
        self._check("states")
        since_s = time.time() - window_s
        jobs: dict[str, int] = {}
        tasks: dict[str, int] = {}
        for job in self.world.jobs:
            if job.submitted_at >= since_s:
                jobs[str(job.state)] = jobs.get(str(job.state), 0) + 1
                for state in ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled"):
                    tasks[state] = tasks.get(state, 0) + getattr(job.counts, state)
        return States(since=since_s, jobs=jobs, tasks=tasks)


def _aggregate(asked: Aggregate, *, counted: bool) -> Aggregate:
    if asked is Aggregate.AUTO:
        return Aggregate.RATE if counted else Aggregate.MEAN
    return asked


def _spread(value: float | None, aggregate: Aggregate, scale: float) -> float | None:
    """Around the mean that the formula gives."""
    share = scale * {Aggregate.MAX: 1.15, Aggregate.MIN: 0.8}.get(aggregate, 1.0)
    return None if value is None else value * share


def figure(thing: str, metric: str, at_s: float, *, unit: str) -> float | None:
    """What was measured at a moment: the day's wave, the hour's, and a jitter; None while it was silent."""
    seed = zlib.crc32(f"{thing} {metric}".encode())
    if thing and zlib.crc32(thing.encode()) % SILENT_EVERY == 0 and at_s % 7_200.0 < 900.0:
        return None
    phase = seed % 628 / 100.0
    if metric in _LEARNED:
        usual, restless = _LEARNED[metric]
        return usual * (1.0 + 0.2 * math.exp(-(at_s % DAY_S) / 20_000.0)) + restless * math.sin(at_s / 900.0)
    wave = 0.5 + 0.3 * math.sin(at_s / DAY_S * 2 * math.pi + phase)
    wave += 0.12 * math.sin(at_s / 1_100.0 + 3 * phase) + 0.05 * math.sin(at_s / 90.0 + phase)
    jitter = zlib.crc32(f"{seed} {at_s:.0f}".encode()) % 1_000 / 1_000.0 - 0.5
    top = _CALM.get(metric, _SCALES.get(unit, 1.0)) * (4.0 if metric == "wait_max" else 1.0)
    if metric in _CALM:
        return (
            max(0.0, round(top + 2.0 * jitter)) if unit == "nodes" else max(0.0, top * (0.5 + wave + jitter))
        )
    return max(0.0, top * (wave + 0.06 * jitter))
