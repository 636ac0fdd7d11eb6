"""Asks before something is changed: says the effect, and shows the command that does the same."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.view.safe import safe_line
from tui.view.steering import Steering


class Confirm(ModalScreen[bool]):
    """Answers True on `y` alone: Enter comes too easily to a hand that types on. Anything else closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes", id="confirm.yes"),
        Binding("n,escape,q,enter", "answer(False)", "no", id="confirm.no"),
    ]

    def __init__(self, steering: Steering) -> None:
        super().__init__()
        self.steering = steering

    def compose(self) -> ComposeResult:
        """A small box."""
        with Vertical(classes="box"):
            yield Static(safe_line(self.steering.question), markup=False, classes="question")
            yield Static(safe_line(self.steering.effect), markup=False)
            yield Static(f"$ {safe_line(self.steering.command)}", markup=False, classes="command")
            yield Static("y yes    n no", markup=False, classes="answers")

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)
