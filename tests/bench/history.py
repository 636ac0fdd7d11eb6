"""What the console asks a real database that has run 100,000 tasks: lists, what was, what ran where and when.

`unchanged` is what a list asks every five seconds while nothing happened to it. The past is that of the
middle of the run, when most was under way: what takes too long is refused, and the note says how often.
Milliseconds are those of a client on the same machine; processor time is that of coordinator and database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg

from bus.client import Client
from bus.errors import ApiError
from bus.timeline import TimelineQuery
from tests.bench.cluster import Cluster
from tests.bench.feed import Ends, hand_over
from tests.bench.figures import Figure, Sizes
from tests.bench.looking import spread
from tests.bench.processes import cpu_s
from tests.bench.throughput import array_of

TASKS_A_JOB = 10_000
PAGE = 500
"""As the console asks for."""

ASKING_MAX_S = 20.0
"""So long one question is asked again and again."""

Ask = Callable[[], Awaitable[object]]


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """Run the tasks, then ask."""
    began_s = time.time()
    async with cluster.client() as client:
        async with Ends.heard_by(client) as ends:
            for _ in range(max(1, sizes.history_tasks // TASKS_A_JOB)):
                tasks = min(TASKS_A_JOB, sizes.history_tasks)
                await ends.of(number := (await hand_over(client, array_of(tasks))).number)
        ended_s = time.time()
        await _count_rows(cluster)
        await asyncio.sleep(sizes.rest_s)
        half_s = (began_s + ended_s) / 2
        window = TimelineQuery(since=began_s, until=ended_s, limit=PAGE * 20)
        asks: dict[str, Ask] = {
            "list.jobs": partial(client.jobs, limit=PAGE),
            "list.jobs_unchanged": await _unchanged(client, number, of_job=False),
            "list.tasks": partial(client.tasks, number, limit=PAGE),
            "list.tasks_unchanged": await _unchanged(client, number, of_job=True),
            "list.all_tasks": partial(client.tasks, limit=PAGE),
            "list.by_runtime": partial(client.tasks, sort="-runtime", limit=100),
            "past.cluster": partial(client.cluster, at=half_s),
            "past.jobs": partial(client.jobs, limit=PAGE, at=half_s),
            "past.tasks": partial(client.tasks, number, limit=PAGE, at=half_s),
            "past.nodes": partial(client.nodes, at=half_s),
            "timeline": partial(client.timeline, window),
        }
        note = f"{sizes.history_tasks} tasks"
        return [await _asked(cluster, f"history.{name}", ask, sizes, note) for name, ask in asks.items()]


async def _count_rows(cluster: Cluster) -> None:
    """As the database does by itself within two minutes: until then it plans as for an empty cluster."""
    connection = await asyncpg.connect(cluster.dsn)
    try:
        await connection.execute("analyze")
    finally:
        await connection.close()


async def _unchanged(client: Client, number: int, *, of_job: bool) -> Ask:
    """Asks for a page with the tag it had a moment ago; the tag is renewed once it has ended."""
    tag = ""

    async def ask() -> bool:
        nonlocal tag
        if of_job:
            tasks = await client.tasks(number, limit=PAGE, known=tag)
            tag = tasks.tag
            return tasks.unchanged
        jobs = await client.jobs(limit=PAGE, known=tag)
        tag = jobs.tag
        return jobs.unchanged

    await ask()
    # a tag may just have ended, but not twice
    assert await ask() or await ask(), "nothing changed, and it is read anew"
    return ask


async def _asked(cluster: Cluster, name: str, ask: Ask, sizes: Sizes, note: str) -> Figure:
    refused = int(not await _answered(ask))
    pids = cluster.pid("coordinator"), cluster.pid("postgresql")
    samples: list[float] = []
    before, end = _spent_s(pids), time.monotonic() + ASKING_MAX_S
    while len(samples) < sizes.history_asks and (not samples or time.monotonic() < end):
        begin = time.perf_counter()
        refused += not await _answered(ask)
        samples.append((time.perf_counter() - begin) * 1000)
    each_ms = 1000 * (_spent_s(pids) - before) / len(samples)
    note += f"; {each_ms:.2f} ms of processor time each" + (f"; {refused} refused" if refused else "")
    return spread(name, samples, note)


async def _answered(ask: Ask) -> bool:
    try:
        await ask()
    except ApiError as error:
        if error.error.code != "E_TOO_LARGE":
            raise
        return False
    return True


def _spent_s(pids: tuple[int, int]) -> float:
    coordinator, database = pids
    return cpu_s(coordinator) + cpu_s(database, family=True)
