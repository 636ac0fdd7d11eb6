"""What a job would become if it were submitted now: the same checks, groups and decisions, on scratch books.

The scheduler runs on copies of the nodes with nothing but the planned job in the lines; what waits already is
in nobody's way that fits now, or it would have been placed in the last round. The cluster stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from uuid import UUID

from bus.api import Blocker, Plan, PlannedGroup
from bus.spec import JobSpec
from bus.values import TaskState, UserName
from coordinator.core import after
from coordinator.core.changes import enqueue
from coordinator.core.children import check_parent
from coordinator.core.conditions import Condition, Verdict, with_condition
from coordinator.core.corresponding import check_counts, check_jobs, is_sound, of_job
from coordinator.core.effects import Fault
from coordinator.core.intake import build_job, derive
from coordinator.core.job_ends import JobEnd
from coordinator.core.jobs import unsatisfiable
from coordinator.core.model import Cluster, Group, Job
from coordinator.core.placing import take
from coordinator.core.preferences import strangers
from coordinator.core.scheduler.feasible import find_gpus
from coordinator.core.scheduler.order import in_force, key_of
from coordinator.core.scheduler.round import decide
from coordinator.core.starting import check_start
from coordinator.core.why import blockers, candidates, line_blocker, tasks_ahead

STARTS_MAX = 2_000
"""Starts that a plan looks at: bounds its time, whatever the size of the job and of the cluster."""

EXPLAINED_MAX = 50
"""Groups that a plan explains; of ten thousand it says only how many tasks start and wait."""


def planned_job(
    cluster: Cluster,
    spec: JobSpec,
    owner: UserName,
    *,
    now_s: float,
    ended: Mapping[int, JobEnd] | None = None,
) -> Job | tuple[Fault, ...]:
    """The job as it would be in line if it were submitted, or every fault; it is in no book."""
    derived = derive(spec, owner)
    if isinstance(derived, tuple):
        return derived
    job = build_job(derived, spec=spec, job_id=UUID(int=0), number=0, owner=owner, submitted_at=now_s)
    faults = (
        after.bind(cluster, job, ended or {})
        or check_parent(cluster, job)
        or check_counts(job)
        or check_jobs(cluster, job)
        or check_start(job, now_s=now_s)
        or strangers(cluster, job)
        or unsatisfiable(cluster, job)
    )
    if faults:
        return faults
    _let_go(cluster, job)
    return job


def plan(
    cluster: Cluster,
    spec: JobSpec,
    owner: UserName,
    *,
    now_s: float,
    ended: Mapping[int, JobEnd] | None = None,
) -> Plan | tuple[Fault, ...]:
    """The plan, or every fault that a submission would be refused for. `ended` as in `JobSubmitted`."""
    job = planned_job(cluster, spec, owner, now_s=now_s, ended=ended)
    if isinstance(job, tuple):
        return job
    scratch = _scratch(cluster)
    seen = [candidates(scratch, group.shape) for group in job.groups[:EXPLAINED_MAX]]
    started, complete = _place(scratch, job, now_s=now_s)
    groups = []
    for position, group in enumerate(job.groups):
        now = started.get(group.first, {})
        planned = PlannedGroup(
            name=group.label(),
            first=group.first,
            count=group.count,
            command=list(group.command),
            tool=group.settings.tool,
            needs=[
                with_condition(name, condition)
                for name, condition in zip(group.needs, group.conditions, strict=True)
            ],
            limit=group.limit,
            resources=group.settings.resources,
            now=now,
            waits=group.count - group.cancelled - sum(now.values()),
            cancelled=group.cancelled,
        )
        if group.settings.gang is not None:
            planned.ranks, planned.waits = group.settings.gang.size, 0 if now or group.cancelled else 1
        if position < EXPLAINED_MAX:
            planned.candidates = seen[position]
            for candidate in planned.candidates:
                candidate.chosen = candidate.node in now
            if planned.waits:
                planned.blockers = _why_not(cluster, scratch, group, complete=complete, now_s=now_s)
        groups.append(planned)
    return Plan(
        name=job.name,
        tasks=job.total,
        starts_now=sum(each.count - each.waits - each.cancelled for each in groups),
        groups=groups,
    )


def _let_go(cluster: Cluster, job: Job) -> None:
    """Queue what waits only for jobs that are over as it wants them; what will never run is cancelled."""
    partly = [each for each in job.after if each.condition is Condition.CORRESPONDING and not is_sound(each)]
    partly = [each for each in partly if after.verdict(cluster, each) is Verdict.MET]
    for group in job.groups if partly else ():
        for index in range(group.first, group.end):
            if any(of_job(cluster, each, index) is Verdict.NEVER for each in partly):
                group.forget(group.touch(index))
                group.cancelled += 1
    job.after = [each for each in job.after if after.verdict(cluster, each) is not Verdict.MET]
    for group in job.groups:
        if not job.after and job.start_at_s is None and not group.needs:
            group.untouched_state = TaskState.QUEUED


def _scratch(cluster: Cluster) -> Cluster:
    """Books to write in: the nodes are copies, whose live attempts are only looked at."""
    return Cluster(
        limits=cluster.limits,
        order=cluster.order,
        rank=cluster.rank,
        mode=cluster.mode,
        planner=cluster.planner,  # only looked at, for the values of places
        nodes={name: copy.copy(node) for name, node in cluster.nodes.items()},
        reserved=dict(cluster.reserved),
        jobs=cluster.jobs,  # only looked at: what the planned job runs after
    )


def _place(scratch: Cluster, job: Job, *, now_s: float) -> tuple[dict[int, dict[str, int]], bool]:
    """How many tasks of each group start on each node; and whether the round came to its end."""
    started: dict[int, dict[str, int]] = {}
    for group in job.groups:
        if group.untouched_state is TaskState.QUEUED:
            enqueue(scratch, group, now_s=now_s)
    decisions = decide(scratch, now_s, reserved=scratch.reserved)
    for count, decision in enumerate(decisions):
        if decision.waiting:
            break  # assigned ahead of a free place: that is not a start
        if count == STARTS_MAX:
            return started, False
        task = take(scratch, decision.shape)
        task.group.live += 1
        nodes = started.setdefault(task.group.first, {})
        for node in decision.seats:
            node.give(decision.shape.resources, find_gpus(node, decision.shape) or ())
            node.note_task(job.number, claims=decision.shape.claims)
            nodes[node.name] = nodes.get(node.name, 0) + 1
        if decision.seats:
            continue
        gpus = decision.gpus or find_gpus(decision.node, decision.shape) or ()
        decision.node.give(task.group.settings.resources, gpus)
        decision.node.note_task(job.number, claims=decision.shape.claims)
        nodes[decision.node.name] = nodes.get(decision.node.name, 0) + 1
    return started, True


def _why_not(
    cluster: Cluster, scratch: Cluster, group: Group, *, complete: bool, now_s: float
) -> list[Blocker]:
    if not complete and group.untouched_state is TaskState.QUEUED:
        return [
            Blocker(
                code="plan_limit",
                message=f"the plan looks at the first {STARTS_MAX} starts only",
                remedy="submit it to see the rest start",
            )
        ]
    found = blockers(scratch, group, group.cursor, now_s=now_s)
    if group.untouched_state is TaskState.QUEUED:
        key = key_of(cluster, in_force(cluster), group, now_s=now_s)
        found += line_blocker(tasks_ahead(cluster, group.job, key))
    return found
