"""Asks before something is done that cannot be undone, and shows the command that does the same."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.view.safe import safe_line


class Confirm(ModalScreen[bool]):
    """Answers True on `y` or Enter, False on anything else that closes it."""

    BINDINGS = [
        Binding("y,enter", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str, command: str) -> None:
        super().__init__()
        self._question = question
        self._command = command

    def compose(self) -> ComposeResult:
        """A small box."""
        with Vertical(classes="box"):
            yield Static(safe_line(self._question), markup=False)
            yield Static(safe_line(f"as a command: {self._command}"), markup=False, classes="hint")
            yield Static("y yes   n no", markup=False)

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)
