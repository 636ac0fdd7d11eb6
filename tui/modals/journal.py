"""What was done from this console, line by line: when, the command, what was answered, the audit's number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from tui.modals.modal import Modal
from tui.view.deeds import Act, Deed
from tui.view.journals import DEEDS
from tui.view.safe import safe_line
from tui.widgets.virtual_table import VirtualTable


class JournalModal(Modal[None]):
    """The table of deeds; also how an act of many ended, row for row."""

    DEFAULT_CSS = """
    .journal { width: 90%; height: 70%; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,a,enter", "dismiss", "close", id="journal.close"),
        Binding("Y", "copy", "copy the command", id="journal.copy"),
    ]

    def __init__(self, acts: Sequence[Act], *, title: str) -> None:
        super().__init__()
        self._acts = acts
        self._title = title

    def compose(self) -> ComposeResult:
        """The table in a box."""
        with Vertical(classes="box journal"):
            yield Static(safe_line(self._title), markup=False, classes="question")
            yield VirtualTable(DEEDS, id="deeds")
            yield Static("", markup=False, id="deed-said")
            yield Static("Y copies the command    Esc closes", markup=False, classes="answers")

    @property
    def table(self) -> VirtualTable[Deed]:
        """The deeds."""
        return self.query_one("#deeds", VirtualTable)

    def on_mount(self) -> None:
        """Show what is known, and how it goes on."""
        self.table.focus()
        self._draw()
        self.set_interval(0.5, self._draw)

    def action_copy(self) -> None:
        """The command of the line into the clipboard of the terminal."""
        if (deed := self.table.row) is not None:
            self.app.copy_to_clipboard(safe_line(deed.command))
            self.notify("the command is in the clipboard", markup=False, timeout=2)

    def on_virtual_table_moved(self) -> None:
        """Say in full what was answered there."""
        self._tell()

    def _draw(self) -> None:
        self.table.show([deed for act in self._acts for deed in act.deeds], now_s=time.time())
        self._tell()

    def _tell(self) -> None:
        deed = self.table.row
        said = "Nothing yet." if deed is None else f"{deed.command}\n{safe_line(deed.said)}"
        self.query_one("#deed-said", Static).update(said)
