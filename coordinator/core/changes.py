"""The only ways in which tasks, attempts, ledgers and counters change; each leaves its rows behind.

Everything else in the core decides; these functions keep the books. `out` collects the effects of one
step; counters, ledgers and range rows that changed are written once, by `flush`, at the step's end.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any
from uuid import UUID

from bus.values import AttemptRef, AttemptState, NodeAdmin, Resources, TaskRef, TaskState, UserName
from coordinator.core.children import forget_child
from coordinator.core.effects import (
    AttemptChange,
    Effect,
    EventRecord,
    JobChange,
    NodeLedger,
    NodeRow,
    TaskChange,
)
from coordinator.core.fair_share import charge
from coordinator.core.forecasts import note_start
from coordinator.core.model import TERMINAL, Attempt, Cluster, Group, Job, Node, Task, Waiting
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.order import in_force, key_of, standing
from coordinator.core.task_rows import element_row
from coordinator.core.transitions import check_path

COUNTER = {
    TaskState.PENDING: "pending",
    TaskState.QUEUED: "queued",
    TaskState.RETRYING: "queued",
    TaskState.REASSIGNED: "queued",
    TaskState.ASSIGNED: "assigned",
    TaskState.RUNNING: "running",
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.TIMEOUT: "failed",
    TaskState.CANCELLED: "cancelled",
}
_LIVE = frozenset({TaskState.ASSIGNED, TaskState.RUNNING})
_WAITING = frozenset({TaskState.QUEUED, TaskState.RETRYING})


def count(job: Job, before: TaskState, after: TaskState, tasks: int = 1) -> None:
    """Move `tasks` from one of the job's counters to another."""
    source, target = COUNTER[before], COUNTER[after]
    if source != target:
        setattr(job, source, getattr(job, source) - tasks)
        setattr(job, target, getattr(job, target) + tasks)


def move(
    out: list[Effect],
    cluster: Cluster,
    task: Task,
    *states: TaskState,
    now_s: float,
    exit_code: int | None = None,
    signal: int | None = None,
    message: str = "",
    output: bytes | None = None,
    asked_by: str | None = None,
) -> None:
    """Take a task along `states`. A task that is over is forgotten; its job's counters stay.

    Without states only what else is said of it is written.
    """
    group, job = task.group, task.group.job
    path = (task.state, *states)
    check_path(path)
    after = path[-1]
    if task.version == 0:
        out.append(element_row(task))
        cluster.changed_ranges[(job.number, group.first)] = group
    count(job, task.state, after)
    group.live += (after in _LIVE) - (task.state in _LIVE)
    task.state = after
    task.version += 1
    over = after in TERMINAL
    if after in _WAITING:
        task.node = None
    if states and after in _LIVE and task.attempt is not None:
        task.started_at = task.began_at
    out.append(
        TaskChange(
            task=task.ref,
            id=task.id,
            owner=job.owner,
            version=task.version,
            path=path,
            remaining=1,
            node=task.node,
            fence=task.fence,
            retries=task.retries,
            started_at=task.started_at,
            completed_at=now_s if over else None,
            exit_code=exit_code,
            signal=signal,
            message=message,
            output=output,
            changed_at=now_s,
            asked_by=asked_by,
        )
    )
    if TaskState.RUNNING in states and cluster.planner.forecasts.open:
        note_start(cluster, task)
    if job.started_at is None and task.started_at is not None:
        job.started_at = task.started_at
    cluster.changed_jobs[job.number] = job
    if over:
        add_to(group, after)
        if after is TaskState.COMPLETED and group.is_range:
            group.note_completed(task.index)
        group.forget(task)
        if after is not TaskState.COMPLETED and job.exit_code is None and exit_code is not None:
            job.exit_code = exit_code


def add_to(group: Group, state: TaskState, tasks: int = 1) -> None:
    if state is TaskState.COMPLETED:
        group.completed += tasks
    elif state is TaskState.CANCELLED:
        group.cancelled += tasks
    else:
        group.failed += tasks


def move_untouched(
    out: list[Effect], cluster: Cluster, group: Group, state: TaskState, *, now_s: float, message: str = ""
) -> None:
    """Take all untouched elements of a group to `state` (queued or cancelled) in one row."""
    left = group.untouched
    if not left:
        return
    before = group.untouched_state
    check_path((before, state))
    count(group.job, before, state, left)
    group.version += 1
    if state is TaskState.CANCELLED:
        add_to(group, state, left)
    group.untouched_state = state
    out.append(group_change(group, (before, state), left=left, now_s=now_s, message=message))
    cluster.changed_jobs[group.job.number] = group.job


def group_change(
    group: Group,
    path: tuple[TaskState, ...],
    *,
    left: int,
    now_s: float,
    message: str = "",
    row_id: UUID | None = None,
) -> TaskChange:
    """A change of the row that stands for the untouched elements, of which there are `left`."""
    return TaskChange(
        task=TaskRef(group.job.number, group.first),
        id=row_id or group.row_id,
        owner=group.job.owner,
        version=group.version,
        path=path,
        remaining=left if group.is_range else 1,
        node=None,
        fence=0,
        retries=0,
        started_at=None,
        completed_at=now_s if path[-1] is TaskState.CANCELLED else None,
        exit_code=None,
        signal=None,
        message=message,
        output=None,
        changed_at=now_s,
    )


def enqueue(cluster: Cluster, entry: Group | Task, *, now_s: float) -> None:
    """Put a group's untouched elements, or one task, into the waiting line of its shape.

    Tasks of a held or paused job stay out of the lines. Those of a limited group wait behind its one entry,
    which is in the line only while the limit leaves room; or apart, while nodes are left out for them.
    """
    group = entry if isinstance(entry, Group) else entry.group
    if group.job.withheld:
        return
    if isinstance(entry, Task) and group.limit and entry.own_shape is not None:
        group.apart = group.apart or {}
        group.apart[entry.index] = entry
        if group.full:
            return
    elif isinstance(entry, Task) and group.limit:
        group.again = group.again or deque()
        group.again.append(entry)
        entry = group
    if isinstance(entry, Task):
        entry.in_line = True
        sequence = cluster.next_sequence()
    elif entry.in_line:
        cluster.dirty = True
        return
    else:
        entry.in_line = True
        sequence = entry.sequence = entry.sequence or cluster.next_sequence()
    policy = in_force(cluster)
    line = cluster.line_of(entry.shape, keyed_by=policy.name, now_s=now_s)
    key = key_of(cluster, policy, group, now_s=now_s)
    job = group.job
    age = standing(cluster, job)
    line.push(Waiting(age, -job.priority, key, sequence, now_s, entry))
    cluster.dirty = True


def sweep_lines(cluster: Cluster) -> None:
    """Drop what no longer wants a place. Behind a head that waits long, nobody else passes it."""
    for line in cluster.lines.values():
        kept = []
        for waiting in line.entries:
            if waiting.wants_place:
                kept.append(waiting)
            else:
                waiting.entry.in_line = False
        if len(kept) < len(line.entries):
            line.entries = kept
            heapq.heapify(kept)


def unpark(cluster: Cluster, group: Group, *, now_s: float) -> None:
    """A group that stood at its own limit has room again."""
    if group.limit and not group.in_line and group.wants_place:
        enqueue(cluster, group, now_s=now_s)
    for task in group.parked() if group.apart else ():
        enqueue(cluster, task, now_s=now_s)


def hold(cluster: Cluster, attempt: Attempt) -> None:
    """From now on the attempt's request is part of its node's ledger."""
    node = cluster.nodes[attempt.node]
    attempt.holding = True
    node.holding += 1
    node.give(attempt.requested, attempt.gpus)
    cluster.changed_ledgers[node.name] = node


def release(cluster: Cluster, attempt: Attempt) -> None:
    """Give back what the attempt held, if anything."""
    if not attempt.holding:
        return
    node = cluster.nodes[attempt.node]
    attempt.holding = False
    node.holding -= 1
    node.take_back(attempt.requested, attempt.gpus)
    if node.capacity != node.declared:
        node.fit_capacity()
    cluster.changed_ledgers[node.name] = node
    cluster.dirty = True


def record_attempt(
    out: list[Effect],
    cluster: Cluster,
    attempt: Attempt,
    *,
    new: bool = False,
    ended_at: float | None = None,
    exit_code: int | None = None,
    signal: int | None = None,
    message: str = "",
    explanation: Explanation | None = None,
) -> None:
    """Write the attempt as it stands."""
    out.append(
        AttemptChange(
            attempt=attempt.ref,
            task_id=attempt.task.id,
            node=attempt.node,
            node_id=cluster.nodes[attempt.node].id,
            new=new,
            state=attempt.state,
            waiting=not attempt.holding and ended_at is None,
            requested=attempt.requested,
            holds=attempt.requested if attempt.holding else Resources(),
            gpus=attempt.gpus,
            assigned_at=attempt.assigned_at,
            started_at=attempt.started_at,
            ended_at=ended_at,
            exit_code=exit_code,
            signal=signal,
            message=message or (attempt.reason if ended_at is None else ""),
            cancelling=attempt.cancelling,
            yielding=attempt.yielding,
            explanation=explanation,
        )
    )


def begin_attempt(
    out: list[Effect],
    cluster: Cluster,
    task: Task,
    node: Node,
    *,
    waiting: bool,
    gpus: tuple[str, ...],
    now_s: float,
    explanation: Explanation | None,
) -> Attempt:
    """queued -> assigned, with the next fence."""
    task.fence += 1
    attempt = take_place(cluster, task, node, gpus=gpus, now_s=now_s, explanation=explanation)
    if not waiting:
        hold(cluster, attempt)
    move(out, cluster, task, TaskState.ASSIGNED, now_s=now_s)
    record_attempt(out, cluster, attempt, new=True, explanation=explanation)
    return attempt


def take_place(
    cluster: Cluster,
    task: Task,
    node: Node,
    *,
    gpus: tuple[str, ...],
    now_s: float,
    explanation: Explanation | None,
    rank: int = 0,
) -> Attempt:
    """An attempt of the task's newest fence is on `node` from now on; it holds nothing yet."""
    ref = AttemptRef(*task.ref.of_rank(rank), task.fence)
    attempt = Attempt(ref, task, node.name, gpus, now_s, False, decided=explanation)
    task.begin(attempt)
    node.attempts[ref] = attempt
    node.note_task(ref.job, claims=task.group.shape.claims)
    note_live(cluster, attempt)
    return attempt


def note_live(cluster: Cluster, attempt: Attempt) -> None:
    """Keep the few attempts at hand that are looked for among many."""
    if attempt.yielding:
        cluster.yielding[attempt.ref] = attempt
    if attempt.task.group.settings.preemptible:
        cluster.preemptible[attempt.ref] = attempt
    if attempt.task.group.settings.timeout_s is not None:
        cluster.timed[attempt.ref] = attempt


def end_attempt(
    out: list[Effect],
    cluster: Cluster,
    attempt: Attempt,
    state: AttemptState,
    *,
    now_s: float,
    exit_code: int | None = None,
    signal: int | None = None,
    message: str = "",
) -> None:
    """The attempt is over: its ledger is closed in the same transaction. The task moves separately."""
    charge(cluster, attempt, now_s=now_s)
    release(cluster, attempt)
    attempt.state = state
    node = cluster.nodes[attempt.node]
    del node.attempts[attempt.ref]
    node.note_task(attempt.ref.job, -1, claims=attempt.task.group.shape.claims)
    cluster.yielding.pop(attempt.ref, None)
    cluster.preemptible.pop(attempt.ref, None)
    cluster.timed.pop(attempt.ref, None)
    attempt.task.end(attempt)
    record_attempt(out, cluster, attempt, ended_at=now_s, exit_code=exit_code, signal=signal, message=message)
    note_drained(out, cluster.nodes[attempt.node], now_s=now_s)


def note_drained(out: list[Effect], node: Node, *, now_s: float) -> None:
    """When the last attempt has left a draining node: say so, and make it what it was drained for."""
    if node.admin is not NodeAdmin.DRAINING or node.attempts:
        return
    text = f"node {node.name} is drained: nothing runs on it any more"
    out.append(node_event(node, "node_drained", "info", text, now_s=now_s))
    if node.admin_goal is not None:
        node.admin, node.admin_goal, node.admin_deadline = node.admin_goal, None, None
        out.append(node_row(node, registered=False))
        text = f"node {node.name} is in {node.admin}"
        out.append(node_event(node, f"node_{node.admin}", "info", text, now_s=now_s))


def node_event(
    node: Node,
    kind: str,
    severity: str,
    message: str,
    *,
    now_s: float,
    user: UserName | None = None,
    details: dict[str, Any] | None = None,
) -> EventRecord:
    """A line of the cluster's history about `node`."""
    return EventRecord(
        at=now_s,
        event_type=kind,
        severity=severity,
        message=message,
        node=node.name,
        node_id=node.id,
        user=user,
        details=details or {},
    )


def node_row(node: Node, *, registered: bool) -> NodeRow:
    """The node as it stands; `registered`: with its capacity and inventory."""
    if registered:
        node.written = node.capacity
    return NodeRow(
        name=node.name,
        id=node.id,
        incarnation=node.incarnation,
        boot_id=node.boot_id,
        version=node.version,
        capacity=node.capacity,
        allocated=node.allocated,
        inventory=node.inventory,
        kind=node.kind,
        labels=node.own_labels,
        roles=node.roles,
        tools=node.tools,
        health=node.health,
        admin=node.admin,
        registered=registered,
        last_heartbeat_at=node.last_beat_s,
        admin_reason=node.admin_reason,
        admin_by=node.admin_by,
        admin_at=node.admin_at,
        admin_goal=node.admin_goal,
        admin_deadline=node.admin_deadline,
        set_labels=node.set_labels,
        capabilities=node.capabilities,
        quarantines=tuple(node.quarantines.values()),
    )


def flush(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Write the counters, ledgers and ranges that this step changed; forget the jobs that are over."""
    for group in cluster.changed_ranges.values():
        group.version += 1
        out.append(group_change(group, (group.untouched_state,), left=group.untouched, now_s=now_s))
    for node in cluster.changed_ledgers.values():
        if node.capacity != node.written:
            out.append(node_row(node, registered=True))
        out.append(NodeLedger(name=node.name, id=node.id, allocated=node.allocated))
    for job in cluster.changed_jobs.values():
        if job.state.is_terminal:
            _close(job, now_s=now_s)
            forget_child(cluster, job)
            del cluster.jobs[job.number]
        out.append(job_change(job))
    cluster.changed_ranges.clear()
    cluster.changed_ledgers.clear()
    cluster.changed_jobs.clear()


def _close(job: Job, *, now_s: float) -> None:
    job.ended_at = now_s
    job.held_by = job.held_at = None  # nothing of it waits any more
    job.paused_by = job.paused_at = None
    if job.exit_code is None and not job.failed and not job.cancelled:
        job.exit_code = 0


def job_change(job: Job) -> JobChange:
    return JobChange(
        number=job.number,
        id=job.id,
        owner=job.owner,
        state=job.state,
        pending=job.pending,
        queued=job.queued,
        assigned=job.assigned,
        running=job.running,
        completed=job.completed,
        failed=job.failed,
        cancelled=job.cancelled,
        cancel_requested=job.cancel_requested,
        started_at=job.started_at,
        ended_at=job.ended_at,
        exit_code=job.exit_code,
        reason=job.reason,
        held_by=job.held_by or "",
        held_at=job.held_at,
        paused_by=job.paused_by or "",
        paused_at=job.paused_at,
        priority=job.priority,
    )
