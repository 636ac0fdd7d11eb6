"""What tasks can have on the machines: tools (in full), container runtimes, isolation, models of GPUs."""

from __future__ import annotations

from textual import on
from textual.binding import Binding

from bus.equipment import Tool, ToolKind
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.client.then import Then
from tui.screens.document import DetailScreen, DocumentScreen, Page, node_details
from tui.screens.listing import ListScreen
from tui.view.equipment import TOOLS, tool_facts
from tui.view.lines import Line
from tui.view.registry import tool_head, tool_schema, tool_uses
from tui.view.shell import command
from tui.widgets.virtual_table import VirtualTable


class ToolsScreen(ListScreen[Tool]):
    """Enter shows a tool in full, and of anything else the first node that has it."""

    past_note = "tools as of now"
    BINDINGS = [Binding("d", "details", "a node", id="tools.details")]
    listing = TOOLS
    crumb = "tools"
    empty = (
        "No tools, runtimes or GPUs are known.\n\n"
        "Agents tell of them when they register: container runtimes, isolation and GPUs as they find them, "
        "tools as their configuration names them.\nArtifacts and models of jobs are not kept by the cluster."
    )

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Tool]:
        """All of them at once: there are as many as there are names."""
        answer = await source.tools(known=known)
        kinds = list(ToolKind)
        tools = sorted(answer.tools, key=lambda tool: kinds.index(tool.kind))  # what one calls first
        counts = {str(kind): sum(tool.kind is kind for tool in answer.tools) for kind in ToolKind}
        states = {kind: number for kind, number in counts.items() if number}
        return Slice(tools, "", len(tools), states, answer.tag, answer.unchanged)

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
    def action_open(self) -> None:
        """The tool as it is registered."""
        if (tool := self.table.row) is not None and tool.kind is ToolKind.TOOL:
            self.app.push_screen(tool_details(tool.name))
        else:
            self.action_details()

    def action_details(self) -> None:
        """A node that has it."""
        if (tool := self.table.row) is not None and tool.examples:
            self.app.push_screen(node_details(tool.examples[0]))


class ToolScreen(DetailScreen):
    """A registered tool."""

    past_note = "tools as of now"

    def shell_command(self) -> str:
        """The same in a shell."""
        return command("tool", "show", self.crumb.split(" ")[0])


def tool_details(name: str) -> DocumentScreen:
    """A tool with its versions and where it runs, what it takes and gives, and how its calls went."""

    async def overview(then: Then) -> list[Line]:
        return tool_head(await then.tool(name))

    async def takes(then: Then) -> list[Line]:
        return tool_schema((await then.tool(name)).input_schema, "Its input may be any object.")

    async def gives(then: Then) -> list[Line]:
        return tool_schema((await then.tool(name)).output_schema, "Nothing is said of its output.")

    async def uses(then: Then) -> list[Line]:
        return tool_uses(await then.tool_stats(name))

    pages = [
        Page("tool", overview),
        Page("input", takes),
        Page("output", gives),
        Page("calls", uses),
    ]
    return ToolScreen(f"{name} › tool", pages)
