"""Pools and volumes at the coordinator's doors: what is refused, whose they are, what nodes are told."""

from __future__ import annotations

from typing import Any

import pytest

from bus.messages import CommandReply
from bus.mounts import reads, writes
from bus.values import NodeName
from bus.volume_wire import PoolFound, SnapshotFound, VolumeFound, VolumesFound, VolumesWanted
from coordinator import pool_drivers
from tests.unit.coordinator.shell import Shell, running_shell

POOL = {"name": "fast", "nodes": ["n1"], "path": "/srv/fast", "size": "1GiB"}


class Disk:
    """A node that does at once what it is told; `fault` of its pools, `wanted` as told last."""

    def __init__(self) -> None:
        self.fault = ""
        self.wanted = VolumesWanted(epoch=0)
        self.keys: list[bytes] = []

    def answer(self, command: Any) -> Any:
        if not isinstance(command, VolumesWanted):
            return CommandReply(node="n1")
        self.wanted = command
        self.keys += [pool.key for pool in command.pools if pool.key]
        pools = tuple(PoolFound(id=pool.id, fault=self.fault, free_mib=5_000) for pool in command.pools)
        volumes = tuple(
            VolumeFound(
                id=each.id,
                ready=not each.removed,
                used=1_000,
                filled=each.content.number if each.content else 0,
                snapshots=tuple(SnapshotFound(id=snapshot, size=10) for snapshot in each.snapshots),
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

    monkeypatch.setattr("coordinator.api.volumes.driver_of", lambda kind: Driver())
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
        ({"backup": True}, ("E_UNSUPPORTED", "/backup")),
        ({"snapshots": "1h:24"}, ("E_UNSUPPORTED", "/snapshots")),
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
