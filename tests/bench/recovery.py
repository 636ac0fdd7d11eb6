"""How long a fault is felt, and how long an acknowledgement takes: the numbers of the promises.

Each recovery is timed from the fault to the end of a task that was submitted after it: a new try is made
every PROBE_S, whatever became of the ones before, and the first that is accepted counts. The supervisor
restarts what was killed; where there is a standby, it is quicker. A task that runs all the while must keep
its attempt.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import asyncpg
from msgspec import structs

from bus.api import JobChanged, Submitted
from bus.client import Client
from bus.errors import CorralError
from bus.supervision import CoordinatorRole, read_coordinator_state
from bus.values import JobState, NodeHealth, TaskState
from tests.bench.cluster import ENVIRONMENT, WAIT_S, Cluster
from tests.bench.figures import Figure, Sizes, percentile

PROBE_S = 0.1
POLL_S = 0.02
RECOVERED_S = 60.0
RATE_PER_S = 200.0
STANDBY = "standby"


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """Recoveries in seconds, latencies in milliseconds."""
    async with cluster.client() as client:
        figures = [await _acknowledged(client, sizes), await _running(client, sizes)]
        bystander = (await client.submit(command=["sleep", "3600"])).number
        await _until(lambda: _runs(client, bystander))
        for name, process in (("restarted", "coordinator"), ("bus", "nats")):
            figures.append(await _recoveries(name, cluster, client, sizes, process=process))
        figures.append(await _database(cluster, client, sizes))
        figures.append(await _taken_over(cluster, client, sizes))
        figures += await _agent(cluster, client, sizes)
        await _until(lambda: _runs(client, bystander))
        task = await client.task(f"{bystander}.0")
        assert task.fence == 1, f"the task that ran all the while was touched: {task.attempts}"
        figures += await _silent(cluster, client, bystander)
        await client.cancel(bystander)
    return figures


async def _recoveries(name: str, cluster: Cluster, client: Client, sizes: Sizes, *, process: str) -> Figure:
    samples = []
    for _ in range(sizes.recoveries):
        await _settled(client)
        os.kill(cluster.pid(process), signal.SIGKILL)
        samples.append(await _placed(client))
    return _recovery(name, samples)


async def _database(cluster: Cluster, client: Client, sizes: Sizes) -> Figure:
    """From when it takes connections again: until then there is nobody who could keep anything."""
    samples, down = [], []
    for _ in range(sizes.recoveries):
        await _settled(client)
        os.kill(cluster.pid("postgresql"), signal.SIGKILL)
        begun_s = time.perf_counter()
        placing = asyncio.create_task(_placed(client))
        await asyncio.sleep(PROBE_S)  # its own processes outlive it for a moment
        await _until(lambda: _connects(cluster.dsn))
        down.append(time.perf_counter() - begun_s)
        samples.append(max(0.0, await placing - down[-1]))
    figure = _recovery("database", samples)
    return structs.replace(figure, note=f"{figure.note}; it was down for {statistics.median(down):.2f} s")


async def _connects(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=1.0)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def _taken_over(cluster: Cluster, client: Client, sizes: Sizes) -> Figure:
    """A second coordinator each time, which takes over from the first and is then ended in good order."""
    samples = []
    for _ in range(sizes.recoveries):
        with _standby(cluster) as standby:
            await _until(lambda: _stands_by(cluster))
            os.kill(cluster.pid("coordinator"), signal.SIGKILL)
            samples.append(await _placed(client))
            standby.terminate()
            await asyncio.to_thread(standby.wait, WAIT_S)
        await _settled(client)
    return _recovery("standby", samples)


async def _agent(cluster: Cluster, client: Client, sizes: Sizes) -> list[Figure]:
    """How soon its end is seen, without a word and with one; how soon the next one has its tasks."""
    seen, adopted, announced = [], [], []
    for _ in range(sizes.recoveries):
        for number, samples in ((signal.SIGKILL, seen), (signal.SIGTERM, announced)):
            await _settled(client)
            begun_s = time.perf_counter()
            os.kill(cluster.agent_pid, number)
            await _until(lambda: _has_health(client, NodeHealth.DEGRADED, NodeHealth.UNREACHABLE))
            samples.append(time.perf_counter() - begun_s)
            await asyncio.to_thread(cluster.wait_for_end_of_agent)
            begun_s = time.perf_counter()
            cluster.start_agent()
            await _until(lambda: _has_health(client, NodeHealth.HEALTHY))
            adopted.append(time.perf_counter() - begun_s)
    return [
        _recovery("agent.seen", seen),
        _recovery("agent.announced", announced),
        _recovery("agent.adopted", adopted),
    ]


async def _silent(cluster: Cluster, client: Client, job: int) -> list[Figure]:
    """Once: until the node counts as gone, and until what ran there waits for another."""
    await _settled(client)
    begun_s = time.perf_counter()
    os.kill(cluster.agent_pid, signal.SIGKILL)
    await _until(lambda: _has_health(client, NodeHealth.UNREACHABLE))
    gone_s = time.perf_counter() - begun_s
    await _until(lambda: _waits(client, job))
    replaced_s = time.perf_counter() - begun_s
    return [_recovery("silent.seen", [gone_s]), _recovery("silent.replaced", [replaced_s])]


@contextmanager
def _standby(cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    with open(cluster.folder / "standby.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "coordinator", "serve", str(cluster.layout.data), "--name", STANDBY],
            env=ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(WAIT_S)


async def _acknowledged(client: Client, sizes: Sizes) -> Figure:
    """Submissions at a steady rate, each sent at its time whether the earlier ones were answered or not."""
    waiting: list[asyncio.Task[float]] = []
    begun_s = time.perf_counter()
    for number in range(sizes.acknowledged):
        await asyncio.sleep(max(0.0, begun_s + number / RATE_PER_S - time.perf_counter()))
        waiting.append(asyncio.create_task(_ack_ms(client)))
    samples = tuple(await asyncio.gather(*waiting))
    await _until(lambda: _is_idle(client))
    return Figure(name="ack.200.p99", value=percentile(samples, 99), unit="ms", samples=samples)


async def _ack_ms(client: Client) -> float:
    begun_s = time.perf_counter()
    await client.submit(command=["/bin/true"])
    return (time.perf_counter() - begun_s) * 1000


async def _running(client: Client, sizes: Sizes) -> Figure:
    """From handing over a job to hearing that it runs (or ended), on an idle cluster."""
    heard: dict[int, float] = {}
    samples = []

    async def listen() -> None:
        async for change in client.watch():
            if isinstance(change, JobChanged) and (
                change.state is JobState.RUNNING or change.state.is_terminal
            ):
                heard.setdefault(change.number, time.perf_counter())

    listening = asyncio.create_task(listen())
    await client.bus.flush()
    try:
        for _ in range(sizes.latency_tasks):
            begun_s = time.perf_counter()
            number = (await client.submit(command=["/bin/sleep", "0.05"])).number
            async with asyncio.timeout(WAIT_S):
                while number not in heard:
                    await asyncio.sleep(0.001)
            samples.append((heard[number] - begun_s) * 1000)
            await _until(lambda: _is_idle(client))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return Figure(name="running.idle.p99", value=percentile(samples, 99), unit="ms", samples=tuple(samples))


async def _placed(client: Client) -> float:
    """Seconds until a task ran that was submitted from now on."""
    begun_s = time.perf_counter()
    tries: set[asyncio.Task[Submitted]] = set()
    accepted: Submitted | None = None
    async with asyncio.timeout(RECOVERED_S):
        try:
            while accepted is None:
                tries.add(asyncio.create_task(client.submit(command=["/bin/true"])))
                done, tries = await asyncio.wait(tries, timeout=PROBE_S)
                for task in done:
                    if task.exception() is None:
                        accepted = task.result()
        finally:
            for task in tries:
                task.cancel()
            await asyncio.gather(*tries, return_exceptions=True)
        number = accepted.number
        await _until(lambda: _ended(client, number))
    return time.perf_counter() - begun_s


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    """What goes wrong on the way counts as not yet. Raises TimeoutError."""
    async with asyncio.timeout(RECOVERED_S):
        while True:
            try:
                if await condition():
                    return
            except CorralError:
                pass
            await asyncio.sleep(POLL_S)


async def _ended(client: Client, number: int) -> bool:
    return (await client.job(number)).state is JobState.COMPLETED


async def _runs(client: Client, number: int) -> bool:
    return (await client.task(f"{number}.0")).state is TaskState.RUNNING


async def _waits(client: Client, number: int) -> bool:
    return (await client.task(f"{number}.0")).state is TaskState.QUEUED


async def _has_health(client: Client, *healths: NodeHealth) -> bool:
    return {node.health for node in (await client.nodes()).nodes} <= {*healths}


async def _is_idle(client: Client) -> bool:
    return all(node.running == 0 and node.waiting == 0 for node in (await client.nodes()).nodes)


async def _settled(client: Client) -> None:
    """Until every node was heard again: one fault after another, not all within a lease."""
    silent_s: dict[str, float] = {}
    heard: set[str] = set()

    async def all_heard() -> bool:
        nodes = (await client.nodes()).nodes
        for node in nodes:
            if node.last_heartbeat_s < silent_s.get(node.name, 0.0):
                heard.add(node.name)
            silent_s[node.name] = node.last_heartbeat_s
        return bool(nodes) and heard.issuperset(silent_s)

    await _until(all_heard)


async def _stands_by(cluster: Cluster) -> bool:
    state = read_coordinator_state(cluster.layout.coordinator_state(STANDBY))
    return state is not None and state.role is CoordinatorRole.STANDBY


def _recovery(name: str, samples: list[float]) -> Figure:
    return Figure(
        name=f"recovery.{name}",
        value=statistics.median(samples),
        unit="s",
        note=f"worst {max(samples):.2f}",
        samples=tuple(samples),
    )
