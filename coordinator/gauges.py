"""Gauges of the cluster, every few seconds: what waits, for how long, what is used, what ended, was learned.

Levels are read out of memory. Counts are of what was committed since the sample before: whoever adds them up
over a stretch of time has what happened in it, through restarts as well.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean

from bus.values import GPU_MILLI, NodeAdmin, NodeHealth, Resources, Usage
from coordinator.clock import Clock
from coordinator.core.effects import GaugeRecord, JobChange, Record
from coordinator.core.model import Cluster, Node
from coordinator.core.scheduler.learner import Learner
from coordinator.core.scheduler.values import epsilon
from coordinator.loop import Loop
from coordinator.store.rows import Batch

EVERY_S = 10.0
FRESH_S = 60.0
"""What a node said about its usage longer ago than this is not what it uses now."""

LOG_RATIO_MAX = 10.0
"""Of costs: beyond it nothing is known but that it is far worse."""

_AMOUNTS: dict[str, tuple[Callable[[Resources], int], Callable[[Usage], float]]] = {
    "cpu": (lambda amount: amount.cpu_millis, lambda usage: usage.cpu_millis),
    "memory": (lambda amount: amount.mem_mib, lambda usage: usage.mem_mib),
    "gpu": (lambda amount: amount.gpu_millis, lambda usage: usage.gpus * GPU_MILLI),
}


class Gauges:
    """`changed` hears of every commit; `run` hands on a sample now and then."""

    def __init__(
        self,
        loop: Loop,
        clock: Clock,
        known: Iterable[JobChange],
        *,
        record: Callable[[Sequence[Record]], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._record = record
        self._ended = {change.number: (change.completed, change.failed) for change in known}
        self._counts = dict.fromkeys(("submitted", "completed", "failed"), 0)
        self._decisions = loop.cluster.planner.decisions

    def changed(self, batch: Batch) -> None:
        """Count what a commit brought."""
        for job in batch.new_jobs:
            self._counts["submitted"] += job.tasks
            self._ended[job.number] = (0, 0)
        for change in batch.job_changes:
            ended = (change.completed, change.failed)
            before = self._ended.get(change.number, ended)  # of a job that came back, what it had is no news
            for name, now, then in zip(("completed", "failed"), ended, before, strict=True):
                self._counts[name] += max(0, now - then)
            if change.state.is_terminal:
                self._ended.pop(change.number, None)
            else:
                self._ended[change.number] = ended

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(EVERY_S)

    def sample(self) -> None:
        """One moment, handed on."""
        now_s = self._clock.now_s()
        cluster = self._loop.cluster
        found = dict(levels(cluster, now_s=now_s)) | self._counts | dict(self._rewards(cluster.planner))
        self._counts = dict.fromkeys(self._counts, 0)
        self._record([GaugeRecord(at=now_s, name=name, value=float(value)) for name, value in found.items()])

    def _rewards(self, learner: Learner) -> Iterator[tuple[str, float]]:
        """Of the tasks that ended since the sample before; none where none did."""
        fresh, self._decisions = learner.decisions - self._decisions, learner.decisions
        usual = learner.reward_avg
        if fresh > 0 and usual is not None:
            newest = list(learner.rewards)[-fresh:]
            yield "reward", fmean(newest)
            yield "td_error", fmean(abs(each - usual) for each in newest)


def levels(cluster: Cluster, *, now_s: float) -> Iterator[tuple[str, float]]:
    """Gauges by name, in the units of `bus.series`; what there is none of is left out."""
    yield from _work(cluster, now_s=now_s)
    health = Counter(node.health for node in cluster.nodes.values())
    for each in NodeHealth:
        yield f"nodes_{each}", health[each]
    active = [
        node
        for node in cluster.nodes.values()
        if node.health is not NodeHealth.UNREACHABLE and node.admin is NodeAdmin.ACTIVE
    ]
    yield from _amounts(active, now_s=now_s)
    yield from _learned(cluster)


def _work(cluster: Cluster, *, now_s: float) -> Iterator[tuple[str, float]]:
    """`wait` is the mean age of what could be placed at once if there were room, since it was submitted."""
    depth = running = waiting = 0
    total_s = longest_s = 0.0
    for job in cluster.jobs.values():
        depth += job.queued
        running += job.running
        if job.queued and not job.withheld:
            age_s = max(0.0, now_s - job.submitted_at)
            waiting += job.queued
            total_s += job.queued * age_s
            longest_s = max(longest_s, age_s)
    yield "queue_depth", depth
    yield "running", running
    yield "wait", total_s / waiting if waiting else 0.0
    yield "wait_max", longest_s


def _amounts(nodes: Sequence[Node], *, now_s: float) -> Iterator[tuple[str, float]]:
    """Percent of what the nodes have; `used` of those alone that said it lately."""
    fresh = [
        (node.capacity, node.usage)
        for node in nodes
        if node.usage is not None and now_s - node.usage_s <= FRESH_S
    ]
    for name, (amount, used) in _AMOUNTS.items():
        if capacity := sum(amount(node.capacity) for node in nodes):
            yield f"{name}_held", 100.0 * sum(amount(node.allocated) for node in nodes) / capacity
        if measured := sum(amount(capacity) for capacity, _ in fresh):
            yield f"{name}_used", 100.0 * sum(used(usage) for _, usage in fresh) / measured


def _learned(cluster: Cluster) -> Iterator[tuple[str, float]]:
    """How the learner does. Costs: e^(mean ln(policy / static) ± 2 standard errors), as the gate saw it."""
    learner, evidence = cluster.planner, cluster.evidence
    if (mean := learner.reward_avg) is not None:
        yield "reward_mean", mean
    yield "epsilon", 100.0 * epsilon(cluster)
    if newest := learner.forecasts.tracker.newest:
        yield "forecasts_right", 100.0 * sum(newest) / len(newest)
    ratio, t = evidence.get("log_ratio", 0.0), evidence.get("t", 0.0)
    if ratio and t:
        spread = 2.0 * abs(ratio / t)
        yield "policy_cost", _percent(ratio)
        yield "policy_cost_low", _percent(ratio - spread)
        yield "policy_cost_high", _percent(ratio + spread)


def _percent(log_ratio: float) -> float:
    return 100.0 * math.exp(min(log_ratio, LOG_RATIO_MAX))
