"""The machines: what they hold, whether they answer, and what they were told to be."""

from __future__ import annotations

import time
from functools import partial

from msgspec.structs import replace
from textual import on
from textual.binding import Binding

from bus.api import Node, NodeChanged
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.document import node_details
from tui.screens.listing import sort_bindings
from tui.screens.steerable import SteerableList
from tui.view.facts import node_facts
from tui.view.lines import Line
from tui.view.listings import NODES
from tui.widgets.virtual_table import VirtualTable


class NodesScreen(SteerableList[Node]):
    """Enter on a node shows all that is known of it."""

    BINDINGS = [
        Binding("d", "details", "details", id="nodes.details"),
        Binding("u", "steer('cordon')", "cordon", id="nodes.cordon"),
        Binding("r", "steer('drain')", "drain", id="nodes.drain"),
        Binding("t", "steer('undrain')", "undrain", id="nodes.undrain"),
        Binding("m", "steer('maintenance')", "into maintenance", show=False, id="nodes.maintenance"),
        *sort_bindings(NODES),
    ]
    listing = NODES
    noun = "node"
    crumb = "nodes"
    empty = "No nodes yet.\n\nAn agent that starts appears here by itself. On another machine: corral join"
    example = "health!=healthy label.zone=a free_gpus>0 load>2"

    async def fetch(self, source: Source, *, cursor: str, limit: int) -> Slice[Node]:
        """One page."""
        answer = await source.nodes(filter=self._filter, sort=self._sort, cursor=cursor, limit=limit)
        return Slice(answer.nodes, answer.next, answer.total or len(answer.nodes), answer.states)

    def absorb(self, deltas: Deltas) -> bool:
        """What a node holds is not on the feed, so its tasks ask for a reload as well."""
        unknown = False
        for name, change in deltas.nodes.items():
            unknown |= not self.pages.patch(name, partial(patched, change))
        return unknown or bool(deltas.tasks) or bool(deltas.nodes and self._filter)

    def preview(self, row: Node) -> list[Line]:
        """Its facts."""
        return [*self.refused(row), *node_facts(row, now_s=time.time())]

    @on(VirtualTable.Selected)
    def action_details(self) -> None:
        """All that is known of the node under the cursor."""
        if (node := self.table.row) is not None:
            self.app.push_screen(node_details(node.name))


def patched(change: NodeChanged, node: Node) -> Node:
    """`node` as the feed says it is now."""
    return replace(node, health=change.health, admin=change.admin)
