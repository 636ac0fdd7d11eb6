"""Volumes whose node dies: a copy takes over with what the last task wrote, or it is said why none does."""

from __future__ import annotations

import hashlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.client import Client
from bus.errors import ApiError
from bus.requests import EventList
from bus.values import TaskState
from bus.volumes import PoolCreate, VolumeCreate, VolumeEntry
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer


@pytest.fixture(scope="module")
def cluster(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    try:
        live.start({name: ["--cpu", "1", "--memory", "512MiB"] for name in ("n1", "n2")})
        yield live
    finally:
        live.stop()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Through which the tasks' account passes; both agents are on this machine."""
    made = Path(tempfile.mkdtemp(prefix="corral-pool-", dir="/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Kept:
    """A volume that lies on both nodes, below a folder of its own."""

    def __init__(self, cluster: LiveCluster, client: Client, name: str) -> None:
        self.cluster, self.client, self.name = cluster, client, name
        self.before = 0  # the generation before what was written last was sealed

    async def entry(self) -> VolumeEntry:
        return await self.client.volume(self.name)

    async def until_copied(self, *, on: str) -> VolumeEntry:
        """Until its only copy is there, with what was written last."""
        seen: list[VolumeEntry] = []

        async def copied() -> bool:
            seen[:] = [await self.entry()]
            places = [(each.node, each.state, each.generation) for each in seen[0].copies]
            return seen[0].generation > self.before and places == [(on, "active", seen[0].generation)]

        await self.cluster.until(copied, f"its copy on {on} is active", wait_s=60)
        return seen[0]

    async def write(self, script: str) -> None:
        self.before = (await self.entry()).generation
        job = await self.client.submit(command=["sh", "-c", script], volumes=[f"{self.name}:/mnt/v"])
        assert (await self.client.wait(job.number)).state == "completed"

    async def read(self, path: str = "x") -> str:
        job = await self.client.submit(command=["cat", f"mnt/v/{path}"], volumes=[f"{self.name}:/mnt/v:ro"])
        assert (await self.client.wait(job.number)).state == "completed"
        return (await self.client.logs(f"{job.number}.0")).data.decode()


async def keep(cluster: LiveCluster, client: Client, olga: Client, folder: Path, name: str) -> Kept:
    pool = PoolCreate(
        name=f"pool-{name}",
        type="replicated",
        nodes=["n1", "n2"],
        path=f"{folder}/{name}-{{node}}",
        size="1GiB",
        replicas=2,
    )
    await olga.create_pool(pool)
    await client.create_volume(VolumeCreate(name=name, pool=pool.name, size="50MiB", node="n1"))
    return Kept(cluster, client, name)


def sealed_files(folder: Path, name: str) -> set[str]:
    """Hashes of what lies on both nodes at rest."""
    found = [path for node in ("n1", "n2") for path in (folder / f"{name}-{node}").glob("*/sealed")]
    assert len(found) == 2
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.mark.contract("S2.66", "S0.48", "S0.46")
async def test_the_waiting_task_finds_what_the_last_finished_one_wrote(
    cluster: LiveCluster, folder: Path
) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        kept = await keep(cluster, alice, olga, folder, "data")
        await kept.until_copied(on="n2")
        await kept.write("echo first > mnt/v/x")
        snapped = await kept.until_copied(on="n2")
        assert len(sealed_files(folder, "data")) == 1
        await alice.snapshot_volume("data", "one")
        script = "cat mnt/v/x; test $CORRAL_ATTEMPT -gt 1 || { echo half > mnt/v/x; sleep 600; }"
        job = await alice.submit(command=["sh", "-c", script], volumes=["data:/mnt/v"])
        task = f"{job.number}.0"

        async def runs() -> bool:
            return (await alice.task(task)).state is TaskState.RUNNING and bool((await kept.entry()).writers)

        await cluster.until(runs, "it writes")
        assert (await alice.task(task)).node == "n1"
        cluster.kill_node("n1")
        try:

            async def failed() -> bool:
                entry = await kept.entry()
                return entry.node == "n2" and [each.state for each in entry.copies] == ["failed"]

            await cluster.until(failed, "the copy took over", wait_s=60)
            assert (await alice.wait(job.number)).state == "completed"
            assert (await alice.logs(task)).data == b"first\n"
            assert (await alice.task(task)).node == "n2"
            await kept.write("echo second > mnt/v/x")
        finally:
            cluster.start_agent("n1", *cluster.nodes["n1"])
        back = await kept.until_copied(on="n1")
        assert back.node == "n2" and back.generation > snapped.generation
        assert len(sealed_files(folder, "data")) == 1, "what the lost node had is no volume any more"
        assert await kept.read() == "second\n"
        await alice.restore_volume("data", "one")

        async def restored() -> bool:
            return (await kept.entry()).state == "ready"

        await cluster.until(restored, "the snapshot is there too, though it was taken on the other node")
        assert await kept.read() == "first\n"

        async def told() -> bool:  # history is written a moment after what it tells of
            return bool((await olga.events(EventList(filter="kind=volume_moved", limit=5))).events)

        await cluster.until(told, "the history has it")


async def test_no_copy_takes_over_that_lacks_what_a_finished_task_wrote(
    cluster: LiveCluster, folder: Path
) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        kept = await keep(cluster, alice, olga, folder, "held")
        await kept.until_copied(on="n2")
        await kept.write("echo first > mnt/v/x")
        await kept.until_copied(on="n2")
        cluster.kill("n2", signal.SIGSTOP)  # nobody can copy from here on
        await kept.write("echo second > mnt/v/x")
        with pytest.raises(ApiError, match="not lost"):
            await alice.promote_volume("held")
        cluster.kill_node("n1")
        cluster.kill("n2", signal.SIGCONT)
        try:

            async def stuck() -> bool:
                return bool((await kept.entry()).fault)

            await cluster.until(stuck, "it says why it stays", wait_s=60)
            entry = await kept.entry()
            assert entry.node == "n1" and ("sealed last" in entry.fault or "completed tasks" in entry.fault)
            assert (await alice.promote_volume("held")).node == "n2"
            assert await kept.read() == "first\n"
        finally:
            cluster.start_agent("n1", *cluster.nodes["n1"])
        kept.before = 0  # what n2 had counts on from there
        await kept.until_copied(on="n1")
        assert len(sealed_files(folder, "held")) == 1


async def test_a_damaged_file_is_brought_again_from_the_other_node(
    cluster: LiveCluster, folder: Path
) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        kept = await keep(cluster, alice, olga, folder, "rot")
        await kept.until_copied(on="n2")
        await kept.write("seq 2000 > mnt/v/x")
        await kept.until_copied(on="n2")
        (good,) = sealed_files(folder, "rot")
        for node, what in (("n2", "the copy of volume rot"), ("n1", "volume rot")):
            (path,) = (folder / f"rot-{node}").glob("*/sealed")
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
            await olga.scrub_replicas(node)

            async def told(expected: str = f"{what} on {node} is damaged") -> bool:
                events = (await olga.events(EventList(filter="kind=volume_damaged", limit=5))).events
                return any(expected == each.message for each in events)

            await cluster.until(told, f"{node} found it", wait_s=60)

            async def mended() -> bool:
                paths = list(folder.glob("rot-*/*/sealed"))
                hashes = [hashlib.sha256(each.read_bytes()).hexdigest() for each in paths]
                return hashes == [good, good]

            await cluster.until(mended, f"{node} has it again", wait_s=60)
            await kept.until_copied(on="n2")
        assert (await kept.read()).endswith("2000\n")
