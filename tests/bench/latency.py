"""Latency of one task: from handing over a job of one /bin/true to hearing on the feed that it finished.

`idle`: with a pause between the jobs that is long enough for the system to come to rest. `chained`: each
job right after the end of the one before.
"""

from __future__ import annotations

import asyncio
import time

from bus.client import Client
from bus.spec import JobSpec
from tests.bench.cluster import Cluster
from tests.bench.feed import Ends
from tests.bench.figures import Figure, Sizes, percentile

WARM_UP = 5
PAUSE_S = 0.1


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """p50 and p99 of each, in milliseconds."""
    figures = []
    async with cluster.client() as client, Ends.heard_by(client) as ends:
        for kind, pause_s in (("idle", PAUSE_S), ("chained", 0.0)):
            times = tuple(
                [await _milliseconds(client, ends, pause_s) for _ in range(sizes.latency_tasks + WARM_UP)]
            )
            times = times[WARM_UP:]
            figures += [
                Figure(name=f"latency.{kind}.p50", value=percentile(times, 50), unit="ms", samples=times),
                Figure(name=f"latency.{kind}.p99", value=percentile(times, 99), unit="ms"),
            ]
    return figures


async def _milliseconds(client: Client, ends: Ends, pause_s: float) -> float:
    await asyncio.sleep(pause_s)
    begin = time.perf_counter()
    await ends.of((await client.submit(JobSpec(command=["/bin/true"]))).number)
    return (time.perf_counter() - begin) * 1000
