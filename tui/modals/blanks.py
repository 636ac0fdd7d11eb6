"""Some lines to be filled in for an action; what is wrong with one is said below it while one types."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from tui.modals.form import FormScreen
from tui.view.arguments import Arguments, Blank, fault_of
from tui.view.safe import safe_line
from tui.widgets.prompt import LENGTH_MAX, SafeInput

ROOMY_MAX = 3
"""So many have a line for their labels; more stand beside theirs, and fit a small terminal all the same."""


class Blanks(FormScreen[dict[str, str] | None]):
    """Answers each blank's text by its field; None: nothing shall be done."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", id="blanks.leave")]

    def __init__(self, question: str, blanks: tuple[Blank, ...], before: Arguments) -> None:
        super().__init__()
        self._question = question
        self._blanks = blanks
        self._before = {blank.field: str(getattr(before, blank.field)) for blank in blanks}

    def compose(self) -> ComposeResult:
        """A line for each."""
        with VerticalScroll(classes="box blanks", can_focus=False):
            yield Static(safe_line(self._question), markup=False, classes="question")
            for blank in self._blanks:
                if len(self._blanks) <= ROOMY_MAX:
                    yield Static(blank.label, markup=False, classes="blank-label")
                    yield self._line(blank)
                    continue
                with Horizontal(classes="form-line"):
                    yield Static(blank.label, markup=False, classes="form-label")
                    yield self._line(blank)
            yield Static("", markup=False, id="blanks-fault")
            yield Static("Enter goes on    Tab next line    Esc leaves it", markup=False, classes="answers")

    def _line(self, blank: Blank) -> SafeInput:
        return SafeInput(
            self._before[blank.field],
            placeholder=blank.example,
            max_length=LENGTH_MAX,
            compact=True,
            id=f"blank-{blank.field}",
        )

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)

    @on(Input.Changed)
    def _on_changed(self) -> None:
        self.query_one("#blanks-fault", Static).update(safe_line(self._fault()))

    @on(Input.Submitted)
    def _on_submitted(self) -> None:
        if self._fault():
            self._on_changed()
        else:
            self.dismiss(self._texts())

    def _texts(self) -> dict[str, str]:
        return {
            blank.field: self.query_one(f"#blank-{blank.field}", Input).value.strip()
            for blank in self._blanks
        }

    def _fault(self) -> str:
        faults = (
            (blank.label, fault_of(blank.field, text))
            for blank, text in zip(self._blanks, self._texts().values(), strict=True)
        )
        return next((f"{label}: {fault}" for label, fault in faults if fault), "")
