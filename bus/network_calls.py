"""One method for each operation about networks; part of `bus.calls.Calls`."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from bus.networks import TopologyAdd, TopologyEntries, TopologyEntry, TopologyList, TopologyQuery

S = TypeVar("S", bound=Struct)


class NetworkCalls:
    """Networks that are declared, and those that are guessed from addresses."""

    async def topologies(self, *, declared: bool = False) -> TopologyEntries:
        """By name, the declared ones first; `declared`: those alone."""
        return await self._call("topology.list", TopologyList(declared=declared), TopologyEntries)

    async def create_topology(self, topology: TopologyAdd) -> TopologyEntry:
        """Declare a network."""
        return await self._call("topology.create", topology, TopologyEntry)

    async def remove_topology(self, name: str) -> TopologyEntry:
        """Its nodes are in a wider one then, or in what their addresses say."""
        return await self._call("topology.remove", TopologyQuery(name=name), TopologyEntry)

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        raise NotImplementedError
