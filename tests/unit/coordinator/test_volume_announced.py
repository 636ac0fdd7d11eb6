"""Pools that agents announce: who makes one, who joins, and what does not agree."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bus.declared_pools import PoolDeclared
from bus.setting_kinds import parse_pool
from bus.values import NodeName
from bus.volume_wire import PoolFound, VolumesFound
from coordinator.core.pool_keys import Part, Way, plan_key
from coordinator.store.errors import Disagreement
from tests.unit.coordinator.shell import Shell, running_shell
from tests.unit.coordinator.test_volume_backups import WIDE, Node, nodes, rounds
from tests.unit.coordinator.test_volume_desk import code, lose
from tests.unit.coordinator.test_volume_snapshots import told

FAST = PoolDeclared(name="fast", path="/srv/fast", size_mib=1024)


def announce(shell: Shell, name: str, *pools: PoolDeclared) -> None:
    node = shell.cluster.nodes[NodeName(name)]
    node.inventory = replace(node.inventory, pools=pools)


async def test_nodes_that_announce_the_same_pool_share_it() -> None:
    async with running_shell() as shell:
        (first, _) = await nodes(shell, "n1", "n2")
        announce(shell, "n1", FAST)
        await rounds(shell, 2)
        (pool,) = (await shell.ask("olga", "pool.list"))["pools"]
        assert (pool["name"], pool["created_by"], pool["total_mib"]) == ("fast", "node:n1", 1024)
        assert [each.path for each in first.wanted.pools] == ["/srv/fast"]
        announce(shell, "n2", FAST)
        await rounds(shell, 2)
        (pool,) = (await shell.ask("olga", "pool.list"))["pools"]
        assert [each["node"] for each in pool["nodes"]] == ["n1", "n2"] and pool["total_mib"] == 2048
        made = await shell.ask("alice", "volume.create", name="data", pool="fast", size=1, node="n2")
        assert made["state"] == "ready"
        await shell.ask("alice", "volume.remove", volume="data", now=True)
        await rounds(shell, 2)
        assert await code(shell, "olga", "pool.remove", pool="fast") == ("E_CONFLICT", "/pool")
        announce(shell, "n1")
        announce(shell, "n2")
        assert (await shell.ask("olga", "pool.remove", pool="fast"))["name"] == "fast"
        await rounds(shell, 2)
        assert not shell.volume_store.kept_pools


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (replace(FAST, path="/srv/other"), "path is /srv/fast elsewhere"),
        (replace(FAST, size_mib=5), "size is 1 GiB elsewhere"),
        (replace(FAST, tier="nvme"), "tier is standard elsewhere"),
        (replace(FAST, compress=True), "compression is off elsewhere"),
        (replace(FAST, encrypt=True), "encryption is off elsewhere"),
        (replace(FAST, replicas=2), "number of replicas is 1 elsewhere"),
        (replace(FAST, name="p2", replicas=0), "to lie on 1 to 100 nodes"),
        (replace(FAST, name="../x"), "its name is not"),
        (replace(FAST, name="p2", path="/etc/x"), "not a path"),
        (replace(FAST, name="p2", tier="tape"), "tier is none of"),
        (replace(FAST, name="p2", size_mib=0), "size is not"),
        (replace(FAST, name="wide"), "olga made a pool of that name"),
    ],
)
async def test_what_does_not_agree_is_told_once_and_not_done(said: PoolDeclared, why: str) -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1", "n2", "n3")
        await shell.ask("olga", "pool.create", **WIDE)
        announce(shell, "n1", FAST, replace(FAST, name="wide"))
        await rounds(shell, 2)
        announce(shell, "n3", said)
        await rounds(shell, 3)
        assert told(shell, "pool_refused") == 1
        event = next(each for each in shell.records if getattr(each, "event_type", "") == "pool_refused")
        assert why in event.message  # type: ignore[union-attr]
        kept = {row.name: row.nodes for row in shell.volume_store.kept_pools.values()}
        assert kept == {"wide": ("n1", "n2"), "fast": ("n1",)}


class Keeping(Node):
    """Keeps keys as agents do, in `kept`."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, bytes] = {}

    def answer(self, command: Any) -> Any:
        found = super().answer(command)
        if not isinstance(found, VolumesFound):
            return found
        self.kept |= {each.id: each.key for each in command.pools if each.key and each.id not in self.kept}
        pools = tuple(
            PoolFound(
                id=each.id,
                fault="E_SEALED: no key" if each.encrypt and each.id not in self.kept else "",
                keyless=each.encrypt and each.id not in self.kept,
                key=self.kept.get(each.id, b"") if each.tell_key else b"",
            )
            for each in command.pools
        )
        return replace(found, pools=pools)


SAFE = replace(FAST, name="safe", encrypt=True)


async def keeping(shell: Shell, *names: str) -> list[Keeping]:
    made = [Keeping() for _ in names]
    for name, each in zip(names, made, strict=True):
        (await shell.agent(name)).answer = each.answer
    return made


async def test_nodes_that_announce_an_encrypted_pool_have_one_key() -> None:
    async with running_shell() as shell:
        first, second, third = await keeping(shell, "n1", "n2", "n3")
        announce(shell, "n1", SAFE)
        await rounds(shell, 4)
        (key,) = first.kept.values()
        assert len(key) == 32 and not shell.volumes.keys, "who told it knows it no more"
        announce(shell, "n2", SAFE)
        await rounds(shell, 5)
        assert second.kept == first.kept and not shell.volumes.keys and not third.kept
        assert all(not each.key for each in shell.volumes.pools_found.values())
        assert not any(pool.tell_key or pool.key for pool in first.wanted.pools)
        (pool,) = (await shell.ask("olga", "pool.list"))["pools"]
        assert pool["encrypt"] and not any(each.get("fault") for each in pool["nodes"])
        made = await shell.ask("alice", "volume.create", name="data", pool="safe", size=1, node="n2")
        assert made["state"] == "ready"
        second.kept.clear()
        await rounds(shell, 4)
        assert second.kept == first.kept, "who lost it is told it again"


async def test_a_key_that_all_have_lost_is_made_anew_for_an_empty_pool_only() -> None:
    async with running_shell() as shell:
        (first,) = await keeping(shell, "n1")
        announce(shell, "n1", SAFE)
        await rounds(shell, 3)
        before = dict(first.kept)
        first.kept.clear()
        await rounds(shell, 3)
        assert first.kept and first.kept != before, "nothing was in it"
        await shell.ask("alice", "volume.create", name="data", pool="safe", size=1)
        first.kept.clear()
        await rounds(shell, 3)
        assert not first.kept
        (pool,) = (await shell.ask("olga", "pool.list"))["pools"]
        assert pool["nodes"][0]["fault"] == "E_SEALED: no key"


async def test_a_replicated_pool_is_made_once_enough_nodes_announce_it() -> None:
    async with running_shell() as shell:
        await keeping(shell, "n1", "n2", "n3")
        twice = replace(FAST, name="twice", replicas=2)
        announce(shell, "n1", twice)
        announce(shell, "n2", replace(twice, size_mib=5))
        await rounds(shell, 2)
        assert not shell.volume_store.kept_pools and told(shell, "pool_waits") == 2
        announce(shell, "n2", twice)
        await rounds(shell, 2)
        announce(shell, "n3", twice)
        await rounds(shell, 2)
        (pool,) = shell.volume_store.kept_pools.values()
        assert (pool.type, pool.replicas, pool.nodes) == ("replicated", 2, ("n1", "n2", "n3"))
        made = await shell.ask("alice", "volume.create", name="data", pool="twice", size=1, node="n2")
        assert made["state"] == "ready"


HAS, LACKS, SILENT = Part(node="a"), Part(node="b", keyless=True), Part(node="c", answered=False)


@pytest.mark.parametrize(
    ("parts", "is_known", "is_empty", "way"),
    [
        ([HAS], False, True, (Way.NONE, "")),
        ([HAS, SILENT], True, True, (Way.NONE, "")),
        ([LACKS, SILENT, HAS], False, False, (Way.ASK, "a")),
        ([LACKS, HAS], True, False, (Way.WAIT, "")),
        ([LACKS], False, True, (Way.MAKE, "")),
        ([LACKS], False, False, (Way.WAIT, "")),
        ([LACKS, SILENT], False, True, (Way.WAIT, "")),
    ],
)
def test_where_a_key_comes_from(
    parts: list[Part], is_known: bool, is_empty: bool, way: tuple[Way, str]
) -> None:
    assert plan_key(parts, is_known=is_known, is_empty=is_empty) == way


async def test_a_node_that_is_lost_announces_nothing() -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1")
        announce(shell, "n1", FAST)
        lose(shell, "n1")
        await rounds(shell, 2)
        assert not shell.volume_store.kept_pools and Node().lies == set()


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("fast=/srv/fast:1GiB", FAST),
        ("fast=/srv/{node}:1GiB:nvme", replace(FAST, path="/srv/{node}", tier="nvme")),
        ("fast=/srv/fast:1GiB:compress", replace(FAST, compress=True)),
        ("fast=/srv/fast:1GiB:cold:compress", replace(FAST, tier="cold", compress=True)),
        ("fast=/srv/fast:1GiB:compress:nvme", replace(FAST, tier="nvme", compress=True)),
        ("fast=/srv/fast:1GiB:encrypt:replicas=2", replace(FAST, encrypt=True, replicas=2)),
    ],
)
def test_how_a_pool_is_said(text: str, means: PoolDeclared) -> None:
    assert parse_pool(text) == means


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fast",
        "fast=/srv/fast",
        "fast=srv:1GiB",
        "fast=/srv/../etc:1GiB",
        "fast=/etc/x:1GiB",
        "Fast=/srv/x:1GiB",
        "fast=/srv/x:0",
        "fast=/srv/x:lots",
        "fast=/srv/x:1GiB:tape",
        "fast=/srv/x:1GiB:compress:compress",
        "fast=/srv/x:1GiB:replicas=1",
        "fast=/srv/x:1GiB:replicas=2:replicas=3",
        "fast=/srv/x:1GiB:encrypted",
        "fast=/srv/x:1GiB:nvme:ssd",
    ],
)
def test_what_is_no_pool(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=/PATH:SIZE"):
        parse_pool(text)


async def test_a_pool_that_the_database_refuses_keeps_no_volume_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_shell() as shell:
        await nodes(shell, "n1", "n2")
        await shell.ask("olga", "pool.create", name="wide", nodes=["n1"], path="/srv/wide", size="1GiB")

        async def refuses(pool: object, **more: object) -> str:
            raise Disagreement("storage_pools_path_check")

        monkeypatch.setattr(shell.volume_store, "add_pool", refuses)
        announce(shell, "n2", FAST)
        made = await shell.ask("alice", "volume.create", name="data", pool="wide", size=1, node="n1")
        await rounds(shell, 2)
        assert made["state"] == "ready"
