"""A link that is lost where it is needed degrades its node, with the reason, and heals by itself."""

from __future__ import annotations

from msgspec.structs import replace

from bus.values import InterfaceInfo, Inventory, NodeHealth, NodeName
from coordinator.core.effects import EventRecord
from coordinator.core.rebuild import restore_node
from coordinator.shown import node_shown
from tests.unit.coordinator.conftest import INVENTORY, World
from tests.unit.coordinator.test_health import pass_time

N1 = NodeName("n1")


def having(*cards: InterfaceInfo) -> Inventory:
    return replace(INVENTORY, interfaces=cards)


def card(name: str, status: str = "up", *, needed: bool = True, bus: bool = False) -> InterfaceInfo:
    return InterfaceInfo(
        name=name, mac="", ip="10.0.0.5" if bus else None, status=status, needed=needed, carries_bus=bus
    )


def say(world: World, *cards: InterfaceInfo) -> list[tuple[str, str, str]]:
    """The agent says what its machine has now; the events about links."""
    world.register("n1", inventory=having(*cards))
    return [
        (each.event_type, each.severity, each.message)
        for each in world.effects
        if isinstance(each, EventRecord) and each.event_type != "node_joined"
    ]


def test_a_lost_link_degrades_the_node_until_it_is_back() -> None:
    world = World()
    assert say(world, card("eth0", bus=True), card("eth1"), card("eth2", "down", needed=False)) == []
    pass_time(world, 10)
    node = world.cluster.nodes[N1]
    assert node.health is NodeHealth.HEALTHY
    told = say(world, card("eth0", bus=True), card("eth1", "down"))
    assert told == [
        ("node_degraded", "warning", "node n1: healthy -> degraded: no link on eth1"),
        ("link_lost", "warning", "node n1 lost the link of eth1 (data)"),
    ]
    assert node.health is NodeHealth.DEGRADED
    assert node_shown(node, now_s=world.now_s).reason == "no link on eth1"
    pass_time(world, 300)
    assert node.health is NodeHealth.DEGRADED, "for as long as it lasts"
    assert say(world, card("eth0", bus=True), card("eth1", "down")) == [], "said once"
    told = say(world, card("eth0", bus=True), card("eth1"))
    assert told == [
        ("node_back", "info", "node n1: degraded -> healthy"),
        ("link_back", "info", "node n1 has the link of eth1 (data) again"),
    ]
    assert (node.health, node.trouble) == (NodeHealth.HEALTHY, "")
    assert node_shown(node, now_s=world.now_s).reason == ""


def test_what_is_no_longer_needed_is_no_longer_missed() -> None:
    world = World()
    told = say(world, card("eth0", "down", bus=True), card("eth1", "down"))
    assert [message for _, _, message in told] == [
        "node n1 lost the link of eth0 (data, 10.0.0.5, carries the bus)",
        "node n1 lost the link of eth1 (data)",
    ]
    assert world.cluster.nodes[N1].trouble == "no link on eth0, eth1"
    told = say(world, card("eth0", "down", needed=False))
    assert [message for _, _, message in told] == [
        "node n1 no longer needs eth0",
        "node n1 no longer needs eth1",
    ]
    assert world.cluster.nodes[N1].trouble == ""


def test_a_new_leader_knows_of_it() -> None:
    world = World()
    say(world, card("eth1", "down"))
    row = world.mirror.nodes["n1"]
    again = World()
    restore_node(again.cluster, row, now_s=again.now_s)
    assert again.cluster.nodes[N1].trouble == "no link on eth1"
