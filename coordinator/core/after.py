"""Jobs that run after other jobs: let go when every condition is met, cancelled when one never can be.

While a job waits, all its tasks are pending. The conditions are judged by how the other jobs stand: whatever
is queued again before the waiting job was let go is waited for once more, and what happens to it later
changes nothing. Only older jobs can be named, so nothing waits for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bus.values import TaskState
from coordinator.core.changes import move_untouched
from coordinator.core.conditions import Condition, Verdict, judge, with_condition
from coordinator.core.corresponding import corresponds, is_elementwise, is_sound
from coordinator.core.effects import Effect, EventRecord, Fault
from coordinator.core.groups import unlock
from coordinator.core.job_ends import JobEnd, end_of
from coordinator.core.model import Awaited, Cluster, Job

ENDED_KEPT = 10_000
"""Ends remembered for jobs that are being submitted: somebody looked up what they run after a moment ago."""


def bind(cluster: Cluster, job: Job, ended: Mapping[int, JobEnd]) -> tuple[Fault, ...]:
    """Fill in how the jobs that `job` runs after came to their ends; `ended` is what was read before.

    Returns a fault for each that there is not.
    """
    faults = []
    for position, each in enumerate(job.after):
        each.end = cluster.ended.get(each.number, ended.get(each.number))
        if each.end is None and each.number not in cluster.jobs:
            faults.append(missing(each.number, position))
    return tuple(faults)


def missing(number: int, position: int) -> Fault:
    """The same for what does not exist and for what is not the submitter's."""
    return Fault(
        code="E_NOT_FOUND",
        message="no such job",
        field=f"/after/{position}",
        got=str(number),
        expected="the number of an earlier job of yours",
        status=404,
    )


def wait_for(cluster: Cluster, job: Job) -> None:
    """From now on the ends of the others are told to `job`."""
    for each in job.after:
        cluster.awaited.setdefault(each.number, set()).add(job.number)


def settle(out: list[Effect], cluster: Cluster, job: Job, *, now_s: float) -> None:
    """Let a waiting job go, or cancel what is left of it, or leave it as it is."""
    if not job.pending:  # each of its tasks was decided by itself; rebuilt, it waits for nothing either
        _forget(cluster, job)
        return
    never = next((each for each in job.after if verdict(cluster, each) is Verdict.NEVER), None)
    if never is not None:
        _cancel(out, cluster, job, unmet(never), now_s=now_s)
    elif all(verdict(cluster, each) is Verdict.MET for each in job.after):
        for group in job.groups:
            if group.untouched_state is TaskState.PENDING and is_elementwise(group):
                unlock(out, cluster, group, now_s=now_s)
        _forget(cluster, job)
        for group in job.groups:
            if group.untouched_state is TaskState.PENDING:
                unlock(out, cluster, group, now_s=now_s)
    elif corresponds(job):
        for group in job.groups:
            if group.untouched_state is TaskState.PENDING:
                unlock(out, cluster, group, now_s=now_s)


def settle_ended(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Tell those that wait which jobs this step has ended; those that it cancels thereby end as well."""
    ended = [job for job in cluster.changed_jobs.values() if job.state.is_terminal]
    while ended:
        job = ended.pop()
        end = end_of(job)
        _remember(cluster, job.number, end)
        if job.after:
            _forget(cluster, job)
        for waiting in _waiting(cluster, cluster.awaited.get(job.number, ())):
            for each in waiting.after:
                if each.number == job.number:
                    each.end = end
            settle(out, cluster, waiting, now_s=now_s)
            if waiting.state.is_terminal:
                ended.append(waiting)


def settle_waiting(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Look at every job that waits: level-triggered, in case an end was missed."""
    numbers = {number for waiting in cluster.awaited.values() for number in waiting}
    for job in _waiting(cluster, numbers):
        settle(out, cluster, job, now_s=now_s)


def verdict(cluster: Cluster, each: Awaited) -> Verdict:
    """How a condition stands. A job that was queued again is not over, whatever it once came to."""
    live = cluster.jobs.get(each.number)
    over = each.end is not None and (live is None or live.state.is_terminal)
    return judge(each.condition, over=over, sound=not over or is_sound(each))


def unmet(each: Awaited) -> str:
    """Why a job can never start."""
    how = "did not complete" if each.condition is Condition.OK else "completed"
    return f"runs after {with_condition(each.number, each.condition)}, but job {each.number} {how}"


def _waiting(cluster: Cluster, numbers: Iterable[int]) -> list[Job]:
    """In order of their numbers, without those that this step has ended."""
    jobs = [cluster.jobs[number] for number in sorted(numbers)]
    return [job for job in jobs if not job.state.is_terminal]


def _cancel(out: list[Effect], cluster: Cluster, job: Job, why: str, *, now_s: float) -> None:
    _forget(cluster, job)
    job.reason = job.reason or why
    tasks = job.pending
    for group in job.groups:
        move_untouched(out, cluster, group, TaskState.CANCELLED, now_s=now_s, message=why)
    out.append(
        EventRecord(
            at=now_s,
            event_type="job_never_ran",
            severity="warning",
            message=f"job {job.number} cancelled: it {why}",
            job_id=job.id,
            user=job.owner,
            details={"tasks": tasks},
        )
    )


def _forget(cluster: Cluster, job: Job) -> None:
    for each in job.after:
        waiting = cluster.awaited[each.number]
        waiting.discard(job.number)
        if not waiting:
            del cluster.awaited[each.number]
    job.after = []


def _remember(cluster: Cluster, number: int, end: JobEnd) -> None:
    cluster.ended.pop(number, None)
    cluster.ended[number] = end
    if len(cluster.ended) > ENDED_KEPT:
        del cluster.ended[next(iter(cluster.ended))]
