"""Jobs that start later: until their time all their tasks are pending.

A job whose time has come goes on like any other: it may still wait for other jobs, or for its own tasks.
"""

from __future__ import annotations

import heapq

from bus.instants import AHEAD_MAX_S, format_instant
from bus.values import TaskState
from coordinator.core.effects import Effect, Fault
from coordinator.core.groups import unlock
from coordinator.core.model import Cluster, Job


def check_start(job: Job, *, now_s: float) -> tuple[Fault, ...]:
    """Nobody means a start in the far future."""
    if job.start_at_s is None or job.start_at_s <= now_s + AHEAD_MAX_S:
        return ()
    return (
        Fault(
            code="E_TIME",
            message="too far ahead",
            field="/start_at",
            got=format_instant(job.start_at_s),
            expected=f"at most ten years from now, before {format_instant(now_s + AHEAD_MAX_S)}",
        ),
    )


def start_note(asked_at_s: float | None, *, now_s: float) -> str:
    """What the submitter is told about the start; "" where nothing was asked for."""
    if asked_at_s is None:
        return ""
    if asked_at_s <= now_s:
        return f"start_at {format_instant(asked_at_s)} has passed: it starts now"
    return f"starts at {format_instant(asked_at_s)}"


def wait_for_time(cluster: Cluster, job: Job) -> None:
    """From now on the clock lets `job` go."""
    assert job.start_at_s is not None
    heapq.heappush(cluster.starting, (job.start_at_s, job.number))


def start_due(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Let the jobs go whose time has come."""
    while cluster.starting and cluster.starting[0][0] <= now_s:
        _, number = heapq.heappop(cluster.starting)
        job = cluster.jobs.get(number)
        if job is None:
            continue  # it was cancelled
        job.start_at_s = None
        for group in job.groups:
            if group.untouched_state is TaskState.PENDING:
                unlock(out, cluster, group, now_s=now_s)
