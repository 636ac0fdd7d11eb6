"""People at terminals and ports of tasks, for tests: what they type at `corral`, and what they see."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bus.layout import Layout
from bus.values import JobState
from tests.fixtures_cluster import LiveCluster
from tests.tui.pty_session import PtySession

QUIET = ("--env", "PS1=ready> ")


def command(cluster: LiveCluster, *words: str, user: str = "alice") -> list[str]:
    credentials = Layout(cluster.folder).credentials(user)
    door = ["--url", cluster.nats.url, "--credentials", str(credentials)]
    return [sys.executable, "-P", "-m", "tui", words[0], *door, *words[1:]]


def newest(cluster: LiveCluster) -> int:
    async def ask() -> int:
        async with cluster.client() as alice:
            return (await alice.job("@last")).number

    return asyncio.run(ask())


def say(terminal: PtySession, line: bytes, *words: str) -> None:
    terminal.press(line + b"\r")
    terminal.wait_for(*words)


async def ended(cluster: LiveCluster, job: int) -> JobState:
    async with cluster.client() as alice:
        return (await alice.wait(job)).state


@contextmanager
def listening(cluster: LiveCluster, program: str) -> Iterator[tuple[int, int]]:
    """The job of a Python program that prints on which port it listens, and that port."""

    async def start() -> tuple[int, int]:
        async with cluster.client() as alice:
            job = (await alice.submit(command=["python3", "-c", program])).number
            async for piece in alice.follow(f"{job}.0"):
                return job, int(piece)
            raise AssertionError("it never listened")

    async def cancel(job: int) -> None:
        async with cluster.client() as alice:
            await alice.cancel(job)

    job, port = asyncio.run(start())
    try:
        yield job, port
    finally:
        asyncio.run(cancel(job))


@contextmanager
def forwarding(cluster: LiveCluster, job: int, port: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`corral forward`, and the local port that leads to `port` of the job."""
    words = command(cluster, "forward", str(job), f"0:{port}")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as way:
        try:
            assert way.stdout is not None
            said = way.stdout.readline().decode()
            assert said.startswith("127.0.0.1:") and f"{job}.0 port {port}" in said
            yield way, int(said.partition(" ")[0].rpartition(":")[2])
        finally:
            way.kill()
