"""Forecasts of starts in the life of the cluster: noted when they are told, and again when they come out."""

from __future__ import annotations

from bus.values import TaskRef
from coordinator.core.events import ForecastMade
from coordinator.core.model import Cluster, Group, Task
from coordinator.core.scheduler.foretold import CameOut, Fate, Foretold, without_infinity

SAMPLED_MAX = 4_000
"""So many that wait or run: of more it takes the loop too long to say how things stand, for a question that
nobody asked."""


def on_forecast(cluster: Cluster, event: ForecastMade) -> None:
    """Somebody was told, or nobody: it was made to learn from. What has started since tells nothing."""
    job, index = event.task
    group = _group(cluster, event.task)
    if group is None or not _waits(group, index):
        return
    if not cluster.planner.forecasts.has_room_for(str(event.task)):
        return
    raw, told = (without_infinity(each, at_s=event.at_s) for each in (event.raw, event.told))
    cluster.planner.note(Foretold(job, index, event.at_s, raw, told))


def note_start(cluster: Cluster, task: Task) -> None:
    """It has started, which was foretold or not."""
    foretold = cluster.planner.forecasts.open.get(str(task.ref))
    if foretold is None or task.started_at is None:
        return
    if task.started_at > foretold.told.high_s and not foretold.late:
        cluster.planner.note(CameOut(*task.ref, task.started_at, Fate.LATE))
    cluster.planner.note(CameOut(*task.ref, task.started_at, Fate.STARTED))


def check_forecasts(cluster: Cluster, *, now_s: float) -> None:
    """Which should have come out by now, and which never will."""
    for foretold in list(cluster.planner.forecasts.open.values()):
        group = _group(cluster, TaskRef(foretold.job, foretold.index))
        task = group.find_task(foretold.index) if group is not None else None
        if group is None or (task is None and not group.is_untouched(foretold.index)):
            cluster.planner.note(CameOut(foretold.job, foretold.index, now_s, Fate.GONE))
        elif now_s > foretold.told.high_s and not foretold.late:
            cluster.planner.note(CameOut(foretold.job, foretold.index, now_s, Fate.LATE))


def sample(cluster: Cluster, number: int) -> tuple[Group, int] | None:
    """One of those that wait, and nobody has been told of: by `number`, of all entries of all lines."""
    entries = sum(len(line.entries) for line in cluster.lines.values())
    if entries + sum(len(node.attempts) for node in cluster.nodes.values()) > SAMPLED_MAX:
        return None
    number %= max(entries, 1)
    for line in cluster.lines.values():
        if number < len(line.entries):
            waiting = line.entries[number]
            ref = waiting.entry.next_task
            free = waiting.wants_place and cluster.planner.forecasts.has_room_for(str(ref))
            return (waiting.group, ref.index) if free else None
        number -= len(line.entries)
    return None


def _group(cluster: Cluster, ref: TaskRef) -> Group | None:
    job = cluster.jobs.get(ref.job)
    return job.group_of(ref.index) if job is not None else None


def _waits(group: Group, index: int) -> bool:
    task = group.find_task(index)
    return group.is_untouched(index) if task is None else task.attempt is None
