"""Models whose way to a node is cut by kill -9: never half of one is used, and what came is gone on with."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.client import Client
from bus.layout import Layout
from bus.models import Model
from bus.requests import EventList
from bus.transfers import store
from bus.values import JobState
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer
from tests.integration.cluster.people import command

MIB = 1024 * 1024
SIZE = 64 * MIB
"""Many times what a stream has under way, so that whoever is stopped has not sent all of it."""


@pytest.fixture(scope="module")
def cluster(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    """`n1` has the models, `n2` runs the tasks."""
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    try:
        live.start({name: ["--cpu", "1", "--memory", "512MiB"] for name in ("n1", "n2")})
        yield live
    finally:
        live.stop()


class Weights:
    """A model whose content lies on n1 alone, and what there is of it on n2."""

    def __init__(self, cluster: LiveCluster, model: Model) -> None:
        self.model = model
        self._blobs = Layout(cluster.folder).agent("n2") / "blobs"

    @property
    def reference(self) -> str:
        return f"{self.model.name}@{self.model.version}"

    @property
    def part(self) -> Path:
        return self._blobs / "incoming" / f"{self.model.sha256}.{self.model.size}"

    @property
    def whole(self) -> Path:
        return self._blobs / self.model.sha256[:2] / self.model.sha256


async def registered(cluster: LiveCluster, alice: Client, name: str, seed: int) -> Weights:
    with tempfile.TemporaryFile() as source:
        source.write(random.Random(seed).randbytes(SIZE))
        source.seek(0)
        brought = await store(alice, source, name, node="n1")
    model = await alice.register_model(name, "1.0", artifact=brought.id)
    await alice.remove_artifact(brought.id)
    return Weights(cluster, model)


async def cut(cluster: LiveCluster, weights: Weights) -> None:
    """n2's agent is killed while the model is on its way there; n1 stands still lest it be too late."""

    async def under_way() -> bool:
        return weights.part.exists() and weights.part.stat().st_size >= MIB

    await cluster.until(under_way, "the model is on its way")
    cluster.kill("n1", signal.SIGSTOP)
    try:
        cluster.kill("n2")
    finally:
        cluster.kill("n1", signal.SIGCONT)
    assert MIB <= weights.part.stat().st_size < SIZE, "some of it came, and not all"
    assert not weights.whole.exists(), "half a model has no name of its own"


async def submitted(alice: Client, weights: Weights) -> int:
    script = f"sha256sum < $CORRAL_MODEL_{weights.model.name.upper()}"
    job = await alice.submit(
        command=["sh", "-c", script], models=[weights.reference], constraints={"nodes": ["n2"]}
    )
    return job.number


async def used_whole(cluster: LiveCluster, alice: Client, job: int, weights: Weights) -> None:
    """The task ran once, with all of the model; nobody is blamed for the agent's end."""

    async def over() -> bool:
        return (await alice.job(job)).state.is_terminal

    await cluster.until(over, "the job is over", wait_s=90.0)
    assert (await alice.job(job)).state is JobState.COMPLETED
    said = (await alice.logs(f"{job}.0")).data
    assert said.split()[0].decode() == weights.model.sha256 and said.count(b"\n") == 1
    shown = await alice.task(f"{job}.0")
    assert shown.retries == 0
    assert hashlib.sha256(weights.whole.read_bytes()).hexdigest() == weights.model.sha256
    assert not weights.part.exists()


async def test_what_came_before_the_agent_was_killed_is_gone_on_with(cluster: LiveCluster) -> None:
    async with cluster.client() as alice:
        weights = await registered(cluster, alice, "first", 1)
        job = await submitted(alice, weights)
        await cut(cluster, weights)
        part = weights.part.stat().st_ino
        cluster.start_agent("n2", *cluster.nodes["n2"])
        await used_whole(cluster, alice, job, weights)
        assert weights.whole.stat().st_ino == part, "the same file, from its last byte on"


async def test_what_came_and_went_bad_meanwhile_is_fetched_anew(cluster: LiveCluster) -> None:
    """A wrong byte within what is gone on with: found by the hash before any task sees it."""
    async with cluster.client() as alice:
        weights = await registered(cluster, alice, "second", 2)
        job = await submitted(alice, weights)
        await cut(cluster, weights)
        with weights.part.open("r+b") as file:
            first = file.read(1)[0]
            file.seek(0)
            file.write(bytes([first ^ 1]))
        cluster.start_agent("n2", *cluster.nodes["n2"])
        await used_whole(cluster, alice, job, weights)
        assert "n1 gives no good copy" in (cluster.folder / "n2.log").read_text()


async def test_a_pull_to_here_outlives_the_agent_that_sends(cluster: LiveCluster, tmp_path: Path) -> None:
    """`corral model pull`: the file has its name only once all of it is there."""
    async with cluster.client() as alice:
        weights = await registered(cluster, alice, "third", 3)
        target = tmp_path / "weights.bin"
        words = command(cluster, "model", "pull", weights.reference, "--to", str(target))
        with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as pulling:

            async def under_way() -> bool:
                return any(part.stat().st_size >= MIB for part in tmp_path.iterdir())

            await cluster.until(under_way, "the model is on its way here")
            pulling.send_signal(signal.SIGSTOP)  # so that it is not too late
            cluster.kill("n1")
            pulling.send_signal(signal.SIGCONT)
            assert not target.exists() and pulling.poll() is None
            cluster.start_agent("n1", *cluster.nodes["n1"])
            assert (pulling.communicate(timeout=60)[1], pulling.returncode) == (b"", 0)
        assert hashlib.sha256(target.read_bytes()).hexdigest() == weights.model.sha256
        assert list(tmp_path.iterdir()) == [target]
        assert (await alice.events(EventList(filter="kind=node_quarantined"))).events == []
