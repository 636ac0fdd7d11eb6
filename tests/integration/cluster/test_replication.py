"""Copies between real agents: made, damaged and repaired, cut by kill -9 of every part, and never lost."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from bus.client import Client
from bus.copies import Replica
from bus.layout import Layout
from bus.requests import EventList
from bus.spec import Constraints
from bus.transfers import fetch, store
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer

MIB = 1024 * 1024
RATE_MIB = 12


@pytest.fixture(scope="module")
def cluster(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    """Two agents: each is the only place for copies of what the other has."""
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    options = ["--cpu", "1", "--memory", "512MiB", "--copy-rate", str(RATE_MIB), "--scrub-every", "0"]
    try:
        live.start({"n1": options, "n2": options})
        yield live
    finally:
        live.stop()


class Kept:
    """Content on a node that a checkpoint of a task names."""

    def __init__(self, cluster: LiveCluster, task: str, sha256: str, node: str) -> None:
        self.cluster = cluster
        self.task = task
        self.sha256 = sha256
        self.node = node
        self.other = "n2" if node == "n1" else "n1"

    def path(self, node: str) -> Path:
        return Layout(self.cluster.folder).agent(node) / "blobs" / self.sha256[:2] / self.sha256

    def is_good(self, node: str) -> bool:
        path = self.path(node)
        return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256

    async def replica(self, client: Client) -> Replica | None:
        found = (await client.replicas(self.task)).replicas
        return next((one for one in found if one.sha256 == self.sha256), None)

    async def reaches(self, client: Client, state: str, *, on: str | None = None) -> Replica:
        seen: list[Replica] = []

        async def reached() -> bool:
            one = await self.replica(client)
            seen[:] = [one] if one is not None else []
            return one is not None and one.state == state and on in (None, one.node)

        await self.cluster.until(reached, f"the copy is {state}")
        return seen[0]


async def keep(cluster: LiveCluster, client: Client, *, node: str, size: int, seed: int) -> Kept:
    """Bring content to a node, and let a checkpoint of a task that is over name it."""
    data = random.Random(seed).randbytes(size)
    with tempfile.TemporaryFile() as source:
        source.write(data)
        source.seek(0)
        brought = await store(client, source, f"content-{seed}", node=node)
    job = await client.submit(command=["true"])
    assert (await client.wait(job.number)).state == "completed"
    database = await asyncpg.connect(cluster.owner_dsn)
    try:
        await database.execute(
            """
            with made as (
                insert into corral.checkpoints
                    (task_id, node_id, fence, step, path, complete, completed_at, sha256, size_bytes)
                select t.id, n.id, 1, 1, 'one', true, now(), $2, $3
                from corral.tasks t join corral.jobs j on j.id = t.job_id, corral.nodes n
                where j.number = $1 and n.name = $4
                returning id)
            insert into corral.checkpoint_files (checkpoint_id, name, sha256, size_bytes)
            select id, 'one/weights', $2, $3 from made
            """,
            job.number,
            brought.sha256,
            size,
            node,
        )
    finally:
        await database.close()
    return Kept(cluster, f"{job.number}.0", brought.sha256, node)


@pytest.mark.contract("S0.46", "S0.60")
async def test_one_wrong_byte_is_found_by_a_scrub_and_repaired(cluster: LiveCluster) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        kept = await keep(cluster, alice, node="n1", size=MIB, seed=1)
        made = await kept.reaches(alice, "active")
        assert (made.primary, made.node, kept.is_good("n2")) == ("n1", "n2", True)
        path = kept.path("n2")
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(MIB // 2)
            byte = file.read(1)
            file.seek(MIB // 2)
            file.write(bytes([byte[0] ^ 1]))
        cluster.kill("n1", signal.SIGSTOP)  # nobody is there to repair it from
        assert (await olga.scrub_replicas("n2")).nodes == ["n2"]
        out = await kept.reaches(alice, "out_of_sync")
        assert out.fault == "E_HASH" and not path.exists()
        lacking = (await alice.replicas(kept.task, under=True)).under
        assert [(one.sha256, one.nodes) for one in lacking] == [(kept.sha256, ["n1"])]
        cluster.kill("n1", signal.SIGCONT)
        await kept.reaches(alice, "active")
        assert kept.is_good("n2")

        async def told() -> bool:  # history is written a moment after what it tells of
            events = (await olga.events(EventList(filter="kind=content_damaged", limit=5))).events
            return any(kept.sha256[:12] in event.message for event in events)

        await cluster.until(told, "the history has it")


async def test_a_damaged_primary_is_repaired_from_its_copy(cluster: LiveCluster) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        kept = await keep(cluster, alice, node="n1", size=MIB, seed=2)
        await kept.reaches(alice, "active")
        kept.path("n1").unlink()
        await olga.scrub_replicas("n1")
        made = await kept.reaches(alice, "active", on="n1")
        assert made.primary == "n2" and kept.is_good("n1") and kept.is_good("n2")


@pytest.mark.parametrize("victim", ["receiver", "sender", "coordinator"])
async def test_a_copy_outlives_the_end_of_every_part(cluster: LiveCluster, victim: str) -> None:
    """Killed in the middle of it, which at this pace takes seconds; what had come is not sent again."""
    seed = 10 + len(victim)
    async with cluster.client() as alice:
        kept = await keep(cluster, alice, node="n1", size=RATE_MIB * 3 * MIB, seed=seed)
        parts = Layout(cluster.folder).agent("n2") / "blobs" / "incoming"

        async def begun() -> bool:
            return any(part.name.startswith(kept.sha256) and part.stat().st_size for part in parts.iterdir())

        await cluster.until(begun, "it is on its way")
        if victim == "coordinator":
            cluster.kill("coordinator")
            cluster.start_coordinator()
        else:
            name = "n2" if victim == "receiver" else "n1"
            cluster.kill(name)
            cluster.start_agent(name, *cluster.nodes[name])
        await kept.reaches(alice, "active")
        assert kept.is_good("n2")


async def test_a_node_that_lost_its_disk_gets_its_copies_back(cluster: LiveCluster) -> None:
    async with cluster.client() as alice:
        kept = await keep(cluster, alice, node="n1", size=MIB, seed=4)
        await kept.reaches(alice, "active")
        cluster.kill("n2")
        shutil.rmtree(Layout(cluster.folder).agent("n2") / "blobs")
        cluster.start_agent("n2", *cluster.nodes["n2"])

        async def is_back() -> bool:
            return kept.is_good("n2")

        await cluster.until(is_back, "the copy is back")
        await kept.reaches(alice, "active")


async def test_what_a_task_leaves_outlives_its_node(cluster: LiveCluster) -> None:
    """`replicas` of its job: the file is fetched from the copy while the node of the task is dead."""
    async with cluster.client() as alice:
        script = "mkdir -p $CORRAL_ARTIFACTS && echo weights > $CORRAL_ARTIFACTS/model.bin"
        wishes = Constraints(nodes=["n1"])
        job = await alice.submit(command=["sh", "-c", script], replicas=1, constraints=wishes)
        assert (await alice.wait(job.number)).state == "completed"
        sha256 = hashlib.sha256(b"weights\n").hexdigest()
        kept = Kept(cluster, f"{job.number}.0", sha256, "n1")
        assert (await kept.reaches(alice, "active")).node == "n2"
        cluster.kill_node("n1")
        try:
            found: list[bytes] = []

            async def fetched() -> bool:
                with tempfile.TemporaryFile() as target:
                    await fetch(alice, await alice.artifact(f"{job.number}.0/model.bin"), target)
                    target.seek(0)
                    found[:] = [target.read()]
                return True

            await cluster.until(fetched, "its copy is read", wait_s=60)
            assert found == [b"weights\n"]
        finally:
            cluster.start_agent("n1", *cluster.nodes["n1"])
