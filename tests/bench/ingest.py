"""A thousand nodes without tasks: what their heartbeats and usage cost, and how many rows arrive.

The nodes are simulated by two processes, but each has its own credentials and its own connection to the real
server, as the permissions demand. They register, then beat every 2 s and send usage every 5 s, and then
every second. The simulators share the machine's cores with the cluster, so latencies are upper bounds.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import msgspec

from bus.layout import write_secret
from tests.bench.cluster import ENVIRONMENT, ROOT, Cluster
from tests.bench.figures import Figure, Sizes, percentile
from tests.bench.processes import MIB, cpu_s, rss_bytes
from tests.bench.simulated import Fleet, Phase, Told

SIMULATORS = 2
HEARTBEAT_S = 2.0
USAGE_S = (5.0, 1.0)
ARRIVAL_TIMEOUT_S = 30.0
POLL_S = 0.1
_ROWS = """
    select count(*) from corral.node_usage
    where node_id in (select id from corral.nodes where name like 'sim-%')
"""


class Simulators:
    """The processes that speak for the nodes, in step."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self._processes = processes

    def run(self, phase: Phase) -> Told:
        """One phase in all of them."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(phase) + b"\n")
            process.stdin.flush()
        return self.told()

    def told(self) -> Told:
        """The next line of each, as one. Raises EOFError where a process ended."""
        told = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise EOFError("a simulator ended")
            told.append(msgspec.json.decode(line, type=Told))
        return Told(
            latencies_ms=tuple(latency for each in told for latency in each.latencies_ms),
            unanswered=sum(each.unanswered for each in told),
            usage_sent=sum(each.usage_sent for each in told),
        )


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """Registration, then both phases."""
    coordinator = cluster.pid("coordinator")
    nodes = sizes.simulated_nodes
    before = rss_bytes(coordinator)
    begin = time.perf_counter()
    with _simulators(cluster, nodes) as simulators:
        registered = await asyncio.to_thread(simulators.told)
        ready_s = time.perf_counter() - begin
        figures = [
            Figure(
                name="ingest.register.p99",
                value=percentile(registered.latencies_ms, 99),
                unit="ms",
                note=f"{nodes} nodes, connected and registered after {ready_s:.1f} s",
            )
        ]
        for usage_s in USAGE_S:
            phase = Phase(seconds=sizes.ingest_s, heartbeat_s=HEARTBEAT_S, usage_s=usage_s)
            figures += await _phase(cluster, simulators, phase)
    after = rss_bytes(coordinator)
    grown = f"{before / MIB:.0f} → {after / MIB:.0f} MiB"
    figures.append(Figure(name="ingest.coordinator_rss", value=after / MIB, unit="MiB", note=grown))
    return figures


async def _phase(cluster: Cluster, simulators: Simulators, phase: Phase) -> list[Figure]:
    coordinator = cluster.pid("coordinator")
    connection = await asyncpg.connect(cluster.dsn)
    try:
        rows_before, cpu_before_s = await connection.fetchval(_ROWS), cpu_s(coordinator)
        begin = time.perf_counter()
        told = await asyncio.to_thread(simulators.run, phase)
        seconds = time.perf_counter() - begin
        percent = (cpu_s(coordinator) - cpu_before_s) / seconds * 100
        rows = await _arrived(connection, rows_before, told.usage_sent)
    finally:
        await connection.close()
    name = f"ingest.usage_{phase.usage_s:g}s"
    beats = f"{len(told.latencies_ms) / seconds:.0f} requests/s, {told.unanswered} unanswered"
    return [
        Figure(name=f"{name}.heartbeat.p50", value=percentile(told.latencies_ms, 50), unit="ms", note=beats),
        Figure(name=f"{name}.heartbeat.p99", value=percentile(told.latencies_ms, 99), unit="ms"),
        Figure(
            name=f"{name}.rows",
            value=rows / seconds,
            unit="rows/s",
            note=f"{rows} of {told.usage_sent} samples arrived",
        ),
        Figure(name=f"{name}.coordinator_cpu", value=percent, unit="%"),
    ]


async def _arrived(connection: asyncpg.Connection, before: int, sent: int) -> int:
    """The rows that came, once all have or a bound has passed."""
    deadline = time.monotonic() + ARRIVAL_TIMEOUT_S
    while (rows := await connection.fetchval(_ROWS) - before) < sent and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
    return int(rows)


@contextmanager
def _simulators(cluster: Cluster, nodes: int) -> Iterator[Simulators]:
    """Started, and ended with the block."""
    processes = []
    authority, url = cluster.authority, cluster.url
    try:
        for number in range(SIMULATORS):
            names = [f"sim-{node:04}" for node in range(number, nodes, SIMULATORS)]
            fleet = Fleet(url=url, nodes={name: authority.mint_agent(name).text for name in names})
            path = cluster.folder / "fleets" / f"{number}.json"
            write_secret(path, msgspec.json.encode(fleet).decode())
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.bench.simulated", str(path)],
                    cwd=ROOT,
                    env=ENVIRONMENT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
        yield Simulators(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
