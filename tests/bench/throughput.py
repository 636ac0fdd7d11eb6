"""Tasks per second, end to end: /bin/true in two slots, each attempt's row committed to PostgreSQL.

From handing the job over to hearing on the feed that all its tasks completed. As one array, and as one job
of explicit tasks that are all different.
"""

from __future__ import annotations

import statistics
import time

import asyncpg

from bus.client import Client
from tests.bench.cluster import Cluster
from tests.bench.feed import Ends, hand_over
from tests.bench.figures import Figure, Sizes

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
    expected = 0
    async with cluster.client() as client, Ends.heard_by(client) as ends:
        await _seconds(client, ends, array_of(20))
        expected += 20
        for tasks in sizes.throughput_tasks:
            for kind, make in (("array", array_of), ("distinct", distinct)):
                rates = [tasks / await _seconds(client, ends, make(tasks)) for _ in range(sizes.repeats)]
                expected += tasks * sizes.repeats
                figures.append(
                    Figure(
                        name=f"throughput.{kind}.{tasks}",
                        value=statistics.median(rates),
                        unit="tasks/s",
                        samples=tuple(rates),
                    )
                )
    connection = await asyncpg.connect(cluster.dsn)
    try:
        committed = await connection.fetchval(_COMMITTED)
    finally:
        await connection.close()
    assert committed == expected, f"{committed} attempts committed, {expected} ran"
    return figures


async def _seconds(client: Client, ends: Ends, job: dict[str, object]) -> float:
    """Seconds from handing over to the end heard."""
    begin = time.perf_counter()
    await ends.of((await hand_over(client, job)).number)
    return time.perf_counter() - begin
