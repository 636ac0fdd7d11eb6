"""A cluster of a thousand nodes and a hundred thousand tasks that never was: for `--demo`, and for tests.

One seed gives one history. It answers as the coordinator does, with the same filters, orders and cursors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from bus.api import (
    Blocker,
    Candidate,
    Cluster,
    Events,
    Happened,
    Job,
    Jobs,
    Node,
    Nodes,
    Task,
    Tasks,
    Whoami,
    Why,
)
from bus.client import Change
from bus.errors import ApiError, Disconnected, Error
from bus.fields import ALL_TASK_FIELDS, EVENT_FIELDS, JOB_FIELDS, NODE_FIELDS, TASK_FIELDS, Field
from bus.filter import Order, Value, matches, parse, parse_order
from bus.requests import EventList
from bus.values import NodeAdmin, Role, Stream
from tui.client import fake_world
from tui.client.fake_actions import FakeActions
from tui.client.fake_gpus import FakeGpus
from tui.client.fake_kept import FakeKept
from tui.client.fake_logs import FakeLogs
from tui.client.fake_past import FakePast, task_then
from tui.client.fake_series import FakeSeries
from tui.client.fake_tags import unless_known
from tui.client.fake_timeline import FakeTimeline
from tui.client.fake_training import FakeTraining
from tui.client.fake_volumes import FakeVolumes, first_pools, first_volumes
from tui.client.fake_world import World

T = TypeVar("T", bound=Struct)

DEMO_SEED = 1
EVERY_JOBS = 40
"""Tasks of all jobs are told of so many, the newest: the others are only made when one looks at them."""


class FakeCluster(
    FakeSeries, FakePast, FakeTimeline, FakeActions, FakeLogs, FakeKept, FakeGpus, FakeTraining, FakeVolumes
):
    """`connect` is what a Session takes. Tests may take the cluster away with `reachable`."""

    def __init__(self, world: World, *, role: Role = Role.ADMIN, lively: bool = False) -> None:
        self.world = world
        self.role = role
        self.reachable = True
        self.lively = lively
        self.done: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.output: Mapping[Stream, Sequence[bytes]] = fake_world.OUTPUT
        self.refusals: dict[str, Error] = {}
        self.specs = {}
        self.held = {}
        self.mode = "shadow"
        self.volumes_kept = first_volumes()
        self.pools_kept = first_pools()
        self._watchers: list[asyncio.Queue[Change]] = []

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[FakeCluster]:
        """As long as it can be reached."""
        self._check("connect")
        beat = asyncio.create_task(self._live(), name="fake life") if self.lively else None
        try:
            yield self
        finally:
            if beat is not None:
                beat.cancel()

    def change(self, change: Change) -> None:
        """Tell the feed."""
        for watcher in self._watchers:
            watcher.put_nowait(change)

    async def whoami(self) -> Whoami:
        self._check("whoami")
        return Whoami(user="demo", role=self.role, cluster="demo", version="0.2.0")

    async def cluster(self, *, at: float | None = None) -> Cluster:
        self._check("cluster")
        return self.world.summary() if at is None else self.summary_then(at)

    async def nodes(
        self,
        *,
        filter: str = "",
        sort: str = "",
        limit: int = 10_000,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Nodes:
        self._check("nodes")
        found = selected(self.nodes_then(at), NODE_FIELDS, node_value, filter, sort, Order("name"))
        page, after = paged(found, limit, cursor)
        states = tally(str(n.health) for n in found)
        return unless_known(Nodes(nodes=page, next=after, total=len(found), states=states), known)

    async def node(self, node: str) -> Node:
        self._check("node")
        return self.world.node(node)

    async def jobs(
        self,
        *,
        filter: str = "",
        sort: str = "",
        limit: int = 100,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Jobs:
        self._check("jobs")
        order = Order("number", descending=True)
        found = selected(self.jobs_then(at)[::-1], JOB_FIELDS, job_value, filter, sort, order)
        page, after = paged(found, limit, cursor)
        states = tally(str(job.state) for job in found)
        return unless_known(Jobs(jobs=page, next=after, total=len(found), states=states), known)

    async def job(self, job: str | int) -> Job:
        self._check("job")
        return self.with_spec(self.world.job(int(job)))

    async def tasks(
        self,
        job: str | int,
        *,
        filter: str = "",
        sort: str = "",
        limit: int = 100,
        cursor: str = "",
        at: float | None = None,
        known: str = "",
    ) -> Tasks:
        self._check("tasks")
        if job == "":
            found: Sequence[Task] = self._of_all_jobs(filter, sort, at)
        else:
            rows = self.tasks_then(int(job), at)
            found = selected(rows, TASK_FIELDS, task_value, filter, sort, Order("index"))
        page, after = paged(found, limit, cursor)
        states = tally(str(task.state) for task in found)
        return unless_known(Tasks(tasks=page, next=after, total=len(found), states=states), known)

    def _of_all_jobs(self, filter: str, sort: str = "", at: float | None = None) -> Sequence[Task]:
        jobs = self.world.jobs[-EVERY_JOBS:][::-1]
        newest = [replace(task, user=of.user) for of in jobs for task in self.tasks_then(of.number, at)]
        return selected(newest, ALL_TASK_FIELDS, task_value, filter, sort, Order("job", descending=True))

    async def task(self, task: str | int) -> Task:
        self._check("task")
        number, _, index = str(task).partition(".")
        return self.world.tasks(int(number))[int(index.partition(":")[0] or 0)]

    async def events(self, query: EventList | None = None) -> Events:
        self._check("events")
        asked = query or EventList()
        order = Order("at", descending=True)
        rows = [event for event in self.events_then(asked.until) if is_about(event, asked)]
        found = selected(rows, EVENT_FIELDS, event_value, asked.filter, asked.sort, order)
        page, after = paged(found, asked.limit, asked.cursor)
        return unless_known(Events(events=page, next=after), asked.known)

    def matching(self, noun: str, filter: str) -> list[str]:
        """The names of all that a filter lets through; of the tasks of one job, `job=N` stands first."""
        match noun:
            case "job":
                jobs = selected(self.world.jobs, JOB_FIELDS, job_value, filter, "", Order("number"))
                return [str(job.number) for job in jobs]
            case "node":
                nodes = selected(self.world.nodes, NODE_FIELDS, node_value, filter, "", Order("name"))
                return [node.name for node in nodes]
            case _:
                first, _, rest = filter.partition(" ")
                if not first.startswith("job="):
                    return [f"{task.job}.{task.index}" for task in self._of_all_jobs(filter)]
                rows = self.world.tasks(int(first.removeprefix("job=")))
                tasks = selected(rows, TASK_FIELDS, task_value, rest, "", Order("index"))
                return [f"{task.job}.{task.index}" for task in tasks]

    async def why(self, target: str | int, *, at: float | None = None) -> Why:
        self._check("why")
        text = str(target)
        task = await self.task(text if "." in text else f"{text}.0")
        if at is None:
            return explained(task, self.world.nodes)
        found = explained(task_then(task, at), self.nodes_then(at))
        if found.node is not None:
            return found
        return replace(found, unknown=["fair share", "reservations", "capacity", "labels"])

    async def watch(self, *, everyone: bool = False) -> AsyncGenerator[Change, None]:
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.remove(queue)

    async def _live(self) -> None:
        """A few tasks end and others start, every second."""
        while True:
            await asyncio.sleep(1.0)
            for change in self.world.step(time.time()):
                self.change(change)

    def _check(self, operation: str) -> None:
        self.asked.append(operation)
        if not self.reachable:
            raise Disconnected("no server answers")
        if operation in self.refusals:
            raise ApiError(self.refusals[operation])


@cache
def demo_cluster() -> FakeCluster:
    """The one of `corral top --demo`: big, lively, and the same each time."""
    return FakeCluster(World(seed=DEMO_SEED, now_s=time.time()), lively=True)


def selected(
    rows: Sequence[T],
    fields: Mapping[str, Field],
    value_of: Callable[[T, str], Value],
    filter: str,
    sort: str,
    default: Order,
) -> Sequence[T]:
    """The rows that the condition lets through, in order."""
    found = rows
    if filter:
        conditions = parse(filter, fields, me="demo", now_s=time.time())
        found = [row for row in rows if matches(conditions, partial(value_of, row))]
    order = parse_order(sort, fields, default)
    if order == default:
        return found  # the world keeps its lists in their own order
    if order.field == default.field:
        return found[::-1]
    if default.descending:
        found = found[::-1]
    present = [row for row in found if value_of(row, order.field) is not None]
    absent = [row for row in found if value_of(row, order.field) is None]
    present.sort(key=lambda row: cast("Any", value_of(row, order.field)))
    # equal keys turn round with the order; what is absent comes last either way
    return [*reversed(present), *reversed(absent)] if order.descending else present + absent


def paged(rows: Sequence[T], limit: int, cursor: str) -> tuple[list[T], str]:
    """A page and the cursor of the next one."""
    start = int(cursor or 0)
    page = list(rows[start : start + limit])
    end = start + len(page)
    return page, str(end) if end < len(rows) else ""


def tally(states: Iterable[str]) -> dict[str, int]:
    """How many are in each state."""
    counts: dict[str, int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return counts


_RENAMED = {
    "submitted": "submitted_at", "started": "started_at", "ended": "ended_at", "age": "submitted_at",
    "exit": "exit_code", "attempt": "fence", "heartbeat": "last_heartbeat_s",
}  # fmt: skip


def plain(row: Struct, name: str) -> Value:
    """A field as filters compare it."""
    value: Any = getattr(row, _RENAMED.get(name, name), None)
    return str(value) if isinstance(value, str) else value


def job_value(job: Job, name: str) -> Value:
    if name == "tasks":
        return job.counts.total
    if name == "runtime":
        return None if job.started_at is None else (job.ended_at or time.time()) - job.started_at
    if name == "parent_job":
        return int(job.parent.split(".")[0]) if job.parent else None
    counted: Value = getattr(job.counts, name, None)
    return counted if counted is not None and name != "total" else plain(job, name)


def task_value(task: Task, name: str) -> Value:
    amounts = {"cpu": "cpu_millis", "memory": "mem_mib", "gpus": "gpus"}
    if name in amounts:
        amount: Value = getattr(task.resources, amounts[name])
        return amount
    if name == "runtime":
        return None if task.started_at is None else (task.ended_at or time.time()) - task.started_at
    return plain(task, name)


def node_value(node: Node, name: str) -> Value:
    if name.startswith("label."):
        return node.labels.get(name.removeprefix("label."))
    free = node.capacity - node.allocated
    amounts: dict[str, Value] = {
        "cpu": node.capacity.cpu_millis, "memory": node.capacity.mem_mib, "gpus": node.capacity.gpus,
        "free_cpu": free.cpu_millis, "free_memory": free.mem_mib, "free_gpus": free.gpus,
        "state": str(node.health if node.admin is NodeAdmin.ACTIVE else node.admin),
    }  # fmt: skip
    return amounts[name] if name in amounts else plain(node, name)


def event_value(event: Happened, name: str) -> Value:
    return event.at if name == "age" else plain(event, name)


def is_about(event: Happened, asked: EventList) -> bool:
    """Whether it is about the job, task or node that is asked for, and as new."""
    return (
        asked.job in (None, str(event.job))
        and asked.task in (None, event.task)
        and asked.node in (None, event.node)
        and event.at >= (asked.since or 0.0)
    )


def explained(task: Task, nodes: Sequence[Node]) -> Why:
    """Why a task of this world is where it is."""
    if task.node is not None:
        rivals = [node for node in nodes if node.name != task.node][:5]
        return Why(
            task=f"{task.job}.{task.index}", state=task.state, node=task.node, attempt=task.fence,
            summary="It went where the least is left over.", order="priority, then age", rank="best fit",
            candidates=[
                Candidate(node=task.node, score=0.12, chosen=True),
                *(Candidate(node=n.name, score=0.2 + i / 10) for i, n in enumerate(rivals[:3])),
                *(Candidate(node=n.name, obstacles=["busy:cpu_millis"]) for n in rivals[3:]),
            ],
        )  # fmt: skip
    return Why(
        task=f"{task.job}.{task.index}", state=task.state, waiting_s=754.0, ahead=212,
        summary="No node has four GPUs free.",
        blockers=[
            Blocker(code="busy:gpus", message="all GPUs are held", nodes=128, remedy="starts when 812 ends"),
            Blocker(code="too_small:gpus", message="too few GPUs", nodes=872, remedy="--gpu 1 fits now"),
        ],
    )  # fmt: skip
