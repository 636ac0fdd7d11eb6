"""Volumes on a real agent with a real guard: given to tasks, kept in size, sealed, copied, restored."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from agent.volumes import keeper
from bus import messages as m
from bus.mounts import Mount
from bus.values import AttemptRef, Outcome, Resources, TaskSettings
from bus.volume_wire import CopyOf, PoolWanted, VolumeFound, VolumesFound, VolumesWanted, VolumeWanted
from tests.integration.agent.world import A, B, World, until

KEY = bytes(range(32))
POOL, VOLUME, OTHER, SNAPSHOT = (str(UUID(int=number)) for number in (1, 2, 3, 4))


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOOK_S", 0.1)


class Cluster:
    """Says what is wanted, as the coordinator does; `volume` is as it was found last."""

    def __init__(self, world: World, node_folder: Path) -> None:
        self.world = world
        self.pool = PoolWanted(id=POOL, name="p", type="local", path=f"{node_folder}/pool", size_mib=1024)
        self.volumes = {VOLUME: VolumeWanted(id=VOLUME, pool=POOL, name="data", size_mib=64)}
        self.found = VolumesFound(node="")

    @property
    def root(self) -> Path:
        return Path(self.pool.path) / VOLUME

    @property
    def volume(self) -> VolumeFound:
        return self.of(VOLUME)

    def of(self, identity: str) -> VolumeFound:
        return next(each for each in self.found.volumes if each.id == identity)

    def want(self, identity: str = VOLUME, **changes: object) -> None:
        self.volumes[identity] = replace(self.volumes[identity], **changes)

    async def ask(self) -> None:
        wanted = VolumesWanted(epoch=1, pools=(self.pool,), volumes=tuple(self.volumes.values()))
        answer = await self.world.coordinator.command(wanted)
        assert isinstance(answer, VolumesFound)
        self.found = answer

    async def until(self, condition: str) -> None:
        """Until an expression over the volume `v` holds."""
        while True:
            await self.ask()
            v = self.volume
            if {
                "ready": v.ready,
                "closed": v.ready and not v.uses,
                "open": bool(v.uses),
                "sealed": bool(v.sha256) and not (self.root / "live").exists(),
                "faulty": bool(v.fault),
                "snapped": bool(v.snapshots),
                "unsnapped": not v.snapshots,
                "restored": v.filled == 1 and not (self.pool.packs and (self.root / "live").exists()),
                "gone": not v.ready,
                "damaged": v.damaged,
                "mended": v.ready and not v.damaged and v.filled == 1,
                "snapshot broken": bool(v.broken),
            }[condition]:
                return
            await until(lambda: True, "the loop turns")

    async def assign(self, attempt: AttemptRef, script: str, *, read_only: bool = False) -> None:
        mount = Mount(volume=VOLUME, name="my-data", target="/mnt/data", read_only=read_only)
        settings = TaskSettings(resources=Resources(cpu_millis=100), volumes=(mount,), grace_s=0.5)
        body = m.Body(settings=settings, command=("sh", "-c", script))
        made = m.Assign(epoch=1, bodies=(body,), items=(m.Assignment(attempt, 0),))
        assert await self.world.coordinator.command(made) == m.CommandReply(node="n1")


@pytest.fixture
async def cluster(world: World, node_folder: Path) -> Cluster:
    return Cluster(world, node_folder)


@pytest.mark.contract("S2.69")
async def test_what_one_task_writes_the_next_one_reads(cluster: Cluster) -> None:
    await cluster.until("ready")
    await cluster.assign(A, "echo hello > $CORRAL_VOLUME_MY_DATA/x && readlink mnt/data && env")
    assert (await cluster.world.coordinator.ended(A)).outcome is Outcome.EXITED
    await cluster.assign(B, 'cat mnt/data/x && test -z "$CORRAL_VOLUME_PLACES"', read_only=True)
    assert (await cluster.world.coordinator.ended(B)).exit_code == 0
    await cluster.until("closed")
    assert (cluster.root / "live" / "x").read_text() == "hello\n"


@pytest.mark.contract("S2.67")
@pytest.mark.parametrize(("compress", "encrypt"), [(False, True), (True, False), (True, True)])
async def test_at_rest_only_what_was_sealed_is_there(cluster: Cluster, compress: bool, encrypt: bool) -> None:
    cluster.pool = replace(cluster.pool, compress=compress, encrypt=encrypt, key=KEY if encrypt else b"")
    await cluster.until("sealed")
    before = cluster.volume.generation
    script = "for i in 1 2 3 4 5 6 7 8; do echo the quick brown fox; done > $CORRAL_VOLUME_MY_DATA/story"
    await cluster.assign(A, script)
    assert (await cluster.world.coordinator.ended(A)).exit_code == 0
    while cluster.volume.generation == before:
        await cluster.until("sealed")
    stored = b"".join(path.read_bytes() for path in cluster.root.rglob("*") if path.is_file())
    if encrypt:
        assert b"quick" not in stored and b"story" not in stored and KEY not in stored
        key = cluster.world.node.config.data / "pools" / f"{POOL}.key"
        assert key.read_bytes() == KEY and key.stat().st_mode & 0o777 == 0o600
    assert len(stored) < (2_000 if compress else 12_000)
    cluster.pool = replace(cluster.pool, key=b"")  # told once
    await cluster.assign(B, "grep -c fox $CORRAL_VOLUME_MY_DATA/story", read_only=True)
    assert (await cluster.world.coordinator.ended(B)).exit_code == 0


async def test_with_another_key_no_task_starts(cluster: Cluster) -> None:
    cluster.pool = replace(cluster.pool, encrypt=True, key=KEY)
    await cluster.until("sealed")
    world = cluster.world
    await world.node.stop()
    (world.node.config.data / "pools" / f"{POOL}.key").write_bytes(bytes(32))
    world.node.start()
    await until(lambda: len(world.coordinator.registrations) > 1, "the agent is there again")
    await cluster.assign(A, "true")
    ended = await world.coordinator.ended(A)
    assert ended.outcome is Outcome.NOT_STARTED and "E_SEALED" in ended.message
    assert not (cluster.root / "live").exists()


@pytest.mark.contract("S2.69")
async def test_who_fills_it_beyond_its_size_is_ended_and_who_clears_up_is_not(cluster: Cluster) -> None:
    cluster.want(size_mib=2)
    await cluster.until("ready")
    fill = "head -c 3000000 /dev/zero > $CORRAL_VOLUME_MY_DATA/big; sleep 600"
    await cluster.assign(A, fill)
    ended = await cluster.world.coordinator.ended(A)
    assert ended.outcome is Outcome.SIGNALED
    assert "E_SPACE: volume data holds 3 MiB, and its size is 2 MiB" in ended.message
    await cluster.assign(B, "sleep 0.5; rm $CORRAL_VOLUME_MY_DATA/big")
    assert (await cluster.world.coordinator.ended(B)).exit_code == 0


@pytest.mark.contract("S2.72")
@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_snapshot_brings_back_what_was(cluster: Cluster, encrypt: bool) -> None:
    cluster.pool = replace(cluster.pool, encrypt=encrypt, key=KEY if encrypt else b"")
    await cluster.until("ready")
    await cluster.assign(A, "echo before > $CORRAL_VOLUME_MY_DATA/x")
    await cluster.world.coordinator.ended(A)
    cluster.want(snapshots=(SNAPSHOT,))
    await cluster.until("snapped")
    await cluster.assign(B, "echo after > $CORRAL_VOLUME_MY_DATA/x")
    await cluster.world.coordinator.ended(B)
    cluster.want(content=CopyOf(volume=VOLUME, snapshot=SNAPSHOT, number=1))
    await cluster.until("restored")
    again = AttemptRef(1, 2, 1)
    await cluster.assign(again, "grep before $CORRAL_VOLUME_MY_DATA/x", read_only=True)
    assert (await cluster.world.coordinator.ended(again)).exit_code == 0
    copied = CopyOf(volume=VOLUME, snapshot=SNAPSHOT, number=1)
    cluster.volumes[OTHER] = VolumeWanted(id=OTHER, pool=POOL, name="copy", size_mib=64, content=copied)
    cluster.want(content=None, snapshots=())
    while not cluster.of(VOLUME).ready or not any(v.id == OTHER and v.ready for v in cluster.found.volumes):
        await cluster.ask()
    cluster.want(dropped=(SNAPSHOT,))
    await cluster.until("unsnapped")


async def test_what_is_removed_goes_when_its_task_has_ended(cluster: Cluster) -> None:
    await cluster.until("ready")
    await cluster.assign(A, "sleep 600")
    await cluster.world.coordinator.started(A)
    cluster.want(removed=True)
    await cluster.until("open")
    assert cluster.volume.ready and cluster.volume.writers == (A,)
    await cluster.world.coordinator.command(m.Cancel(epoch=1, attempts=(A,)))
    await cluster.until("gone")
    assert not cluster.root.exists()
    cluster.pool = replace(cluster.pool, removed=True)
    cluster.volumes.clear()
    await cluster.ask()
    assert not cluster.found.pools[0].fault and not Path(cluster.pool.path).exists()


async def test_a_dead_agents_tasks_keep_their_volumes_and_lose_them_with_their_end(cluster: Cluster) -> None:
    cluster.pool = replace(cluster.pool, compress=True)
    await cluster.until("sealed")
    await cluster.assign(A, "sleep 600")
    await cluster.world.coordinator.started(A)
    await cluster.world.node.stop()
    cluster.world.node.start()
    await until(lambda: len(cluster.world.coordinator.registrations) > 1, "the agent is there again")
    await cluster.until("open")
    await cluster.world.coordinator.command(m.Cancel(epoch=1, attempts=(A,)))
    await cluster.world.coordinator.ended(A)
    await cluster.until("sealed")


async def test_what_a_dead_agent_was_writing_is_no_task(cluster: Cluster) -> None:
    """Power went while the mark of a task's use was written: the agent starts, and the volume has no user."""
    await cluster.until("ready")
    await cluster.world.node.stop()
    (cluster.root / "uses").mkdir(exist_ok=True)
    (cluster.root / "uses" / "7.0.1.part").write_bytes(b"r")
    cluster.world.node.start()
    await until(lambda: len(cluster.world.coordinator.registrations) > 1, "the agent is there again")
    await cluster.until("closed")
    assert not cluster.volume.fault


async def test_a_damaged_volume_stops_no_other_one(cluster: Cluster) -> None:
    cluster.volumes[OTHER] = replace(cluster.volumes[VOLUME], id=OTHER, name="other")
    while not (cluster.found.volumes and cluster.of(VOLUME).ready and cluster.of(OTHER).ready):
        await cluster.ask()
    await cluster.world.node.stop()
    (cluster.root / "meta.json").write_bytes(b'{"name": "da')
    cluster.world.node.start()
    await until(lambda: len(cluster.world.coordinator.registrations) > 1, "the agent is there again")
    await cluster.until("faulty")
    assert "meta.json is damaged" in cluster.volume.fault
    while not cluster.of(OTHER).ready:
        await cluster.ask()


@pytest.mark.contract("S2.70")
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("relative", "not absolute"),
        ("/srv/../etc", "climbs"),
        ("/etc/pool", "system"),
        ("/usr", "system"),
        ("/proc/pool", "system"),
        ("/", "empty part"),
    ],
)
async def test_a_pool_lies_where_it_may(cluster: Cluster, path: str, why: str) -> None:
    cluster.pool = replace(cluster.pool, path=path)
    await cluster.ask()
    assert "E_PATH" in cluster.found.pools[0].fault and why in cluster.found.pools[0].fault
    assert not os.path.exists("/etc/pool")


async def test_a_folder_with_something_in_it_is_no_pool(cluster: Cluster, node_folder: Path) -> None:
    (node_folder / "pool").mkdir()
    (node_folder / "pool" / "theirs").write_text("x")
    await cluster.ask()
    assert "not empty" in cluster.found.pools[0].fault
    assert (node_folder / "pool" / "theirs").read_text() == "x"


async def test_a_pool_whose_disk_is_not_mounted_is_not_made_anew(cluster: Cluster, node_folder: Path) -> None:
    await cluster.until("ready")
    os.rename(node_folder / "pool", node_folder / "unplugged")
    (node_folder / "pool").mkdir()
    await cluster.ask()
    assert "is its disk mounted?" in cluster.found.pools[0].fault
    await cluster.assign(A, "true")
    ended = await cluster.world.coordinator.ended(A)
    assert ended.outcome is Outcome.NOT_STARTED and "mounted" in ended.message


@pytest.mark.contract("S2.67")
async def test_strings_finds_nothing(cluster: Cluster) -> None:
    """The row's own words: strings(1) on what is stored."""
    cluster.pool = replace(cluster.pool, encrypt=True, key=KEY)
    await cluster.until("sealed")
    generation = cluster.volume.generation
    await cluster.assign(A, "seq 100000 | sed 's/^/plaintext /' > $CORRAL_VOLUME_MY_DATA/secret-name")
    await cluster.world.coordinator.ended(A)
    while cluster.volume.generation == generation:
        await cluster.until("sealed")
    found = subprocess.run(
        ["strings", "-n", "6", str(cluster.root / "sealed")], capture_output=True, check=True
    )
    assert b"plaintext" not in found.stdout and b"secret-name" not in found.stdout


def damage(path: Path) -> None:
    """One bit of a file; what else has the same blocks stays as it is."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


async def test_a_scrub_finds_what_is_damaged_and_nobody_is_given_it(cluster: Cluster) -> None:
    cluster.pool = replace(cluster.pool, compress=True)
    cluster.want(snapshots=(SNAPSHOT, OTHER))
    await cluster.until("sealed")
    while len(cluster.volume.snapshots) < 2:
        await cluster.ask()
    damage(cluster.root / "snapshots" / OTHER)
    await cluster.world.coordinator.command(m.ScrubBlobs(epoch=1))
    await cluster.until("snapshot broken")
    assert [each.id for each in cluster.volume.snapshots] == [SNAPSHOT]
    assert cluster.volume.ready and not cluster.volume.damaged
    damage(cluster.root / "sealed")
    await cluster.world.coordinator.command(m.ScrubBlobs(epoch=1))
    await cluster.until("damaged")
    assert not cluster.volume.ready and not cluster.volume.sha256 and "damaged" in cluster.volume.fault
    await cluster.assign(A, "true")
    ended = await cluster.world.coordinator.ended(A)
    assert ended.outcome is Outcome.NOT_STARTED and "damaged" in ended.message
    cluster.want(content=CopyOf(volume=VOLUME, snapshot=SNAPSHOT, number=1))
    await cluster.until("mended")
    await cluster.assign(B, "true")
    assert (await cluster.world.coordinator.ended(B)).exit_code == 0
    cluster.want(removed=True)
    await cluster.until("gone")
    assert not cluster.root.exists()
