"""Interfaces of a real machine: what its agent finds, and what a link that goes does to its node.

The machine is a network namespace: one veth carries the bus, another is declared to be for data, and
its far end is the switch whose plug is pulled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.join.machines import Machine, Place, ip, needs_namespaces, one_place, until

pytestmark = needs_namespaces

SEEN_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with one_place() as place:
        add_data_link(place.one)
        place.one.ok("join", place.url, place.token("node"), "--name", "n1", "--interface", "data0=data")
        yield place


def add_data_link(machine: Machine) -> None:
    for words in (
        ("link", "add", "data0", "type", "veth", "peer", "name", "far0"),
        ("link", "set", "far0", "mtu", "9000", "up"),
        ("link", "set", "data0", "mtu", "9000", "up"),
        ("addr", "add", "10.9.1.1/16", "dev", "data0"),
    ):
        done = ip("-n", machine.namespace, *words)
        assert done.returncode == 0, done.stderr.decode()


def cards(place: Place) -> dict[str, dict[str, Any]]:
    node = place.home.document("node", "n1")
    return {card["name"]: card for card in node["inventory"]["interfaces"]}


def events(place: Place, kind: str) -> list[str]:
    listed = place.home.document("events", "--filter", f"kind={kind} node=n1")["events"]
    return [event["message"] for event in listed]


@pytest.mark.contract("S2.74")
def test_what_the_machine_has_is_known(place: Place) -> None:
    found = cards(place)
    assert found["data0"] | {"mac": ""} == found["data0"] | {
        "mac": "", "kind": "data", "link": "veth", "mtu": 9000, "addresses": ["10.9.1.1/16"],
        "status": "up", "needed": True,
    }  # fmt: skip
    bus = found["eth0"]
    assert (bus["kind"], bus["carries_bus"], bus["needed"], bus["link"]) == ("management", True, True, "veth")
    assert (bus["duplex"], bus["driver"]) == ("full", "veth")
    assert bus["speed_mbps"] > 0


@pytest.mark.contract("S2.74")
def test_a_lost_link_degrades_the_node_and_heals(place: Place) -> None:
    """Within 10 s: the event, and the node degraded with the reason. Work goes on."""
    assert place.health()["n1"] == "healthy"
    begun_s = time.monotonic()
    assert ip("-n", place.one.namespace, "link", "set", "far0", "down").returncode == 0
    until(lambda: place.health()["n1"] == "degraded")
    assert time.monotonic() - begun_s < SEEN_WITHIN_S
    assert cards(place)["data0"]["status"] == "down"
    assert place.home.document("node", "n1")["reason"] == "no link on data0"
    until(lambda: events(place, "link_lost") == ["node n1 lost the link of data0 (data, 10.9.1.1)"])
    assert place.home.ok("run", "--node", "n1", "--", "echo", "still") == "still\n"
    assert ip("-n", place.one.namespace, "link", "set", "far0", "up").returncode == 0
    until(lambda: place.health()["n1"] == "healthy")
    until(lambda: events(place, "link_back") == ["node n1 has the link of data0 (data, 10.9.1.1) again"])


def test_an_interface_that_goes_altogether_is_missed(place: Place) -> None:
    assert ip("-n", place.one.namespace, "link", "del", "data0").returncode == 0
    until(lambda: place.health()["n1"] == "degraded")
    assert cards(place)["data0"]["status"] == "down"
    add_data_link(place.one)
    until(lambda: place.health()["n1"] == "healthy")


def test_what_nobody_needs_may_go(place: Place) -> None:
    namespace = place.one.namespace
    assert ip("-n", namespace, "link", "add", "spare0", "type", "ifb").returncode == 0
    until(lambda: "spare0" in cards(place))
    assert cards(place)["spare0"]["status"] == "down"
    assert ip("-n", namespace, "link", "del", "spare0").returncode == 0
    until(lambda: "spare0" not in cards(place))
    assert place.health()["n1"] == "healthy"
