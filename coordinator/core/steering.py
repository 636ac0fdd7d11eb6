"""What people steer: jobs are held, failed tasks queued again, nodes cordoned, drained and taken back.

Every change leaves its row, a line of the cluster's history and one of the audit. What was so already is
answered and leaves nothing.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, assert_never

from bus.units import counted
from bus.values import NodeAdmin, TaskState
from coordinator.core.changes import add_to, enqueue, move, node_event, node_row, note_drained
from coordinator.core.effects import (
    AnswerChanged,
    AnswerNode,
    AuditRow,
    Effect,
    EventRecord,
    Fault,
    Refuse,
    ReplyToken,
)
from coordinator.core.events import HoldAsked, NodeSteered, RetryAsked, TaskSeen
from coordinator.core.jobs import may_steer
from coordinator.core.model import Attempt, Cluster, Job, Node, Task
from coordinator.core.placing import is_unwanted, retract
from coordinator.core.rebuild import restore_over
from coordinator.core.transitions import NODE_TRANSITIONS

_REASON_MAX = 500


def on_hold(out: list[Effect], cluster: Cluster, event: HoldAsked, *, now_s: float) -> None:
    """Take what waits of a job out of the lines and back from the nodes; or put it in again."""
    job = cluster.jobs.get(event.job)
    if job is None or not may_steer(job, event):
        out.append(_refuse(event.reply, _no_job(event.job)))
    elif event.held == (job.held_by is not None):
        out.append(AnswerChanged(reply=event.reply, tasks=0))
    elif event.held and job.cancel_requested:
        fault = Fault(
            code="E_CONFLICT",
            message=f"job {job.number} is being cancelled",
            field="/job",
            hint="what still runs of it ends by itself",
            status=409,
        )
        out.append(_refuse(event.reply, fault))
    elif event.held:
        _hold(out, cluster, job, event, now_s=now_s)
    else:
        _release(out, cluster, job, event, now_s=now_s)


def _hold(out: list[Effect], cluster: Cluster, job: Job, event: HoldAsked, *, now_s: float) -> None:
    job.held_by, job.held_at = event.by, now_s
    cluster.changed_jobs[job.number] = job
    for line in cluster.lines.values():
        line.remove(job)
    unstarted = [attempt for attempt in _attempts(job) if is_unwanted(cluster, attempt)]
    retract(out, unstarted)
    waiting = job.pending + job.queued + len(unstarted)
    _note_job(out, job, event, "job_held", f"job {job.number} held by {event.by}", waiting, now_s=now_s)
    hint = f"still running: {counted(job.running, 'task')} of it" if job.running else ""
    out.append(AnswerChanged(reply=event.reply, tasks=waiting, hint=hint))


def _release(out: list[Effect], cluster: Cluster, job: Job, event: HoldAsked, *, now_s: float) -> None:
    job.held_by = job.held_at = None
    cluster.changed_jobs[job.number] = job
    for group in job.groups:
        if group.again:
            group.again.clear()
        for task in (group.tasks or {}).values():
            if task.state is TaskState.QUEUED:
                enqueue(cluster, task, now_s=now_s)
        if group.wants_place:
            enqueue(cluster, group, now_s=now_s)
    waiting = job.pending + job.queued
    text = f"job {job.number} released by {event.by}"
    _note_job(out, job, event, "job_released", text, waiting, now_s=now_s)
    out.append(AnswerChanged(reply=event.reply, tasks=waiting))


def _attempts(job: Job) -> list[Attempt]:
    tasks = (task for group in job.groups for task in (group.tasks or {}).values())
    return [task.attempt for task in tasks if task.attempt is not None]


def on_retry(out: list[Effect], cluster: Cluster, event: RetryAsked, *, now_s: float) -> None:
    """Queue failed tasks again. Completed and cancelled ones stay as they are: both are final.

    The rows come from the database, because what is over is not kept in memory. They hold as long as nothing
    was queued again since they were read: that is the only way out of failed and timeout.
    """
    job = cluster.jobs.get(event.job)
    if job is None and event.over is not None:
        job = restore_over(event.over)
    if job is not None and not may_steer(job, event):
        job = None
    if event.as_of != cluster.requeues or (
        job is not None and (event.over is None) != (job.number in cluster.jobs)
    ):
        out.append(_refuse(event.reply, _changed_meanwhile(event.job)))
    elif job is None:
        out.append(_refuse(event.reply, _no_job(event.job)))
    elif job.cancel_requested:
        out.append(_refuse(event.reply, _is_cancelled(job)))
    else:
        if event.failed:
            _queue_again(out, cluster, job, event, now_s=now_s)
        hint = ""
        if job.cancelled:
            kept = counted(job.cancelled, "task")
            hint = f"still cancelled: {kept}; submit the job anew to run all"
        out.append(AnswerChanged(reply=event.reply, tasks=event.before + len(event.failed), hint=hint))


def _queue_again(out: list[Effect], cluster: Cluster, job: Job, event: RetryAsked, *, now_s: float) -> None:
    cluster.requeues += 1
    cluster.jobs[job.number] = job
    cluster.changed_jobs[job.number] = job
    for seen in event.failed:
        _queue_task(out, cluster, job, seen, by=event.by, now_s=now_s)
    job.ended_at = None
    if not job.failed:
        job.exit_code = None
        if not job.cancelled:
            job.reason = ""
    count = len(event.failed)
    text = f"{counted(count, 'task')} of job {job.number} queued again by {event.by}"
    _note_job(out, job, event, "job_retried", text, count, now_s=now_s)


def _queue_task(
    out: list[Effect], cluster: Cluster, job: Job, seen: TaskSeen, *, by: str, now_s: float
) -> None:
    """Not charged: `retries` stays, and with it how often the task may still fail by itself."""
    group = job.group_of(seen.task.index)
    assert group is not None, f"{seen.task} is no task of its job"
    task = Task(group, seen.task.index, seen.state, seen.version, seen.fence, seen.retries)
    task.started_at = seen.started_at
    group.tasks = group.tasks or {}
    group.tasks[task.index] = task
    add_to(group, seen.state, -1)
    states = (TaskState.RETRYING, TaskState.QUEUED)
    move(out, cluster, task, *states, now_s=now_s, asked_by=by, message=f"queued again by {by}")
    enqueue(cluster, task, now_s=now_s)


def on_steered(out: list[Effect], cluster: Cluster, event: NodeSteered, *, now_s: float) -> None:
    """Give a node another admin state; what it has to give back is asked for at once."""
    node = cluster.nodes.get(event.node)
    if node is None:
        out.append(_refuse(event.reply, _no_node(cluster, event.node)))
        return
    if event.admin is not node.admin and event.admin not in NODE_TRANSITIONS[node.admin]:
        fault = Fault(
            code="E_CONFLICT",
            message=f"node {node.name} is in {node.admin}: it cannot be made {event.admin}",
            field="/node",
            hint=f"corral undrain {node.name}",
            status=409,
        )
        out.append(_refuse(event.reply, fault))
        return
    reason = event.reason[:_REASON_MAX]
    if event.admin is not node.admin or (reason and reason != node.admin_reason):
        _steer(out, cluster, node, event, reason, now_s=now_s)
    out.append(AnswerNode(reply=event.reply, node=node, at=now_s))


def _steer(
    out: list[Effect], cluster: Cluster, node: Node, event: NodeSteered, reason: str, *, now_s: float
) -> None:
    moved = event.admin is not node.admin
    active = event.admin is NodeAdmin.ACTIVE
    node.admin = event.admin
    node.admin_reason, node.admin_by, node.admin_at = ("", "", None) if active else (reason, event.by, now_s)
    cluster.dirty = True
    out.append(node_row(node, registered=False))
    kind, action, verb = _words(event.admin)
    text = f"node {node.name}: {verb} by {event.by}" + (f": {reason}" if reason else "")
    out.append(node_event(node, kind, "info", text, now_s=now_s, user=event.by))
    details: dict[str, Any] = {"reason": reason} if reason else {}
    out.append(AuditRow(at=now_s, actor=event.by, action=action, object=node.name, details=details))
    if moved and event.admin is NodeAdmin.DRAINING:
        retract(out, [attempt for attempt in node.attempts.values() if is_unwanted(cluster, attempt)])
        note_drained(out, node, now_s=now_s)


def _words(admin: NodeAdmin) -> tuple[str, str, str]:
    """The kind of the event, the operation that was asked for, and what people read."""
    match admin:
        case NodeAdmin.ACTIVE:
            return "node_undrained", "node.undrain", "undrained"
        case NodeAdmin.INACTIVE:
            return "node_cordoned", "node.cordon", "cordoned"
        case NodeAdmin.DRAINING:
            return "node_draining", "node.drain", "drain begun"
        case NodeAdmin.MAINTENANCE | NodeAdmin.FAILED:
            raise AssertionError(f"nobody may ask for {admin}")
        case _:
            assert_never(admin)


def _note_job(
    out: list[Effect],
    job: Job,
    event: HoldAsked | RetryAsked,
    kind: str,
    text: str,
    tasks: int,
    *,
    now_s: float,
) -> None:
    actions = {"job_held": "job.hold", "job_released": "job.release", "job_retried": "job.retry"}
    out.append(
        EventRecord(
            at=now_s,
            event_type=kind,
            severity="info",
            message=text,
            job_id=job.id,
            user=event.by,
            details={"tasks": tasks},
        )
    )
    out.append(
        AuditRow(
            at=now_s, actor=event.by, action=actions[kind], object=str(job.number), details={"tasks": tasks}
        )
    )


def _refuse(reply: ReplyToken, fault: Fault) -> Refuse:
    return Refuse(reply=reply, faults=(fault,))


def _no_job(number: int) -> Fault:
    return Fault(code="E_NOT_FOUND", message=f"no live job {number}", field="/job", status=404)


def _no_node(cluster: Cluster, name: str) -> Fault:
    near = get_close_matches(name, cluster.nodes, 1)
    hint = f"did you mean {near[0]}?" if near else "corral nodes"
    return Fault(code="E_NOT_FOUND", message=f"no node {name}", field="/node", hint=hint, status=404)


def _changed_meanwhile(number: int) -> Fault:
    return Fault(
        code="E_CONFLICT",
        message=f"job {number} changed while it was looked at",
        field="/target",
        hint="ask again",
        status=409,
    )


def _is_cancelled(job: Job) -> Fault:
    return Fault(
        code="E_CONFLICT",
        message=f"job {job.number} was cancelled",
        field="/target",
        hint=f"submit it anew: corral job {job.number} -o json shows its spec",
        status=409,
    )
