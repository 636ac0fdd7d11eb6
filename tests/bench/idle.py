"""Processor time of a cluster at rest: seconds spent by each process over a while in which nobody asks.

In percent of one core; PostgreSQL with its backends.
"""

from __future__ import annotations

import asyncio

from tests.bench.cluster import Cluster
from tests.bench.figures import Figure, Sizes
from tests.bench.processes import cpu_s


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """One figure a process, and the sum that the peers' figures mean."""
    pids = {
        "coordinator": cluster.pid("coordinator"),
        "agent": cluster.agent_pid,
        "guard": cluster.guard_pid,
        "supervisor": cluster.pid("supervisor"),
        "nats": cluster.pid("nats"),
        "postgresql": cluster.pid("postgresql"),
    }

    def spent_s() -> dict[str, float]:
        return {name: cpu_s(pid, family=name == "postgresql") for name, pid in pids.items()}

    await asyncio.sleep(sizes.rest_s)
    before = spent_s()
    await asyncio.sleep(sizes.idle_s)
    after = spent_s()
    percent = {name: (after[name] - before[name]) / sizes.idle_s * 100 for name in pids}
    both = percent["coordinator"] + percent["agent"] + percent["guard"]
    return [
        Figure(name="idle.coordinator_and_agent", value=both, unit="%", note="with the guard"),
        *(Figure(name=f"idle.{name}", value=value, unit="%") for name, value in percent.items()),
    ]
