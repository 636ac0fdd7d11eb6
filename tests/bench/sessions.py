"""Being there: a key until its echo is back from a task's terminal, and bytes through `corral forward`.

The terminal is spoken with as `corral attach` does, by a client in this process; keys come one at a time,
with a pause in which all comes to rest. Forwarding is the real command, with one connection: what a task
sends from memory, then what it takes.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bus.api import Task
from bus.client import Client
from bus.sessions import SessionKind
from bus.streams import ByteStream, joined
from bus.terminal import OFFSET_BYTES, pack_typed
from bus.values import JobKind, TaskState
from tests.bench.cluster import ENVIRONMENT, WAIT_S, Cluster
from tests.bench.figures import Figure, Sizes, percentile

WARM_UP = 5
PAUSE_S = 0.02
POLL_S = 0.02
MB = 1_000_000
PIECE = 256 * 1024
_SERVE = """
import socket, sys
size = int(sys.argv[1])
piece = bytes(1 << 18)
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    there = listening.accept()[0]
    left = size if there.recv(1) == b"d" else 0
    while left:
        left -= there.send(piece[:left])
    while there.recv(1 << 18):
        pass
    there.close()
"""


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """Milliseconds of an echo; MB/s of a connection each way."""
    async with cluster.client() as client:
        echoes = await _echoes(client, sizes.typed_keys)
        down, up = await _forwarded(cluster, client, sizes)
    note = f"{sizes.forwarded_bytes // MB} MB through one connection"
    return [
        Figure(name="sessions.echo.p50", value=percentile(echoes, 50), unit="ms", samples=tuple(echoes)),
        Figure(name="sessions.echo.p99", value=percentile(echoes, 99), unit="ms"),
        Figure(
            name="sessions.forward.down",
            value=statistics.median(down),
            unit="MB/s",
            samples=tuple(down),
            note=note,
        ),
        Figure(
            name="sessions.forward.up", value=statistics.median(up), unit="MB/s", samples=tuple(up), note=note
        ),
    ]


async def _echoes(client: Client, keys: int) -> list[float]:
    job = (await client.submit(command=["cat"], type=JobKind.INTERACTIVE)).number
    await _running(client, f"{job}.0")
    opened = await client.open_stream(SessionKind.PTY, task=f"{job}.0", params={"rows": 24, "columns": 80})
    async with joined(client.bus, opened.node, opened.stream) as stream:
        await stream.read_exactly(OFFSET_BYTES)
        times = [await _echo(stream) for _ in range(keys + WARM_UP)]
    await client.cancel(job)
    await client.wait(job)
    return times[WARM_UP:]


async def _echo(stream: ByteStream) -> float:
    await asyncio.sleep(PAUSE_S)
    begin = time.perf_counter()
    await stream.write(pack_typed(b"x"))
    await stream.read_exactly(1)
    return (time.perf_counter() - begin) * 1000


async def _forwarded(cluster: Cluster, client: Client, sizes: Sizes) -> tuple[list[float], list[float]]:
    size = sizes.forwarded_bytes
    job = (await client.submit(command=["python3", "-c", _SERVE, str(size)])).number
    await _running(client, f"{job}.0")
    async for piece in client.follow(f"{job}.0"):
        port = int(piece)
        break
    down, up = [], []
    with _forwarding(cluster, job, port) as local:
        for _ in range(sizes.repeats):
            down.append(await asyncio.to_thread(_take, local, size))
            up.append(await asyncio.to_thread(_give, local, size))
    await client.cancel(job)
    await client.wait(job)
    return down, up


@contextmanager
def _forwarding(cluster: Cluster, job: int, port: int) -> Iterator[int]:
    """The local port that leads there."""
    way = subprocess.Popen(
        [sys.executable, "-P", "-m", "tui", "forward", str(job), f"0:{port}"],
        env={**ENVIRONMENT, "CORRAL_DATA": str(cluster.layout.data)},
        stdout=subprocess.PIPE,
    )
    try:
        assert way.stdout is not None
        yield int(way.stdout.readline().partition(b" ")[0].rpartition(b":")[2])
    finally:
        way.terminate()
        way.wait(WAIT_S)
        if way.stdout is not None:
            way.stdout.close()


def _take(port: int, size: int) -> float:
    """MB/s of `size` bytes that the task sends."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as here:
        begin = time.perf_counter()
        here.sendall(b"d")
        buffer, left = bytearray(PIECE), size
        while left:
            count = here.recv_into(buffer)
            assert count, f"the connection ended {left} bytes too early"
            left -= count
        return size / MB / (time.perf_counter() - begin)


def _give(port: int, size: int) -> float:
    """MB/s of `size` bytes, until the task has taken the last."""
    piece = bytes(PIECE)
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as here:
        begin = time.perf_counter()
        here.sendall(b"u")
        for start in range(0, size, PIECE):
            here.sendall(piece[: size - start])
        here.shutdown(socket.SHUT_WR)
        assert here.recv(1) == b"", "it says nothing, and closes once it has all"
        return size / MB / (time.perf_counter() - begin)


async def _running(client: Client, task: str) -> Task:
    async with asyncio.timeout(WAIT_S):
        while (shown := await client.task(task)).state is not TaskState.RUNNING:
            await asyncio.sleep(POLL_S)
    return shown
