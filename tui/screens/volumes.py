"""What lies behind disks and interfaces: volumes on the nodes, the pools of these, and networks."""

from __future__ import annotations

from textual import on

from bus.networks import TopologyEntry
from bus.volumes import PoolEntry, VolumeEntry, VolumeList
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.document import node_details
from tui.screens.listing import ListScreen, ShortList
from tui.view.lines import Line
from tui.view.networks import TOPOLOGIES, topology_facts
from tui.view.shell import command
from tui.view.volumes import POOLS, VOLUMES, pool_facts, volume_facts
from tui.widgets.virtual_table import VirtualTable


class VolumesScreen(ShortList, ListScreen[VolumeEntry]):
    """Enter on a volume shows its node. `pool`: only those of one."""

    past_note = "volumes as of now"
    listing = VOLUMES
    empty = "No volumes.\n\nIn a shell: corral pool create, then corral volume create"

    def __init__(self, pool: str = "") -> None:
        super().__init__()
        self._pool = pool
        self.crumb = f"{pool} › volumes" if pool else "volumes"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[VolumeEntry]:
        """All of them at once."""
        answer = await source.volumes(VolumeList(pool=self._pool))
        return Slice(answer.volumes, "", len(answer.volumes))

    def absorb(self, deltas: Deltas) -> bool:
        """Tasks come to have them, and nodes to hold them."""
        return bool(deltas.tasks or deltas.nodes)

    def preview(self, row: VolumeEntry) -> list[Line]:
        """The volume in full."""
        return volume_facts(row)

    def shell_command(self) -> str:
        """The same volumes."""
        return command("volume", "ls", pool=self._pool)

    @on(VirtualTable.Selected)
    def open_node(self) -> None:
        """The node that holds it."""
        if (volume := self.table.row) is not None:
            self.app.push_screen(node_details(volume.node))


class PoolsScreen(ShortList, ListScreen[PoolEntry]):
    """Enter on a pool shows its volumes."""

    past_note = "pools as of now"
    listing = POOLS
    crumb = "pools"
    empty = "No pools.\n\nIn a shell: corral pool create"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[PoolEntry]:
        """All of them at once."""
        answer = await source.pools()
        return Slice(answer.pools, "", len(answer.pools))

    def absorb(self, deltas: Deltas) -> bool:
        """Nodes say what is left of their part."""
        return bool(deltas.nodes)

    def preview(self, row: PoolEntry) -> list[Line]:
        """The pool in full, with its part on each node."""
        return pool_facts(row)

    def shell_command(self) -> str:
        """The same pools."""
        return command("pool", "ls")

    @on(VirtualTable.Selected)
    def open_volumes(self) -> None:
        """The volumes in it."""
        if (pool := self.table.row) is not None:
            self.app.push_screen(VolumesScreen(pool.name))


class TopologiesScreen(ShortList, ListScreen[TopologyEntry]):
    """Enter on a network shows the first node in it."""

    past_note = "networks as of now"
    listing = TOPOLOGIES
    crumb = "topologies"
    empty = "No networks are known.\n\nIn a shell: corral topology create NAME --subnet CIDR --bandwidth RATE"

    async def fetch(
        self, source: Source, *, cursor: str, limit: int, known: str = ""
    ) -> Slice[TopologyEntry]:
        """All of them at once."""
        answer = await source.topologies()
        return Slice(answer.topologies, "", len(answer.topologies))

    def absorb(self, deltas: Deltas) -> bool:
        """Nodes come with their interfaces."""
        return bool(deltas.nodes)

    def preview(self, row: TopologyEntry) -> list[Line]:
        """The network in full, with what does not agree with it."""
        return topology_facts(row)

    def shell_command(self) -> str:
        """The same networks."""
        return command("topology", "ls")

    @on(VirtualTable.Selected)
    def open_node(self) -> None:
        """A node that is in it."""
        if (network := self.table.row) is not None and network.nodes:
            self.app.push_screen(node_details(network.nodes[0]))
