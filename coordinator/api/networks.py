"""`topology.*`: the networks that are declared, and what of the cluster is in them.

The database has them; the loop is told of every change after it was written, so that a new leader knows them,
too. Who may is asked before (`bus.networks`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Iterator

from msgspec import Struct

from bus.errors import ApiError
from bus.networks import NetworkType, TopologyAdd, TopologyEntries, TopologyEntry, TopologyList, TopologyQuery
from bus.refusal import quote, refusal
from bus.units import UnitError, parse_mbps
from bus.values import InterfaceInfo
from coordinator.core.effects import Fault
from coordinator.core.events import NetworksDeclared
from coordinator.core.model import Node
from coordinator.core.networks import Topology, declared_for
from coordinator.loop import Loop, Overloaded
from coordinator.replies import fault_error
from coordinator.store.networks import NetworkRow, NetworkStore
from coordinator.store.rows import UserRow

TOPOLOGIES_MAX = 1_000
MTU_MIN, MTU_MAX = 68, 65_535
VLAN_MAX = 4094
LATENCY_MAX_MS = 9_999.0
_BUSY_S = 0.05

_NEEDS = {"infiniband": "infiniband", "roce": "roce"}  # Omni-Path looks like InfiniBand to the kernel
_CARDS = {"physical": "Ethernet without RDMA", "roce": "RoCE", "infiniband": "InfiniBand"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class NetworkDesk:
    """The handlers; `start` before anybody asks."""

    def __init__(self, loop: Loop, store: NetworkStore) -> None:
        self._loop = loop
        self._store = store
        self._rows: dict[str, NetworkRow] = {}
        self._writing = asyncio.Lock()
        self.handlers = {
            "topology.create": self.create,
            "topology.list": self.listed,
            "topology.remove": self.remove,
        }

    async def start(self) -> None:
        """What the database has. Raises StoreUnavailable."""
        await self._read()

    async def close(self) -> None:
        await self._store.close()

    async def _read(self) -> None:
        self._rows = {row.name: row for row in await self._store.every()}
        networks = tuple(
            Topology(
                name=row.name,
                subnet=row.subnet,
                type=row.network_type,
                bandwidth_mbps=row.bandwidth_mbps,
                mtu=row.mtu,
                share=row.share,
            )
            for row in self._rows.values()
        )
        while True:
            try:
                self._loop.post(NetworksDeclared(networks=networks))
            except Overloaded:  # what is written must become known
                await asyncio.sleep(_BUSY_S)
            else:
                return

    async def create(self, user: UserRow, request: Struct) -> TopologyEntry:
        """`topology.create`: raises ApiError with all that is wrong."""
        assert isinstance(request, TopologyAdd)
        if faults := list(_faults(request)):
            raise ApiError(fault_error(faults))
        row = NetworkRow(
            name=request.name,
            network_type=request.type,
            subnet=str(ipaddress.ip_network(request.subnet)),
            bandwidth_mbps=parse_mbps(request.bandwidth),
            vlan_id=request.vlan,
            latency_ms=request.latency_ms,
            mtu=request.mtu,
            share=request.share,
            created_by=user.name,
        )
        async with self._writing:
            if clashes := list(self._clashes(row)):
                raise ApiError(fault_error(clashes))
            await self._store.add(row)
            await self._read()
        return await self._shown(row.name)

    async def listed(self, user: UserRow, request: Struct) -> TopologyEntries:
        """`topology.list`."""
        assert isinstance(request, TopologyList)
        await self._loop.barrier()
        found = self._entries()
        return TopologyEntries(topologies=[each for each in found if each.declared or not request.declared])

    async def remove(self, user: UserRow, request: Struct) -> TopologyEntry:
        """`topology.remove`: what it was."""
        assert isinstance(request, TopologyQuery)
        async with self._writing:
            if request.name not in self._rows:
                hint = "corral topology ls shows what was declared"
                message = f"no topology {request.name[:80]!r}"
                raise ApiError(refusal("E_NOT_FOUND", message, field="/name", hint=hint))
            told = await self._shown(request.name)
            await self._store.remove(request.name, by=user.name)
            await self._read()
        await self._loop.barrier()
        return told

    async def _shown(self, name: str) -> TopologyEntry:
        await self._loop.barrier()
        return next(each for each in self._entries() if each.name == name and each.declared)

    def _clashes(self, made: NetworkRow) -> Iterator[Fault]:
        """With what there is."""
        if made.name in self._rows:
            message = f"there is a topology {made.name}"
            yield Fault(code="E_NAME_CLASH", message=message, field="/name", got=quote(made.name))
        for row in self._rows.values():
            if row.subnet == made.subnet:
                message = f"{row.subnet} is declared as {row.name}"
                yield Fault(code="E_NAME_CLASH", message=message, field="/subnet", got=quote(row.subnet))
        if len(self._rows) >= TOPOLOGIES_MAX:
            expected = f"at most {TOPOLOGIES_MAX}"
            yield Fault(code="E_TOO_MANY", message="too many topologies", field="/name", expected=expected)

    def _entries(self) -> list[TopologyEntry]:
        """The declared ones, then those in which nodes are by their addresses."""
        found = {name: _entry(row) for name, row in self._rows.items()}
        declared = self._loop.cluster.networks
        for _, node in sorted(self._loop.cluster.nodes.items()):
            entry = found.get(node.network)
            if entry is None and node.network:
                entry = TopologyEntry(name=node.network, subnet=node.network, declared=False)
                found[node.network] = entry
            if entry is not None:
                entry.nodes.append(node.name)
            for card, topology in cards_of(node, declared):
                into = found.get(topology.name) if topology is not None else None
                if into is not None and topology is not None:
                    into.interfaces += 1
                    into.down += card.status == "down"
                    into.notes += [f"{node.name} {card.name}: {note}" for note in notes_of(card, topology)]
        return sorted(found.values(), key=lambda each: (not each.declared, each.name))


def cards_of(node: Node, declared: tuple[Topology, ...]) -> Iterator[tuple[InterfaceInfo, Topology | None]]:
    """Its interfaces by name, each with the declared network of its address."""
    for card in sorted(node.inventory.interfaces, key=lambda card: card.name):
        yield card, declared_for(card.ip or "", declared)


def notes_of(card: InterfaceInfo, topology: Topology) -> list[str]:
    """What of an interface is not as its network was declared."""
    notes = []
    if card.mtu and topology.mtu and card.mtu != topology.mtu:
        notes.append(f"MTU {card.mtu}, not {topology.mtu} as in {topology.name}")
    if 0 < card.speed_mbps < topology.bandwidth_mbps:
        notes.append(f"{card.speed_mbps} Mbit/s, less than the {topology.bandwidth_mbps} of {topology.name}")
    if card.link in _CARDS and topology.type in _NEEDS and card.link != _NEEDS[topology.type]:
        notes.append(f"{_CARDS[card.link]}, no {topology.type} as {topology.name} is")
    return notes


def _entry(row: NetworkRow) -> TopologyEntry:
    return TopologyEntry(
        name=row.name,
        subnet=row.subnet,
        declared=True,
        type=NetworkType(row.network_type),
        bandwidth_mbps=row.bandwidth_mbps,
        vlan=row.vlan_id,
        latency_ms=row.latency_ms,
        mtu=row.mtu,
        share=row.share,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _faults(asked: TopologyAdd) -> Iterator[Fault]:
    if _NAME.fullmatch(asked.name) is None:
        expected = "1–63 of A–Z, a–z, 0–9, _, . and -, the first a letter or digit"
        yield Fault(code="E_NAME", field="/name", got=quote(asked.name), expected=expected)
    try:
        ipaddress.ip_network(asked.subnet)
    except ValueError as error:
        hint = f"{error}"[:200] if "host bits" in str(error) else ""
        expected = "a subnet without host bits, such as 10.1.0.0/16 or fd00:1::/64"
        yield Fault(code="E_VALUE", field="/subnet", got=quote(asked.subnet), expected=expected, hint=hint)
    try:
        if parse_mbps(asked.bandwidth) < 1:
            expected = "at least 1 Mbit/s"
            yield Fault(code="E_RANGE", field="/bandwidth", got=quote(asked.bandwidth), expected=expected)
    except UnitError as error:
        yield Fault(code=error.code, field="/bandwidth", got=quote(error.got), expected=error.expected)
    for field, value, least, most in (
        ("mtu", asked.mtu, MTU_MIN, MTU_MAX),
        ("share", asked.share, 1, 100),
        ("vlan", asked.vlan, 1, VLAN_MAX),
        ("latency_ms", asked.latency_ms, 0, LATENCY_MAX_MS),
    ):
        if value is not None and not least <= value <= most:
            yield Fault(code="E_RANGE", field=f"/{field}", got=quote(value), expected=f"{least}–{most:g}")
