"""What a power cut, a rotting disk or somebody else leaves in the agent's folders: it starts, says what is
damaged, and goes on with all that is sound. A table of places, and of what may have become of them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from agent.volumes import keeper
from bus.values import AttemptRef, Outcome, Started
from bus.volume_wire import BackupWanted
from tests.integration.agent.harness import WAIT_S
from tests.integration.agent.test_volumes import OTHER, POOL, VOLUME, Cluster
from tests.integration.agent.world import A, B, World, guards, until

GONE = AttemptRef(9, 0, 1)
"""An attempt that is over, and of which files are left."""

SHA = "ab" * 32
ID = str(UUID(int=77))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def rubbish(path: Path) -> None:
    path.write_bytes(b'{"name":"\xff\xfe\x00' + os.urandom(64))


def nested(path: Path) -> None:
    path.write_bytes(b'{"x":' + b"[" * 100_000)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def gone(path: Path) -> None:
    path.unlink()


DAMAGES: tuple[Callable[[Path], None], ...] = (empty, half, rubbish, nested, folder, dangling, gone)

LEFT_HALF_WRITTEN = (
    "agent/pools/{pool}.json.part", "agent/pools/{pool}.key.part", "agent/saves/9.0.1.json.part",
    "agent/state.db.new", "agent/state.db.new-journal", "pool/backups/{id}.part",
    "pool/backups/{id}.sha256.part",
    "pool/{volume}/meta.json.part", "pool/{volume}/sealed.part", "pool/{volume}/live.part/",
    "pool/{volume}/fresh/", "pool/{volume}/fresh.part/", "pool/{volume}/uses/7.0.1.part",
    "pool/{volume}/snapshots/{id}.part/", "pool/{volume}/snapshots/{id}.sha256.part",
    "pool/{volume}/packs/{id}.part",
)  # fmt: skip
"""Names of ours while we write; a folder where it ends so."""

WHERE_OTHERS_LEAVE_THINGS = (
    "agent", "agent/pools", "agent/saves", "agent/blobs", "agent/blobs/pins", "agent/blobs/incoming",
    "agent/blobs/damaged", "agent/blobs/ab", "agent/tasks", "agent/tasks/9", "pool", "pool/backups",
    "pool/{volume}", "pool/{volume}/uses", "pool/{volume}/snapshots", "pool/{volume}/packs",
)  # fmt: skip
FOREIGN = ("lost+found/", ".nfs0001", "core", "x.part", "no", "dangling", "loop", "\udcff")


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOOK_S", 0.1)


@pytest.fixture
async def cluster(world: World, node_folder: Path) -> Cluster:
    """With two volumes that hold something, and a task that runs."""
    made = Cluster(world, node_folder)
    made.volumes[OTHER] = replace(made.volumes[VOLUME], id=OTHER, name="other")
    await until_ready(made, VOLUME, OTHER)
    for each in (VOLUME, OTHER):
        (node_folder / "pool" / each / "live" / "precious").write_text("kept")
    await world.coordinator.assign(A, "sleep", "600")
    await world.coordinator.started(A)
    return made


async def until_ready(cluster: Cluster, *volumes: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            await cluster.ask()
            sound = {each.id for each in cluster.found.volumes if each.ready and not each.fault}
            if sound.issuperset(volumes):
                return
            await asyncio.sleep(0.01)


def places(names: tuple[str, ...], root: Path) -> Iterator[Path]:
    for name in names:
        path = root / name.format(pool=POOL, volume=OTHER, id=ID)
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
            (path / "half").write_text("ha")
        yield path


def starts(world: World, attempt: AttemptRef) -> list[Started]:
    return [e for e in world.coordinator.events if isinstance(e, Started) and e.attempt == attempt]


async def still_sound(cluster: Cluster, root: Path) -> None:
    """The running task is the same, the sound volume is given out, and new work is done."""
    await until_ready(cluster, OTHER)
    world = cluster.world
    assert (root / "pool" / OTHER / "live" / "precious").read_text() == "kept"
    assert A in world.held and len(starts(world, A)) == 1
    await world.coordinator.assign(B, "true")
    assert (await world.coordinator.ended(B)).exit_code == 0
    assert len(starts(world, B)) == 1


async def test_what_was_being_written_goes_and_what_others_left_stays(
    cluster: Cluster, node_folder: Path
) -> None:
    world = cluster.world
    await world.node.stop()
    halves = list(places(LEFT_HALF_WRITTEN, node_folder))
    for path in halves:
        if not path.is_dir():
            path.write_bytes(b"ha")
    (node_folder / "agent" / "blobs" / "incoming" / f"{SHA}.10").write_bytes(b"half")
    foreign: list[Path] = []
    for place in places(WHERE_OTHERS_LEAVE_THINGS, node_folder):
        place.mkdir(parents=True, exist_ok=True)
        for name in FOREIGN:
            path = place / name
            if name in ("dangling", "loop"):
                path.symlink_to(name if name == "loop" else "nowhere")
            elif name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(b"theirs")
            foreign.append(path)
    await world.start_again()
    await still_sound(cluster, node_folder)
    await until(lambda: not any(map(os.path.lexists, halves)), "swept")
    swept = [path for path in foreign if not os.path.lexists(path)]
    assert {path.name for path in swept} <= {"x.part"}, "x.part of our own folders is ours"
    assert not any(node_folder / "pool" in path.parents for path in swept)
    assert world.coordinator.last_faults == ()


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_is_damaged_is_told_and_the_rest_goes_on(
    cluster: Cluster, node_folder: Path, damage: Callable[[Path], None]
) -> None:
    world = cluster.world
    await world.node.stop()
    uses, saves = node_folder / "pool" / OTHER / "uses", node_folder / "agent" / "saves"
    uses.mkdir(exist_ok=True)
    (saves / "9.0.1.json").write_text('{"folder":""}')
    for path in (
        node_folder / "agent" / "pools" / f"{POOL}.json",
        node_folder / "pool" / VOLUME / "meta.json",
        saves / "9.0.1.json",
    ):
        damage(path)
    (node_folder / "agent" / "registered").mkdir(exist_ok=True)
    await world.start_again()
    await still_sound(cluster, node_folder)
    await cluster.ask()
    assert not cluster.found.pools[0].fault, "it is known again by what lies in it"
    damaged = cluster.of(VOLUME)
    assert "meta.json" in damaged.fault and not damaged.ready, damaged.fault
    await until(lambda: any("meta.json" in fault for fault in world.coordinator.last_faults), "told")
    assert (node_folder / "pool" / VOLUME / "live" / "precious").read_text() == "kept", "nothing is made anew"
    cluster.want(removed=True)
    await cluster.ask()
    if damage not in (dangling, gone):
        await until(lambda: not (node_folder / "pool" / VOLUME).exists(), "removed all the same")
    (node_folder / "agent" / "registered").rmdir()


@pytest.mark.parametrize("damage", DAMAGES)
async def test_after_a_power_cut_work_goes_on(
    world: World, node_folder: Path, damage: Callable[[Path], None]
) -> None:
    """Nothing runs any more; database, journals and what all tasks share are damaged."""
    await world.coordinator.assign(A, "sleep", "600")
    await world.coordinator.started(A)
    await world.node.stop()
    for guard in guards(node_folder):
        os.kill(guard, signal.SIGKILL)
    await until(lambda: not guards(node_folder), "all is dead")
    data = node_folder / "agent"
    for path in (
        data / "journal.0", data / "journal.1", data / "tasks" / "no-input.json",
        data / "tasks" / "helper" / "corral_task.py", data / "registered",
    ):  # fmt: skip
        path.touch()
        damage(path)
    if damage is folder:  # the database is not to be lost for what is none
        shutil.rmtree(data / "tasks" / "helper")
        (data / "tasks" / "helper").write_text("a file")
    elif damage is not dangling:
        for suffix in ("-wal", "-shm"):
            (data / f"state.db{suffix}").unlink(missing_ok=True)
        damage(data / "state.db")
    await world.start_again()
    await world.coordinator.assign(B, "sh", "-c", 'python3 "$CORRAL_HELPER" progress 50')
    ended = await world.coordinator.ended(B)
    assert ended.exit_code == 0, ended.stderr_tail

    def told() -> bool:
        return any("state.db" in fault for fault in world.coordinator.last_faults)

    if damage in (empty, half, rubbish, nested):
        await until(told, "the loss is told")
    assert len(starts(world, A)) == 1, "it is not run again"
    if damage in (folder, dangling):
        assert (await world.coordinator.ended(A)).outcome is Outcome.LOST
        assert not told()


async def test_a_backup_without_its_hash_is_whole_and_one_that_is_not_is_told(
    cluster: Cluster, node_folder: Path
) -> None:
    """The hash beside it is lost: what lies there is read and compared with what the coordinator wants."""
    backups = node_folder / "pool" / "backups"
    backups.mkdir()
    sound, rotten = (str(UUID(int=number)) for number in (90, 91))
    (backups / sound).write_bytes(b"sealed")
    (backups / f"{sound}.sha256").write_bytes(b"\xff\xfe")
    (backups / rotten).write_bytes(b"seaLed")
    wanted = hashlib.sha256(b"sealed").hexdigest()
    asked = [BackupWanted(id=each, pool=POOL, sha256=wanted, size=6) for each in (sound, rotten)]
    agent = cluster.world.node.agent
    assert agent is not None
    found = await agent._volumes._backups.wanted(asked)
    assert [(each.ready, each.damaged) for each in found] == [(True, False), (False, True)]
    assert (backups / f"{sound}.sha256").read_text() == wanted
    assert (backups / f"{rotten}.damaged").read_bytes() == b"seaLed"
