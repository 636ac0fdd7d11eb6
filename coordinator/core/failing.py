"""What the failure of a task means for the rest of its job: `on_failure` and `max_failures`.

A job goes on by itself, whatever fails. With `cancel` or `stop_new` the rest of it ends once more tasks have
failed than it bears; an array that bears no more failures ends alone. What waits for failures on purpose (a
need of `any` or `failed`) is left to run: it is there to clean up.
"""

from __future__ import annotations

from collections.abc import Iterable

from bus.spec import OnFailure
from bus.values import TaskState
from coordinator.core.changes import move, move_untouched, record_attempt
from coordinator.core.conditions import Condition
from coordinator.core.effects import Effect
from coordinator.core.model import Attempt, Cluster, Group, Task
from coordinator.core.placing import send_cancels

_FAILED = frozenset({TaskState.FAILED, TaskState.TIMEOUT})
_ON_PURPOSE = frozenset({Condition.ANY, Condition.FAILED})


def apply_policy(
    out: list[Effect], cluster: Cluster, task: Task, state: TaskState, *, now_s: float
) -> list[Group]:
    """End what the job, or the array, does not want any more after `task` came to `state`.

    Returns the groups of which something was cancelled.
    """
    group, job = task.group, task.group.job
    if state not in _FAILED or job.cancel_requested:
        return []
    running = job.on_failure != OnFailure.STOP_NEW
    why = f"dep_failed: task {task.ref} {state}"
    if job.on_failure != OnFailure.CONTINUE and job.failed > job.max_failures:
        groups = [each for each in job.groups if not _ON_PURPOSE & set(each.conditions)]
        if job.max_failures:
            why += f", and {job.failed} failures are more than {job.max_failures}"
        return _end(out, cluster, groups, why, running=running, now_s=now_s)
    if group.max_failures is not None and group.failed > group.max_failures:
        why += f", and {group.failed} failures are more than {group.max_failures}"
        return _end(out, cluster, [group], why, running=running, now_s=now_s)
    return []


def _end(
    out: list[Effect], cluster: Cluster, groups: Iterable[Group], why: str, *, running: bool, now_s: float
) -> list[Group]:
    """`running`: also what has started; else it goes on to its end."""
    ended: list[Group] = []
    told: list[Attempt] = []
    for group in groups:
        before = group.cancelled
        move_untouched(out, cluster, group, TaskState.CANCELLED, now_s=now_s, message=why)
        for task in list((group.tasks or {}).values()):
            attempt = task.attempt
            if attempt is None:
                move(out, cluster, task, TaskState.CANCELLED, now_s=now_s, message=why)
            elif not attempt.cancelling and (running or task.state is TaskState.ASSIGNED):
                for each in task.attempts:
                    each.cancelling, each.reason = True, why
                    record_attempt(out, cluster, each)
                    told.append(each)
        if group.cancelled != before:
            ended.append(group)
    send_cancels(out, told)
    return ended
