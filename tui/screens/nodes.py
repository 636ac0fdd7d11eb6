"""The machines: what they hold, whether they answer, and what they were told to be; all of them on a map."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace
from rich.text import Text
from textual import on, work
from textual.binding import Binding
from textual.containers import Container
from textual.widget import Widget

from bus.api import Node, NodeChanged
from bus.errors import CorralError
from bus.series import SeriesKind
from tui.client.asking import Asking
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.charts import ChartsScreen
from tui.screens.document import node_details
from tui.screens.every_task import EveryTaskScreen
from tui.screens.gantt import GanttScreen
from tui.screens.listing import sort_bindings
from tui.screens.steerable import SteerableList
from tui.screens.whatif import WhatIfScreen
from tui.view.charting import Subject
from tui.view.facts import node_facts
from tui.view.heat import FILTER_CHARS_MAX, brush_filter, tasks_filter
from tui.view.lines import Line
from tui.view.listings import NODES
from tui.view.refusals import waiting_text
from tui.view.safe import safe_line
from tui.widgets.heatmap import HeatMap
from tui.widgets.one_line import OneLine
from tui.widgets.virtual_table import VirtualTable

MAP_EVERY_S = 5
MAP_LINES_MOST, MAP_FRAME_LINES = 14, 2

MAPS = ("-map-auto", "-map-full", "-map-off")
"""Above the table where there is room for it, alone, not at all."""


class NodesScreen(SteerableList[Node]):
    """Enter on a node shows all that is known of it."""

    BINDINGS = [
        Binding("d", "details", "details", id="nodes.details"),
        Binding("u", "steer('cordon')", "cordon", id="nodes.cordon"),
        Binding("r", "steer('drain')", "drain", id="nodes.drain"),
        Binding("t", "steer('undrain')", "undrain", id="nodes.undrain"),
        Binding(
            "m", "steer('maintenance')", "into maintenance", show=False, priority=True, id="nodes.maintenance"
        ),
        Binding("L", "steer('label')", "labels", show=False, priority=True, id="nodes.label"),
        Binding("v", "map", "map", id="nodes.map"),
        Binding("b", "gantt", "gantt", id="nodes.gantt"),
        Binding("c", "chart", "charts", show=False, id="nodes.chart"),
        Binding("i", "tasks", "tasks on it", show=False, id="nodes.tasks"),
        Binding("W", "what_if", "what if it were drained", show=False, id="nodes.whatif"),
        *sort_bindings(NODES),
    ]
    listing = NODES
    noun = "node"
    crumb = "nodes"
    empty = "No nodes yet.\n\nAn agent that starts appears here by itself. On another machine: corral join"
    example = "health!=healthy label.zone=a free_gpus>0 load>2"

    def __init__(self, *, filter: str = "") -> None:
        super().__init__(filter=filter)
        self._map_asking = Asking()
        self._map_tag = ""
        self._map = 0
        self.add_class(MAPS[self._map], update=False)

    def body(self) -> list[Widget]:
        """The map above the list."""
        pane = Container(HeatMap(id="heat"), OneLine(id="heat-legend"), id="heat-pane")
        return [pane, *super().body()]

    def on_mount(self) -> None:
        """The map has a pace of its own."""
        self.console.every(self, MAP_EVERY_S, self._load_map)

    def on_online(self) -> None:
        """A map without nodes asks for them."""
        super().on_online()
        if self.has_parts("#heat") and not self.heat.nodes:
            self._load_map()

    def on_resize(self) -> None:
        """There may be room for the map by now."""
        if self.has_parts("#heat") and not self.heat.nodes:
            self.call_after_refresh(self._load_map)

    @property
    def heat(self) -> HeatMap:
        """The map."""
        return self.query_one("#heat", HeatMap)

    def action_map(self) -> None:
        """The map alone, no map, or as there is room."""
        self.remove_class(MAPS[self._map])
        self._map = (self._map + 1) % len(MAPS)
        self.add_class(MAPS[self._map])
        self.heat.is_alone = MAPS[self._map] == "-map-full"
        (self.heat if MAPS[self._map] == "-map-full" else self.table).focus()
        self.call_after_refresh(self._load_map)

    def action_chart(self) -> None:
        """What the marked nodes, or the one under the cursor, used."""
        if names := tuple(node.name for node in self.table.chosen):
            self.app.push_screen(ChartsScreen(Subject(SeriesKind.NODE, names)))

    def action_back(self) -> None:
        """What is brushed is let go first, then a full map."""
        if self.heat.let_go():
            return
        if MAPS[self._map] == "-map-full":
            self._show_list()
        else:
            super().action_back()

    def on_moment(self) -> None:
        """What is on its way is of another moment."""
        super().on_moment()
        self.workers.cancel_group(self, "map")
        self._map_asking, self._map_tag = Asking(), ""
        self._load_map()

    def condition_text(self) -> Text:
        """Of the list; else of the map, which waits for its own answer."""
        said, waiting = super().condition_text(), waiting_text(self._map_asking.waited_s)
        return said if said or not waiting else Text(f"{waiting} for the map  ", style="bold")

    @work(group="map")
    async def _load_map(self) -> None:
        """One request after the other: a slow answer is waited for."""
        seen = self.is_current and self.is_online and self.has_parts("#heat-pane")
        if not (seen and self.query_one("#heat-pane").display):
            return
        asking = self._map_asking
        if asking.is_under_way:
            return
        try:
            with asking.under_way():
                answer = await self.session.source.nodes(at=self.console.moment, known=self._map_tag)
        except CorralError as error:
            self.query_one("#heat-legend", OneLine).say(Text(f" ✖ {safe_line(str(self.explain(error)))}"))
            return
        if not answer.unchanged:
            self._map_tag = answer.tag
            self.heat.show(answer.nodes)

    @on(HeatMap.Moved)
    def _on_map_moved(self) -> None:
        pane = self.query_one("#heat-pane")
        if MAPS[self._map] == "-map-auto":
            pane.styles.height = min(MAP_LINES_MOST, max(1, self.heat.heat_layout.lines)) + MAP_FRAME_LINES
        else:
            pane.styles.height = None  # the style sheet's, and laid out anew
        self.query_one("#heat-legend", OneLine).say(self.heat.legend())

    @on(HeatMap.Opened)
    def _on_map_opened(self, event: HeatMap.Opened) -> None:
        self.app.push_screen(node_details(event.node))

    @on(HeatMap.Brushed)
    def _on_brushed(self, event: HeatMap.Brushed) -> None:
        """The list shows what was brushed, and nothing else."""
        condition = brush_filter(self.heat.nodes, event.chosen)
        if condition is None:
            said = f"{len(event.chosen)} names are more than a filter holds: brush fewer, or whole groups"
            self.notify(said, severity="warning", markup=False)
            return
        self._ask_for(filter=condition)
        self._show_list()

    def action_tasks(self) -> None:
        """The tasks of the brushed or marked nodes, or of the one under the cursor."""
        if self.focused is self.heat and self.heat.nodes:
            nodes, chosen = self.heat.nodes, self.heat.chosen_or_under
        else:
            nodes = self.table.chosen
            chosen = tuple(range(len(nodes)))
        if not chosen:
            return
        names = [nodes[position].name for position in chosen]
        condition = tasks_filter(names)
        if len(condition) > FILTER_CHARS_MAX:
            common = brush_filter(nodes, chosen, field="node")
            if common is None:
                said = f"{len(names)} names are more than a filter holds: choose fewer"
                self.notify(said, severity="warning", markup=False)
                return
            condition = common
        self.app.push_screen(EveryTaskScreen(filter=condition))

    def action_gantt(self) -> None:
        """What ran on the nodes of the list, as bars over time."""
        self.app.push_screen(GanttScreen(filter=self._filter))

    def _show_list(self) -> None:
        """The table again, with the map as there is room."""
        self.remove_class(MAPS[self._map])
        self._map = 0
        self.add_class(MAPS[self._map])
        self.heat.is_alone = False
        self.table.focus()

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Node]:
        """One page."""
        answer = await source.nodes(
            filter=self._filter,
            sort=self._sort,
            cursor=cursor,
            limit=limit,
            at=self.console.moment,
            known=known,
        )
        total = answer.total or len(answer.nodes)
        return Slice(answer.nodes, answer.next, total, answer.states, answer.tag, answer.unchanged)

    def absorb(self, deltas: Deltas) -> bool:
        """What a node holds is not on the feed, so its tasks ask for a reload as well."""
        unknown = False
        for name, change in deltas.nodes.items():
            unknown |= not self.pages.patch(name, partial(patched, change))
        return unknown or bool(deltas.tasks) or bool(deltas.nodes and self._filter)

    def preview(self, row: Node) -> list[Line]:
        """Its facts."""
        return [*self.refused(row), *node_facts(row, now_s=self.now_s)]

    @on(VirtualTable.Selected)
    def action_details(self) -> None:
        """All that is known of the node under the cursor."""
        if (node := self.table.row) is not None:
            self.app.push_screen(node_details(node.name))

    def action_what_if(self) -> None:
        """What would become of what waits without the node under the cursor."""
        if (node := self.table.row) is not None:
            self.app.push_screen(WhatIfScreen(node.name))


def patched(change: NodeChanged, node: Node) -> Node:
    """`node` as the feed says it is now."""
    return replace(node, health=change.health, admin=change.admin)
