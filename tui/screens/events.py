"""What happened, newest first: changes of jobs, tasks and nodes, and what the system noticed."""

from __future__ import annotations

from textual import on
from textual.binding import Binding

from bus.api import Happened
from bus.requests import EventList
from tui.client.pages import Slice
from tui.client.session import Deltas
from tui.client.source import Source
from tui.screens.document import DocumentScreen, node_details
from tui.screens.listing import sort_bindings
from tui.screens.log import LogScreen
from tui.screens.steerable import SteerableList
from tui.view.facts import event_facts
from tui.view.lines import Line
from tui.view.listings import EVENTS
from tui.widgets.virtual_table import VirtualTable


class EventsScreen(SteerableList[Happened]):
    """Enter on an event shows it in full."""

    BINDINGS = [
        Binding("exclamation_mark", "faults", "faults only", id="list.faults"),
        Binding("l", "open_log", "logs", id="events.logs"),
        Binding("d", "details", "details", id="events.details"),
        Binding("R", "steer('resolve')", "resolve", priority=True, id="events.resolve"),
        *sort_bindings(EVENTS),
    ]
    listing = EVENTS
    noun = "event"
    crumb = "events"
    empty = "Nothing has happened yet."
    example = "severity>=warning kind~failed age<1h node=n1"

    async def fetch(self, source: Source, *, cursor: str, limit: int, known: str = "") -> Slice[Happened]:
        """One page."""
        query = EventList(
            filter=self._filter,
            sort=self._sort,
            cursor=cursor,
            limit=limit,
            until=self.console.moment,
            known=known,
        )
        answer = await source.events(query)
        return Slice(answer.events, answer.next, tag=answer.tag, unchanged=answer.unchanged)

    def absorb(self, deltas: Deltas) -> bool:
        """Whatever changed is an event that is not here yet."""
        return bool(deltas.jobs or deltas.tasks or deltas.nodes)

    def preview(self, row: Happened) -> list[Line]:
        """Its facts."""
        return [*self.refused(row), *event_facts(row, now_s=self.now_s)]

    @on(VirtualTable.Selected)
    def action_details(self) -> None:
        """The event under the cursor, or the node it is about."""
        if (event := self.table.row) is None:
            return
        if event.node is not None and event.task is None:
            self.app.push_screen(node_details(event.node))
            return

        async def load(_: Source) -> list[Line]:
            return event_facts(event, now_s=self.now_s)

        self.app.push_screen(DocumentScreen(event.kind, load))

    def action_open_log(self) -> None:
        """The output of the task that the event is about."""
        if (event := self.table.row) is not None and event.task is not None:
            self.app.push_screen(LogScreen(event.task))
