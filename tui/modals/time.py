"""A line to type a moment into: the time cursor goes there. What is wrong with it is said below."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, cast

from msgspec import Struct
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui.modals.modal import Modal
from tui.view.instants import local
from tui.view.moments import EXPECTED, parse_moment
from tui.view.safe import safe_line
from tui.widgets.prompt import SafeInput

if TYPE_CHECKING:
    from tui.app import Console


class Chosen(Struct, frozen=True):
    """`moment` None: the present."""

    moment: float | None


class TimeModal(Modal[Chosen | None]):
    """Answers None where the cursor shall stay."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", id="time.leave")]

    def __init__(self, before: float | None) -> None:
        super().__init__()
        self._before = before

    def compose(self) -> ComposeResult:
        """A small box."""
        with Vertical(classes="box"):
            yield Static("Which moment?", markup=False, classes="question")
            yield SafeInput("", placeholder="-2h", max_length=40, compact=True, id="time-input")
            yield Static(self._meant(""), markup=False, id="time-meant")
            yield Static(f"{EXPECTED}; now", markup=False, classes="answers")

    def action_leave(self) -> None:
        """Stay."""
        self.dismiss(None)

    @on(Input.Changed)
    def _on_changed(self, event: Input.Changed) -> None:
        self.query_one("#time-meant", Static).update(self._meant(event.value))

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        try:
            self.dismiss(Chosen(parse_moment(event.value, now=self._now())))
        except ValueError:
            return  # what is wrong stands below the line

    def _meant(self, text: str) -> str:
        if not text.strip():
            return f"the cursor stands at {local(self._before) if self._before is not None else 'now'}"
        try:
            moment = parse_moment(text, now=self._now())
        except ValueError as fault:
            said = str(fault) if "past" in str(fault) else "not a moment"
            return f"✖ {safe_line(said)}"
        return f"→ {'now' if moment is None else local(moment)}"

    def _now(self) -> datetime:
        """By the coordinator's clock: what is typed is a time ago, or of the day."""
        return datetime.fromtimestamp(cast("Console", self.app).now_s).astimezone()
