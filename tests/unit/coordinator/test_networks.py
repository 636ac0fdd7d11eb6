"""Which network a node is in, what is declared, and that gangs are kept together by it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace

from bus.values import InterfaceInfo, Inventory, NetworkTerms, NodeName
from coordinator.api.networks import notes_of
from coordinator.core.effects import AnswerRegister
from coordinator.core.events import NetworksDeclared
from coordinator.core.gang_why import gang_blocker
from coordinator.core.networks import Topology, declared_for, network_of, subnet_of
from coordinator.core.rebuild import restore_node
from tests.unit.coordinator.conftest import INVENTORY, World
from tests.unit.coordinator.shell import Shell, running_shell
from tests.unit.coordinator.test_gang_places import kept, node, places, submit

LAB = Topology(name="lab", subnet="10.1.0.0/16", bandwidth_mbps=10_000, mtu=9000)
RACK = Topology(name="rack-7", subnet="10.1.7.0/24", bandwidth_mbps=100_000, mtu=9000)
SIX = Topology(name="six", subnet="fd00:1::/64")
EVERY = (LAB, RACK, SIX)


def card(name: str, address: str = "", *, link: str = "physical", **fields: object) -> InterfaceInfo:
    ip = address.partition("/")[0] or None
    base = InterfaceInfo(name=name, mac="02:00:00:00:00:01", ip=ip, status="up", link=link)
    return replace(base, addresses=(address,) if "/" in address else (), **fields)


def having(*cards: InterfaceInfo, ip: str = "192.168.1.5") -> Inventory:
    return replace(INVENTORY, ip=ip, interfaces=cards)


@pytest.mark.parametrize(
    ("inventory", "network"),
    [
        (having(card("eth0", "10.1.2.3/16")), "lab"),
        (having(card("eth0", "10.1.7.3/16")), "rack-7"),
        (having(card("eth0", "fd00:1::5/64")), "six"),
        (having(card("eth0", "10.2.2.3/12")), "10.0.0.0/12"),
        (having(card("eth0", "10.2.2.3")), "10.2.2.0/24"),
        (having(card("eth0", "10.1.2.3/16", kind="management")), "192.168.1.0/24"),
        (having(card("eth0", "10.1.2.3/16", link="")), "192.168.1.0/24"),
        (having(card("eth0", "10.1.2.3/16"), card("eth1", "10.3.0.1/24", speed_mbps=100)), "10.3.0.0/24"),
        (having(card("eth0", "10.1.2.3/16", needed=True), card("eth1", "10.3.0.1/24", speed_mbps=9)), "lab"),
        (having(ip="10.1.9.9"), "lab"),
        (having(ip="strange"), ""),
    ],
)
def test_a_node_is_in_the_network_of_its_data_interface(inventory: Inventory, network: str) -> None:
    assert network_of(inventory, EVERY) == network


def test_subnets() -> None:
    assert subnet_of("10.1.2.3/16") == "10.1.0.0/16"
    assert subnet_of("fd00:1:2:3::5") == "fd00:1:2:3::/64"
    assert subnet_of("fe80::1%eth0/64") == "fe80::/64"
    assert (subnet_of("10.1.2.3/99"), subnet_of("10.1.2.3/x"), subnet_of("")) == ("", "", "")
    assert declared_for("no address", EVERY) is None


@given(st.ip_addresses(), st.lists(st.integers(0, 32), min_size=1, max_size=5, unique=True))
def test_the_narrowest_that_has_the_address_counts(address: object, lengths: list[int]) -> None:
    text = str(address)
    declared = tuple(Topology(name=str(length), subnet=subnet_of(f"{text}/{length}")) for length in lengths)
    found = declared_for(text, declared)
    assert found is not None and found.name == str(max(lengths))


# gangs


@pytest.mark.contract("S2.73")
def test_gangs_are_kept_in_one_network_where_networks_are_declared() -> None:
    """Six nodes in two subnets, of which the labels say nothing: one network holds all ranks."""
    world = World()
    world.happen(NetworksDeclared(networks=(LAB, replace(RACK, subnet="10.2.0.0/16"))))
    for number in range(6):
        node(world, f"n{number}", 1, ip=f"10.{1 + number % 2}.0.{number}")
    job = submit(world, 3)
    assert places(world) in (["n0", "n2", "n4"], ["n1", "n3", "n5"])
    assert (kept(world, job).topology, len(kept(world, job).values)) == ("subnet", 1)
    assert kept(world, job).values[0] in ("lab", "rack-7")


def test_a_gang_that_names_a_topology_has_that() -> None:
    world = World()
    world.happen(NetworksDeclared(networks=(LAB,)))
    for number in range(4):
        node(world, f"n{number}", 1, ip=f"10.{number % 2}.0.{number}", rack=f"r{number // 2}")
    submit(world, 2, topology="rack")
    assert places(world) in (["n0", "n1"], ["n2", "n3"])


def test_a_gang_too_large_for_any_network_is_spread_and_says_so() -> None:
    world = World()
    world.happen(NetworksDeclared(networks=(LAB,)))
    for number in range(4):
        node(world, f"n{number}", 1, ip=f"10.{number % 2}.0.{number}")
    job = submit(world, 4)
    assert sorted(places(world)) == ["n0", "n1", "n2", "n3"]
    assert kept(world, job).spread == "no subnet has 4 places: the widest is 10.0.0.0/24 with 2"
    for name in ("n4", "n5"):
        node(world, name, 1, ip="10.1.0.9")
    shape = world.cluster.jobs[submit(world, 3)].groups[0].shape
    (blocker,) = gang_blocker(world.cluster, shape)
    assert blocker.message == "2 of 3 ranks fit now (subnet lab: 2); all start at once or none"


def test_nothing_is_preferred_where_nothing_is_declared() -> None:
    world = World()
    for number in range(4):
        node(world, f"n{number}", 1, ip=f"10.{number % 2}.0.{number}")
    job = submit(world, 2)
    assert places(world) == ["n0", "n1"]
    assert kept(world, job).topology == ""


def test_networks_follow_what_is_declared_and_a_new_leader_finds_them_again() -> None:
    world = World()
    node(world, "n1", ip="10.1.7.5")
    n1 = NodeName("n1")
    assert world.cluster.nodes[n1].network == "10.1.7.0/24"
    world.happen(NetworksDeclared(networks=EVERY))
    assert world.cluster.nodes[n1].network == "rack-7"
    again = World()
    again.happen(NetworksDeclared(networks=EVERY))
    restore_node(again.cluster, world.mirror.nodes["n1"], now_s=1.0)
    assert again.cluster.nodes[n1].network == "rack-7"
    world.happen(NetworksDeclared(networks=(LAB,)))
    assert world.cluster.nodes[n1].network == "lab"


# the desk


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as made:
        yield made


async def connected(shell: Shell) -> None:
    """n1 as declared, n2 with a small MTU and a slow card, n3 somewhere else."""
    await shell.ask("olga", "topology.create", name="lab", subnet="10.1.0.0/16", bandwidth="10Gbit", mtu=9000)
    for name in ("n1", "n2", "n3"):
        await shell.agent(name)
    for name, cards in (
        ("n1", (card("eth1", "10.1.0.1/16", mtu=9000, speed_mbps=25_000),)),
        ("n2", (card("eth1", "10.1.0.2/16", mtu=1500, speed_mbps=1000),
                card("eth2", "10.1.0.3/16", mtu=9000))),
        ("n3", (replace(card("eth1", "10.9.0.3/24"), status="down"),)),
    ):  # fmt: skip
        found = shell.cluster.nodes[NodeName(name)]
        found.equip(replace(found.inventory, interfaces=cards))
    topologies = shell.cluster.networks
    shell.loop.post(NetworksDeclared(networks=topologies))


async def test_topologies_say_what_is_in_them_and_what_does_not_agree(shell: Shell) -> None:
    await connected(shell)
    lab, guessed = (await shell.ask("rita", "topology.list"))["topologies"]
    assert (lab["name"], lab["declared"], lab["type"], lab["bandwidth_mbps"]) == (
        "lab",
        True,
        "ethernet",
        10_000,
    )
    assert (lab["nodes"], lab["interfaces"], lab["down"], lab["created_by"]) == (["n1", "n2"], 3, 0, "olga")
    assert lab["notes"] == [
        "n2 eth1: MTU 1500, not 9000 as in lab",
        "n2 eth1: 1000 Mbit/s, less than the 10000 of lab",
    ]
    assert (guessed["name"], guessed["declared"], guessed["nodes"]) == ("10.9.0.0/24", False, ["n3"])
    only = (await shell.ask("rita", "topology.list", declared=True))["topologies"]
    assert [each["name"] for each in only] == ["lab"]


async def test_interfaces_say_in_which_network_they_are(shell: Shell) -> None:
    await connected(shell)
    found = (await shell.ask("rita", "node.devices", kind="interface"))["devices"]
    assert [(each["node"], each["name"], each["network"]) for each in found] == [
        ("n1", "eth1", "lab"), ("n2", "eth1", "lab"), ("n2", "eth2", "lab"), ("n3", "eth1", ""),
    ]  # fmt: skip
    assert [len(each["notes"]) for each in found] == [0, 2, 0, 0]
    assert found[0]["addresses"] == ["10.1.0.1/16"]


@pytest.mark.contract("S2.73")
async def test_what_is_removed_is_gone(shell: Shell) -> None:
    await connected(shell)
    told = await shell.ask("olga", "topology.remove", name="lab")
    assert (told["name"], told["nodes"]) == ("lab", ["n1", "n2"])
    left = (await shell.ask("rita", "topology.list"))["topologies"]
    assert [each["name"] for each in left] == ["10.1.0.0/16", "10.9.0.0/24"]
    error = (await shell.ask("olga", "topology.remove", name="lab"))["error"]
    assert (error["code"], error["field"]) == ("E_NOT_FOUND", "/name")


async def test_names_and_subnets_are_taken_once(shell: Shell) -> None:
    await connected(shell)
    error = (await shell.ask("olga", "topology.create", name="lab", subnet="10.1.0.0/16", bandwidth=1))[
        "error"
    ]
    assert error["code"] == "E_NAME_CLASH"
    assert "declared as lab" in str(error)
    made = await shell.ask("olga", "topology.create", name="rack-7", subnet="10.1.7.0/24", bandwidth=1)
    assert made["bandwidth_mbps"] == 1, "a narrower one within is fine"


@pytest.mark.contract("S2.73")
@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"name": ""}, "E_NAME", "/name"),
        ({"name": "a b"}, "E_NAME", "/name"),
        ({"name": "x" * 64}, "E_NAME", "/name"),
        ({"name": "\x1b[31m"}, "E_NAME", "/name"),
        ({"subnet": "10.1.0.5/16"}, "E_VALUE", "/subnet"),
        ({"subnet": "10.1.0.0/33"}, "E_VALUE", "/subnet"),
        ({"subnet": "lab"}, "E_VALUE", "/subnet"),
        ({"bandwidth": "10 parsecs"}, "E_UNIT", "/bandwidth"),
        ({"bandwidth": 0}, "E_RANGE", "/bandwidth"),
        ({"bandwidth": -1}, "E_RANGE", "/bandwidth"),
        ({"type": "token_ring"}, "E_ENUM", "/type"),
        ({"mtu": 67}, "E_RANGE", "/mtu"),
        ({"share": 0}, "E_RANGE", "/share"),
        ({"share": 101}, "E_RANGE", "/share"),
        ({"vlan": 4095}, "E_RANGE", "/vlan"),
        ({"latency_ms": -0.1}, "E_RANGE", "/latency_ms"),
    ],
)
async def test_what_is_wrong_is_named(shell: Shell, wrong: dict[str, object], code: str, field: str) -> None:
    sound = {"name": "lab", "subnet": "10.1.0.0/16", "bandwidth": "10Gbit"}
    error = (await shell.ask("olga", "topology.create", **(sound | wrong)))["error"]
    assert (error["code"], error["field"]) == (code, field)


async def test_all_that_is_wrong_is_named_at_once(shell: Shell) -> None:
    error = (
        await shell.ask("olga", "topology.create", name="a b", subnet="x", bandwidth="y", mtu=1, vlan=0)
    )["error"]
    assert [error["code"], *(each["code"] for each in error["more"])] == [
        "E_NAME", "E_VALUE", "E_UNIT", "E_RANGE", "E_RANGE"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "link", "said"),
    [
        ("roce", "physical", ["Ethernet without RDMA, no roce as ib is"]),
        ("roce", "roce", []),
        ("roce", "infiniband", ["InfiniBand, no roce as ib is"]),
        ("infiniband", "roce", ["RoCE, no infiniband as ib is"]),
        ("infiniband", "infiniband", []),
        ("infiniband", "bond", []),  # of what nobody can tell
        ("omni_path", "infiniband", []),
        ("ethernet", "roce", []),
    ],
)
def test_a_card_of_another_sort_than_its_network_is_marked(kind: str, link: str, said: list[str]) -> None:
    found = replace(card("eth1", "10.1.0.1/16"), link=link)
    assert notes_of(found, Topology(name="ib", subnet="10.1.0.0/16", type=kind)) == said


def test_agents_are_told_what_is_declared_of_their_network(pool: World) -> None:
    """With the answer to their registration; one that knows something else is asked to register again."""

    def told() -> NetworkTerms | None:
        pool.register("n1", inventory=replace(INVENTORY, ip="10.1.0.5"))
        (answer,) = [tell for tell in pool.tells if isinstance(tell, AnswerRegister)]
        return answer.network

    assert told() is None and not pool.beat().register_again
    lab = replace(LAB, share=40)
    pool.happen(NetworksDeclared(networks=(lab,)))
    assert pool.beat().register_again
    assert told() == NetworkTerms(bandwidth_mbps=10_000, share=40)
    assert not pool.beat().register_again
    pool.happen(NetworksDeclared(networks=(replace(lab, mtu=1500),)))
    assert not pool.beat().register_again, "that is not for agents"
    pool.happen(NetworksDeclared(networks=()))
    assert pool.beat().register_again
    assert told() is None and not pool.beat().register_again
