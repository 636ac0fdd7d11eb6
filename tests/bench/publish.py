"""Fire and forget: jobs published while the coordinator stood still, from its going on to the last accepted.

The publisher is done by then and takes no processor time; one task holds both slots, so no job runs either.
A job counts as accepted with the commit of its message's key. Every message has an id of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

import asyncpg
import msgspec

from bus import subjects
from bus.client import Client
from bus.spec import JobSpec, ResourceSpec
from bus.values import JobState, UserName
from tests.bench.cluster import Cluster
from tests.bench.figures import Figure, Sizes
from tests.bench.processes import cpu_s

PUBLISHED_AT_ONCE = 256
CANCELLED_AT_ONCE = 100
STORED_TIMEOUT_S = 10.0
ACCEPTED_TIMEOUT_S = 120.0
POLL_S = 0.02
_ACCEPTED = "select count(*) from corral.message_keys"
_NUMBERS = (
    "select j.number from corral.message_keys m join corral.jobs j on j.id = m.job_id where ended_at is null"
)


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """Jobs accepted per second, and what one costs the coordinator and PostgreSQL."""
    connection = await asyncpg.connect(cluster.dsn)
    try:
        async with cluster.client() as client:
            blocker = await _occupy(client)
            before = await connection.fetchval(_ACCEPTED)
            pids = {name: cluster.pid(name) for name in ("coordinator", "postgresql")}
            os.kill(pids["coordinator"], signal.SIGSTOP)
            try:
                await _publish(client, sizes.published_jobs)
                spent_s = {name: cpu_s(pid, family=True) for name, pid in pids.items()}
            finally:
                os.kill(pids["coordinator"], signal.SIGCONT)
            begin = time.perf_counter()
            await _accepted(connection, before + sizes.published_jobs)
            seconds = time.perf_counter() - begin
            costs = {name: cpu_s(pid, family=True) - spent_s[name] for name, pid in pids.items()}
            await _cancel(client, connection)
            await client.cancel(blocker)
            await client.wait(blocker)
    finally:
        await connection.close()
    note = ", ".join(
        f"{name} {cost / sizes.published_jobs * 1000:.2f} ms a job" for name, cost in costs.items()
    )
    rate = sizes.published_jobs / seconds
    return [Figure(name=f"publish.{sizes.published_jobs}", value=rate, unit="jobs/s", note=note)]


async def _occupy(client: Client) -> int:
    """The number of a job whose one task runs and holds both slots."""
    job = await client.submit(JobSpec(command=["sleep", "100000"], resources=ResourceSpec(cpu=2000)))
    async with asyncio.timeout(ACCEPTED_TIMEOUT_S):
        while (await client.job(job.number)).state is not JobState.RUNNING:
            await asyncio.sleep(POLL_S)
    return job.number


async def _publish(client: Client, jobs: int) -> None:
    """Until JetStream has said that each is on disk."""
    slots = asyncio.Semaphore(PUBLISHED_AT_ONCE)
    subject = subjects.publish(UserName(client.user))

    async def one(number: int) -> None:
        body = msgspec.json.encode({"command": ["true", str(number)]})
        async with slots:
            headers = {"Nats-Msg-Id": f"bench-{time.time_ns()}-{number}"}
            await client.bus.request(subject, body, timeout_s=STORED_TIMEOUT_S, headers=headers)

    await asyncio.gather(*map(one, range(jobs)))


async def _accepted(connection: asyncpg.Connection, jobs: int) -> None:
    async with asyncio.timeout(ACCEPTED_TIMEOUT_S):
        while await connection.fetchval(_ACCEPTED) < jobs:
            await asyncio.sleep(POLL_S)


async def _cancel(client: Client, connection: asyncpg.Connection) -> None:
    """All of them: on a cluster that benches share they would run in the next one."""
    numbers = [row["number"] for row in await connection.fetch(_NUMBERS)]
    for first in range(0, len(numbers), CANCELLED_AT_ONCE):
        await asyncio.gather(*map(client.cancel, numbers[first : first + CANCELLED_AT_ONCE]))
