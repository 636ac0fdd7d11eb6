"""The cluster's memory out of what the database holds: the same objects that the steps would have left.

Groups are derived again from the stored spec; the rows of tasks and attempts are laid over them. A new
leader treats every lease as renewed at takeover: nobody is declared lost for our own absence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from bus.item_lists import ItemList
from bus.spec import JobSpec
from bus.values import NodeHealth, NodeName, TaskState, UserName
from coordinator.core.after import wait_for
from coordinator.core.blame import note_evidence
from coordinator.core.changes import COUNTER, add_to, enqueue, job_change, note_live
from coordinator.core.children import note_child
from coordinator.core.conditions import Condition
from coordinator.core.effects import AttemptChange, JobChange, NewJob, NodeRow
from coordinator.core.events import JobOver, LossSeen, TaskSeen
from coordinator.core.gathering import note_started
from coordinator.core.intake import NO_LISTS, build_job, derive
from coordinator.core.job_ends import JobEnd
from coordinator.core.model import Attempt, Cluster, Group, Job, Node, Ranks
from coordinator.core.networks import locate
from coordinator.core.node import offering
from coordinator.core.ranks import RankEnd
from coordinator.core.refusals import note_refusal
from coordinator.core.retrying import schedule_retry
from coordinator.core.starting import wait_for_time


class RebuildError(Exception):
    """A stored row does not agree with its job's spec: the database was changed by other hands."""


def restore_node(cluster: Cluster, row: NodeRow, *, now_s: float) -> None:
    """A node as last written; its ledger grows with the attempts restored after it.

    What was unreachable has not been heard since, and must not look as if it vanished now.
    """
    away = row.health is NodeHealth.UNREACHABLE
    node = cluster.nodes[row.name] = Node(
        name=row.name,
        id=row.id,
        incarnation=row.incarnation,
        boot_id=row.boot_id,
        version=row.version,
        declared=row.capacity,
        capacity=row.capacity,
        inventory=row.inventory,
        kind=row.kind,
        own_labels=row.labels,
        roles=row.roles,
        tools=row.tools,
        health=row.health,
        admin=row.admin,
        lease_from_s=now_s,
        last_beat_s=min(row.last_heartbeat_at, now_s) if away else now_s,
        suspicion=float(away),
        overdue=away,
        written=row.capacity,
        admin_reason=row.admin_reason,
        admin_by=row.admin_by,
        admin_at=row.admin_at,
        admin_goal=row.admin_goal,
        admin_deadline=row.admin_deadline,
        set_labels=row.set_labels,
        capabilities=row.capabilities,
        quarantines={each.uuid: each for each in row.quarantines},
    )
    if node.quarantined:
        node.declared = replace(node.declared, gpus=len(node.offered_gpus), gpu_milli=0)
    elif len(node.offered_gpus) > row.capacity.gpus:  # written before GPUs said whether they are offered
        node.inventory = offering(row.inventory, row.capacity.gpus)
    locate(cluster, node)


def restore_job(
    cluster: Cluster,
    row: NewJob,
    change: JobChange,
    tasks: Iterable[TaskSeen],
    *,
    ended: Mapping[int, JobEnd] | None = None,
    lists: Mapping[str, ItemList] = NO_LISTS,
) -> None:
    """A live job with its touched tasks; raises RebuildError where rows and spec disagree.

    `ended`: of the jobs that are over and run before others, whether they completed. Live ones are restored
    before those that run after them: in order of their numbers. `lists`: what `for_each` of any points to.
    """
    job = _job(row, change, lists)
    note_child(cluster, job)
    cluster.jobs[job.number] = job
    if row.dedupe_key is not None:
        cluster.dedupe[row.owner, row.dedupe_key] = (row.digest, row.number, row.id, row.tasks)
    for seen in sorted(tasks, key=lambda seen: (seen.count == 1, seen.task.index)):
        group = job.group_of(seen.task.index)
        if group is None:
            raise RebuildError(f"job {row.number} has no task {seen.task.index}")
        if seen.count > 1:
            group.version, group.untouched_state = seen.version, seen.state
        else:
            _restore_task(cluster, group, seen)
    for group in job.groups:
        _settle_group(cluster, group)
    if job_change(job) != change:
        raise RebuildError(f"job {row.number}: its counters disagree with its tasks")
    _restore_after(cluster, job, ended or {})


def _restore_after(cluster: Cluster, job: Job, ended: Mapping[int, JobEnd]) -> None:
    """A job still waits for its time and for others exactly if no task of it was ever queued.

    What waits task by task waits as long as anything of it does.
    """
    if job.pending + job.cancelled < job.total:
        elementwise = [each for each in job.after if each.condition is Condition.CORRESPONDING]
        job.after, job.start_at_s = elementwise if job.pending else [], None
    if job.start_at_s is not None:
        wait_for_time(cluster, job)
    for each in job.after:
        if each.number not in cluster.jobs:
            each.end = ended.get(each.number, JobEnd(False))  # what is long gone did not complete
    wait_for(cluster, job)


def restore_over(over: JobOver) -> Job:
    """A job that is over, as it would be kept if it were not; raises RebuildError as `restore_job` does.

    None of its tasks can start any more, so counts stand for them: a million ended elements are one number.
    """
    job = _job(over.job, over.change, over.lists)
    job.after, job.start_at_s = [], None
    job.ended_at = over.change.ended_at
    for group in job.groups:
        group.cursor = group.end
    for first, state, tasks in over.ended:
        _count_ended(job, first, state, tasks)
    for group in job.groups:
        if group.is_range:
            group.done = over.done_of(group.first, group.count)
    for seen in over.ranges:
        group = _count_ended(job, seen.first, seen.state, seen.remaining)
        group.version, group.untouched_state = seen.version, seen.state
    if job_change(job) != over.change:
        raise RebuildError(f"job {job.number}: its counters disagree with its tasks")
    return job


def _count_ended(job: Job, first: int, state: TaskState, tasks: int) -> Group:
    group = job.group_of(first)
    if group is None or group.first != first:
        raise RebuildError(f"job {job.number} has no group at {first}")
    add_to(group, state, tasks)
    setattr(job, COUNTER[state], getattr(job, COUNTER[state]) + tasks)
    return group


def _job(row: NewJob, change: JobChange, lists: Mapping[str, ItemList]) -> Job:
    """The job by its spec and flags; its counters still empty."""
    spec = msgspec.json.decode(row.spec, type=JobSpec)
    for word, kept in spec.lists.items():
        if kept.sha256 not in lists:
            raise RebuildError(f"job {row.number}: its list {word} is not there")
    derived = derive(spec, row.owner, lists)
    if isinstance(derived, tuple):
        raise RebuildError(f"job {row.number}: {derived[0].message}")
    job = build_job(
        derived,
        spec=spec,
        job_id=row.id,
        number=row.number,
        owner=row.owner,
        submitted_at=row.submitted_at,
    )
    job.name, job.priority, job.parent_id = row.name, change.priority, row.parent_id
    job.pending = job.queued = 0
    job.cancel_requested = change.cancel_requested
    job.started_at, job.exit_code, job.reason = change.started_at, change.exit_code, change.reason
    job.held_by, job.held_at = UserName(change.held_by) if change.held_by else None, change.held_at
    job.paused_by, job.paused_at = UserName(change.paused_by) if change.paused_by else None, change.paused_at
    return job


def _restore_task(cluster: Cluster, group: Group, seen: TaskSeen) -> None:
    if seen.fence == 0 and not group.is_range and seen.state in (TaskState.PENDING, TaskState.QUEUED):
        group.version, group.untouched_state = seen.version, seen.state  # one task, still untouched
        return
    task = group.touch(seen.task.index)
    task.state, task.version = seen.state, seen.version
    task.fence, task.retries, task.started_at = seen.fence, seen.retries, seen.started_at
    job = group.job
    setattr(job, COUNTER[seen.state], getattr(job, COUNTER[seen.state]) + 1)
    match seen.state:
        case TaskState.COMPLETED | TaskState.CANCELLED | TaskState.FAILED | TaskState.TIMEOUT:
            add_to(group, seen.state)
            if seen.state is TaskState.COMPLETED and group.is_range:
                group.note_completed(task.index)
            group.forget(task)
        case TaskState.QUEUED:
            enqueue(cluster, task, now_s=seen.changed_at)
        case TaskState.RETRYING:
            schedule_retry(cluster, task, now_s=seen.changed_at)
        case _:
            group.live += 1
            task.node = seen.node
            if group.settings.gang is not None:
                task.ranks = Ranks()
                cluster.gathering[task.ref] = task


def _settle_group(cluster: Cluster, group: Group) -> None:
    """Counters and place in the waiting line of the elements that nothing happened to."""
    job = group.job
    if group.untouched_state is TaskState.CANCELLED:
        left = group.count - group.completed - group.failed - group.cancelled - len(group.tasks or ())
        add_to(group, TaskState.CANCELLED, left)
        job.cancelled += left
        return
    left = group.untouched
    setattr(job, COUNTER[group.untouched_state], getattr(job, COUNTER[group.untouched_state]) + left)
    if left and group.untouched_state is TaskState.QUEUED:
        enqueue(cluster, group, now_s=job.submitted_at)


def restore_attempt(cluster: Cluster, row: AttemptChange) -> None:
    """A live attempt, as confirmed: its node will say otherwise if it does not know it.

    Or a rank of a live gang that is over; these come after the live ones, in the order of their ends.
    """
    if row.ended_at is not None:
        _restore_rank_end(cluster, row, row.ended_at)
        return
    task = cluster.find_task(row.attempt.task)
    node = cluster.nodes.get(NodeName(row.node))
    if task is None or node is None:
        raise RebuildError(f"attempt {row.attempt} belongs to no live task or node")
    attempt = Attempt(
        row.attempt,
        task,
        node.name,
        row.gpus,
        row.assigned_at,
        not row.waiting,
        row.state,
        row.started_at,
    )
    attempt.confirmed_at = row.started_at  # what has not started is assigned again, in case
    if row.started_at is not None:  # perhaps under an agent of that name that has been replaced since
        attempt.former_until_s = node.lease_from_s + cluster.limits.lease_s
    task.begin(attempt)
    node.attempts[row.attempt] = attempt
    node.note_task(row.attempt.job, claims=task.group.shape.claims)
    if attempt.holding:
        node.holding += 1
        node.give(attempt.requested, attempt.gpus)
    attempt.cancelling, attempt.yielding = row.cancelling, row.yielding
    attempt.decided = row.explanation
    attempt.reason = row.message if row.yielding or row.cancelling else ""
    note_live(cluster, attempt)
    note_started(cluster, task)


def _restore_rank_end(cluster: Cluster, row: AttemptChange, ended_s: float) -> None:
    task = cluster.find_task(row.attempt.task)
    if task is None or task.ranks is None:
        raise RebuildError(f"attempt {row.attempt} belongs to no live gang")
    end = RankEnd(
        rank=row.attempt.rank,
        node=row.node,
        state=row.state,
        at_s=ended_s,
        exit_code=row.exit_code,
        signal=row.signal,
        message=row.message,
        cancelling=row.cancelling,
    )
    task.ranks.ends.append(end)


def restore_loss(cluster: Cluster, loss: LossSeen) -> None:
    """What speaks against a live task, and against the node that lost it; in the order in which it was."""
    task = cluster.find_task(loss.task)
    if task is None:
        raise RebuildError(f"{loss.task} was lost on {loss.node} and is no live task")
    task.lost_on += (loss.node,)
    if loss.refusal is not None:
        note_refusal(cluster, task, loss.node, loss.refusal)
        cluster.refusals_due_s = -math.inf  # it stands in its group's line
    node = cluster.nodes.get(loss.node)
    if node is not None:
        note_evidence(node, task, unstarted=False, at_s=loss.at_s)
