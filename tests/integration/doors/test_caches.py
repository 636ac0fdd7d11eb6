"""What `nats kv get` shows follows the commits, and comes back after JetStream or the coordinator lost it."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.client import Client
from bus.connection import NatsBus
from bus.spec import Constraints, ResourceSpec
from tests.fixtures_cluster import LiveCluster


@pytest.fixture
async def operator(cluster: LiveCluster) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.connect(cluster.nats.url, cluster.nats.authority.mint_coordinator(), name="test")
    yield bus
    await bus.close()


async def value(bus: NatsBus, bucket: str, key: str) -> Any:
    kept = await bus.kv_get(bucket, key)
    return None if kept is None else json.loads(kept)


async def running(
    cluster: LiveCluster, client: Client, name: str, *, resources: dict[str, str] | None = None
) -> int:
    asked = ResourceSpec(**(resources or {"cpu": "100m"}))
    job = await client.submit(
        name=name, command=["sleep", "300"], resources=asked, constraints=Constraints(nodes=["n1"])
    )

    async def started() -> bool:
        return (await client.job(job.number)).state == "running"

    await cluster.until(started, f"{name} runs")
    return job.number


async def test_a_live_job_is_shown_until_it_is_over(cluster: LiveCluster, operator: NatsBus) -> None:
    async with cluster.client() as client:
        number = await running(cluster, client, "shown")
        key = f"alice.{number}"

        async def shown() -> bool:
            job = await value(operator, "corral_jobs", key)
            return job is not None and job["state"] == "running" and job["counts"]["running"] == 1

        await cluster.until(shown, "the bucket shows it running")
        await client.cancel(number)
        await client.wait(number)

        async def gone() -> bool:
            return await operator.kv_get("corral_jobs", key) is None

        await cluster.until(gone, "the bucket forgot it")


async def test_heartbeats_of_healthy_nodes_and_the_waiting_line(
    cluster: LiveCluster, operator: NatsBus
) -> None:
    full = {"cpu": "2", "memory": "64MiB"}
    async with cluster.client() as client:
        holds = await running(cluster, client, "holds n1", resources=full)
        waits = await client.submit(
            name="waits",
            command=["true"],
            array="0-999",
            resources=ResourceSpec(**full),
            constraints=Constraints(nodes=["n1"]),
        )

        async def in_line() -> bool:
            line = await value(operator, "corral_queue", "state")
            entries = [] if line is None else [each for each in line["head"] if each["job"] == waits.number]
            return len(entries) == 1 and entries[0]["user"] == "alice" and entries[0]["count"] > 1

        await cluster.until(in_line, "the line shows the array as one entry")
        await client.cancel(waits.number)
        await client.cancel(holds)
    for name in ("n1", "n2", "n3"):
        beat = await value(operator, "corral_heartbeats", name)
        assert beat["node"] == name and beat["health"] == "healthy" and beat["at"] > 0


@pytest.mark.contract("S2.77")
@pytest.mark.parametrize("loss", ["values", "bucket", "every bucket", "coordinator"])
async def test_all_is_put_again_after_a_loss(cluster: LiveCluster, operator: NatsBus, loss: str) -> None:
    """Whatever was lost: what lives is there again, and what ended meanwhile is not."""
    async with cluster.client() as client:
        stays = await running(cluster, client, f"stays {loss}")

        async def shown() -> bool:
            return await operator.kv_get("corral_jobs", f"alice.{stays}") is not None

        await cluster.until(shown, "the bucket shows it")
        match loss:
            case "values":
                for bucket in ("jobs", "queue", "cluster", "heartbeats"):
                    await operator.request(f"$JS.API.STREAM.PURGE.KV_corral_{bucket}", b"", timeout_s=5)
            case "bucket":
                await operator.request("$JS.API.STREAM.DELETE.KV_corral_jobs", b"", timeout_s=5)
            case "every bucket":
                for bucket in ("jobs", "queue", "cluster", "heartbeats"):
                    await operator.request(f"$JS.API.STREAM.DELETE.KV_corral_{bucket}", b"", timeout_s=5)
            case _:
                cluster.kill("coordinator", signal.SIGKILL)
                await operator.kv_put("corral_jobs", "alice.987654", b'{"state": "running"}')
                cluster.start_coordinator()
                await cluster.settle()

                async def forgotten() -> bool:
                    return await operator.kv_get("corral_jobs", "alice.987654") is None

                await cluster.until(forgotten, "what ended while nobody led is gone")
        await cluster.until(shown, "the bucket shows it again")

        async def summary() -> bool:
            state = await value(operator, "corral_cluster", "state")
            return state is not None and state["total_nodes"] == 3

        await cluster.until(summary, "the summary is there")
        await client.cancel(stays)
        await client.wait(stays)
