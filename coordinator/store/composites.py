"""Rows as the tuples that `corral.write_batch` takes: a function for each of its composite types."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bus.values import GPU_MILLI, JobState, Resources
from coordinator.core.effects import (
    AttemptChange,
    AuditRow,
    JobChange,
    LearnedState,
    NewJob,
    NewTask,
    NodeLedger,
    NodeRow,
    TaskChange,
)
from coordinator.store.json_text import clean, storable
from coordinator.store.rows import Batch

Row = tuple[object, ...]

_encode = msgspec.json.Encoder().encode


def arguments(batch: Batch) -> tuple[list[Row], ...]:
    """The arrays of `corral.write_rows`, in its order. Registrations are left out: see `node_rows`."""
    changes = {change.id: change for change in batch.job_changes}
    new_jobs = [new_job(job, changes.get(job.id)) for job in batch.new_jobs]
    for job in batch.new_jobs:
        if job.id in changes and not _steered(job, changes[job.id]):
            del changes[job.id]  # the new row says it all
    known = [node for node in batch.nodes if not node.registered]
    named = {row.id for row in batch.ledgers}
    return (
        [node_state(node) for node in known],
        new_jobs,
        [new_task(task, change) for task, change in batch.new_tasks],
        [task_change(each, taken) for each, taken in zip(batch.task_changes, batch.steps, strict=True)],
        [attempt_change(each) for each in batch.attempts if not each.new],
        [new_attempt(each) for each in batch.attempts if each.new],
        [ledger(row) for row in batch.ledgers] + [ledger(node) for node in known if node.id not in named],
        [job_change(each) for each in changes.values()],
        [audit(each) for each in batch.audits],
        [(each.last, each.at, each.notes.decode()) for each in batch.notes],
        [learned_state(each) for each in batch.states],
    )


def amounts(amounts: Resources) -> tuple[int, int, int, int, int]:
    """Of tasks and attempts; the share of a GPU has a column of its own."""
    return amounts.cpu_millis, amounts.mem_mib, amounts.gpus, amounts.storage_mib, amounts.net_mbps


def ledger_amounts(amounts: Resources) -> tuple[int, int, int, int, int]:
    """In the order of the ledger's rows: cpu, memory, gpu (in thousandths), storage, network."""
    return amounts.cpu_millis, amounts.mem_mib, amounts.gpu_millis, amounts.storage_mib, amounts.net_mbps


def of_ledger(row: Sequence[int | None]) -> Resources:
    """The reverse of `ledger_amounts`; a node without a row of a resource has none of it."""
    cpu_millis, mem_mib, gpu_millis, storage_mib, net_mbps = (amount or 0 for amount in row)
    gpus, gpu_milli = divmod(gpu_millis, GPU_MILLI)
    return Resources(cpu_millis, mem_mib, gpus, storage_mib, net_mbps, gpu_milli)


def new_job(job: NewJob, change: JobChange | None) -> Row:
    """Without a change all its tasks are pending."""
    return (
        job.id, job.number, job.owner, clean(job.name), job.kind, job.priority, storable(job.spec),
        storable(job.metadata), job.dedupe_key, job.digest, job.tasks, job.submitted_at,
        *(_untouched(job) if change is None else _counters(change)), job.message_key,
    )  # fmt: skip


def job_change(change: JobChange) -> Row:
    return (
        change.id, *_counters(change), change.held_by, change.held_at, change.paused_by, change.paused_at,
        change.priority,
    )  # fmt: skip


def new_task(task: NewTask, change: TaskChange) -> Row:
    return (
        task.id, task.job_id, task.task.index, task.count, change.remaining, task.range_id,
        clean(task.group), task.task_type, storable(task.input), storable(task.parameters),
        task.priority, *amounts(task.resources), task.max_retries, task.created_at, change.version,
        change.path, change.node, change.fence, change.retries, change.started_at,
        change.completed_at, change.exit_code, change.signal, clean(change.message),
        None if change.output is None else storable(change.output), change.changed_at,
        task.resources.gpu_milli, ",".join(task.gpu_types) or None, task.gpu_mem_mib, task.parent_id,
    )  # fmt: skip


def task_change(change: TaskChange, steps: int) -> Row:
    return (
        change.id, change.version, steps, change.path, change.remaining, change.node, change.fence,
        change.retries, change.started_at, change.completed_at, change.exit_code, change.signal,
        clean(change.message), None if change.output is None else storable(change.output),
        change.changed_at, change.asked_by,
    )  # fmt: skip


def new_attempt(attempt: AttemptChange) -> Row:
    return (
        attempt.task_id, attempt.attempt.rank, attempt.attempt.fence, attempt.node_id, attempt.node,
        attempt.state, attempt.waiting, *amounts(attempt.requested), holding(attempt), attempt.gpus,
        attempt.assigned_at, attempt.started_at, attempt.ended_at, attempt.exit_code, attempt.signal,
        clean(attempt.message),
        None if attempt.explanation is None else storable(_encode(attempt.explanation)), attempt.cancelling,
        attempt.yielding, attempt.requested.gpu_milli,
    )  # fmt: skip


def attempt_change(attempt: AttemptChange) -> Row:
    return (
        attempt.task_id, attempt.attempt.rank, attempt.attempt.fence, attempt.state, attempt.waiting,
        holding(attempt), attempt.gpus, attempt.started_at, attempt.ended_at, attempt.exit_code,
        attempt.signal, clean(attempt.message), attempt.cancelling, attempt.yielding,
    )  # fmt: skip


def node_state(node: NodeRow) -> Row:
    return (
        node.id, node.health, node.admin, node.last_heartbeat_at, clean(node.admin_reason), node.admin_by,
        node.admin_at, node.admin_goal, node.admin_deadline,
    )  # fmt: skip


def audit(row: AuditRow) -> Row:
    details = storable(_encode(row.details))
    return row.at, row.actor, row.action, clean(row.object), details, row.reference or None


def learned_state(state: LearnedState) -> Row:
    return (
        state.at, state.policy, state.schema, _encode(state.q_table).decode(), state.weights or None,
        state.epsilon, state.reward_avg, state.reward_window, state.mode, state.sequence,
        state.learner.decode(), state.digest, state.reason, storable(_encode(state.evidence)),
    )  # fmt: skip


def ledger(row: NodeLedger | NodeRow) -> Row:
    return row.id, *ledger_amounts(row.allocated)


def holding(attempt: AttemptChange) -> bool:
    """Whether the attempt has its request of its node's ledger: all of it, or nothing."""
    return any(ledger_amounts(attempt.holds))


def _steered(job: NewJob, change: JobChange) -> bool:
    """Whether somebody did more to a job in its first batch than its row can say."""
    return bool(change.held_by or change.paused_by) or change.priority != job.priority


def _counters(change: JobChange) -> Row:
    return (
        change.state, change.pending, change.queued, change.assigned, change.running, change.completed,
        change.failed, change.cancelled, change.cancel_requested, change.started_at, change.ended_at,
        change.exit_code, clean(change.reason),
    )  # fmt: skip


def _untouched(job: NewJob) -> Row:
    return JobState.PENDING, job.tasks, 0, 0, 0, 0, 0, 0, False, None, None, None, ""
