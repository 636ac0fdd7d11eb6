"""Jobs that a task submitted: they belong to it, and end with it when its job is cancelled.

A child names the task that it comes from in `parent`. Only a running task can be named, and only one of the
same owner, so nothing is its own ancestor. How many a job may have, and how deep they may go, is bounded: a
task that submits itself again and again comes to an end.

The database has the link in the child's specification, and in `tasks.parent_task_id` of all its rows: what
names a row there is deleted with it. So the archive takes a job only when those that came from it have gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from bus.children import NOT_RANK_0
from bus.results import Told
from bus.values import AttemptRef, NodeName, TaskRef
from coordinator.core.effects import Fault
from coordinator.core.events import ParentsWait
from coordinator.core.ids import task_id
from coordinator.core.model import Cluster, Job

LINE_KEY = "task:"
"""How the keys begin of jobs that were given none: they are made of the attempt and the place of its line."""

CHILDREN_MAX = 1_000
"""Live jobs that the tasks of one job have submitted."""

DEPTH_MAX = 8


def check_parent(cluster: Cluster, job: Job) -> tuple[Fault, ...]:
    """The task that `job` comes from lives, is the same owner's, and may have one more."""
    if job.parent is None:
        return ()
    above = cluster.jobs.get(job.parent.job)
    group = above.group_of(job.parent.index) if above is not None else None
    task = group.find_task(job.parent.index) if group is not None else None
    if above is None or above.owner != job.owner or task is None or task.attempt is None:
        return (
            Fault(
                code="E_NOT_FOUND",
                message="no such task is running",
                field="/parent",
                got=f"{job.parent}",
                expected="a running task of yours, as CORRAL_TASK_ID names it",
                status=404,
            ),
        )
    if above.cancel_requested:
        message, hint = f"job {above.number} is being cancelled", "nothing new belongs to it"
        return (Fault(code="E_CONFLICT", message=message, field="/parent", hint=hint, status=409),)
    if above.depth + 1 > DEPTH_MAX:
        got, expected = f"depth {above.depth + 1}", f"at most {DEPTH_MAX} tasks under one another"
        return (Fault(code="E_TOO_MANY", message="too deep", field="/parent", got=got, expected=expected),)
    if len(cluster.children.get(above.number, ())) >= CHILDREN_MAX:
        expected = f"at most {CHILDREN_MAX} live jobs of one job's tasks"
        hint = "use an array, which is one job"
        return (
            Fault(code="E_TOO_MANY", message="too many jobs", field="/parent", expected=expected, hint=hint),
        )
    return ()


def note_child(cluster: Cluster, job: Job) -> None:
    """From now on it belongs to the job of its parent, if that is live."""
    if job.parent is not None:
        above = cluster.jobs.get(job.parent.job)
        if above is not None:
            job.depth, job.parent_id = above.depth + 1, task_id(above.id, job.parent.index)
        else:
            job.depth = 1
        cluster.children.setdefault(job.parent.job, set()).add(job.number)


def forget_child(cluster: Cluster, job: Job) -> None:
    """It is over."""
    if job.parent is not None:
        siblings = cluster.children.get(job.parent.job, set())
        siblings.discard(job.number)
        if not siblings:
            cluster.children.pop(job.parent.job, None)


def fit_to_submit(told: Told) -> Told:
    """The same where it is rank 0 that told it; else its jobs are lines that could not be used."""
    if not told.attempt.rank or not told.children:
        return told
    faults = told.faults + len(told.children)
    return replace(told, children=(), faults=faults, fault=told.fault or NOT_RANK_0)


def line_key(attempt: AttemptRef, place: int) -> str:
    """The key of a job that `attempt` submitted in the line that ends at `place`."""
    return f"{LINE_KEY}{attempt.job}.{attempt.index}.{attempt.fence}:{place}"


def maker(key: str, parent: TaskRef | None) -> int:
    """Which attempt of `parent` a key was made of; 0: it was given."""
    own = f"{LINE_KEY}{parent}."
    fence = key.removeprefix(own).partition(":")[0]
    return int(fence) if key.startswith(own) and fence.isdecimal() else 0


def live_children(cluster: Cluster, attempt: AttemptRef) -> list[int]:
    """The jobs that it waits for, if it does: its own, and those with a key that any attempt may give."""
    found = (cluster.jobs[number] for number in cluster.children.get(attempt.job, ()))
    return [job.number for job in found if job.parent == attempt.task and job.made_by in (0, attempt.fence)]


def waiting_at(cluster: Cluster, node: NodeName) -> set[AttemptRef]:
    """The attempts there that are known to wait for jobs that they submitted."""
    known = cluster.nodes.get(node)
    return {ref for ref, attempt in known.attempts.items() if attempt.awaits} if known is not None else set()


def on_parents_wait(cluster: Cluster, event: ParentsWait) -> None:
    """It decides nothing, but explains why others wait."""
    known = cluster.nodes.get(event.node)
    for ref, attempt in known.attempts.items() if known is not None else ():
        attempt.awaits = ref in event.attempts


def descendants(cluster: Cluster, number: int, index: int | None = None) -> Iterator[Job]:
    """The live jobs that came from a job, or from one task of it, and from those; each before its own."""
    pending = [
        child
        for child in sorted(cluster.children.get(number, ()))
        if index is None or cluster.jobs[child].parent == TaskRef(number, index)
    ]
    while pending:
        job = cluster.jobs[pending.pop(0)]
        yield job
        pending += sorted(cluster.children.get(job.number, ()))
