"""What a verb would do to a job, a task or a node, out of memory: whom it changes, and how much runs there.

It may be otherwise by the time it is done; then the core says so of each of them.
"""

from __future__ import annotations

from msgspec import Struct

from bus.bulk import BulkSteer
from bus.values import NodeAdmin, TaskState
from coordinator.core.model import TERMINAL, Cluster, Job, Node
from coordinator.core.transitions import NODE_TRANSITIONS

OVER, ALREADY, ENDING, NOTHING = "over", "already", "ending", "nothing"
"""Why something stays as it is: over, so already, being cancelled, or nothing of it is meant."""

_ADMINS = {
    "cordon": NodeAdmin.INACTIVE,
    "drain": NodeAdmin.DRAINING,
    "maintenance": NodeAdmin.MAINTENANCE,
    "undrain": NodeAdmin.ACTIVE,
}


class Prospect(Struct, frozen=True):
    """`skipped`: why nothing would change; "": it would. `tasks` are those that it is about."""

    skipped: str = ""
    tasks: int = 0
    running: int = 0
    waiting: int = 0


def of_job(cluster: Cluster, number: int, asked: BulkSteer, *, failed: int) -> Prospect:
    """`failed`: how many of its tasks failed, as the list has it: what is over is not in memory."""
    job = cluster.jobs.get(number)
    if asked.verb == "retry":
        if job is not None and job.cancel_requested:
            return Prospect(ENDING)
        return Prospect(tasks=failed) if failed else Prospect(NOTHING)
    if job is None:
        return Prospect(OVER)
    placed, waiting = job.assigned + job.running, job.pending + job.queued
    if asked.verb == "cancel":
        alike = job.cancel_requested
    elif job.cancel_requested:
        return Prospect(ENDING)
    else:
        alike = _is_so(job, asked)
    if alike:
        return Prospect(ALREADY)
    match asked.verb:
        case "cancel" | "pause" | "resume":
            tasks = placed + waiting
        case "requeue":
            tasks = placed
        case _:
            tasks = waiting
    if asked.verb == "requeue" and not placed:
        return Prospect(NOTHING)
    return Prospect(tasks=tasks, running=placed, waiting=waiting)


def _is_so(job: Job, asked: BulkSteer) -> bool:
    match asked.verb:
        case "hold":
            return job.held_by is not None
        case "release":
            return job.held_by is None
        case "pause":
            return job.paused_by is not None
        case "resume":
            return job.paused_by is None
        case "priority":
            return job.priority == asked.priority
        case _:
            return False


def of_task(cluster: Cluster, job: int, index: int, state: TaskState, verb: str) -> Prospect:
    """`state`: as the list has it."""
    if verb == "retry":
        return Prospect(tasks=1) if state in (TaskState.FAILED, TaskState.TIMEOUT) else Prospect(NOTHING)
    live = cluster.jobs.get(job)
    group = live.group_of(index) if live is not None else None
    task = group.find_task(index) if group is not None else None
    if group is None or state in TERMINAL or (task is None and not group.is_untouched(index)):
        return Prospect(OVER)
    attempt = task.attempt if task is not None else None
    if attempt is None:
        return Prospect(NOTHING) if verb == "requeue" else Prospect(tasks=1, waiting=1)
    if attempt.cancelling or (verb == "requeue" and attempt.yielding):
        return Prospect(ALREADY)
    return Prospect(tasks=1, running=1)


def of_node(node: Node, asked: BulkSteer) -> Prospect:
    """Its tasks are those that it holds and those that wait there."""
    here = Prospect(tasks=len(node.attempts), running=node.holding, waiting=node.waiting)
    if asked.verb == "label":
        wanted = {key: value for key, value in asked.labels.items() if value is not None}
        has = {key: node.set_labels[key] for key in asked.labels if key in node.set_labels}
        return Prospect(ALREADY) if wanted == has else here
    admin = _ADMINS[asked.verb]
    goal = None
    if admin is NodeAdmin.MAINTENANCE and node.admin is not admin:
        admin, goal = NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE
    same = (admin, goal) == (node.admin, node.admin_goal) and asked.reason in ("", node.admin_reason)
    if same and asked.deadline_s is None and node.admin_deadline is None:
        return Prospect(ALREADY)
    if admin is not node.admin and admin not in NODE_TRANSITIONS[node.admin]:
        return Prospect("E_CONFLICT")
    return here
