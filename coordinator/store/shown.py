"""Rows of jobs, tasks and attempts in the words of `bus.api`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from asyncpg.protocol import Record

from bus import api
from bus.results import LoggedLine, TaskResult
from bus.values import JobKind, JobState, TaskState
from coordinator.store.composites import of_ledger

_COUNTS = ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled")


def shown_job(row: Record) -> api.Job:
    """A row of `lists.jobs`, or of `reads.show_job`."""
    return api.Job(
        number=row["number"],
        id=row["id"],
        name=row["name"],
        user=row["user"],
        kind=JobKind(row["kind"]),
        priority=row["priority"],
        state=JobState(row["state"]),
        counts=api.TaskCounts(total=row["tasks"], **{name: row[name] for name in _COUNTS}),
        submitted_at=row["submitted"].timestamp(),
        started_at=instant_s(row["started"]),
        ended_at=instant_s(row["ended"]),
        exit_code=row["exit"],
        reason=row["reason"],
        held=row["held"],
        parent=row["parent"],
    )


def shown_task(row: Record, job: int) -> api.Task:
    """A row of `lists.tasks`, or of `reads.show_task`: a task, or the range that tasks lie in untouched."""
    return api.Task(
        id=str(row["row_id"]),
        job=job,
        index=row["index"],
        count=row["count"],
        name=row["name"],
        state=TaskState(row["state"]),
        node=row["node"] or None,
        fence=row["attempt"],
        retries=row["retries"],
        priority=row["priority"],
        resources=of_ledger((row["cpu"], row["memory"], row["gpus"], row["storage"], row["net"])),
        submitted_at=row["submitted"].timestamp(),
        started_at=instant_s(row["started"]),
        ended_at=instant_s(row["ended"]),
        exit_code=row["exit"],
        signal=row["signal"],
        message=row["message"],
    )


def shown_result(row: Record) -> TaskResult | None:
    """What the attempt that counts has told, of a row of `reads.show_task` or `training.ranks`."""
    if row["told_by"] is None:
        return None
    return TaskResult(
        fence=row["told_by"],
        progress=row["progress"],
        step=row["step"],
        message=row["told"],
        metrics=msgspec.json.decode(row["metrics"]),
        faults=row["faults"],
        fault=row["fault"],
        at=row["told_at"].timestamp(),
    )


def logged_lines(rows: Sequence[Record]) -> list[LoggedLine]:
    """Rows of `results.logged` or `results.newest_logged`, newest first, as lines, oldest first."""
    return [
        LoggedLine(
            at=row["at_s"],
            severity=row["severity"],
            text=row["message"],
            index=row["task_index"],
            fence=row["fence"],
            node=row["node_name"],
            rank=row["rank"],
        )
        for row in reversed(rows)
    ]


def shown_attempt(row: Record) -> api.Attempt:
    """A row of `reads.attempts_of_task`."""
    return api.Attempt(
        fence=row["fence"],
        rank=row["rank"],
        node=row["node_name"],
        state=row["state"],
        assigned_at=row["assigned_at"].timestamp(),
        started_at=instant_s(row["started_at"]),
        ended_at=instant_s(row["ended_at"]),
        exit_code=row["exit_code"],
        signal=row["signal"],
        message=row["message"],
        explanation={} if row["explanation"] is None else msgspec.json.decode(row["explanation"]),
    )


def instant_s(at: datetime | None) -> float | None:
    """Seconds of the Unix epoch."""
    return None if at is None else at.timestamp()
