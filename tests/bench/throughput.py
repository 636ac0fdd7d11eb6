"""Tasks per second, end to end: /bin/true in two slots, each attempt's row committed to PostgreSQL.

From handing the job over to hearing on the feed that all its tasks completed. As one array, and as one job
of explicit tasks that are all different. Each sample has a limit measured right before it, and the ratio
given is the median of their ratios: on a shared machine both move by a factor of two within minutes.
"""

from __future__ import annotations

import statistics
import time

import asyncpg

from bus.client import Client
from tests.bench import limit
from tests.bench.cluster import Cluster
from tests.bench.feed import Ends, hand_over
from tests.bench.figures import Figure, Sizes

WARM_UP_TASKS = 20
_COMMITTED = "select count(*) from corral.attempts where state = 'completed' and ended_at is not null"


def array_of(tasks: int) -> dict[str, object]:
    """One job, one row: an array of /bin/true."""
    return {"command": ["/bin/true"], "array": f"0-{tasks - 1}"}


def distinct(tasks: int, *, first: int = 0) -> dict[str, object]:
    """One job of tasks with commands of their own, numbered from `first`."""
    return {"tasks": [{"command": ["/bin/true", str(number)]} for number in range(first, first + tasks)]}


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """The median rate of each size and kind; the rows of all attempts are counted at the end."""
    figures = []
    before = await _committed(cluster)
    async with cluster.client() as client, Ends.heard_by(client) as ends:
        await _seconds(client, ends, array_of(WARM_UP_TASKS))
        for tasks in sizes.throughput_tasks:
            for kind, job in (("array", array_of(tasks)), ("distinct", distinct(tasks))):
                limits, rates = [], []
                for _ in range(sizes.repeats):
                    limits.append(limit.rate(sizes.paired_limit_tasks))
                    rates.append(tasks / await _seconds(client, ends, job))
                figures.append(_figure(f"throughput.{kind}.{tasks}", rates, limits))
    ran = WARM_UP_TASKS + 2 * sizes.repeats * sum(sizes.throughput_tasks)
    committed = await _committed(cluster) - before
    assert committed == ran, f"{committed} attempts committed, {ran} ran"
    return figures


def _figure(name: str, rates: list[float], limits: list[float]) -> Figure:
    ratios = [rate / of for rate, of in zip(rates, limits, strict=True)]
    return Figure(
        name=name,
        value=statistics.median(rates),
        unit="tasks/s",
        note=f"limit beside {statistics.median(limits):.0f}",
        samples=tuple(rates),
        of_limit=statistics.median(ratios),
    )


async def _committed(cluster: Cluster) -> int:
    connection = await asyncpg.connect(cluster.dsn)
    try:
        return int(await connection.fetchval(_COMMITTED))
    finally:
        await connection.close()


async def _seconds(client: Client, ends: Ends, job: dict[str, object]) -> float:
    """Seconds from handing over to the end heard."""
    begin = time.perf_counter()
    await ends.of((await hand_over(client, job)).number)
    return time.perf_counter() - begin
