"""What the fake cluster is made of: nodes, jobs, tasks and events, all from one seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter

from msgspec.structs import astuple, replace

from bus.api import Cluster, Happened, Job, JobChanged, Node, Task, TaskChanged, TaskCounts
from bus.client import Change
from bus.errors import ApiError, Error
from bus.values import JobKind, JobState, NodeAdmin, NodeHealth, NodeKind, Resources, Stream, TaskState

NAMES = (
    "train-resnet",
    "sweep-lr",
    "render-shot",
    "align-reads",
    "tokenize",
    "evaluate",
    "nightly-etl",
    "fold",
)
_STATES = ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled")
_COUNTS = attrgetter(*_STATES)
USERS = ("ann", "bob", "chen", "dora", "emil")
OUTPUT = {
    Stream.STDOUT: tuple(
        f"epoch {epoch:3d}  loss {2.3 / (1 + epoch / 40):.4f}  {900 + epoch % 37} samples/s\n".encode()
        for epoch in range(400)
    ),
    Stream.STDERR: (b"warning: 3 workers are slow\n", b"checkpoint written\n"),
}
TASKS_OF_BIG_JOB = 100_000
RESOURCES = Resources(2000, 4096, 1)


class World:
    """`nodes`, `jobs` (newest last) and `events` (newest first)."""

    def __init__(self, *, seed: int, now_s: float, nodes: int = 1_000, jobs: int = 400) -> None:
        self._random = random.Random(seed)
        self._now_s = now_s
        self.nodes = [self._node(index) for index in range(nodes)]
        self.jobs = [self._job(number) for number in range(1, jobs + 1)]
        self.events = [self._event(index) for index in range(2_000)] if jobs else []
        self._tasks: dict[int, list[Task]] = {}

    def node(self, name: str) -> Node:
        """Raises ApiError."""
        found = next((node for node in self.nodes if node.name == name), None)
        if found is None:
            raise not_found(f"no node {name}")
        return found

    def job(self, number: int) -> Job:
        """Raises ApiError."""
        if not 1 <= number <= len(self.jobs):
            raise not_found(f"no job {number}")
        return self.jobs[number - 1]

    def tasks(self, number: int) -> list[Task]:
        """The tasks of a job; made when they are first asked for."""
        if number not in self._tasks:
            job = self.job(number)
            self._tasks[number] = list(self._tasks_of(job))
        return self._tasks[number]

    def summary(self) -> Cluster:
        """What the coordinator says of the whole."""
        jobs = {str(state): number for state, number in Counter(job.state for job in self.jobs).items()}
        counted = map(sum, zip(*(_COUNTS(job.counts) for job in self.jobs), strict=True))
        tasks = dict.fromkeys(map(str, TaskState), 0) | dict(zip(_STATES, counted, strict=False))
        return Cluster(
            total_nodes=len(self.nodes),
            active_nodes=sum(node.health is not NodeHealth.UNREACHABLE for node in self.nodes),
            jobs=jobs, tasks=tasks, epoch=3, started_at=self._now_s - 86_400, version="0.2.0",
            capacity=total(node.capacity for node in self.nodes),
            allocated=total(node.allocated for node in self.nodes),
        )  # fmt: skip

    def step(self, now_s: float) -> list[Change]:
        """Some running jobs lose a task to completion and start another."""
        changes: list[Change] = []
        running = [job for job in self.jobs if job.state is JobState.RUNNING]
        for job in self._random.sample(running, min(5, len(running))):
            moved = min(job.counts.running, job.counts.queued, self._random.randrange(1, 4))
            counts = replace(
                job.counts, queued=job.counts.queued - moved, completed=job.counts.completed + moved
            )
            self.jobs[job.number - 1] = replace(job, counts=counts)
            changes.append(JobChanged(number=job.number, state=job.state, counts=counts, at=now_s))
            if moved and job.number in self._tasks:
                changes += self._step_task(job.number, now_s)
        return changes

    def cancel(self, number: int, now_s: float) -> JobChanged:
        """All that is not over of a job is cancelled."""
        job = self.job(number)
        ended = job.counts.completed + job.counts.failed
        counts = TaskCounts(
            total=job.counts.total, completed=job.counts.completed, failed=job.counts.failed,
            cancelled=job.counts.total - ended,
        )  # fmt: skip
        self.jobs[number - 1] = replace(job, state=JobState.CANCELLED, counts=counts, ended_at=now_s)
        self._tasks.pop(number, None)
        return JobChanged(number=number, state=JobState.CANCELLED, counts=counts, at=now_s)

    def _step_task(self, number: int, now_s: float) -> Iterator[TaskChanged]:
        tasks = self._tasks[number]
        index = next((i for i, task in enumerate(tasks) if task.state is TaskState.RUNNING), None)
        if index is not None:
            tasks[index] = replace(tasks[index], state=TaskState.COMPLETED, ended_at=now_s, exit_code=0)
            yield TaskChanged(
                job=number, index=index, state=TaskState.COMPLETED, node=tasks[index].node, fence=1,
                exit_code=0, at=now_s,
            )  # fmt: skip

    def _node(self, index: int) -> Node:
        chance = self._random
        gpus = 8 if index % 8 == 0 else 0
        capacity = Resources(64_000, 256 * 1024, gpus, 1_000_000, 10_000)
        share = chance.random()
        health = chance.choices(list(NodeHealth), (97, 2, 1))[0]
        admin = chance.choices((NodeAdmin.ACTIVE, NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE), (96, 2, 2))[0]
        return Node(
            name=f"n-{index:04d}", id=f"0198c2f4-0000-7000-8000-{index:012d}", health=health, admin=admin,
            kind=NodeKind.GPU if gpus else NodeKind.COMPUTE, capacity=capacity,
            allocated=Resources(
                round(64 * share) * 1000, round(256 * share) * 1024, round(gpus * share), 0, 0
            ),
            running=round(32 * share), waiting=chance.randrange(3), load=round(64 * share, 2),
            last_heartbeat_s=chance.random() * 2 if health is NodeHealth.HEALTHY else 40.0,
            labels={"zone": "abc"[index % 3], "rack": f"r{index // 40:02d}"}, version="0.2.0",
            reason="" if admin is NodeAdmin.ACTIVE else "new kernel (olga)",
        )  # fmt: skip

    def _job(self, number: int) -> Job:
        chance = self._random
        size = TASKS_OF_BIG_JOB if number % 100 == 42 else chance.choice((1, 1, 4, 16, 200, 1_000))
        state = chance.choices(
            (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.RUNNING, JobState.PENDING),
            (60, 8, 4, 20, 8) if number < 340 else (10, 5, 2, 60, 23),
        )[0]
        state = JobState.RUNNING if size == TASKS_OF_BIG_JOB else state
        submitted_at = self._now_s - (401 - number) * 173.0
        return Job(
            number=number, id=f"0198c2f4-0000-7000-9000-{number:012d}", name=chance.choice(NAMES),
            user=chance.choice(USERS), kind=chance.choice(list(JobKind)), priority=chance.randrange(1, 11),
            state=state, counts=counts_of(state, size), submitted_at=submitted_at,
            started_at=None if state is JobState.PENDING else submitted_at + 2.5,
            ended_at=submitted_at + chance.random() * 150 if state.is_terminal else None,
            exit_code={JobState.COMPLETED: 0, JobState.FAILED: 1}.get(state),
            reason=f"task {number}.0 failed: exit code 1" if state is JobState.FAILED else "",
        )  # fmt: skip

    def _tasks_of(self, job: Job) -> Iterator[Task]:
        counts = job.counts
        bounds = (
            (TaskState.COMPLETED, counts.completed), (TaskState.FAILED, counts.failed),
            (TaskState.CANCELLED, counts.cancelled), (TaskState.RUNNING, counts.running),
            (TaskState.QUEUED, counts.queued), (TaskState.PENDING, counts.pending),
        )  # fmt: skip
        states = [state for state, number in bounds for _ in range(number)]
        for index, state in enumerate(states):
            placed = state not in (TaskState.QUEUED, TaskState.PENDING, TaskState.CANCELLED)
            started_at = (job.started_at or job.submitted_at) + index % 97 if placed else None
            ended = state in (TaskState.COMPLETED, TaskState.FAILED)
            yield Task(
                id=f"{job.id}.{index}", job=job.number, index=index, state=state, resources=RESOURCES,
                node=self.nodes[index * 7 % len(self.nodes)].name if placed and self.nodes else None,
                fence=int(placed), priority=job.priority, submitted_at=job.submitted_at,
                started_at=started_at,
                ended_at=started_at + 30 + index % 13 if started_at and ended else None,
                exit_code={TaskState.COMPLETED: 0, TaskState.FAILED: 1}.get(state),
                message="exit code 1" if state is TaskState.FAILED else "",
            )  # fmt: skip

    def _event(self, index: int) -> Happened:
        chance = self._random
        kind, severity = chance.choices(
            (("task_completed", "info"), ("task_failed", "warning"), ("node_unreachable", "error"),
             ("job_submitted", "info"), ("node_drained", "info")),
            (60, 10, 3, 20, 7),
        )[0]  # fmt: skip
        node = chance.choice(self.nodes).name if self.nodes and not kind.startswith("job") else None
        job = None if kind.startswith("node") else chance.randrange(1, len(self.jobs) + 1)
        return Happened(
            id=f"e{index}", at=self._now_s - index * 7.3, kind=kind, severity=severity, job=job,
            task=f"{job}.0" if kind.startswith("task") else None, node=node, user=chance.choice(USERS),
            message=f"{kind.replace('_', ' ')}{f' on {node}' if node else ''}",
        )  # fmt: skip


def counts_of(state: JobState, size: int) -> TaskCounts:
    """How far a job of `size` tasks has come."""
    match state:
        case JobState.COMPLETED:
            return TaskCounts(total=size, completed=size)
        case JobState.FAILED:
            return TaskCounts(total=size, completed=size - 1, failed=1)
        case JobState.CANCELLED:
            return TaskCounts(total=size, completed=size // 2, cancelled=size - size // 2)
        case JobState.PENDING:
            return TaskCounts(total=size, queued=size)
        case _:
            done, running = size // 3, max(1, min(size // 4, 2_000))
            failed = size // 1_000
            waiting = max(0, size - done - running - failed)
            return TaskCounts(total=size, completed=done, running=running, failed=failed, queued=waiting)


def total(amounts: Iterator[Resources] | Sequence[Resources]) -> Resources:
    """The sum; column by column, since the pulse asks for it once a second."""
    columns = zip(*map(astuple, amounts), strict=True)
    return Resources(*map(sum, columns)) + Resources()  # thousandths of GPUs carry


def not_found(message: str) -> ApiError:
    """As the coordinator says it."""
    return ApiError(Error(code="E_NOT_FOUND", message=message, status=404))
