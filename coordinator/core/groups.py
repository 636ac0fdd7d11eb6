"""What the end of a task means for the tasks of its job that need it.

A group that needs others waits until every need is met (`conditions`), and is cancelled as soon as one cannot
be met any more; so is then what needs that group to complete. A job that runs after others keeps all of its
groups waiting until it is let go (`after`).
"""

from __future__ import annotations

from bus.values import NodeName, TaskState
from coordinator.core.changes import enqueue, move_untouched
from coordinator.core.conditions import Condition, Verdict, judge, with_condition
from coordinator.core.corresponding import is_elementwise, settle_elements, undecided
from coordinator.core.effects import Effect
from coordinator.core.failing import apply_policy
from coordinator.core.model import Cluster, Group, Task
from coordinator.core.scheduler.asking import note_arrival


def on_task_over(
    out: list[Effect],
    cluster: Cluster,
    task: Task,
    state: TaskState,
    *,
    node: NodeName,
    message: str,
    now_s: float,
) -> None:
    """Note what the job came to and by what, and go on with what waited for the task's group."""
    job = task.group.job
    if state is not TaskState.COMPLETED and not job.reason:
        # The cause stands in the job's own row, where a list can be filtered by it.
        cause = "" if state is TaskState.CANCELLED else f": {message}"
        job.reason = f"task {task.ref} {state} on {node}{cause}"
    settle_task(out, cluster, task, now_s=now_s)
    settle_dependents(out, cluster, task.group, now_s=now_s)
    for group in apply_policy(out, cluster, task, state, now_s=now_s):
        settle_dependents(out, cluster, group, now_s=now_s)


def settle_task(out: list[Effect], cluster: Cluster, task: Task, *, now_s: float) -> None:
    """Go on with what corresponds to a task that is over, in its job and in others, and so on."""
    pending = [(task.group, task.index)]
    while pending:
        group, index = pending.pop()
        job, place = group.job, index - group.first
        found = [
            (each, each.first + place)
            for each in job.dependents.get(group.name or "", ())
            if Condition.CORRESPONDING in each.conditions
        ]
        for number in sorted(cluster.awaited.get(job.number, ())):
            waiting = cluster.jobs[number].group_of(index)
            if waiting is not None and is_elementwise(waiting):
                found.append((waiting, index))
        for each, place in found:
            if settle_elements(out, cluster, each, (place,), now_s=now_s):
                pending.append((each, place))


def settle_dependents(out: list[Effect], cluster: Cluster, group: Group, *, now_s: float) -> None:
    """Queue what waited for `group` and needs nothing more; cancel what can never start, and so on.

    Each says which need was not met.
    """
    changed = [group]
    while changed:
        cause = changed.pop()
        if cause.name is None or not (cause.over or cause.failed or cause.cancelled):
            continue
        for dependent in cause.job.dependents.get(cause.name, ()):
            if dependent.untouched_state is not TaskState.PENDING:
                continue
            if is_elementwise(dependent):
                # its elements were told one by one: all are looked at only where a whole range has ended
                ended = cause.over or cause.untouched_state is TaskState.CANCELLED
                waiting = undecided(dependent) if ended else ()
                if settle_elements(out, cluster, dependent, waiting, now_s=now_s):
                    changed.append(dependent)
                continue
            never = unmeetable(dependent)
            if never is not None:
                move_untouched(out, cluster, dependent, TaskState.CANCELLED, now_s=now_s, message=never)
                changed.append(dependent)
            else:
                unlock(out, cluster, dependent, now_s=now_s)


def unlock(out: list[Effect], cluster: Cluster, group: Group, *, now_s: float) -> None:
    """Queue a pending group if neither its needs nor its job keep it waiting."""
    if group.job.start_at_s is not None:
        return
    if is_elementwise(group):
        if settle_elements(out, cluster, group, undecided(group), now_s=now_s):
            settle_dependents(out, cluster, group, now_s=now_s)
    elif not group.job.after and all(verdict is Verdict.MET for verdict in verdicts(group)):
        move_untouched(out, cluster, group, TaskState.QUEUED, now_s=now_s)
        note_arrival(cluster, group, now_s=now_s)
        enqueue(cluster, group, now_s=now_s)


def verdicts(group: Group) -> list[Verdict]:
    """Of each of the group's needs."""
    return [
        _judge(group.job.needed[name], condition)
        for name, condition in zip(group.needs, group.conditions, strict=True)
    ]


def unmeetable(group: Group) -> str | None:
    """Why the group can never start; None: it still can."""
    for name, condition, verdict in zip(group.needs, group.conditions, verdicts(group), strict=True):
        if verdict is Verdict.NEVER:
            what = "did not complete" if condition is Condition.OK else "completed"
            return f"needs {with_condition(name, condition)}, which {what}"
    return None


def _judge(needed: Group, condition: Condition) -> Verdict:
    return judge(condition, over=needed.over, sound=not needed.failed and not needed.cancelled)
