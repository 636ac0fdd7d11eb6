"""In which network a node is: what gangs are kept together by.

A node is in the network of its data interface: the narrowest declared one that has its address, else the
subnet of that address. Agents of before told no prefixes: then the /24 or /64 of the node's address counts.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from msgspec import Struct

from bus.values import Gang, InterfaceInfo, Inventory, NetworkTerms

if TYPE_CHECKING:
    from coordinator.core.events import NetworksDeclared
    from coordinator.core.model import Cluster, Node

SUBNET = "subnet"
"""The topology that every node has: its network."""

_PREFIX = {4: 24, 6: 64}


class Topology(Struct, frozen=True, kw_only=True):
    """A network that was declared."""

    name: str
    subnet: str
    type: str = "ethernet"
    bandwidth_mbps: int = 0
    mtu: int = 0
    share: int = 100  # per cent of its links that tasks may be given


def on_declared(cluster: Cluster, event: NetworksDeclared) -> None:
    """These are the declared networks from now on."""
    cluster.networks = event.networks
    for node in cluster.nodes.values():
        locate(cluster, node)
    cluster.dirty = True
    cluster.sizes.clear()


def locate(cluster: Cluster, node: Node) -> None:
    """Find the node's network again: it, or what is declared, is new."""
    node.network = network_of(node.inventory, cluster.networks)
    declared = next((each for each in cluster.networks if each.name == node.network), None)
    node.terms = None
    if declared is not None:
        node.terms = NetworkTerms(bandwidth_mbps=declared.bandwidth_mbps, share=declared.share)


def network_of(inventory: Inventory, declared: tuple[Topology, ...]) -> str:
    """The name of a declared network, or a subnet; "" where the node has no address that says it."""
    card = data_card(inventory)
    address = inventory.ip if card is None else card.ip or ""
    if (topology := declared_for(address, declared)) is not None:
        return topology.name
    prefixed = next((each for each in card.addresses if _plain(each) == address), "") if card else ""
    return subnet_of(prefixed or address)


def data_card(inventory: Inventory) -> InterfaceInfo | None:
    """The fastest data interface with an address; None where its agent does not tell links apart."""
    able = [each for each in inventory.interfaces if each.kind == "data" and each.ip and each.link]
    return max(able, key=lambda each: (each.needed, each.speed_mbps, each.name), default=None)


def declared_for(address: str, declared: tuple[Topology, ...]) -> Topology | None:
    """The narrowest that has the address."""
    try:
        here = ipaddress.ip_address(_plain(address))
    except ValueError:
        return None
    found = [each for each in declared if here in ipaddress.ip_network(each.subnet)]
    return max(found, key=lambda each: ipaddress.ip_network(each.subnet).prefixlen, default=None)


def subnet_of(address: str) -> str:
    """Of "10.1.2.3/16": "10.1.0.0/16"; without a prefix the /24 or /64; "" of what is no address."""
    text, slash, prefix = address.partition("/")
    try:
        plain = ipaddress.ip_address(text.partition("%")[0])
        length = int(prefix) if slash else _PREFIX[plain.version]
        return str(ipaddress.ip_network((plain, length), strict=False))
    except ValueError:
        return ""


def _plain(address: str) -> str:
    return address.partition("/")[0].partition("%")[0]


def preferred(cluster: Cluster, gang: Gang) -> str:
    """The topology that holds a gang together: its own, or the networks where some are declared."""
    return gang.topology or (SUBNET if cluster.networks else "")
