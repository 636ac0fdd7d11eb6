"""A list whose rows can be marked and steered: an action goes to the marked rows, else to one."""

from __future__ import annotations

import time
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.binding import Binding

from bus.api import Job, Node, Task
from tui.screens.listing import ListScreen
from tui.view.deeds import Ghost
from tui.view.lines import Line
from tui.view.steering import steer
from tui.widgets.virtual_table import VirtualTable

Steered = TypeVar("Steered", Job, Task, Node)


class SteerableList(ListScreen[Steered]):
    """Subclasses bind `steer('VERB')` to keys. What is under way stands on the row itself."""

    BINDINGS = [
        Binding("z", "undo", "take back the last action", show=False, id="actions.undo"),
        Binding("a", "journal", "what was done from here", show=False, id="actions.journal"),
    ]
    noun: ClassVar[str]

    def on_mount(self) -> None:
        """Have the table show what is under way."""
        self.table.haunt(self._ghost)

    def facts_text(self) -> Text:
        """How many are marked stands first: actions go to them."""
        marked = len(self.table.marked)
        text = Text(f"{marked} marked  ", style="bold") if marked else Text("")
        return text.append_text(super().facts_text())

    def on_steered(self) -> None:
        """Show at once what is under way; what came of it is asked for."""
        self.table.tick(time.time())
        super().on_steered()

    def action_steer(self, verb: str) -> None:
        """Do it to the marked rows, else to the row under the cursor."""
        if rows := self.table.chosen:
            self.steer(steer(self.noun, verb, rows))

    def action_back(self) -> None:
        """Marks are taken away first."""
        if self.table.marked:
            self.table.mark(())
        else:
            super().action_back()

    def refused(self, row: Steered) -> list[Line]:
        """Why the last action on a row was refused, for its preview."""
        said = self.journal.why_not(self.noun, row)
        return [Line(said, "bad", "✖"), Line("")] if said else []

    @on(VirtualTable.Marked)
    def _on_marked(self) -> None:
        self.redraw_frame()

    def _ghost(self, row: Steered) -> Ghost | None:
        return self.journal.ghost(self.noun, row, now_s=time.time())

    def _ask_for(self, *, filter: str | None = None, sort: str | None = None) -> None:
        """Nothing stays marked that a new filter might hide."""
        if filter is not None and filter != self._filter:
            self.table.mark(())
        super()._ask_for(filter=filter, sort=sort)
