"""Volumes that go while their nodes are lost: why they stay, who gives that up, what a late node is told."""

from __future__ import annotations

from bus.values import NodeHealth, NodeName
from bus.volume_wire import VolumeFound
from tests.unit.coordinator.shell import Shell, running_shell
from tests.unit.coordinator.test_volume_desk import POOL, Twin, code, disk, lose, sealed, twins


def told(shell: Shell, kind: str) -> list[str]:
    return [each.message for each in shell.records if getattr(each, "event_type", "") == kind]  # type: ignore[union-attr]


def back(shell: Shell, name: str) -> None:
    shell.cluster.nodes[NodeName(name)].health = NodeHealth.HEALTHY


async def test_a_volume_whose_node_never_returns_goes_when_an_operator_says_so() -> None:
    async with running_shell() as shell:
        node = await disk(shell)
        await shell.ask("olga", "pool.create", **POOL)
        await shell.ask("alice", "volume.create", name="data", pool="fast", size="600MiB")
        gone = {"volume": "data", "now": True, "lost": True}
        assert await code(shell, "olga", "volume.remove", **gone) == ("E_CONFLICT", "/lost")
        assert await code(shell, "alice", "volume.remove", **gone) == ("E_FORBIDDEN", "/lost")
        assert await code(shell, "olga", "volume.remove", volume="data", lost=True) == ("E_FIELD", "/lost")
        lose(shell, "n1")
        removed = await shell.ask("alice", "volume.remove", volume="data", now=True)
        assert removed["state"] == "removing"
        for _ in range(2):
            await shell.keeper.round()
        shown = await shell.ask("alice", "volume.show", volume="data")
        assert "n1 is back, which is lost" in shown["fault"] and len(told(shell, "volume_stuck")) == 1
        assert (await shell.ask("olga", "volume.remove", **gone))["name"] == "data"
        assert not shell.volume_store.kept and len(told(shell, "volume_given_up")) == 1
        pool = await shell.ask("olga", "pool.show", pool="fast")
        assert pool["used_mib"] == 0, "its room is others' again"
        assert (await shell.ask("olga", "pool.remove", pool="fast"))["name"] == "fast"
        assert [each.kind for each in shell.leftovers.kept] == ["volume", "pool"]
        back(shell, "n1")
        await shell.keeper.round()
        assert [(each.name, each.removed) for each in node.wanted.volumes] == [("data", True)]
        assert [(each.path, each.removed) for each in node.wanted.pools] == [("/srv/fast", True)]
        await shell.keeper.round()
        assert not shell.leftovers.kept and len(told(shell, "volume_left")) == 2


async def test_only_what_lies_on_lost_nodes_is_given_up() -> None:
    async with running_shell() as shell:
        first, second = await twins(shell)
        lose(shell, "n2")
        removed = await shell.ask("olga", "volume.remove", volume="data", now=True, lost=True)
        assert removed["state"] == "removing" and shell.volume_store.kept, "n1 has it, and answers"
        assert next(each for each in first.wanted.volumes).removed
        first.has["data"] = VolumeFound(id="")
        for _ in range(2):
            await shell.keeper.round()
        assert not shell.volume_store.kept and [each.node for each in shell.leftovers.kept] == ["n2"]
        back(shell, "n2")
        await shell.keeper.round()
        assert next(each for each in second.wanted.volumes).removed and shell.leftovers.kept, "it has it yet"
        second.has["data"] = VolumeFound(id="")
        await shell.keeper.round()
        assert not shell.leftovers.kept


async def test_a_new_volume_of_that_name_is_no_leftover() -> None:
    async with running_shell() as shell:
        agents = Twin(), Twin()
        for name, each in zip(("n1", "n2"), agents, strict=True):
            (await shell.agent(name)).answer = each.answer
        pool = {"name": "wide", "nodes": ["n1", "n2"], "path": "/srv/wide", "size": "1GiB"}
        await shell.ask("olga", "pool.create", **pool)
        agents[0].has["data"] = agents[1].has["data"] = sealed(1)
        await shell.ask("alice", "volume.create", name="data", pool="wide", size=1, node="n1")
        lose(shell, "n1")
        await shell.ask("olga", "volume.remove", volume="data", now=True, lost=True)
        made = await shell.ask("alice", "volume.create", name="data", pool="wide", size=1)
        assert made["node"] == "n2"
        back(shell, "n1")
        await shell.keeper.round()
        assert [each.removed for each in agents[0].wanted.volumes] == [True]
        assert [each.removed for each in agents[1].wanted.volumes] == [False]
        assert (await shell.ask("alice", "volume.show", volume="data"))["state"] == "ready"
