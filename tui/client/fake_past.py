"""The fake cluster's past: what its jobs' times tell of them, and nodes that breathe."""

from __future__ import annotations

import math
import time
import zlib
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from bus.api import Cluster, Happened, Job, Node, Task, TaskCounts
from bus.past import Changes, Moved, Spike, Standout
from bus.people import Standing, User, Users
from bus.values import JobState, NodeAdmin, NodeHealth, Resources, Role, TaskState
from tui.client.fake_scheduler import FakeScheduler
from tui.client.fake_tags import unless_known
from tui.client.fake_world import World, counts_of

BREATH_S = 3_600.0
BAD_S = 900.0


class FakePast(FakeScheduler):
    """A part of FakeCluster. `None` is now."""

    world: World
    role: Role

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def changes(self, since: float, until: float | None = None, *, before: int = 0) -> Changes:
        self._check("changes")
        until = time.time() if until is None else until
        states = {job.number: str(job.state) for job in self.jobs_then(since)}
        jobs = [
            Moved(
                noun="job",
                name=str(job.number),
                before=states.get(job.number, ""),
                after=str(job.state),
                about=f"{job.name} of {job.user}",
            )
            for job in reversed(self.jobs_then(until))
            if states.get(job.number, "") != job.state
        ]
        were = {node.name: node for node in self.nodes_then(since)}
        nodes = [
            Moved(noun="node", name=node.name, before=str(were[node.name].health), after=str(node.health))
            for node in self.nodes_then(until)
            if were[node.name].health is not node.health
        ]
        found = [event for event in self.world.events if since < event.at <= until]
        happened = dict(Counter(event.kind for event in found))
        return Changes(since=since, until=until, jobs=jobs, nodes=nodes, happened=happened)

    async def spike(self, since: float, until: float) -> Spike:
        self._check("spike")
        inside = [event for event in self.world.events if since < event.at <= until]
        before = [event for event in self.world.events if since - 6 * (until - since) < event.at <= since]
        usual = Counter(event.kind for event in before)
        found = [
            Standout(
                kind="event",
                name=kind,
                about="events",
                value=float(times),
                expected=usual[kind] / 6,
                score=(times - usual[kind] / 6) / math.sqrt(usual[kind] / 6 + 1),
                at=min(event.at for event in inside if event.kind == kind),
            )
            for kind, times in Counter(event.kind for event in inside).items()
        ]
        found.sort(key=lambda each: -abs(each.score))
        return Spike(since=since, until=until, standouts=found)

    async def users(self, *, known: str = "", at: float | None = None) -> Users:
        """Those whose jobs there are; who is no operator sees themselves."""
        self._check("users")
        world = self.jobs_then(at)
        names = sorted({job.user for job in world} | {"demo"})
        if self.role.rank < Role.OPERATOR.rank:
            names = ["demo"]
        users = [_somebody(name, place, world, of=len(names)) for place, name in enumerate(names)]
        if at is not None:
            return Users(users=users, unknown=["role", "shares"])
        return unless_known(Users(users=users), known)

    def jobs_then(self, at: float | None) -> list[Job]:
        """Those that had been submitted, as far as they had come."""
        if at is None:
            return self.world.jobs
        return [job_then(job, at) for job in self.world.jobs if job.submitted_at <= at]

    def tasks_then(self, job: int, at: float | None) -> Sequence[Task]:
        """Of one job."""
        rows = self.world.tasks(job)
        return rows if at is None else [task_then(task, at) for task in rows if task.submitted_at <= at]

    def nodes_then(self, at: float | None) -> Sequence[Node]:
        """All nodes."""
        return self.world.nodes if at is None else [node_then(node, at) for node in self.world.nodes]

    def events_then(self, at: float | None) -> Sequence[Happened]:
        """Those up to that moment."""
        return self.world.events if at is None else [each for each in self.world.events if each.at <= at]

    def summary_then(self, at: float) -> Cluster:
        """The whole."""
        live = [job for job in self.jobs_then(at) if not job.state.is_terminal]
        nodes = self.nodes_then(at)
        able = [
            node
            for node in nodes
            if node.health is not NodeHealth.UNREACHABLE and node.admin is NodeAdmin.ACTIVE
        ]
        tasks = {
            name: sum(getattr(job.counts, name) for job in live)
            for name in ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled")
        }
        return replace(
            self.world.summary(),
            total_nodes=len(nodes),
            active_nodes=len(able),
            jobs=dict(Counter(str(job.state) for job in live)),
            tasks=tasks,
            allocated=sum((node.allocated for node in able), Resources()),
            live_jobs=len(live),
        )


def job_then(job: Job, at: float) -> Job:
    """As its times say."""
    if job.ended_at is not None and job.ended_at <= at:
        return job
    started = job.started_at if job.started_at is not None and job.started_at <= at else None
    state = JobState.PENDING if started is None else JobState.RUNNING
    counts = job.counts if job.state is state else counts_of(state, job.counts.total)
    if counts.total == 1 and state is JobState.RUNNING:
        counts = TaskCounts(total=1, running=1)
    return replace(
        job, state=state, counts=counts, started_at=started, ended_at=None, exit_code=None, reason=""
    )


def task_then(task: Task, at: float) -> Task:
    """As its times say."""
    if task.ended_at is not None and task.ended_at <= at:
        return task
    if task.started_at is not None and task.started_at <= at:
        return replace(task, state=TaskState.RUNNING, ended_at=None, exit_code=None, message="")
    return replace(
        task, state=TaskState.QUEUED, node=None, fence=0, started_at=None, ended_at=None, exit_code=None,
        message="",
    )  # fmt: skip


def node_then(node: Node, at: float) -> Node:
    """Each breathes in its own rhythm, and a few are bad for a quarter of an hour."""
    phase = zlib.crc32(node.name.encode())
    share = 0.5 + 0.5 * math.sin(2 * math.pi * (at / BREATH_S + phase % 997 / 997))
    bad = (int(at // BAD_S) * 7919 + phase) % 61 == 0
    capacity = node.capacity
    return replace(
        node,
        health=NodeHealth.UNREACHABLE if bad else NodeHealth.HEALTHY,
        allocated=Resources(
            1000 * round(capacity.cpu_millis * share / 1000),
            round(capacity.mem_mib * share),
            round(capacity.gpus * share),
        ),
        running=round(32 * share),
        load=round(64 * share, 2),
    )


def _somebody(name: str, place: int, world: Sequence[Job], *, of: int) -> User:
    own = [job for job in world if job.user == name]
    live = [job for job in own if not job.state.is_terminal]
    standing = Standing(
        shares=1 + place % 3, usage_s=3_600.0 * place, used=place / 21, due=1 / of, level=place
    )
    return User(
        name=name,
        jobs=len(live),
        running=sum(job.counts.running for job in live),
        queued=sum(job.counts.queued for job in live),
        failed=sum(job.state is JobState.FAILED for job in own),
        seen_at=max((job.submitted_at for job in own), default=None),
        role=Role.ADMIN if name == "demo" else Role.USER,
        active=name != "emil",
        standing=standing,
    )
