"""A node that dies for good: what was backed up is there again on another one, bit for bit."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.client import Client
from bus.errors import ApiError
from bus.requests import EventList
from bus.volumes import Backup, PoolCreate, VolumeCreate
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer

WAIT_S = 90.0
AGAIN_AFTER_MIN = 0.3
"""Somewhat later than a node is lost."""
WRITE = (
    "cd mnt/v && mkdir -p deep/er && head -c 3000000 /dev/urandom > deep/er/random && : > empty"
    " && ln -sfn er/random deep/link && printf 'x\\ny' > 'a name' && chmod 750 deep"
    " && truncate -s 5000000 sparse"
)
SUM = (
    "cd mnt/v && find . -printf '%P %y %m %l\\n' | sort"
    " && find . -type f -print0 | sort -z | xargs -0 sha256sum"
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Through which the tasks' account passes; all agents are on this machine."""
    made = Path(tempfile.mkdtemp(prefix="corral-pool-", dir="/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(
    cluster_folder: Path, folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    live.settings = f"backup_again_after_min = {AGAIN_AFTER_MIN}\n"
    try:
        pool = f"said={folder}/said-{{node}}:50MiB:ssd"
        safe = f"sealed={folder}/sealed-{{node}}:50MiB:encrypt:replicas=2"
        said = ["--pool", pool, "--pool", safe]
        own = {"n1": [], "n2": said, "n3": said}
        live.start({name: ["--cpu", "1", "--memory", "512MiB", *more] for name, more in own.items()})
        yield live
    finally:
        live.stop()


async def run(client: Client, volume: str, script: str) -> str:
    job = await client.submit(command=["sh", "-c", script], volumes=[f"{volume}:/mnt/v"])
    ended = await client.wait(job.number)
    said = (await client.logs(f"{job.number}.0")).data.decode()
    assert ended.state == "completed", said
    return said


async def backed_up(cluster: LiveCluster, client: Client, volume: str, name: str) -> Backup:
    """Until it is there."""
    found: list[Backup] = []

    async def ready() -> bool:
        found[:] = [each for each in (await client.backups(volume)).backups if each.name == name]
        return bool(found) and found[0].state == "ready"

    await cluster.until(ready, f"backup {name} of {volume} is there", wait_s=WAIT_S)
    return found[0]


@pytest.mark.contract("S2.64", "S2.68")
async def test_what_agents_announce_is_a_pool(cluster: LiveCluster) -> None:
    async with cluster.client() as alice:

        async def shared() -> bool:
            found = [each for each in (await alice.pools()).pools if each.name == "said"]
            parts = {each.node: each.fault for each in found[0].nodes} if found else {}
            return parts == {"n2": "", "n3": ""} and found[0].tier == "ssd"

        await cluster.until(shared, "both nodes are part of it", wait_s=WAIT_S)
        await alice.create_volume(VolumeCreate(name="said-data", pool="said", size="10MiB", node="n3"))
        assert "hello" in await run(alice, "said-data", "echo hello > mnt/v/x; cat mnt/v/x")


async def test_what_agents_announce_can_be_encrypted_and_replicated(
    cluster: LiveCluster, folder: Path
) -> None:
    async with cluster.client() as alice:

        async def shared() -> bool:
            found = [each for each in (await alice.pools()).pools if each.name == "sealed"]
            parts = {each.node: each.fault for each in found[0].nodes} if found else {}
            return parts == {"n2": "", "n3": ""} and found[0].encrypt and found[0].replicas == 2

        await cluster.until(shared, "both nodes are part of it, and have its key", wait_s=WAIT_S)
        await alice.create_volume(VolumeCreate(name="secret-said", pool="sealed", size="10MiB", node="n2"))
        await run(alice, "secret-said", "seq 1 100000 > mnt/v/story")

        async def copied() -> bool:
            copies = (await alice.volume("secret-said")).copies
            return [(each.node, str(each.state)) for each in copies] == [("n3", "active")]

        await cluster.until(copied, "the other node has a copy", wait_s=WAIT_S)
        stored = [path.read_bytes() for path in folder.glob("sealed-*/**/*") if path.is_file()]
        assert stored and not any(b"99998\n99999" in each for each in stored)


async def test_a_backup_on_a_node_that_is_lost_is_made_again_on_another(
    cluster: LiveCluster, folder: Path
) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        path = f"{folder}/again-{{node}}"
        await olga.create_pool(
            PoolCreate(name="again", nodes=["n1", "n2", "n3"], path=path, size="50MiB", encrypt=True)
        )
        await alice.create_volume(VolumeCreate(name="kept", pool="again", size="30MiB", node="n1"))
        await run(alice, "kept", WRITE)
        wanted = await run(alice, "kept", SUM)
        await alice.backup_volume("kept", "one")
        where = (await backed_up(cluster, alice, "kept", "one")).node
        other = "n3" if where == "n2" else "n2"

        async def lies(*nodes: str) -> bool:
            found = (await alice.backups("kept")).backups
            return sorted((each.node, each.state) for each in found) == [(node, "ready") for node in nodes]

        cluster.kill_node(where)
        try:
            await cluster.until(lambda: lies(other), f"another lies on {other}", wait_s=WAIT_S)
            await alice.restore_volume("kept", "one")
            assert await run(alice, "kept", SUM) == wanted
        finally:
            cluster.start_agent(where, *cluster.nodes[where])

        async def let_go() -> bool:
            return not list(folder.glob(f"again-{where}/backups/*"))

        await cluster.until(let_go, "who is back let go of what it had", wait_s=WAIT_S)
        await alice.set_volume("kept", snapshots="@daily keep 2", backup_copies=2)
        await alice.backup_volume("kept", "two")
        await cluster.until(lambda: both(alice), "both nodes have the other one", wait_s=WAIT_S)
        (of_one,) = [each for each in (await alice.backups("kept")).backups if each.name == "one"]
        assert of_one.node == other, "what people asked for stays as they asked for it"


async def both(client: Client) -> bool:
    """Whether backup `two` lies on two nodes, each beside the volume's."""
    found = [each for each in (await client.backups("kept")).backups if each.name == "two"]
    return sorted((each.node, each.state) for each in found) == [("n2", "ready"), ("n3", "ready")]


@pytest.mark.contract("S2.72")
async def test_a_node_dies_for_good_and_its_volumes_begin_anew_elsewhere(
    cluster: LiveCluster, folder: Path
) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        pools = {"plain": ["n1", "n2"], "safe": ["n1", "n3"], "vault": ["n2", "n3"]}
        for name, nodes in pools.items():
            await olga.create_pool(
                PoolCreate(
                    name=name,
                    nodes=nodes,
                    path=f"{folder}/{name}-{{node}}",
                    size="200MiB",
                    encrypt=name == "safe",
                )
            )
        for name, pool in (("data", "plain"), ("secret", "safe")):
            await alice.create_volume(VolumeCreate(name=name, pool=pool, size="50MiB", node="n1"))
        sums: dict[str, list[str]] = {"data": [], "secret": []}
        for moment in ("first", "second"):
            for volume, found in sums.items():
                await run(alice, volume, WRITE)
                found.append(await run(alice, volume, SUM))
                await alice.backup_volume(volume, moment, pool="vault")
                placed = await backed_up(cluster, alice, volume, moment)
                assert placed.node in ("n2", "n3") and placed.pool == "vault"
        assert sums["data"][0] != sums["data"][1]
        stored = [path.read_bytes() for path in folder.glob("vault-*/backups/*") if not path.suffix]
        assert len(stored) == 4

        cluster.kill_node("n1")
        shutil.rmtree(folder / "plain-n1")
        shutil.rmtree(folder / "safe-n1")

        async def lost() -> bool:
            try:
                await alice.rehome_volume("data", "first", node="n2")
            except ApiError as error:
                assert "is not lost" in str(error)
                return False
            return True

        await cluster.until(lost, "its node is lost, and it begins anew on another", wait_s=WAIT_S)
        assert (await alice.rehome_volume("secret", "second", node="n3")).node == "n3"
        assert await run(alice, "data", SUM) == sums["data"][0]
        assert await run(alice, "secret", SUM) == sums["secret"][1]
        await alice.restore_volume("data", "second")  # it has another node by now, which answers
        assert await run(alice, "data", SUM) == sums["data"][1]
        made = VolumeCreate(name="fresh", pool="vault", size="50MiB", source="data@first", node="n3")
        await alice.create_volume(made)
        assert await run(alice, "fresh", SUM) == sums["data"][0]
        wrong = VolumeCreate(name="wrong", pool="vault", size="50MiB", source="secret@first", node="n2")
        with pytest.raises(ApiError, match="has the key"):
            await alice.create_volume(wrong)

        async def told() -> bool:  # history is written a moment after what it tells of
            found = (await olga.events(EventList(filter="kind=volume_moved"))).events
            return all(any(f"volume {name} is on" in each.message for each in found) for name in sums)

        await cluster.until(told, "the history has it", wait_s=WAIT_S)


async def test_what_a_lost_node_has_is_given_up_and_let_go_when_it_is_back(
    cluster: LiveCluster, folder: Path
) -> None:
    async with cluster.client() as alice, cluster.client("olga") as olga:
        pool = PoolCreate(name="left", nodes=["n3"], path=f"{folder}/left", size="100MiB")
        await olga.create_pool(pool)
        await alice.create_volume(VolumeCreate(name="stays", pool="left", size="50MiB"))
        await run(alice, "stays", "echo x > mnt/v/x")
        cluster.kill_node("n3")
        try:
            await alice.remove_volume("stays", now=True)

            async def given_up() -> bool:
                try:
                    await olga.remove_volume("stays", now=True, lost=True)
                except ApiError as error:
                    assert "is lost" in str(error)
                    return False
                return True

            await cluster.until(given_up, "its node is lost", wait_s=WAIT_S)
            with pytest.raises(ApiError, match="no volume"):
                await olga.volume("stays")
            await olga.remove_pool("left")
            assert list((folder / "left").glob("*/live/x"))
        finally:
            cluster.start_agent("n3", *cluster.nodes["n3"])

        async def gone() -> bool:
            return not (folder / "left").exists()

        await cluster.until(gone, "the node that is back let go of it", wait_s=WAIT_S)
