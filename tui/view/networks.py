"""Interfaces and the networks that they are in, as lists and in full."""

from __future__ import annotations

from msgspec.structs import replace

from bus.equipment import Device
from bus.networks import TopologyEntry
from tui.view.amounts import NONE, first_of
from tui.view.equipment import DEVICES, column, device_mark, device_tone, speed, status_word
from tui.view.facts import fact
from tui.view.lines import Line
from tui.view.listings import Listing

NODES_NAMED = 8


def purpose(device: Device) -> str:
    """What it is for: "data", "management, carries the bus"."""
    return device.about + (", carries the bus" if device.carries_bus else "")


INTERFACES: Listing[Device] = Listing(
    noun="devices",
    columns=(
        column("node", "NODE", lambda each, _: each.node, least=8),
        column("mark", "S", lambda each, _: device_mark(each), tinted=True, most=1),
        column("name", "NAME", lambda each, _: each.name, most=15, least=6),
        column("network", "NETWORK", lambda each, _: each.network or NONE, priority=1),
        column("about", "FOR", lambda each, _: purpose(each), priority=2, most=30),
        column("speed", "SPEED", lambda each, _: speed(each.speed_mbps), priority=2, right=True),
        column("mtu", "MTU", lambda each, _: str(each.mtu or NONE), priority=4, right=True),
        column("status", "STATUS", lambda each, _: status_word(each) or NONE, priority=1),
        column("needed", "NEEDED", lambda each, _: "yes" if each.needed else NONE, priority=3),
        column("address", "ADDRESS", lambda each, _: first_address(each), priority=3, most=43),
        column("link", "LINK", lambda each, _: each.link or NONE, priority=5),
        column("driver", "DRIVER", lambda each, _: each.driver or NONE, priority=6),
    ),
    key=lambda each: f"{each.node} {each.name}",
    tone=device_tone,
)


CARDS: Listing[Device] = replace(INTERFACES, key=DEVICES.key)
"""The same among other devices, whose names may be alike."""


def first_address(device: Device) -> str:
    """With its prefix where that is known."""
    return device.addresses[0] if device.addresses else device.address or NONE


TOPOLOGIES: Listing[TopologyEntry] = Listing(
    noun="topologies",
    columns=(
        column("name", "NAME", lambda each, _: each.name, least=8, most=43),
        column("type", "TYPE", lambda each, _: str(each.type or "guessed"), priority=1),
        column("subnet", "SUBNET", lambda each, _: each.subnet, priority=1, most=43),
        column("bandwidth", "BANDWIDTH", lambda each, _: bandwidth(each), priority=2, right=True),
        column("mtu", "MTU", lambda each, _: str(each.mtu or NONE), priority=3, right=True),
        column("vlan", "VLAN", lambda each, _: str(each.vlan or NONE), priority=5, right=True),
        column("latency", "LATENCY", lambda each, _: latency(each), priority=5, right=True),
        column("links", "LINKS", lambda each, _: links(each), priority=3, right=True, tinted=True),
        column("nodes", "NODES", lambda each, _: nodes(each), priority=4, most=60),
    ),
    key=lambda each: each.name,
    tone=lambda each: "bad" if each.down else "warn" if each.notes else "ok",
)


def topology_facts(entry: TopologyEntry) -> list[Line]:
    """A network in full, and what does not agree with what was declared of it."""
    declared = f"declared by {entry.created_by}" if entry.declared else "guessed from addresses"
    lines = [
        fact("network", entry.name),
        fact("subnet", entry.subnet),
        fact("type", f"{entry.type or 'not known'}, {declared}"),
        fact("link", f"{bandwidth(entry)}, MTU {entry.mtu or NONE}"),
        fact("latency", latency(entry)),
        fact("VLAN", str(entry.vlan or NONE)),
        fact("links", links(entry), "bad" if entry.down else ""),
        fact("nodes", nodes(entry)),
    ]
    return lines + [fact("note", remark, "warn") for remark in entry.notes]


def bandwidth(entry: TopologyEntry) -> str:
    """Of one link, and how much of that is for tasks: "10 Gbit/s, tasks 50 %"."""
    return speed(entry.bandwidth_mbps) + (f", tasks {entry.share} %" if entry.share < 100 else "")


def latency(entry: TopologyEntry) -> str:
    return NONE if entry.latency_ms is None else f"{entry.latency_ms:g} ms"


def links(entry: TopologyEntry) -> str:
    """Interfaces there, and how many of them have no link: "4, 1 down"."""
    if not entry.declared:
        return NONE
    return f"{entry.interfaces}, {entry.down} down" if entry.down else str(entry.interfaces)


def nodes(entry: TopologyEntry) -> str:
    """The first few, and how many more."""
    return first_of(entry.nodes, NODES_NAMED) or NONE


def interface_facts(device: Device) -> list[Line]:
    """What else is known of an interface than that it is one."""
    where = [device.pci_slot] if device.pci_slot else []
    where += [f"NUMA node {device.numa_node}"] if device.numa_node is not None else []
    driver = " ".join(filter(None, (device.driver, device.firmware))) or NONE
    duplex = f", {device.duplex} duplex" if device.duplex in ("half", "full") else ""
    lines = [
        fact("speed", speed(device.speed_mbps) + duplex),
        fact("network", device.network or NONE),
        fact("for", purpose(device)),
        fact("address", ", ".join(device.addresses) or device.address or NONE),
        fact("MTU", f"{device.mtu} bytes" if device.mtu else NONE),
        fact("link", device.link or NONE),
        fact("driver", driver),
        fact("MAC", device.mac or NONE),
    ]
    if where:
        lines.append(fact("slot", "   ".join(where)))
    if device.needed:
        lines.append(fact("needed", "the node is degraded without its link"))
    lines += [fact("note", remark, "warn") for remark in device.notes]
    return lines
