"""Volumes on the nodes: how full each is and who has it."""

from __future__ import annotations

from textual import on

from bus.volumes import VolumeEntry
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.document import node_details
from tui.screens.listing import ListScreen, ShortList
from tui.view.lines import Line
from tui.view.volumes import VOLUMES, volume_facts
from tui.widgets.virtual_table import VirtualTable


class VolumesScreen(ShortList, ListScreen[VolumeEntry]):
    """Enter on a volume shows its node."""

    past_note = "volumes as of now"
    listing = VOLUMES
    crumb = "volumes"
    empty = "No volumes.\n\nIn a shell: corral pool create, then corral volume create"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[VolumeEntry]:
        """All of them at once."""
        answer = await source.volumes()
        return Slice(answer.volumes, "", len(answer.volumes))

    def absorb(self, deltas: Deltas) -> bool:
        """Tasks come to have them, and nodes to hold them."""
        return bool(deltas.tasks or deltas.nodes)

    def preview(self, row: VolumeEntry) -> list[Line]:
        """The volume in full."""
        return volume_facts(row)

    @on(VirtualTable.Selected)
    def open_node(self) -> None:
        """The node that holds it."""
        if (volume := self.table.row) is not None:
            self.app.push_screen(node_details(volume.node))
