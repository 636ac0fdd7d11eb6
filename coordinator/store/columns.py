"""Rows as the parallel arrays that statements unnest: a function for each statement's parameter list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bus.values import Resources
from coordinator.core.effects import (
    AttemptChange,
    JobChange,
    NewJob,
    NewTask,
    NodeLedger,
    NodeRow,
    TaskChange,
)
from coordinator.store.json_text import clean, storable

Columns = Sequence[Sequence[object]]

RANK = 0
"""Of every attempt, as long as no task has several ranks."""

_encode = msgspec.json.Encoder().encode


def _columns(rows: Iterable[tuple[object, ...]]) -> Columns:
    return list(zip(*rows, strict=True))


def amounts(amounts: Resources) -> tuple[int, int, int, int, int]:
    """In the order of the ledger's rows: cpu, memory, gpu, storage, network."""
    return amounts.cpu_millis, amounts.mem_mib, amounts.gpus, amounts.storage_mib, amounts.net_mbps


def new_jobs(jobs: Sequence[NewJob]) -> Columns:
    return _columns(
        (
            job.id, job.number, job.owner, clean(job.name), job.kind, job.priority, storable(job.spec),
            storable(job.metadata), job.dedupe_key, job.digest, job.tasks, job.submitted_at,
        )
        for job in jobs
    )  # fmt: skip


def job_changes(changes: Sequence[JobChange]) -> Columns:
    return _columns(
        (
            each.id, each.pending, each.queued, each.assigned, each.running, each.completed, each.failed,
            each.cancelled, each.cancel_requested, each.started_at, each.ended_at, each.exit_code,
            clean(each.reason),
        )
        for each in changes
    )  # fmt: skip


def new_tasks(pairs: Sequence[tuple[NewTask, TaskChange]]) -> Columns:
    return _columns(
        (
            task.id, task.job_id, task.task.index, task.count, change.remaining, task.range_id,
            clean(task.group), task.task_type, storable(task.input), storable(task.parameters),
            task.priority, *amounts(task.resources), task.max_retries, task.created_at, change.version,
            " ".join(change.path), change.node, change.fence, change.retries, change.started_at,
            change.completed_at, change.exit_code, change.signal, clean(change.message),
            None if change.output is None else storable(change.output), change.changed_at,
        )
        for task, change in pairs
    )  # fmt: skip


def task_changes(changes: Sequence[TaskChange], steps: Sequence[int]) -> Columns:
    return _columns(
        (
            each.id, each.version, taken, " ".join(each.path), each.remaining, each.node, each.fence,
            each.retries, each.started_at, each.completed_at, each.exit_code, each.signal,
            clean(each.message), None if each.output is None else storable(each.output), each.changed_at,
        )
        for each, taken in zip(changes, steps, strict=True)
    )  # fmt: skip


def new_attempts(attempts: Sequence[AttemptChange]) -> Columns:
    return _columns(
        (
            each.task_id, RANK, each.attempt.fence, each.node_id, each.node, each.state, each.waiting,
            *amounts(each.requested), holding(each), " ".join(each.gpus), each.assigned_at, each.started_at,
            each.ended_at, each.exit_code, each.signal, clean(each.message),
            None if each.explanation is None else storable(_encode(each.explanation)), each.cancelling,
        )
        for each in attempts
    )  # fmt: skip


def attempt_changes(attempts: Sequence[AttemptChange]) -> Columns:
    return _columns(
        (
            each.task_id, RANK, each.attempt.fence, each.state, each.waiting, holding(each),
            " ".join(each.gpus), each.started_at, each.ended_at, each.exit_code, each.signal,
            clean(each.message), each.cancelling,
        )
        for each in attempts
    )  # fmt: skip


def held(attempts: Sequence[AttemptChange]) -> Columns:
    return _columns(
        (each.task_id, RANK, each.attempt.fence, each.node_id, *amounts(each.holds)) for each in attempts
    )


def released(attempts: Sequence[AttemptChange]) -> Columns:
    return _columns((each.task_id, RANK, each.attempt.fence) for each in attempts)


def node_states(nodes: Sequence[NodeRow]) -> Columns:
    return _columns((node.id, node.health, node.admin, node.last_heartbeat_at) for node in nodes)


def ledgers(rows: Sequence[NodeLedger | NodeRow]) -> Columns:
    return _columns((row.id, *amounts(row.allocated)) for row in rows)


def holding(attempt: AttemptChange) -> bool:
    """Whether the attempt has anything of its node's ledger."""
    return any(amounts(attempt.holds))
