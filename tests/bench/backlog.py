"""A long queue: how quickly it is accepted, and what a queued task costs the coordinator in memory.

One task holds both slots, so nothing of the queue can run. Then an array, and after it (cancelled) the
same number of tasks as jobs of explicit tasks that are all different, handed over one job after the
other. Memory is the growth of the coordinator's resident set, once it has come to rest, by the tasks.
"""

from __future__ import annotations

import asyncio
import time

from bus.api import Submitted
from bus.client import Client
from bus.spec import JobSpec, ResourceSpec
from bus.values import JobState
from tests.bench.cluster import Cluster
from tests.bench.feed import hand_over
from tests.bench.figures import Figure, Sizes
from tests.bench.processes import MIB, rss_bytes
from tests.bench.throughput import array_of, distinct

RUNNING_TIMEOUT_S = 30.0
REST_TIMEOUT_S = 20.0
POLL_S = 0.1


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """Times to accept in milliseconds, bytes a queued task."""
    coordinator = cluster.pid("coordinator")
    distinct_tasks = sizes.distinct_jobs * sizes.distinct_tasks_a_job
    array = [array_of(sizes.array_tasks)]
    distinct_jobs = [
        distinct(sizes.distinct_tasks_a_job, first=job * sizes.distinct_tasks_a_job)
        for job in range(sizes.distinct_jobs)
    ]
    figures = []
    async with cluster.client() as client:
        blocker = await _occupy(client)
        for kind, jobs, tasks in (
            ("array", array, sizes.array_tasks),
            ("distinct", distinct_jobs, distinct_tasks),
        ):
            before = await _rest(coordinator, sizes.rest_s)
            begin = time.perf_counter()
            submitted = [await hand_over(client, job) for job in jobs]
            accept_ms = (time.perf_counter() - begin) * 1000
            after = await _rest(coordinator, sizes.rest_s)
            await _check_queued(client, submitted, tasks)
            begin = time.perf_counter()
            for job in submitted:
                await client.cancel(job.number)
            cancel_ms = (time.perf_counter() - begin) * 1000
            note = f"{tasks:,} tasks"
            grown = f"{before / MIB:.0f} → {after / MIB:.0f} MiB"
            figures += [
                Figure(name=f"backlog.{kind}.accept", value=accept_ms, unit="ms", note=note),
                Figure(
                    name=f"backlog.{kind}.memory_a_task",
                    value=max(0, after - before) / tasks,
                    unit="B",
                    note=grown,
                ),
                Figure(name=f"backlog.{kind}.cancel", value=cancel_ms, unit="ms", note=note),
            ]
        await client.cancel(blocker)
        await client.wait(blocker)
    return figures


async def _occupy(client: Client) -> int:
    """The number of a job whose one task runs and holds both slots."""
    job = await client.submit(JobSpec(command=["sleep", "100000"], resources=ResourceSpec(cpu=2000)))
    async with asyncio.timeout(RUNNING_TIMEOUT_S):
        while (await client.job(job.number)).state is not JobState.RUNNING:
            await asyncio.sleep(POLL_S)
    return job.number


async def _check_queued(client: Client, submitted: list[Submitted], tasks: int) -> None:
    shown = [await client.job(job.number) for job in submitted]
    assert sum(job.counts.total for job in shown) == tasks
    assert not any(job.counts.running or job.counts.completed for job in shown), "something of the queue ran"


async def _rest(pid: int, rest_s: float) -> int:
    """Resident bytes once they have not changed for a while, or after a bound."""
    deadline = time.monotonic() + REST_TIMEOUT_S
    last, since = rss_bytes(pid), time.monotonic()
    while time.monotonic() - since < rest_s and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        now = rss_bytes(pid)
        if now != last:
            last, since = now, time.monotonic()
    return last
