"""The cluster at one instant, in plain values that outlive it: what two memories must agree on.

Left out is what only one memory can know: when leases were renewed, which commands were confirmed, the pace
of a node. Instants are left out too: the database keeps microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from bus.values import (
    AttemptRef,
    AttemptState,
    JobState,
    NodeAdmin,
    NodeHealth,
    NodeName,
    Resources,
    TaskRef,
    TaskState,
    UserName,
)
from coordinator.core.model import Attempt, Cluster, Group, Job, Node, Task
from coordinator.core.scheduler.kept import digest
from coordinator.core.scheduler.policies import Mode


class JobHeld(NamedTuple):
    state: JobState
    pending: int
    queued: int
    assigned: int
    running: int
    completed: int
    failed: int
    cancelled: int
    cancel_requested: bool
    exit_code: int | None
    reason: str
    held_by: str
    paused_by: str
    priority: int


class GroupHeld(NamedTuple):
    """`version` and `state` are of the row that stands for the untouched elements."""

    untouched: int
    state: TaskState | None
    version: int
    live: int
    completed: int
    failed: int
    cancelled: int


class TaskHeld(NamedTuple):
    state: TaskState
    version: int
    fence: int
    retries: int
    node: NodeName | None
    idempotent: bool


class AttemptHeld(NamedTuple):
    """`paused`: its job is, so its node lets it stand still."""

    node: NodeName
    state: AttemptState
    holding: bool
    gpus: tuple[str, ...]
    cancelling: bool
    yielding: bool
    paused: bool


class NodeHeld(NamedTuple):
    id: UUID
    incarnation: str
    health: NodeHealth
    admin: NodeAdmin
    admin_goal: NodeAdmin | None
    capacity: Resources
    allocated: Resources
    labels: tuple[tuple[str, str], ...]
    quarantined: tuple[tuple[str, str], ...]  # GPUs, and what for


class Learnt(NamedTuple):
    """`digest`: of all that was learned, bit for bit."""

    mode: Mode
    policy: str
    digest: str


class AccountHeld(NamedTuple):
    """As last settled: what came since is in no database yet."""

    shares: int
    usage: float


class Picture(Struct, frozen=True):
    """`waiting`: what the lines offer, tasks and groups by their first index. `retrying`: what has
    a time at which it will be tried again."""

    jobs: dict[int, JobHeld]
    groups: dict[TaskRef, GroupHeld]
    tasks: dict[TaskRef, TaskHeld]
    attempts: dict[AttemptRef, AttemptHeld]
    nodes: dict[NodeName, NodeHeld]
    waiting: frozenset[TaskRef]
    retrying: frozenset[TaskRef]
    learned: dict[str, Learnt]
    accounts: dict[UserName, AccountHeld]


def picture(cluster: Cluster) -> Picture:
    """Takes time in proportion to what is alive or touched; queued elements of arrays cost nothing."""
    groups = [group for job in cluster.jobs.values() for group in job.groups]
    return Picture(
        jobs={number: _job(job) for number, job in cluster.jobs.items()},
        groups={TaskRef(group.job.number, group.first): _group(group) for group in groups},
        tasks={task.ref: _task(task) for group in groups for task in (group.tasks or {}).values()},
        attempts={attempt.ref: _attempt(attempt) for attempt in cluster.attempts()},
        nodes={name: _node(node) for name, node in cluster.nodes.items()},
        waiting=frozenset(_waiting(cluster)),
        retrying=frozenset(ref for _, _, ref in cluster.retries if _is_retrying(cluster.find_task(ref))),
        learned={"planner": Learnt(cluster.mode, cluster.policy, digest(cluster.planner))},
        accounts={
            owner: AccountHeld(account.shares, account.usage)
            for owner, account in cluster.shares.accounts.items()
            if account.known
        },
    )


def _job(job: Job) -> JobHeld:
    return JobHeld(
        job.state,
        job.pending,
        job.queued,
        job.assigned,
        job.running,
        job.completed,
        job.failed,
        job.cancelled,
        job.cancel_requested,
        job.exit_code,
        job.reason,
        job.held_by or "",
        job.paused_by or "",
        job.priority,
    )


def _group(group: Group) -> GroupHeld:
    untouched = group.untouched
    return GroupHeld(
        untouched,
        group.untouched_state if untouched else None,
        group.version if group.is_range or untouched else 0,
        group.live,
        group.completed,
        group.failed,
        group.cancelled,
    )


def _task(task: Task) -> TaskHeld:
    idempotent = task.group.settings.idempotent
    return TaskHeld(task.state, task.version, task.fence, task.retries, task.node, idempotent)


def _attempt(attempt: Attempt) -> AttemptHeld:
    return AttemptHeld(
        attempt.node,
        attempt.state,
        attempt.holding,
        attempt.gpus,
        attempt.cancelling,
        attempt.yielding,
        attempt.task.group.job.paused_by is not None,
    )


def _node(node: Node) -> NodeHeld:
    return NodeHeld(
        node.id,
        node.incarnation,
        node.health,
        node.admin,
        node.admin_goal,
        node.written,
        node.allocated,
        tuple(sorted(node.labels.items())),
        tuple(sorted((uuid, node.quarantines[uuid].kind) for uuid in node.quarantined)),
    )


def _waiting(cluster: Cluster) -> Iterator[TaskRef]:
    for line in cluster.lines.values():
        for waiting in line.entries:
            if isinstance(waiting.entry, Task):
                if waiting.wants_place:
                    yield waiting.entry.ref
            elif waiting.entry.wants_place:
                yield TaskRef(waiting.entry.job.number, waiting.entry.first)


def _is_retrying(task: Task | None) -> bool:
    return task is not None and task.state is TaskState.RETRYING
