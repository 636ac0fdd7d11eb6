"""What the end of a task means for the tasks that need it."""

from __future__ import annotations

from bus.values import NodeName, TaskState
from coordinator.core.changes import enqueue, move_untouched
from coordinator.core.effects import Effect
from coordinator.core.model import Cluster, Group, Job, Task


def on_task_over(
    out: list[Effect], cluster: Cluster, task: Task, state: TaskState, *, node: NodeName, now_s: float
) -> None:
    """Unlock the groups that waited for the task's group, or cancel them if it can no longer succeed."""
    group = task.group
    if state is not TaskState.COMPLETED:
        if not group.job.reason:
            group.job.reason = f"task {task.ref} {state} on {node}"
        cancel_dependents(out, cluster, group, now_s=now_s)
    elif group.over and not group.failed and not group.cancelled:
        _unlock_dependents(out, cluster, group, now_s=now_s)


def _unlock_dependents(out: list[Effect], cluster: Cluster, group: Group, *, now_s: float) -> None:
    for dependent in _waiting_for(group.job, group):
        if all(_succeeded(group.job.needed[name]) for name in dependent.needs):
            move_untouched(out, cluster, dependent, TaskState.QUEUED, now_s=now_s)
            enqueue(cluster, dependent, now_s=now_s)


def cancel_dependents(out: list[Effect], cluster: Cluster, group: Group, *, now_s: float) -> None:
    """Cancel what needs `group`, and what needs that; each says which need failed."""
    failed = [group]
    while failed:
        cause = failed.pop()
        for dependent in _waiting_for(cause.job, cause):
            message = f"needs {cause.label()}, which did not complete"
            move_untouched(out, cluster, dependent, TaskState.CANCELLED, now_s=now_s, message=message)
            failed.append(dependent)


def _waiting_for(job: Job, group: Group) -> list[Group]:
    if group.name is None:
        return []
    dependents = job.dependents.get(group.name, ())
    return [other for other in dependents if other.untouched_state is TaskState.PENDING]


def _succeeded(group: Group) -> bool:
    return group.completed == group.count
