"""What `nats kv get` shows follows the commits, and comes back after JetStream or the coordinator lost it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.client import Client
from bus.connection import NatsBus
from bus.spec import Constraints, ResourceSpec
from bus.storage import BUCKETS, Bucket
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
                    await operator.request(f"$JS.API.STREAM.PURGE.KV_corral_{bucket}", b"", timeout_s=20)
            case "bucket":
                await operator.request("$JS.API.STREAM.DELETE.KV_corral_jobs", b"", timeout_s=20)
            case "every bucket":
                for bucket in ("jobs", "queue", "cluster", "heartbeats"):
                    await operator.request(f"$JS.API.STREAM.DELETE.KV_corral_{bucket}", b"", timeout_s=20)
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


BUCKETS_OF_ALL = [str(bucket) for bucket in BUCKETS]
REBUILT_S = 10.0
"""All is there again so long after it was lost: a slow round, a turn of the nodes, and room."""


@pytest.mark.contract("S2.76", "S2.78", "S2.80", "S2.81", "S2.83")
async def test_nodes_locks_placements_and_summary_are_shown(cluster: LiveCluster, operator: NatsBus) -> None:
    async with cluster.client() as client:
        number = await running(cluster, client, "shown in locks")
        task = f"{number}.0#1"

        async def locked() -> bool:
            lock = await value(operator, "corral_locks", "resource.n1.cpu")
            return lock is not None and task in lock["by"] and lock["held"] <= lock["of"]

        async def measured() -> bool:
            metric = await value(operator, "corral_metrics", "n1.memory")
            return metric is not None and metric["value"] > 0 and metric["unit"] == "MiB"

        async def decided() -> bool:
            placements = await value(operator, "corral_queue", "placements")
            found = [each for each in placements["newest"] if each["attempt"] == task] if placements else []
            return len(found) == 1 and found[0]["node"] == "n1" and found[0]["user"] == "alice"

        for seen, what in ((locked, "the lock"), (measured, "the metric"), (decided, "the decision")):
            await cluster.until(seen, f"{what} is shown")
        leader = await value(operator, "corral_locks", "leader")
        state = await value(operator, "corral_cluster", "state")
        assert leader["epoch"] == state["epoch"] and leader["holder"].endswith(
            str(cluster.processes["coordinator"].pid)
        )
        assert (state["total_nodes"], state["active_nodes"]) == (3, 3)
        assert state["live_jobs"] >= 1 and 0 < state["load"] <= 1
        await client.cancel(number)

        async def given_back() -> bool:
            lock = await value(operator, "corral_locks", "resource.n1.cpu")
            return lock is None or task not in lock["by"]

        await cluster.until(given_back, "the lock is given back")


@pytest.mark.contract("S2.76", "S2.77", "S2.80")
async def test_no_cache_is_ever_relied_upon(cluster: LiveCluster, operator: NatsBus) -> None:
    """Under load everything is purged and deleted again and again: nothing but freshness is lost."""
    async with cluster.client() as client:
        stays = await running(cluster, client, "stays through it all")
        jobs = []
        for round_number in range(12):
            what = "PURGE" if round_number % 2 else "DELETE"
            for bucket in BUCKETS_OF_ALL:
                await operator.request(f"$JS.API.STREAM.{what}.KV_{bucket}", b"", timeout_s=20)
            asked = ResourceSpec(cpu="100m")
            jobs.append((await client.submit(command=["true"], array="0-3", resources=asked)).number)
            await client.wait(jobs[-1])
        for number in jobs:
            job = await client.job(number)
            assert (str(job.state), job.counts.completed) == ("completed", 4)
            (attempt,) = (await client.task(f"{number}.0")).attempts
            assert attempt.fence == 1, "placed once"
        assert (await client.job(stays)).state == "running"
        lost_s = time.monotonic()
        for bucket in BUCKETS_OF_ALL:
            await operator.request(f"$JS.API.STREAM.DELETE.KV_{bucket}", b"", timeout_s=20)
        for bucket, key in (
            ("corral_jobs", f"alice.{stays}"), ("corral_heartbeats", "n1"), ("corral_locks", "leader"),
            ("corral_locks", "resource.n1.cpu"), ("corral_cluster", "state"), ("corral_queue", "state"),
            ("corral_queue", "placements"), ("corral_metrics", "n2.cpu"),
        ):  # fmt: skip

            async def there(bucket: str = bucket, key: str = key) -> bool:
                return await value(operator, bucket, key) is not None

            await cluster.until(there, f"{bucket} shows {key} again")
        took_s = time.monotonic() - lost_s
        print(f"all buckets deleted: shown again after {took_s:.1f} s")
        assert took_s < REBUILT_S
        await client.cancel(stays)


@pytest.mark.contract("S2.76")
async def test_a_node_that_fell_silent_has_no_heartbeat(cluster: LiveCluster, operator: NatsBus) -> None:
    async def beats() -> bool:
        return await operator.kv_get("corral_heartbeats", "n3") is not None

    async def silent() -> bool:
        return not await beats()

    await cluster.until(beats, "its heartbeat is shown")
    cluster.kill("n3", signal.SIGSTOP)
    try:
        stopped_s = time.monotonic()
        await cluster.until(silent, "its heartbeat is gone")
        assert time.monotonic() - stopped_s < BUCKETS[Bucket.HEARTBEATS].ttl_s
    finally:
        cluster.kill("n3", signal.SIGCONT)
    await cluster.until(beats, "and comes back with it")
