"""What tasks can have on the machines: tools, container runtimes, isolation, models of GPUs."""

from __future__ import annotations

from textual import on
from textual.binding import Binding

from bus.equipment import Tool, ToolKind
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.document import node_details
from tui.screens.listing import ListScreen
from tui.view.equipment import TOOLS, tool_facts
from tui.view.lines import Line
from tui.widgets.virtual_table import VirtualTable


class ToolsScreen(ListScreen[Tool]):
    """Enter shows the first node that has it."""

    past_note = "tools as of now"
    BINDINGS = [Binding("d", "details", "a node", id="tools.details")]
    listing = TOOLS
    crumb = "tools"
    empty = (
        "No tools, runtimes or GPUs are known.\n\n"
        "Agents tell of them when they register: container runtimes, isolation and GPUs as they find them, "
        "tools as their configuration names them.\nArtifacts and models of jobs are not kept by the cluster."
    )

    async def fetch(self, source: Source, *, cursor: str, limit: int) -> Slice[Tool]:
        """All of them at once: there are as many as there are names."""
        answer = await source.tools()
        counts = {str(kind): sum(tool.kind is kind for tool in answer.tools) for kind in ToolKind}
        states = {kind: number for kind, number in counts.items() if number}
        return Slice(answer.tools, "", len(answer.tools), states)

    def absorb(self, deltas: Deltas) -> bool:
        """Machines say what they have when they register."""
        return bool(deltas.nodes or deltas.jobs)

    def preview(self, row: Tool) -> list[Line]:
        """The tool in full."""
        return tool_facts(row)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The list is short: it has no filters."""
        return False if action in ("faults", "filter") else super().check_action(action, parameters)

    @on(VirtualTable.Selected)
    def action_details(self) -> None:
        """A node that has it."""
        if (tool := self.table.row) is not None and tool.examples:
            self.app.push_screen(node_details(tool.examples[0]))
