"""What people do to jobs: hold and pause them, move them in the line, queue again what failed or what runs.

Every change leaves its row, a line of the cluster's history and one of the audit. What was so already is
answered and leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from bus.units import counted
from bus.values import AttemptState, TaskState
from coordinator.core.changes import add_to, enqueue, move
from coordinator.core.effects import (
    AnswerChanged,
    AuditRow,
    Effect,
    EventRecord,
    Fault,
    Refuse,
    ReplyToken,
)
from coordinator.core.events import (
    Asked,
    BulkAsked,
    HoldAsked,
    PauseAsked,
    PriorityAsked,
    RequeueAsked,
    RetryAsked,
    TaskSeen,
)
from coordinator.core.jobs import may_steer
from coordinator.core.model import Attempt, Cluster, Job, Task
from coordinator.core.pausing import send_pauses
from coordinator.core.placing import is_unwanted, retract
from coordinator.core.rebuild import restore_over
from coordinator.core.scheduler.order import standing
from coordinator.core.yielding import yield_attempts

_ACTIONS = {
    "job_held": "job.hold",
    "job_released": "job.release",
    "job_paused": "job.pause",
    "job_resumed": "job.resume",
    "job_requeued": "job.requeue",
    "job_retried": "job.retry",
    "job_prioritized": "job.priority",
}
"""Kind of event -> the operation that was asked for."""


def on_hold(out: list[Effect], cluster: Cluster, event: HoldAsked, *, now_s: float) -> None:
    """Take what waits of a job out of the lines and back from the nodes; or put it in again."""
    change = _hold if event.held else _release
    job = _to_change(out, cluster, event, on=event.held, is_on=lambda job: job.held_by is not None)
    if job is not None:
        change(out, cluster, job, event, now_s=now_s)


def _to_change(
    out: list[Effect], cluster: Cluster, event: Asked, *, on: bool, is_on: Callable[[Job], bool]
) -> Job | None:
    """The job that is to be switched `on` or off; None where the answer is given already."""
    job = cluster.jobs.get(event.job)
    if job is None or not may_steer(job, event):
        out.append(_refuse(event.reply, _no_job(event.job)))
    elif on == is_on(job):
        out.append(AnswerChanged(reply=event.reply, tasks=0))
    elif on and job.cancel_requested:
        out.append(_refuse(event.reply, _is_ending(job)))
    else:
        return job
    return None


def _hold(out: list[Effect], cluster: Cluster, job: Job, event: HoldAsked, *, now_s: float) -> None:
    job.held_by, job.held_at = event.by, now_s
    waiting = _withhold(out, cluster, job)
    _note_job(out, job, event, "job_held", f"job {job.number} held by {event.by}", waiting, now_s=now_s)
    hint = f"still running: {counted(job.running, 'task')} of it" if job.running else ""
    out.append(AnswerChanged(reply=event.reply, tasks=waiting, hint=hint))


def _release(out: list[Effect], cluster: Cluster, job: Job, event: HoldAsked, *, now_s: float) -> None:
    job.held_by = job.held_at = None
    waiting = _offer(cluster, job, now_s=now_s)
    text = f"job {job.number} released by {event.by}"
    _note_job(out, job, event, "job_released", text, waiting, now_s=now_s)
    hint = f"it is paused: corral resume {job.number}" if job.paused_by is not None else ""
    out.append(AnswerChanged(reply=event.reply, tasks=waiting, hint=hint))


def _withhold(out: list[Effect], cluster: Cluster, job: Job) -> int:
    """Take what waits of a job out of the lines and back from the nodes; how many tasks that are."""
    cluster.changed_jobs[job.number] = job
    for line in cluster.lines.values():
        line.remove(job)
    unstarted = [attempt for attempt in _attempts(job) if is_unwanted(cluster, attempt)]
    retract(out, unstarted)
    return job.pending + job.queued + len(unstarted)


def _offer(cluster: Cluster, job: Job, *, now_s: float) -> int:
    """Put what waits of a job into the lines again, unless something else still keeps it from them."""
    cluster.changed_jobs[job.number] = job
    for group in job.groups:
        if group.again:
            group.again.clear()
        for task in (group.tasks or {}).values():
            if task.state is TaskState.QUEUED:
                enqueue(cluster, task, now_s=now_s)
        if group.wants_place:
            enqueue(cluster, group, now_s=now_s)
    return job.pending + job.queued


def on_pause(out: list[Effect], cluster: Cluster, event: PauseAsked, *, now_s: float) -> None:
    """Have what runs of a job stand still, and place nothing of it; or let it go on."""
    change = _pause if event.paused else _resume
    job = _to_change(out, cluster, event, on=event.paused, is_on=lambda job: job.paused_by is not None)
    if job is not None:
        change(out, cluster, job, event, now_s=now_s)


def _pause(out: list[Effect], cluster: Cluster, job: Job, event: PauseAsked, *, now_s: float) -> None:
    job.paused_by, job.paused_at = event.by, now_s
    running = _running(job)
    send_pauses(out, running, paused=True)
    tasks = _withhold(out, cluster, job) + len(running)
    _note_job(out, job, event, "job_paused", f"job {job.number} paused by {event.by}", tasks, now_s=now_s)
    kept = "it keeps its place" if len(running) == 1 else "they keep their places"
    hint = ""
    if running:
        stand = f"{counted(len(running), 'task')} of it {'stands' if len(running) == 1 else 'stand'} still"
        hint = f"{stand}; {kept} until corral requeue {job.number}"
    out.append(AnswerChanged(reply=event.reply, tasks=tasks, hint=hint))


def _resume(out: list[Effect], cluster: Cluster, job: Job, event: PauseAsked, *, now_s: float) -> None:
    job.paused_by = job.paused_at = None
    running = _running(job)
    send_pauses(out, running, paused=False)
    tasks = _offer(cluster, job, now_s=now_s) + len(running)
    _note_job(out, job, event, "job_resumed", f"job {job.number} resumed by {event.by}", tasks, now_s=now_s)
    hint = f"it is held: corral release {job.number}" if job.held_by is not None else ""
    out.append(AnswerChanged(reply=event.reply, tasks=tasks, hint=hint))


def _running(job: Job) -> list[Attempt]:
    """What runs of a job and is not being ended."""
    return [
        attempt
        for attempt in _attempts(job)
        if attempt.state is AttemptState.RUNNING and not (attempt.cancelling or attempt.yielding)
    ]


def _attempts(job: Job) -> list[Attempt]:
    tasks = (task for group in job.groups for task in (group.tasks or {}).values())
    return [attempt for task in tasks for attempt in task.attempts]


def on_requeue(out: list[Effect], cluster: Cluster, event: RequeueAsked, *, now_s: float) -> None:
    """End what runs of a job or a task and queue it again, charged to nobody."""
    job = cluster.jobs.get(event.job)
    if job is None or not may_steer(job, event):
        out.append(_refuse(event.reply, _no_job(event.job)))
        return
    if event.index is not None and job.group_of(event.index) is None:
        out.append(_refuse(event.reply, _no_task(job.number, event.index)))
        return
    attempts = _attempts(job)
    if event.index is not None:
        attempts = [attempt for attempt in attempts if attempt.task.index == event.index]
    if job.cancel_requested:
        out.append(_refuse(event.reply, _is_ending(job, field="/target")))
        return
    asked = yield_attempts(out, cluster, attempts, reason=f"requeued by {event.by}")
    if asked:
        text = f"{counted(len(asked), 'task')} of job {job.number} requeued by {event.by}"
        _note_job(out, job, event, "job_requeued", text, len(asked), now_s=now_s)
    hint = "" if attempts else "nothing of it is placed or runs"
    out.append(AnswerChanged(reply=event.reply, tasks=len(asked), hint=hint))


def on_priority(out: list[Effect], cluster: Cluster, event: PriorityAsked, *, now_s: float) -> None:
    """Move what waits of a job in the lines; what is placed already keeps its place."""
    job = cluster.jobs.get(event.job)
    if job is None or not may_steer(job, event):
        out.append(_refuse(event.reply, _no_job(event.job)))
    elif job.priority == event.priority:
        out.append(AnswerChanged(reply=event.reply, tasks=0))
    elif job.cancel_requested:
        out.append(_refuse(event.reply, _is_ending(job)))
    else:
        text = f"job {job.number}: priority {job.priority} made {event.priority} by {event.by}"
        job.priority = event.priority
        cluster.changed_jobs[job.number] = job
        cluster.dirty = True
        for line in cluster.lines.values():
            line.reclass(job, standing(cluster, job))
        waiting, placed = job.pending + job.queued, job.assigned + job.running
        _note_job(out, job, event, "job_prioritized", text, waiting, now_s=now_s)
        hint = f"{counted(placed, 'task')} of it had a place before, and keep it" if placed else ""
        out.append(AnswerChanged(reply=event.reply, tasks=waiting, hint=hint))


def on_bulk(out: list[Effect], event: BulkAsked, *, now_s: float) -> None:
    """Write down what somebody is about to do to many; each of them has a line of its own when it is done."""
    details = {"filter": event.query, "matched": event.matched, **event.details}
    out.append(AuditRow(at=now_s, actor=event.by, action=event.action, object=event.object, details=details))
    out.append(AnswerChanged(reply=event.reply, tasks=event.matched))


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


def _note_job(
    out: list[Effect],
    job: Job,
    event: Asked,
    kind: str,
    text: str,
    tasks: int,
    *,
    now_s: float,
) -> None:
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
    what = str(job.number)
    if isinstance(event, RequeueAsked) and event.index is not None:
        what = f"{job.number}.{event.index}"
    details = {"tasks": tasks}
    if isinstance(event, PriorityAsked):
        details["priority"] = event.priority
    out.append(AuditRow(at=now_s, actor=event.by, action=_ACTIONS[kind], object=what, details=details))


def _refuse(reply: ReplyToken, fault: Fault) -> Refuse:
    return Refuse(reply=reply, faults=(fault,))


def _no_job(number: int) -> Fault:
    return Fault(code="E_NOT_FOUND", message=f"no live job {number}", field="/job", status=404)


def _no_task(number: int, index: int) -> Fault:
    return Fault(code="E_NOT_FOUND", message=f"no task {number}.{index}", field="/target", status=404)


def _changed_meanwhile(number: int) -> Fault:
    return Fault(
        code="E_CONFLICT",
        message=f"job {number} changed while it was looked at",
        field="/target",
        hint="ask again",
        status=409,
    )


def _is_ending(job: Job, *, field: str = "/job") -> Fault:
    return Fault(
        code="E_CONFLICT",
        message=f"job {job.number} is being cancelled",
        field=field,
        hint="what still runs of it ends by itself",
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
