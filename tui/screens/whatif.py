"""What if this node were drained, nodes came, another order held: what that would do to all that waits."""

from __future__ import annotations

import time

from rich.text import Text
from textual import work
from textual.binding import Binding

from bus.errors import CorralError
from bus.requests import WhatIf
from bus.timeline import TimelineQuery
from tui.client.source import Source
from tui.screens.document import DocumentScreen
from tui.view.details import running_lines
from tui.view.facts import head
from tui.view.lines import Line
from tui.view.outlooks import outlook_lines
from tui.view.steering import steer

ORDERS = ("", "fcfs", "sjf", "saf", "wfp3", "f1")
ADDED = (0, 1, 2, 4, 8, 16, 32, 64)
TASKS_SHOWN = 500


class WhatIfScreen(DocumentScreen):
    """Enter drains the node for real, after one more question."""

    BINDINGS = [
        Binding("enter", "steer('drain')", "drain it", id="whatif.drain"),
        Binding("a", "add(1)", "more nodes", id="whatif.more"),
        Binding("A", "add(-1)", "fewer nodes", id="whatif.fewer"),
        Binding("d", "drained", "drained or not", id="whatif.drained"),
        Binding("o", "order", "another order", id="whatif.order"),
    ]

    def __init__(self, node: str) -> None:
        super().__init__(f"{node} › whatif", self._page)
        self._node = node
        self._is_drained = True
        self._added = self._order = 0

    def facts_text(self) -> Text:
        """What is asked."""
        parts = [f"{self._node} drained"] if self._is_drained else []
        parts += [f"{ADDED[self._added]} more like it"] if self._added else []
        parts += [f"order {ORDERS[self._order]}"] if self._order else []
        return Text("  ".join(parts) or "nothing changed")

    async def _page(self, source: Source) -> list[Line]:
        now_s = time.time()
        asked = WhatIf(
            drain=[self._node] if self._is_drained else [],
            add=ADDED[self._added],
            like=self._node if self._added else "",
            order=ORDERS[self._order],
        )
        outlook = await source.what_if(asked)
        lines = [Line(text) for text in outlook_lines(outlook, now_s=now_s)]
        if not self._is_drained:
            return lines
        query = TimelineQuery(since=now_s - 1.0, until=now_s + 1.0, nodes=[self._node], limit=TASKS_SHOWN)
        there = running_lines((await source.timeline(query)).attempts, now_s=now_s)
        said = "what it holds now: what runs goes on to its end, what only waits there goes back to the line"
        return [*lines, Line(""), head(said), *there]

    def action_add(self, steps: int) -> None:
        """More or fewer nodes like this one."""
        self._added = min(max(self._added + steps, 0), len(ADDED) - 1)
        self._ask_again()

    def action_drained(self) -> None:
        """With the node, or without it."""
        self._is_drained = not self._is_drained
        self._ask_again()

    def action_order(self) -> None:
        """Under another order of tasks."""
        self._order = (self._order + 1) % len(ORDERS)
        self._ask_again()

    @work(exclusive=True, group="drain")
    async def action_steer(self, verb: str) -> None:
        """Drain it for real: asked once more, with its effect."""
        try:
            node = await self.session.source.node(self._node)
        except CorralError as error:
            self.tell(error)
            return
        self.steer(steer("node", verb, [node]))

    def on_steered(self) -> None:
        """See what came of it."""
        self._ask_again()

    def _ask_again(self) -> None:
        self.redraw_frame()
        self._wake.now()
