"""What if this node were drained, nodes came, another order held: what that would do to all that waits."""

from __future__ import annotations

from rich.text import Text
from textual import work
from textual.binding import Binding

from bus.errors import CorralError
from bus.requests import WhatIf
from tui.client.source import Source
from tui.screens.document import DocumentScreen
from tui.view.arguments import Arguments
from tui.view.displacement import sum_lines, task_lines
from tui.view.facts import head
from tui.view.lines import Line
from tui.view.outlooks import effect_page
from tui.view.shell import what_if_command
from tui.view.steering import steer

ORDERS = ("", "fcfs", "sjf", "saf", "wfp3", "f1")
ADDED = (0, 1, 2, 4, 8, 16, 32, 64)
DEADLINES = ("", "1m", "10m", "1h")
"""As people type them; first: never."""


class WhatIfScreen(DocumentScreen):
    """Enter drains the node for real, after one more question."""

    past_note = "what would be from now on"
    BINDINGS = [
        Binding("enter", "steer('drain')", "drain it", id="whatif.drain"),
        Binding("a", "add(1)", "more nodes", id="whatif.more"),
        Binding("A", "add(-1)", "fewer nodes", show=False, id="whatif.fewer"),
        Binding("d", "drained", "drained or not", id="whatif.drained"),
        Binding("t", "deadline", "another deadline", id="whatif.deadline"),
        Binding("o", "order", "another order", id="whatif.order"),
    ]

    def __init__(self, node: str) -> None:
        super().__init__(f"{node} › whatif", self._page)
        self._node = node
        self._is_drained = True
        self._added = self._order = self._deadline = 0

    def facts_text(self) -> Text:
        """What is asked."""
        deadline = self._wanted.deadline
        within = f" within {deadline}, then elsewhere" if deadline else ", what runs ends there"
        parts = [f"{self._node} drained{within}"] if self._is_drained else []
        parts += [f"{ADDED[self._added]} more like it"] if self._added else []
        parts += [f"order {ORDERS[self._order]}"] if self._order else []
        return Text("  ".join(parts) or "nothing changed")

    def shell_command(self) -> str:
        """The same question."""
        added, order = ADDED[self._added], ORDERS[self._order]
        return what_if_command(self._node, is_drained=self._is_drained, added=added, order=order)

    async def _page(self, source: Source) -> list[Line]:
        now_s = self.console.now_s
        asked = WhatIf(
            drain=[self._node] if self._is_drained else [],
            deadline_s=self._wanted.deadline_s if self._is_drained else None,
            add=ADDED[self._added],
            like=self._node if self._added else "",
            order=ORDERS[self._order],
        )
        outlook = await source.what_if(asked)
        lines = [Line(text) for text in effect_page(outlook, now_s=now_s)]
        if outlook.displacement is not None:
            lines += [Line(""), head(f"what {self._node} holds")]
            lines += map(Line, sum_lines(outlook.displacement, now_s=now_s))
        if outlook.displaced:
            lines += [Line(""), *task_lines(outlook.displaced, now_s=now_s)]
        return lines

    @property
    def _wanted(self) -> Arguments:
        """Of the drain."""
        return Arguments(deadline=DEADLINES[self._deadline])

    def action_add(self, steps: int) -> None:
        """More or fewer nodes like this one."""
        self._added = min(max(self._added + steps, 0), len(ADDED) - 1)
        self._ask_again()

    def action_drained(self) -> None:
        """With the node, or without it."""
        self._is_drained = not self._is_drained
        self._ask_again()

    def action_deadline(self) -> None:
        """For how long what runs there may go on."""
        self._deadline = (self._deadline + 1) % len(DEADLINES)
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
        self.steer(steer("node", verb, [node], self._wanted))

    def on_steered(self) -> None:
        """See what came of it."""
        self._ask_again()

    def _ask_again(self) -> None:
        self.redraw_frame()
        self._wake.now()
