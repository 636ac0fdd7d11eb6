"""What Corral takes: memory of its processes, time of the command, time from `corral up` to the first job.

Memory is the resident set at rest after a thousand tasks. The start is that of a second, new folder: from the
call of `corral up` (with one agent) until `corral submit` has its answer; both are whole processes.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from tests.bench.cluster import Cluster, folder
from tests.bench.feed import Ends, hand_over
from tests.bench.figures import Figure, Sizes
from tests.bench.processes import MIB, rss_bytes
from tests.bench.throughput import array_of


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """MiB, milliseconds, seconds."""
    async with cluster.client() as client, Ends.heard_by(client) as ends:
        await ends.of((await hand_over(client, array_of(sizes.throughput_tasks[0]))).number)
    await asyncio.sleep(sizes.rest_s)
    pids = {
        "coordinator": cluster.pid("coordinator"),
        "agent": cluster.agent_pid,
        "guard": cluster.guard_pid,
        "supervisor": cluster.pid("supervisor"),
        "nats": cluster.pid("nats"),
    }
    return [
        *(
            Figure(name=f"footprint.rss.{name}", value=rss_bytes(pid) / MIB, unit="MiB")
            for name, pid in pids.items()
        ),
        _timed(cluster, sizes, "footprint.help", "--help"),
        _timed(cluster, sizes, "footprint.jobs", "jobs"),
        _start(),
    ]


def _timed(cluster: Cluster, sizes: Sizes, name: str, *arguments: str) -> Figure:
    """The median of several runs of the command, of which the first is not counted."""
    cluster.command(*arguments)
    times = []
    for _ in range(sizes.command_runs):
        begin = time.perf_counter()
        cluster.command(*arguments)
        times.append((time.perf_counter() - begin) * 1000)
    note = f"corral {' '.join(arguments)}"
    return Figure(name=name, value=statistics.median(times), unit="ms", samples=tuple(times), note=note)


def _start() -> Figure:
    with folder() as fresh:
        begin = time.perf_counter()
        fresh.up(agents=1)
        up_s = time.perf_counter() - begin
        fresh.command("submit", "--", "/bin/true")
        seconds = time.perf_counter() - begin
    note = f"corral up took {up_s:.2f} s of it"
    return Figure(name="footprint.start", value=seconds, unit="s", note=note)
