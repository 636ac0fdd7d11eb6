"""Jobs: they are submitted and cancelled; tasks come back from their backoff."""

from __future__ import annotations

import heapq
from uuid import UUID

import msgspec

from bus.values import Resources, Role, TaskState
from coordinator.core import after
from coordinator.core.changes import (
    enqueue,
    group_change,
    move,
    move_untouched,
    record_attempt,
)
from coordinator.core.children import check_parent, descendants, note_child
from coordinator.core.corresponding import check_counts, check_jobs
from coordinator.core.effects import (
    AnswerCancel,
    AnswerSubmit,
    AuditRow,
    Effect,
    Fault,
    NewJob,
    Refuse,
)
from coordinator.core.events import (
    Asked,
    CancelAsked,
    JobSubmitted,
)
from coordinator.core.groups import settle_dependents, settle_task
from coordinator.core.intake import build_job, derive
from coordinator.core.model import Attempt, Cluster, Group, Job, Task
from coordinator.core.placing import send_cancels
from coordinator.core.preferences import strangers
from coordinator.core.scheduler.asking import note_arrival, size_of
from coordinator.core.scheduler.feasible import never_fits
from coordinator.core.scheduler.gangs import seats_ever
from coordinator.core.starting import check_start, start_note, wait_for_time
from coordinator.core.task_rows import new_task_row

_DEDUPE_KEPT = 100_000


def on_submitted(out: list[Effect], cluster: Cluster, event: JobSubmitted, *, now_s: float) -> None:
    """Accept a job whole, or refuse it with everything that is wrong."""
    spec = event.spec
    key = (event.owner, spec.dedupe_key) if spec.dedupe_key is not None else None
    if key is not None and key in cluster.dedupe:
        out.append(_answer_repeated(event, cluster.dedupe[key]))
        return
    derived = derive(spec, event.owner, event.lists)
    if isinstance(derived, tuple):
        out.append(Refuse(reply=event.reply, faults=derived))
        return
    job = build_job(
        derived,
        spec=spec,
        job_id=event.job_id,
        number=event.number,
        owner=event.owner,
        submitted_at=now_s,
    )
    faults = (
        after.bind(cluster, job, event.ended)
        or check_parent(cluster, job)
        or check_counts(job)
        or check_jobs(cluster, job)
        or check_start(job, now_s=now_s)
        or strangers(cluster, job)
        or unsatisfiable(cluster, job)
    )
    if faults:
        out.append(Refuse(reply=event.reply, faults=faults))
        return
    if key is not None:
        if len(cluster.dedupe) >= _DEDUPE_KEPT:
            del cluster.dedupe[next(iter(cluster.dedupe))]
        cluster.dedupe[key] = (event.digest, job.number, job.id, job.total)
    note_child(cluster, job)
    cluster.jobs[job.number] = job
    out.append(_new_job_row(job, event, now_s=now_s))
    for group in job.groups:
        row = new_task_row(group, now_s=now_s)
        first = (group.untouched_state,)
        out.append(row)
        out.append(group_change(group, first, left=group.count, now_s=now_s, row_id=row.id))
        if group.untouched_state is TaskState.QUEUED:
            note_arrival(cluster, group, now_s=now_s)
            enqueue(cluster, group, now_s=now_s)
    cluster.changed_jobs[job.number] = job
    if job.start_at_s is not None:
        wait_for_time(cluster, job)
    if job.after:
        after.wait_for(cluster, job)
        after.settle(out, cluster, job, now_s=now_s)
    out.append(
        AnswerSubmit(
            reply=event.reply,
            number=job.number,
            id=job.id,
            tasks=job.total,
            duplicate=False,
            note=start_note(derived.start_at_s, now_s=now_s),
        )
    )


def _answer_repeated(event: JobSubmitted, first: tuple[bytes, int, UUID, int]) -> Effect:
    digest, number, identity, tasks = first
    if digest == event.digest:
        return AnswerSubmit(reply=event.reply, number=number, id=identity, tasks=tasks, duplicate=True)
    fault = Fault(
        code="E_IDEM_CONFLICT",
        message=f"job {number} has this key and another body",
        field="/dedupe_key",
        hint=f"stored {digest.hex()[:12]}, sent {event.digest.hex()[:12]}",
        status=409,
    )
    return Refuse(reply=event.reply, faults=(fault,))


def unsatisfiable(cluster: Cluster, job: Job) -> tuple[Fault, ...]:
    """Refuse only what no registered node, up or down, could ever hold."""
    faults = []
    seen = set()
    for group in job.groups:
        if group.shape in seen:
            continue
        seen.add(group.shape)
        too_large = _too_large(cluster, group)
        if too_large is not None:
            faults.append(too_large)
            continue
        if size_of(cluster, group.shape).total != Resources():
            continue  # that is what who could hold it has
        why = never_fits(cluster.nodes.values(), group.shape)
        if why is not None:
            faults.append(
                Fault(code="E_UNSATISFIABLE", message=f"{group.label()}: {why}", field="/resources")
            )
    return tuple(faults)


def _too_large(cluster: Cluster, group: Group) -> Fault | None:
    """A gang of more ranks than all nodes could hold at once, up or down."""
    gang = group.shape.gang
    if gang is None or not cluster.nodes:
        return None
    most = seats_ever(cluster.nodes.values(), group.shape, released=True)
    if most >= gang.size:
        return None
    return Fault(
        code="E_GANG",
        message=f"{group.label()}: more ranks than the nodes have places",
        field="/gang/size",
        got=str(gang.size),
        expected=f"at most {most}",
        hint="fewer ranks, less for each, or more of them on a node",
    )


def _new_job_row(job: Job, event: JobSubmitted, *, now_s: float) -> NewJob:
    return NewJob(
        id=job.id,
        number=job.number,
        owner=job.owner,
        name=job.name,
        kind=job.kind,
        priority=job.priority,
        spec=event.spec_json,
        metadata=msgspec.json.encode(event.spec.metadata),
        dedupe_key=event.spec.dedupe_key,
        digest=event.digest,
        tasks=job.total,
        submitted_at=now_s,
        message_key=event.message_key,
        parent_id=job.parent_id,
    )


def on_cancel(out: list[Effect], cluster: Cluster, event: CancelAsked, *, now_s: float) -> None:
    """End a job or a task. Whoever may not see a job is told that there is none.

    Of one that ended between the question and its turn nothing is left to cancel, as of any that is over.
    """
    job = cluster.jobs.get(event.job)
    if job is None:
        out.append(AnswerCancel(reply=event.reply, tasks=0))
        return
    what = f"{event.job}" if event.index is None else f"{event.job}.{event.index}"
    if not may_steer(job, event):
        fault = Fault(code="E_NOT_FOUND", message=f"no live job or task {what}", field="/target", status=404)
        out.append(Refuse(reply=event.reply, faults=(fault,)))
        return
    if event.index is None:
        ended = _cancel_job(out, cluster, job, now_s=now_s)
    else:
        ended = _cancel_index(out, cluster, job, event.index, now_s=now_s)
    for child in descendants(cluster, job.number, event.index):
        ended += _cancel_job(out, cluster, child, now_s=now_s)
    if ended:
        details = {"tasks": ended}
        out.append(AuditRow(at=now_s, actor=event.by, action="job.cancel", object=what, details=details))
    out.append(AnswerCancel(reply=event.reply, tasks=ended))


def may_steer(job: Job, event: Asked) -> bool:
    """Owners steer their own jobs, operators any."""
    return job.owner == event.by or event.role.rank >= Role.OPERATOR.rank


def _cancel_job(out: list[Effect], cluster: Cluster, job: Job, *, now_s: float) -> int:
    """What has not started ends now; what runs is told to end, and ends when its node says so."""
    job.cancel_requested = True
    job.paused_by = job.paused_at = None  # what stands still is ended, not continued
    job.reason = job.reason or "cancelled"
    cluster.changed_jobs[job.number] = job
    ended = 0
    running: list[Attempt] = []
    for group in job.groups:
        ended += group.untouched
        move_untouched(out, cluster, group, TaskState.CANCELLED, now_s=now_s, message="cancelled")
        for task in list(group.tasks.values()) if group.tasks else ():
            ended += _cancel_task(out, cluster, task, running, now_s=now_s)
    send_cancels(out, running)
    return ended


def _cancel_index(out: list[Effect], cluster: Cluster, job: Job, index: int, *, now_s: float) -> int:
    group = job.group_of(index)
    if group is None:
        return 0
    running: list[Attempt] = []
    task = group.find_task(index)
    if task is None and group.is_untouched(index):
        task = group.touch(index)
    ended = _cancel_task(out, cluster, task, running, now_s=now_s) if task is not None else 0
    send_cancels(out, running)
    return ended


def _cancel_task(
    out: list[Effect], cluster: Cluster, task: Task, running: list[Attempt], *, now_s: float
) -> int:
    if task.attempt is not None:
        if task.attempt.cancelling:
            return 0
        for attempt in task.attempts:
            attempt.cancelling, attempt.reason = True, ""  # of a requeue that came before, say
            record_attempt(out, cluster, attempt)
            running.append(attempt)
        return 1
    move(out, cluster, task, TaskState.CANCELLED, now_s=now_s, message="cancelled")
    if not task.group.job.cancel_requested:
        settle_task(out, cluster, task, now_s=now_s)
        settle_dependents(out, cluster, task.group, now_s=now_s)
    return 1


def requeue_due(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Tasks whose backoff is over go back into the waiting line."""
    while cluster.retries and cluster.retries[0][0] <= now_s:
        _, _, ref = heapq.heappop(cluster.retries)
        task = cluster.find_task(ref)
        if task is not None and task.state is TaskState.RETRYING:
            move(out, cluster, task, TaskState.QUEUED, now_s=now_s)
            enqueue(cluster, task, now_s=now_s)


def remind_cancels(out: list[Effect], cluster: Cluster) -> None:
    """Say again what should have ended by now: a command may have been lost."""
    send_cancels(out, [attempt for attempt in cluster.attempts() if attempt.cancelling])
