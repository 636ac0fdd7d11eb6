"""Pools and volumes at the coordinator's doors: what is refused, whose they are, what nodes are told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bus.messages import CommandReply
from bus.mounts import Mounted, reads, writes
from bus.spec import JobSpec, TaskSpec
from bus.values import NodeHealth, NodeName, UserName
from bus.volume_wire import PoolFound, SnapshotFound, VolumeFound, VolumesFound, VolumesWanted
from coordinator import pool_drivers
from coordinator.core.node import Brake
from coordinator.store.volumes import Wrote
from tests.unit.coordinator.shell import Shell, running_shell, until

POOL = {"name": "fast", "nodes": ["n1"], "path": "/srv/fast", "size": "1GiB"}


class Disk:
    """A node that does at once what it is told; `fault` of its pools, `wanted` as told last."""

    def __init__(self) -> None:
        self.fault = ""
        self.wanted = VolumesWanted(epoch=0)
        self.keys: list[bytes] = []
        self.taken: set[tuple[str, str]] = set()  # snapshots of volumes
        self.is_busy = False  # somebody writes: no snapshot is taken

    def answer(self, command: Any) -> Any:
        if not isinstance(command, VolumesWanted):
            return CommandReply(node="n1")
        self.wanted = command
        self.keys += [pool.key for pool in command.pools if pool.key]
        pools = tuple(PoolFound(id=pool.id, fault=self.fault, free_mib=5_000) for pool in command.pools)
        if not self.is_busy:
            self.taken |= {(each.id, snapshot) for each in command.volumes for snapshot in each.snapshots}
        self.taken -= {(each.id, snapshot) for each in command.volumes for snapshot in each.dropped}
        volumes = tuple(
            VolumeFound(
                id=each.id,
                ready=not each.removed,
                used=1_000,
                filled=each.content.number if each.content else 0,
                snapshots=tuple(
                    SnapshotFound(id=snapshot, size=10) for of, snapshot in self.taken if of == each.id
                ),
            )
            for each in command.volumes
        )
        return VolumesFound(node="n1", epoch=command.epoch, pools=pools, volumes=volumes)


async def disk(shell: Shell) -> Disk:
    agent = await shell.agent("n1")
    made = Disk()
    agent.answer = made.answer
    return made


async def code(shell: Shell, user: str, operation: str, **fields: Any) -> tuple[str, str]:
    error = (await shell.ask(user, operation, **fields))["error"]
    return error["code"], error["field"]


@pytest.mark.contract("S2.64", "S2.65", "S2.66", "S2.68", "S2.70")
@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"type": "erasure_coded"}, ("E_UNSUPPORTED", "/type")),
        ({"type": "distributed"}, ("E_UNSUPPORTED", "/type")),
        ({"type": "floppy"}, ("E_ENUM", "/type")),
        ({"tier": "tape"}, ("E_ENUM", "/tier")),
        ({"name": "Fast"}, ("E_NAME", "/name")),
        ({"path": "/../etc"}, ("E_PATH", "/path")),
        ({"path": "/etc"}, ("E_PATH", "/path")),
        ({"nodes": []}, ("E_REQUIRED", "/nodes")),
        ({"nodes": ["n9"]}, ("E_NOT_FOUND", "/nodes")),
        ({"size": "lots"}, ("E_UNIT", "/size")),
        ({"size": 0}, ("E_RANGE", "/size")),
        ({"replicas": 0}, ("E_RANGE", "/replicas")),
        ({"replicas": 2}, ("E_RANGE", "/replicas")),
        ({"type": "replicated", "replicas": 2}, ("E_RANGE", "/nodes")),
    ],
    ids=ascii,
)
async def test_what_is_no_pool(fields: dict[str, Any], told: tuple[str, str]) -> None:
    async with running_shell() as shell:
        await disk(shell)
        assert await code(shell, "olga", "pool.create", **(POOL | fields)) == told
        assert not shell.volume_store.kept_pools


async def test_a_pool_is_there_once_its_nodes_have_it() -> None:
    async with running_shell() as shell:
        node = await disk(shell)
        node.fault = "E_PATH: /srv/fast is not empty"
        assert await code(shell, "olga", "pool.create", **POOL) == ("E_PATH", "/path")
        assert not shell.volume_store.kept_pools and node.wanted.pools[0].removed
        node.fault = ""
        made = await shell.ask("olga", "pool.create", **POOL, encrypt=True)
        assert made["total_mib"] == 1024 and made["nodes"][0]["free_mib"] == 5_000
        assert node.keys == [bytes(32)]
        await shell.ask("alice", "volume.create", name="data", pool="fast", size=1)
        assert node.keys == [bytes(32)], "a key is told once"
        assert await code(shell, "olga", "pool.remove", pool="fast") == ("E_CONFLICT", "/pool")


async def test_a_driver_makes_a_type_of_pool_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        def fault(self, pool: Any) -> str:
            return "" if pool.path.startswith("/mnt/") else "not below /mnt"

    monkeypatch.setattr("coordinator.api.pools.driver_of", lambda kind: Driver())
    async with running_shell() as shell:
        await disk(shell)
        asked = POOL | {"type": "distributed"}
        assert await code(shell, "olga", "pool.create", **asked) == ("E_UNSUPPORTED", "/type")
        made = await shell.ask("olga", "pool.create", **(asked | {"path": "/mnt/ceph"}))
        assert made["type"] == "distributed"
    assert pool_drivers.driver_of("erasure_coded") is None


@pytest.mark.contract("S2.69", "S2.70", "S2.72")
@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "../data"}, ("E_NAME", "/name")),
        ({"pool": "none"}, ("E_NOT_FOUND", "/pool")),
        ({"path": "/../etc"}, ("E_PATH", "/path")),
        ({"path": "/usr/lib"}, ("E_PATH", "/path")),
        ({"size": "2GiB"}, ("E_POOL_FULL", "/size")),
        ({"backup": True}, ("E_REQUIRED", "/snapshots")),
        ({"backup": True, "snapshots": "@daily keep 1"}, ("E_CONSTRAINT", "/backup_pool")),
        ({"backup_pool": "none", "snapshots": "@daily keep 1"}, ("E_NOT_FOUND", "/backup_pool")),
        ({"snapshots": "1h:24"}, ("E_VALUE", "/snapshots")),
        ({"snapshots": "@daily keep 0"}, ("E_RANGE", "/snapshots")),
        ({"snapshots": "61 * * * * keep 2"}, ("E_CRON", "/snapshots")),
        ({"snapshots": "@daily Mars/Base keep 2"}, ("E_TIME", "/snapshots")),
        ({"node": "n9"}, ("E_CONSTRAINT", "/node")),
        ({"mode": "ReadOnlyMany"}, ("E_ACCESS_MODE", "/mode")),
        ({"source": "none@one"}, ("E_NOT_FOUND", "/source")),
        ({"storage_class": "a\x1b"}, ("E_VALUE", "/storage_class")),
    ],
    ids=ascii,
)
async def test_what_is_no_volume(fields: dict[str, Any], told: tuple[str, str]) -> None:
    async with running_shell() as shell:
        await disk(shell)
        await shell.ask("olga", "pool.create", **POOL)
        asked = {"name": "data", "pool": "fast", "size": "1MiB"} | fields
        assert await code(shell, "alice", "volume.create", **asked) == told
        assert not shell.volume_store.kept


@pytest.mark.contract("S2.72")
async def test_the_life_of_a_volume() -> None:
    async with running_shell() as shell:
        node = await disk(shell)
        await shell.ask("olga", "pool.create", **POOL)
        made = await shell.ask("alice", "volume.create", name="data", pool="fast", size="600MiB")
        assert (made["state"], made["node"], made["used"]) == ("ready", "n1", 1_000)
        await shell.loop.barrier()
        assert shell.cluster.nodes[NodeName("n1")].volumes == {reads("data"), writes("data")}
        again = {"name": "data", "pool": "fast", "size": 1}
        assert await code(shell, "bob", "volume.create", **again) == ("E_NAME_CLASH", "/name")
        more = {"name": "more", "pool": "fast", "size": "600MiB"}
        assert await code(shell, "bob", "volume.create", **more) == ("E_POOL_FULL", "/size")
        taken = await shell.ask("alice", "volume.snapshot", volume="data", snapshot="one")
        assert [(each["name"], each["ready"]) for each in taken["snapshots"]] == [("one", True)]
        copy = {"name": "copy", "pool": "fast", "size": 1, "mode": "ReadOnlyMany", "source": "data@one"}
        assert (await shell.ask("alice", "volume.create", **copy))["state"] == "ready"
        restored = await shell.ask("alice", "volume.restore", volume="data", snapshot="one")
        assert restored["state"] == "ready"
        assert await code(shell, "alice", "volume.restore", volume="data", snapshot="two") == (
            "E_NOT_FOUND",
            "/snapshot",
        )
        assert not (await shell.ask("alice", "volume.unsnapshot", volume="data", snapshot="one"))["snapshots"]
        gone = await shell.ask("alice", "volume.remove", volume="data")
        assert gone["state"] == "deleted"
        assert (await shell.ask("alice", "volume.undelete", volume="data"))["state"] == "ready"
        await shell.ask("alice", "volume.remove", volume="data", now=True)
        assert any(each.removed for each in node.wanted.volumes)


async def test_a_volume_is_its_owners() -> None:
    async with running_shell() as shell:
        await disk(shell)
        await shell.ask("olga", "pool.create", **POOL)
        await shell.ask("alice", "volume.create", name="own", pool="fast", size=1)
        await shell.ask("alice", "volume.create", name="all", pool="fast", size=1, shared=True)
        assert [each["name"] for each in (await shell.ask("bob", "volume.list"))["volumes"]] == ["all"]
        assert await code(shell, "bob", "volume.show", volume="own") == ("E_NOT_FOUND", "/volume")
        assert await code(shell, "bob", "volume.remove", volume="all") == ("E_FORBIDDEN", "/volume")
        theirs = {"command": ["true"], "volumes": ["own"]}
        assert (await shell.ask("bob", "job.submit", **theirs))["error"]["code"] == "E_NOT_FOUND"
        assert (await shell.ask("bob", "job.submit", **(theirs | {"volumes": ["all:/mnt/x"]})))["number"]
        forged = theirs | {"mounted": {"own": {"id": "1"}}}
        assert (await shell.ask("bob", "job.submit", **forged))["error"]["code"] == "E_FIELD"
        assert await code(shell, "olga", "volume.remove", volume="all") == ("E_VOLUME_IN_USE", "/volume")


async def test_a_silent_node_is_said_to_be_away() -> None:
    async with running_shell() as shell:
        node = await disk(shell)
        await shell.ask("olga", "pool.create", **POOL)
        await shell.ask("alice", "volume.create", name="data", pool="fast", size=1)
        node.answer = lambda command: CommandReply(node="n1", error="stopped")  # type: ignore[method-assign]
        shell.volumes.silent.add("n1")
        assert (await shell.ask("alice", "volume.show", volume="data"))["state"] == "away"
        more = {"name": "more", "pool": "fast", "size": 1}
        assert (await code(shell, "alice", "volume.create", **more))[0] == "E_UNAVAILABLE"


COPIED = {"name": "safe", "type": "replicated", "nodes": ["n1", "n2"], "path": "/srv/safe", "size": "1GiB"}


class Twin(Disk):
    """A node of a replicated pool: `has` is what it says of its volumes, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.has: dict[str, VolumeFound] = {}

    def answer(self, command: Any) -> Any:
        found = super().answer(command)
        if not isinstance(found, VolumesFound):
            return found
        names = {each.id: each.name for each in self.wanted.volumes}
        told = [
            replace(self.has.get(names[each.id], VolumeFound(id="")), id=each.id) for each in found.volumes
        ]
        return replace(found, volumes=tuple(told))


def sealed(generation: int, **more: Any) -> VolumeFound:
    made = VolumeFound(id="", generation=generation, sha256=f"{generation:064x}", size=9, ready=True)
    return replace(made, **more)


async def twins(shell: Shell) -> tuple[Twin, Twin]:
    """Two nodes, a volume `data` on n1 of generation 3, and its copy."""
    made = Twin(), Twin()
    for name, each in zip(("n1", "n2"), made, strict=True):
        agent = await shell.agent(name)
        agent.answer = each.answer
    await shell.ask("olga", "pool.create", **COPIED, replicas=2)
    made[0].has["data"] = sealed(3)
    await shell.ask("alice", "volume.create", name="data", pool="safe", size="600MiB", node="n1")
    await shell.keeper.round()
    made[1].has["data"] = sealed(3)
    await shell.keeper.round()
    return made


def lose(shell: Shell, name: str) -> None:
    node = shell.cluster.nodes[NodeName(name)]
    node.health = NodeHealth.UNREACHABLE
    node.lease_from_s = shell.clock.now_s() - shell.cluster.limits.lease_s
    shell.volumes.silent.add(name)


async def shown(shell: Shell) -> Any:
    return await shell.ask("alice", "volume.show", volume="data")


def copies_of(entry: Any) -> list[tuple[str, str, int]]:
    return [(each["node"], each["state"], each.get("generation", 0)) for each in entry.get("copies", [])]


@pytest.mark.contract("S2.66", "S0.47")
async def test_a_replicated_pool_keeps_a_copy_of_each_volume_on_another_node() -> None:
    async with running_shell() as shell:
        _, second = await twins(shell)
        assert await code(shell, "olga", "pool.create", **(COPIED | {"name": "one"}), replicas=1) == (
            "E_RANGE",
            "/replicas",
        )
        assert copies_of(await shown(shell)) == [("n2", "active", 3)]
        wanted = next(each for each in second.wanted.volumes if each.name == "data")
        assert (wanted.primary, wanted.sha256, wanted.generation, wanted.size) == (False, f"{3:064x}", 3, 9)
        assert shell.volumes.may_fetch("n2", wanted.sha256) and not shell.volumes.may_fetch("n2", "ab")
        assert shell.volumes.holders(wanted.sha256) == {"n1", "n2"}
        pool = await shell.ask("olga", "pool.show", pool="safe")
        assert pool["used_mib"] == 1200, "copies take room as well"
        more = {"name": "more", "pool": "safe", "size": "600MiB"}
        assert (await code(shell, "alice", "volume.create", **more))[0] == "E_POOL_FULL"
        second.has["data"] = sealed(2, fault="E_SPACE: no room")
        await shell.keeper.round()
        (copy,) = (await shown(shell))["copies"]
        assert (copy["state"], copy["generation"], copy["fault"]) == ("out_of_sync", 2, "E_SPACE: no room")


async def test_the_copy_of_a_lost_node_takes_over_and_its_old_place_is_a_copy() -> None:
    async with running_shell() as shell:
        first, second = await twins(shell)
        assert await code(shell, "alice", "volume.promote", volume="data") == ("E_CONFLICT", "/volume")
        lose(shell, "n1")
        await shell.keeper.round()
        entry = await shown(shell)
        assert (entry["node"], copies_of(entry)) == ("n2", [("n1", "failed", 0)])
        await shell.loop.barrier()
        assert shell.cluster.nodes[NodeName("n2")].volumes == {reads("data"), writes("data")}
        assert not shell.cluster.nodes[NodeName("n1")].volumes
        assert [each for each in shell.volume_store.done if "promote" in each[1]] == [
            ("coordinator", "volume.promote")
        ]
        assert next(each for each in second.wanted.volumes).primary is False, "told in the next round"
        shell.cluster.nodes[NodeName("n1")].health = NodeHealth.HEALTHY
        second.has["data"] = sealed(4)
        await shell.keeper.round()
        await shell.keeper.round()
        assert next(each for each in second.wanted.volumes).primary
        assert not next(each for each in first.wanted.volumes).primary
        assert copies_of(await shown(shell)) == [("n1", "out_of_sync", 3)]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("brake", ""),
        ("lease", ""),
        ("wrote", "completed tasks wrote may not be in any copy: 7.1"),
        ("older", "no node that answers has a copy of what was sealed last"),
        ("silent", "no node that answers has a copy of what was sealed last"),
        ("filling", "being filled"),
        ("leads", "another coordinator leads"),
        ("runs", "tasks may still run there: 1.0"),
    ],
)
async def test_why_no_copy_takes_over(what: str, told: str) -> None:
    async with running_shell() as shell:
        _, second = await twins(shell)
        if what == "runs":
            job = {"command": ["true"], "volumes": ["data:/mnt/x"], "on_disconnect": "run_on"}
            await shell.ask("alice", "job.submit", **job)
            await until(lambda: shell.cluster.nodes[NodeName("n1")].attempts)
        lose(shell, "n1")
        row = next(iter(shell.volume_store.kept.values()))
        match what:
            case "brake":
                shell.cluster.brake = Brake(0.0, frozenset(), "most vanished")
            case "lease":
                shell.cluster.nodes[NodeName("n1")].lease_from_s = shell.clock.now_s()
            case "wrote":
                mounted = {"data": Mounted(id=row.id)}
                spec = JobSpec(
                    tasks=[
                        TaskSpec(name="a", command=["true"], volumes=["data:/mnt/x:ro"]),
                        TaskSpec(name="b", command=["true"], volumes=["data:/mnt/x"]),
                    ],
                    mounted=mounted,
                )
                shell.volume_store.written = [
                    Wrote(job=7, spec=spec, owner=UserName("alice"), indices=(0, 1))
                ]
            case "older":
                second.has["data"] = sealed(2)
            case "silent":
                second.answer = lambda command: CommandReply(node="n2", error="x")  # type: ignore[method-assign]
                other = shell.cluster.nodes[NodeName("n2")]
                other.health, other.lease_from_s = NodeHealth.UNREACHABLE, shell.clock.now_s()
            case "filling":
                shell.volume_store.kept[row.id] = replace(row, fill_number=1)
            case "leads":
                shell.volume_store.others_lead = True
        await shell.keeper.round()
        entry = await shown(shell)
        assert entry["node"] == "n1" and told in entry.get("fault", "")
        assert bool(entry.get("fault")) == bool(told)
        stuck = [each for each in shell.records if getattr(each, "event_type", "") == "volume_stuck"]
        assert len(stuck) == bool(told)
        await shell.keeper.round()
        again = [each for each in shell.records if getattr(each, "event_type", "") == "volume_stuck"]
        assert len(again) == bool(told), "once for each reason"
        if what in ("wrote", "older", "filling"):
            moved = await shell.ask("alice", "volume.promote", volume="data")
            assert moved["node"] == "n2"
            assert ("alice", "volume.promote") in shell.volume_store.done


async def test_a_volume_with_copies_is_gone_when_all_nodes_let_it_go() -> None:
    async with running_shell() as shell:
        first, second = await twins(shell)
        await shell.ask("alice", "volume.remove", volume="data", now=True)
        assert all(each.removed for twin in (first, second) for each in twin.wanted.volumes)
        first.has["data"] = VolumeFound(id="")
        await shell.keeper.round()
        assert shell.volume_store.kept, "n2 has it yet"
        second.has["data"] = VolumeFound(id="")
        await shell.keeper.round()
        await shell.keeper.round()
        assert not shell.volume_store.kept and not shell.volume_store.kept_copies
