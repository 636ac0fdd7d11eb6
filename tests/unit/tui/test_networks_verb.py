"""`corral network` and `corral topology`: what they ask for, what they show, which lines they refuse."""

from __future__ import annotations

import json

import pytest
from msgspec import Struct
from msgspec.structs import replace

from bus.equipment import Device, DeviceKind, DeviceQuery, Devices
from bus.networks import NetworkType, TopologyAdd, TopologyEntries, TopologyEntry, TopologyList, TopologyQuery
from tests.unit.tui.command import Corral
from tui.view.equipment import device_tone
from tui.view.networks import bandwidth, interface_facts, latency, links, nodes

CARD = Device(
    node="n1", kind=DeviceKind.INTERFACE, name="eth1", about="data", status="up", address="10.1.0.5",
    addresses=["10.1.0.5/16"], speed_mbps=1000, mtu=1500, duplex="full", link="physical", network="lab",
    driver="mlx5_core", firmware="22.39", pci_slot="0000:3b:00.0", numa_node=1, carries_bus=True,
    needed=True, mac="02:00:00:00:00:01", notes=["MTU 1500, not 9000 as in \x1b[31mlab"],
)  # fmt: skip
LOST = replace(CARD, name="ib0", status="down", speed_mbps=0, carries_bus=False, notes=[])
LAB = TopologyEntry(
    name="lab", subnet="10.1.0.0/16", declared=True, type=NetworkType.ETHERNET, bandwidth_mbps=10_000,
    mtu=9000, latency_ms=0.05, nodes=[f"n{number}" for number in range(10)], interfaces=12, down=1,
    notes=["n1 eth1: MTU 1500, not 9000 as in lab"],
)  # fmt: skip
GUESSED = TopologyEntry(name="10.9.0.0/24", subnet="10.9.0.0/24", declared=False, nodes=["n77"])


def test_a_share_stands_beside_the_bandwidth() -> None:
    assert (bandwidth(LAB), bandwidth(replace(LAB, share=40))) == ("10 Gbit/s", "10 Gbit/s, tasks 40 %")


def answer(request: Struct) -> Struct | None:
    match request:
        case DeviceQuery():
            return Devices(devices=[CARD, LOST], total=3, next="more", nodes=1)
        case TopologyList():
            return TopologyEntries(topologies=[LAB, GUESSED])
        case TopologyAdd() | TopologyQuery():
            return LAB
    return None


@pytest.fixture
def networks(corral: Corral) -> Corral:
    corral.answer = answer
    return corral


def test_interfaces_are_listed(networks: Corral) -> None:
    _, said, noted = networks("network", "ls", "--filter", "name=n1", "--limit", "2")
    assert networks.asked == [DeviceQuery(filter="name=n1", kind=DeviceKind.INTERFACE, limit=2)]
    for words in ("eth1", "lab", "data, carries the bus", "1 Gbit/s", "10.1.0.5/16", "yes", "down"):
        assert words in said
    assert "1 more" in noted
    assert networks("network", "list", "-o", "name")[1].splitlines() == ["n1 eth1", "n1 ib0"]
    assert json.loads(networks("network", "ls", "-o", "json")[1])["devices"][0]["firmware"] == "22.39"


def test_topologies_are_listed_with_what_does_not_agree(networks: Corral) -> None:
    _, said, noted = networks("topology", "ls", "--declared")
    assert networks.asked == [TopologyList(declared=True)]
    for words in ("lab", "10 Gbit/s", "12, 1 down", "0.05 ms", "n7 and 2 more", "guessed", "n77"):
        assert words in said
    assert "n1 eth1: MTU 1500, not 9000 as in lab" in noted
    assert networks("topology", "ls", "lab", "-o", "name")[1].splitlines() == ["lab"]


def test_one_is_declared_and_forgotten(networks: Corral) -> None:
    said = "--subnet 10.1.0.0/16 --bandwidth 10Gbit --type roce --mtu 9000 --vlan 7 --latency 0.05 --share 40"
    assert networks("topology", "create", "lab", *said.split())[0] == 0
    assert networks.asked == [
        TopologyAdd(
            name="lab", subnet="10.1.0.0/16", bandwidth="10Gbit", type=NetworkType.ROCE, vlan=7,
            latency_ms=0.05, mtu=9000, share=40,
        )
    ]  # fmt: skip
    assert "lab" in networks("topology", "rm", "lab")[1]


@pytest.mark.parametrize(
    ("line", "code", "exit"),
    [
        ("topology create", "E_REQUIRED", 2),
        ("topology rm", "E_REQUIRED", 2),
        ("topology create lab --bandwidth 1G", "E_REQUIRED", 2),
        ("topology create lab --subnet 10.1.0.0/16", "E_REQUIRED", 2),
        ("topology create lab --type token_ring", "E_USAGE", 2),
        ("topology create lab --mtu 67", "E_", 2),
        ("topology mend lab", "E_USAGE", 2),
        ("network up", "E_USAGE", 2),
    ],
)
def test_lines_that_make_no_sense_ask_nobody(networks: Corral, line: str, code: str, exit: int) -> None:
    found, _, said = networks(*line.split())
    assert (found, code in said, networks.asked) == (exit, True, [])


def test_a_topology_that_is_not_there(networks: Corral) -> None:
    code, _, said = networks("topology", "ls", "nowhere")
    assert "E_NOT_FOUND" in said and code != 0


def test_an_interface_in_full() -> None:
    told = "\n".join(line.text for line in interface_facts(CARD))
    for words in (
        "1 Gbit/s, full duplex", "lab", "10.1.0.5/16", "1500 bytes", "mlx5_core 22.39",
        "0000:3b:00.0   NUMA node 1",
        "degraded without its link", "not 9000",
    ):  # fmt: skip
        assert words in told
    bare = Device(node="n1", kind=DeviceKind.INTERFACE, name="eth0", about="data")
    assert "slot" not in "\n".join(line.text for line in interface_facts(bare))


def test_what_is_needed_and_down_stands_out() -> None:
    assert [device_tone(each) for each in (CARD, LOST, replace(LOST, needed=False, address=""))] == [
        "warn", "bad", "idle",
    ]  # fmt: skip
    bridge = replace(LOST, needed=False, link="bridge")
    assert device_tone(bridge) == "idle", "a bridge that nothing is plugged into"


def test_what_is_not_known_is_a_dash() -> None:
    assert (latency(GUESSED), links(GUESSED), nodes(replace(GUESSED, nodes=[]))) == ("–", "–", "–")
