"""The cluster as a whole: its nodes, its work, what it has and what is given out."""

from __future__ import annotations

from collections.abc import Mapping

from bus.api import Cluster
from bus.units import counted
from tui.view.amounts import NONE, count, duration, share
from tui.view.descriptions import facts_text

EDITIONS = {
    "community": "PostgreSQL with TimescaleDB (community)",
    "apache": "PostgreSQL with TimescaleDB (Apache edition)",
    "none": "PostgreSQL without TimescaleDB",
}


def cluster_lines(cluster: Cluster, *, now_s: float) -> list[str]:
    """A line a fact."""
    cores, memory, gpus = share(cluster.allocated, cluster.capacity)
    given = f"{cores} cores, {memory} memory{'' if gpus == NONE else f', {gpus} GPUs'}"
    facts = [
        ("nodes", f"{cluster.active_nodes:,} of {counted(cluster.total_nodes, 'node')} active"),
        ("jobs", states_text(cluster.jobs)),
        ("tasks", states_text(cluster.tasks)),
        ("allocated", given),
        ("kept in", EDITIONS.get(cluster.timeseries, cluster.timeseries or NONE)),
        ("version", f"{cluster.version}, up {duration(now_s - cluster.started_at)}"),
    ]
    if cluster.rejected:
        facts.append(("rejected", f"{counted(cluster.rejected, 'message')} of agents"))
    return facts_text(facts)


def states_text(counts: Mapping[str, int]) -> str:
    """How many are in each state, those that are not zero: "2 running, 14.2k completed"."""
    shown = [f"{count(number)} {state}" for state, number in counts.items() if number]
    return ", ".join(shown) or "none waiting or running"
