"""A console over a cluster that the test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

from bus.api import Cancelled, Cluster, Job, Jobs, Node, Nodes, Task, TaskCounts, Tasks
from bus.client import Client
from bus.values import (
    JobKind,
    JobState,
    NodeAdmin,
    NodeHealth,
    NodeKind,
    Resources,
    Stream,
    TaskState,
)
from tui.client.session import Session, Snapshot, Update

HOSTILE = "x\x1b[2J\x1b]52;c;ZXZpbA==\x07[@click=app.quit]y[/]\u202ez"


class FakeClient:
    """The part of `bus.client.Client` that screens use."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.output = {
            Stream.STDOUT: [b"first line\n", b"second \x1b[31mline\n"],
            Stream.STDERR: [b"a warning\n"],
        }

    async def job(self, job: str) -> Job:
        return a_job(int(job))

    async def tasks(self, job: str, *, limit: int) -> Tasks:
        return Tasks(tasks=[a_task(int(job), index) for index in range(3)])

    async def cancel(self, target: str) -> Cancelled:
        self.cancelled.append(target)
        return Cancelled(tasks=3)

    async def follow(self, task: str, *, stream: Stream) -> AsyncIterator[bytes]:
        for piece in self.output[stream]:
            yield piece


class FakeSession(Session):
    """Yields what the test puts in."""

    def __init__(self) -> None:
        super().__init__(url=None, credentials=None, data=None)
        self.fake = FakeClient()
        self.queue: asyncio.Queue[Update] = asyncio.Queue()

    @property
    def client(self) -> Client:
        return cast(Client, cast(Any, self.fake))

    async def updates(self) -> AsyncGenerator[Update, None]:
        while True:
            yield await self.queue.get()


def a_job(number: int, **changes: Any) -> Job:
    fields: dict[str, Any] = {
        "number": number,
        "id": f"0198c2f4-0000-7000-8000-{number:012d}",
        "name": HOSTILE,
        "user": "ada",
        "kind": JobKind.BATCH,
        "priority": 5,
        "state": JobState.RUNNING,
        "counts": TaskCounts(total=3, running=1, queued=2),
        "submitted_at": 1000.0,
    }
    return Job(**{**fields, **changes})


def a_task(job: int, index: int) -> Task:
    return Task(
        id=f"{job}.{index}", job=job, index=index, name=HOSTILE, state=TaskState.RUNNING, node="n1", fence=1,
        resources=Resources(1000, 64), submitted_at=1000.0, started_at=1001.0, message=HOSTILE,
    )  # fmt: skip


def a_snapshot(*jobs: Job) -> Snapshot:
    node = Node(
        name="n1", id="x", health=NodeHealth.HEALTHY, admin=NodeAdmin.ACTIVE, kind=NodeKind.COMPUTE,
        capacity=Resources(4000, 8192), allocated=Resources(1000, 64), running=1, waiting=0, load=0.5,
        last_heartbeat_s=0.4, labels={}, version="0.1.0",
    )  # fmt: skip
    cluster = Cluster(
        total_nodes=1, active_nodes=1, jobs={"running": len(jobs)}, tasks={"running": 1, "queued": 2},
        capacity=node.capacity, allocated=node.allocated, epoch=1, started_at=0.0, version="0.1.0",
    )  # fmt: skip
    return Snapshot(cluster, Nodes(nodes=[node]), Jobs(jobs=list(jobs)), at_s=1010.0, latency_ms=2.0)
