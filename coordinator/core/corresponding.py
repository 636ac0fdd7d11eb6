"""Task i after task i: elements that each wait for one element of another group, or of another job.

Of every range one bit an element is kept: whether it has completed. With the elements that are untouched or
live that says how each stands. An element that may start leaves its range and gets a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from bus.values import TaskState
from coordinator.core.changes import enqueue, move
from coordinator.core.conditions import Condition, Verdict, judge, with_condition
from coordinator.core.effects import Effect, Fault
from coordinator.core.job_ends import ELEMENTS_MAX
from coordinator.core.model import Awaited, Cluster, Group, Job
from coordinator.core.scheduler.asking import note_arrival


def is_elementwise(group: Group) -> bool:
    """Whether its elements are let go one by one."""
    return Condition.CORRESPONDING in group.conditions or corresponds(group.job)


def corresponds(job: Job) -> bool:
    """Whether each of its tasks runs after one of another job."""
    return any(each.condition is Condition.CORRESPONDING for each in job.after)


def is_sound(each: Awaited) -> bool:
    """Whether another job completed when it last ended."""
    return each.end is not None and each.end.completed


def check_counts(job: Job) -> tuple[Fault, ...]:
    """Groups that correspond have as many tasks."""
    found = []
    for position, group in enumerate(job.groups):
        for name, condition in zip(group.needs, group.conditions, strict=True):
            other = job.needed[name]
            if condition is not Condition.CORRESPONDING:
                continue
            if other.count != group.count:
                got = f"{name} has {other.count} tasks, {group.label()} has {group.count}"
                found.append(_fault(got, "as many tasks", f"/tasks/{position}/needs"))
            elif group.count > ELEMENTS_MAX:
                found.append(
                    _fault(f"{group.count} tasks", f"at most {ELEMENTS_MAX}", f"/tasks/{position}/needs")
                )
    return tuple(found)


def check_jobs(cluster: Cluster, job: Job) -> tuple[Fault, ...]:
    """A job that runs task by task after another has as many tasks, and it is known how those ended."""
    found = []
    for position, each in enumerate(job.after):
        if each.condition is not Condition.CORRESPONDING:
            continue
        field, other = f"/after/{position}", cluster.jobs.get(each.number)
        total = other.total if other is not None else each.end.tasks if each.end is not None else 0
        if total and total != job.total:
            got = f"job {each.number} has {total} tasks, this one {job.total}"
            found.append(_fault(got, "as many tasks", field))
        elif job.total > ELEMENTS_MAX:
            found.append(_fault(f"{job.total} tasks", f"at most {ELEMENTS_MAX}", field))
        elif other is None and not is_sound(each) and (each.end is None or each.end.done is None):
            found.append(
                Fault(
                    code="E_CONFLICT",
                    message=f"which tasks of job {each.number} completed is not known any more",
                    field=field,
                    got=f"{each.number}:corresponding",
                    expected="a job that no older version archived",
                    hint="name the tasks in an array of their own",
                    status=409,
                )
            )
    return tuple(found)


def _fault(got: str, expected: str, field: str) -> Fault:
    message = "what corresponds is not alike"
    return Fault(code="E_ARRAY", message=message, field=field, got=got, expected=expected)


def settle_elements(
    out: list[Effect], cluster: Cluster, group: Group, indices: Iterable[int], *, now_s: float
) -> list[int]:
    """Let go, or cancel, those of `indices` that are decided; returns the cancelled ones."""
    cancelled: list[int] = []
    if group.untouched_state is not TaskState.PENDING or group.job.start_at_s is not None:
        return cancelled
    for index in indices:
        if not group.is_untouched(index):
            continue
        never, waits = _decide(cluster, group, index)
        if never:
            task = group.touch(index)
            move(out, cluster, task, TaskState.CANCELLED, now_s=now_s, message=never)
            group.job.reason = group.job.reason or f"task {task.ref} {never}"
            cancelled.append(index)
        elif not waits:
            task = group.touch(index)
            move(out, cluster, task, TaskState.QUEUED, now_s=now_s)
            note_arrival(cluster, group, now_s=now_s, tasks=1)
            enqueue(cluster, task, now_s=now_s)
    return cancelled


def undecided(group: Group) -> list[int]:
    """The elements that still wait, in order."""
    skipped = group.skipped or ()
    return [index for index in range(group.cursor, group.end) if index not in skipped]


def _decide(cluster: Cluster, group: Group, index: int) -> tuple[str, bool]:
    """Why it can never start ("": it can), and whether it still waits."""
    waits = False
    for name, condition in zip(group.needs, group.conditions, strict=True):
        needed = group.job.needed[name]
        if condition is Condition.CORRESPONDING:
            verdict = _of_element(needed, needed.first + index - group.first)
        else:
            sound = not needed.failed and not needed.cancelled
            verdict = judge(condition, over=needed.over, sound=sound)
        if verdict is Verdict.NEVER:
            return f"dep_failed: needs {with_condition(name, condition)}, and that did not come", False
        waits = waits or verdict is Verdict.WAIT
    for each in group.job.after:
        verdict = of_job(cluster, each, index)
        if verdict is Verdict.NEVER:
            what = f"{each.number}.{index}"
            return f"dep_failed: runs after {what}, which did not complete", False
        waits = waits or verdict is Verdict.WAIT
    return "", waits


def of_job(cluster: Cluster, each: Awaited, index: int) -> Verdict:
    """How task `index` of another job stands, or the job as a whole where that is asked for."""
    other = cluster.jobs.get(each.number)
    if each.condition is not Condition.CORRESPONDING:
        over = each.end is not None and (other is None or other.state.is_terminal)
        return judge(each.condition, over=over, sound=not over or is_sound(each))
    group = other.group_of(index) if other is not None else None
    if group is None:
        return Verdict.MET if each.end is not None and each.end.has_completed(index) else Verdict.NEVER
    return _of_element(group, index)


def _of_element(group: Group, index: int) -> Verdict:
    if group.is_untouched(index) or group.find_task(index) is not None:
        return Verdict.WAIT
    return Verdict.MET if group.has_completed(index) else Verdict.NEVER
