"""What tasks can have on the machines: tools (in full), container runtimes, isolation, models of GPUs."""

from __future__ import annotations

import time

from textual import on
from textual.binding import Binding

from bus.equipment import ToolKind
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.client.then import Then
from tui.screens.document import DetailScreen, DocumentScreen, Page, node_details
from tui.screens.listing import ListScreen
from tui.view.deeds import Ghost
from tui.view.lines import Line
from tui.view.offers import OFFERED, Offered, offered, offered_facts, search_of
from tui.view.registry import tool_head, tool_schema, tool_uses
from tui.view.shell import command, search_command
from tui.widgets.virtual_table import VirtualTable


class ToolsScreen(ListScreen[Offered]):
    """Enter shows a tool in full, and of anything else the first node that has it; `c` calls it."""

    past_note = "tools as of now"
    BINDINGS = [
        Binding("c", "call", "call it", id="tools.call"),
        Binding("d", "details", "a node", id="tools.details"),
    ]
    listing = OFFERED
    crumb = "tools"
    empty = (
        "No tools, runtimes or GPUs are known.\n\n"
        "Agents tell of them when they register: container runtimes, isolation and GPUs as they find them, "
        "tools as their configuration names them.\nArtifacts and models of jobs are not kept by the cluster."
    )
    example = "count words tag=text category=analysis input=text kind=tool"

    def on_mount(self) -> None:
        """Have the table show what is called."""
        self.table.haunt(self._ghost)

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Offered]:
        """All of them at once: there are as many as there are names."""
        search = search_of(self._filter)
        entries = (await source.registered_tools(search.asked)).tools
        rows = offered((await source.tools()).tools, entries, search)
        counts = {str(kind): sum(row.tool.kind is kind for row in rows) for kind in ToolKind}
        return Slice(rows, "", len(rows), {kind: number for kind, number in counts.items() if number})

    def absorb(self, deltas: Deltas) -> bool:
        """Machines say what they have when they register."""
        return bool(deltas.nodes or deltas.jobs)

    def preview(self, row: Offered) -> list[Line]:
        """The tool in full, below why its last call was refused."""
        said = self.journal.why_not("tool", row)
        return ([Line(said, "bad", "✖"), Line("")] if said else []) + offered_facts(row)

    def shell_command(self) -> str:
        """The same tools; of a search those that are registered."""
        return search_command(search_of(self._filter).asked) if self._filter else super().shell_command()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The list is short: nothing of it goes wrong."""
        return False if action == "faults" else super().check_action(action, parameters)

    def on_steered(self) -> None:
        """Show at once what is under way."""
        self.table.tick(self.now_s)
        super().on_steered()

    @on(VirtualTable.Selected)
    def action_open(self) -> None:
        """The tool as it is registered."""
        if (row := self.table.row) is not None and row.entry is not None:
            self.app.push_screen(tool_details(row.tool.name))
        else:
            self.action_details()

    def action_details(self) -> None:
        """A node that has it."""
        if (row := self.table.row) is not None and row.tool.examples:
            self.app.push_screen(node_details(row.tool.examples[0]))

    def action_call(self) -> None:
        """Fill in its form."""
        if (row := self.table.row) is None:
            return
        if row.entry is None:
            self.notify("only what is registered can be called by name", severity="warning", markup=False)
            return
        self.console.hold_keys()
        self.call(row.tool.name, refused=self.journal.refused("tool", row))

    def _ghost(self, row: Offered) -> Ghost | None:
        return self.journal.ghost("tool", row, now_s=time.time())


class ToolScreen(DetailScreen):
    """A registered tool; `c` calls it."""

    past_note = "tools as of now"
    BINDINGS = [Binding("c", "call", "call it", id="tool.call")]

    def shell_command(self) -> str:
        """The same in a shell."""
        return command("tool", "show", self._tool)

    def action_call(self) -> None:
        """Fill in its form."""
        self.console.hold_keys()
        self.call(self._tool)

    @property
    def _tool(self) -> str:
        return self.crumb.split(" ")[0]


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
