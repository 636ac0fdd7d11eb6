"""A list whose rows can be marked and steered: an action goes to the marked rows, else to one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.binding import Binding

from tui.screens.acting import Scope
from tui.screens.listing import ListScreen
from tui.view.actions import FILLED_FIRST, may_be_many
from tui.view.lines import Line
from tui.widgets.virtual_table import VirtualTable

if TYPE_CHECKING:
    from bus.api import Happened, Job, Node, Task
    from bus.equipment import Device
    from bus.volumes import PoolEntry, VolumeEntry
    from tui.view.deeds import Ghost
    from tui.view.steering import Steering

Steered = TypeVar("Steered", "Job", "Task", "Node", "Happened", "Device", "VolumeEntry", "PoolEntry")


class SteerableList(ListScreen[Steered]):
    """Subclasses bind `steer('VERB')` to keys. What is under way stands on the row itself."""

    BINDINGS = [
        Binding("asterisk", "all_matching", "act on all that match", show=False, id="actions.all"),
    ]
    noun: ClassVar[str]
    _all = False
    _sought = ""

    def on_mount(self) -> None:
        """Have the table show what is under way."""
        self.table.haunt(self._ghost)

    def facts_text(self) -> Text:
        """How many are marked stands first: actions go to them."""
        marked = f"all {self.pages.total} matching  " if self._all else ""
        if not marked and (rows := self.table.marked):
            marked = f"{len(rows)} marked  "
        text = Text("")
        text.append(marked, style="bold reverse" if self._all else "bold")
        return text.append_text(super().facts_text())

    def on_steered(self) -> None:
        """Show at once what is under way; what came of it is asked for."""
        self.table.tick(self.now_s)
        super().on_steered()

    def scope(self) -> Scope | None:
        """All that the filter of the list lets through; without one, nobody says that all are meant."""
        if not self._filter or not self.pages.total:
            return None
        return Scope(noun=self.noun, filter=self._filter, total=self.pages.total)

    def action_all_matching(self) -> None:
        """The next action is for all that match, not only for what is loaded."""
        if self.scope() is None:
            self.notify("/ first: a filter says which are meant", severity="warning", markup=False)
            return
        self._all = not self._all
        self.redraw_frame()

    def action_steer(self, verb: str) -> None:
        """Do it to the marked rows, else to the row under the cursor; or to all that match."""
        from tui.view.steering import steer  # with the first action

        scope = self.scope() if may_be_many(self.noun, verb) else None
        if verb in FILLED_FIRST and (self._all or self.table.chosen):
            self.console.hold_keys()
        if self._all and scope is not None:
            self.steer_all(verb, scope)
        elif rows := self.table.chosen:
            self.steer(steer(self.noun, verb, rows), scope=scope)

    def action_back(self) -> None:
        """Marks are taken away first."""
        if self._all:
            self.action_all_matching()
        elif self.table.marked:
            self.table.mark(())
        else:
            super().action_back()

    def carry_out(self, steering: Steering) -> None:
        """Do it; nothing stays marked that may have left the list by then."""
        super().carry_out(steering)
        self._all = False
        self.table.mark(())

    def look_for(self, key: str) -> None:
        """Put the cursor on the row of that name once it is there, in the whole list."""
        self._sought = key
        self._ask_for(filter="", sort="")

    def refused(self, row: Steered) -> list[Line]:
        """Why the last action on a row was refused, for its preview."""
        said = self.journal.why_not(self.noun, row)
        return [Line(said, "bad", "✖"), Line("")] if said else []

    @on(VirtualTable.Marked)
    def _on_marked(self) -> None:
        self.redraw_frame()

    def _ghost(self, row: Steered) -> Ghost | None:
        return self.journal.ghost(self.noun, row, now_s=time.time())

    def _draw(self) -> None:
        super()._draw()
        if self._sought and (position := self.pages.position(self._sought)) is not None:
            self._sought = ""
            self.table.move_to(position)

    def _ask_for(self, *, filter: str | None = None, sort: str | None = None) -> None:
        """Nothing stays marked that a new filter might hide."""
        if filter is not None and filter != self._filter:
            self._all = False
            self.table.mark(())
        super()._ask_for(filter=filter, sort=sort)
