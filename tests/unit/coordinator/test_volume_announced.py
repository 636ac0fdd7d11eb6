"""Pools that agents announce: who makes one, who joins, and what does not agree."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bus.declared_pools import PoolDeclared
from bus.setting_kinds import parse_pool
from bus.values import NodeName
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
        (replace(FAST, compress=True), "compression is False elsewhere"),
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
        "fast=/srv/x:1GiB:compress:nvme",
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
