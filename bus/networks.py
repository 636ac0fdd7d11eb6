"""The networks that nodes are in: declared ones (`topology.*`), and those that addresses let guess."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bus.operation import Operation
from bus.requests import Request
from bus.values import Role


class NetworkType(StrEnum):
    ETHERNET = "ethernet"
    INFINIBAND = "infiniband"
    ROCE = "roce"
    OMNI_PATH = "omni_path"


class TopologyAdd(Request, kw_only=True):
    """`bandwidth` of one link, such as "10Gbit" or 10000 (Mbit/s). `subnet`: "10.1.0.0/16".

    `share`: per cent of each link that tasks may be given, 1 to 100.
    """

    name: str
    subnet: str
    bandwidth: int | str
    type: NetworkType = NetworkType.ETHERNET
    vlan: int | None = None
    latency_ms: float | None = None
    mtu: int = 1500
    share: int = 100


class TopologyQuery(Request, kw_only=True):
    """One that was declared, by its name."""

    name: str


class TopologyList(Request, kw_only=True):
    """`declared`: without those that are only guessed from addresses."""

    declared: bool = False


class TopologyEntry(Struct, kw_only=True):
    """A network, and what of the cluster is in it. Of one that is guessed only name and subnet are known.

    `nodes`: whose data interface is in it. `interfaces`: all that have an address there, `down` of them
    without a link. `notes`: what does not agree with what was declared.
    """

    name: str
    subnet: str
    declared: bool
    type: NetworkType | None = None
    bandwidth_mbps: int = 0
    vlan: int | None = None
    latency_ms: float | None = None
    mtu: int = 0
    share: int = 100
    nodes: list[str] = []
    interfaces: int = 0
    down: int = 0
    notes: list[str] = []
    created_at: float | None = None
    created_by: str = ""


class TopologyEntries(Struct, kw_only=True):
    """By name, the declared ones first."""

    topologies: list[TopologyEntry]


NETWORK_OPERATIONS: dict[str, Operation] = {
    "topology.create": Operation(TopologyAdd, TopologyEntry, Role.OPERATOR),
    "topology.list": Operation(TopologyList, TopologyEntries, Role.READONLY),
    "topology.remove": Operation(TopologyQuery, TopologyEntry, Role.OPERATOR),
}
