"""Three of four agents fall silent at once: we suspect ourselves, and replace nothing until they are back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.client import Client
from bus.spec import ResourceSpec
from bus.values import NodeHealth, TaskState
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer

NODES = ("n1", "n2", "n3", "n4")
UNREACHABLE_S = 5.0
LEASE_S = 15.5 * UNREACHABLE_S / 10.0


@pytest.fixture
def four(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    """A task fits each node, and only one; everything is twice as quick."""
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    live.settings = f"unreachable_after_s = {UNREACHABLE_S:g}\n"
    try:
        live.start({name: ["--cpu", "1", "--memory", "1GiB"] for name in NODES})
        yield live
    finally:
        live.stop()


async def told(client: Client) -> list[str]:
    return [event.kind for event in (await client.events()).events]


async def test_most_agents_stopped_at_once_are_waited_for(four: LiveCluster) -> None:
    async with four.client("adam") as client:
        job = await client.submit(
            command=["sleep", "600"], array="0-3", resources=ResourceSpec(cpu="600m"), idempotent=True
        )
        names = [f"{job.number}.{index}" for index in range(len(NODES))]

        async def running() -> bool:
            return all([(await client.task(name)).state is TaskState.RUNNING for name in names])

        async def silent() -> bool:
            healths = {node.name: node.health for node in (await client.nodes()).nodes}
            return all(healths[name] is NodeHealth.UNREACHABLE for name in NODES[1:])

        async def back() -> bool:
            healths = [node.health for node in (await client.nodes()).nodes]
            return "brake_off" in await told(client) and NodeHealth.UNREACHABLE not in healths

        await four.until(running, "each node has one")
        for name in NODES[1:]:
            four.kill(name, signal.SIGSTOP)
        await four.until(silent, "they are unreachable")
        assert "brake_on" in await told(client)
        await asyncio.sleep(LEASE_S)  # their leases end meanwhile: without the brake all would be given out
        tasks = [await client.task(name) for name in names]
        assert [(task.state, task.fence) for task in tasks] == [(TaskState.RUNNING, 1)] * len(NODES)
        assert "brake_off" not in await told(client)
        for name in NODES[1:]:
            four.kill(name, signal.SIGCONT)
        await four.until(back, "they are back, and the brake is off", wait_s=90.0)
        await four.until(running, "all run again")
        await client.cancel(job.number)
