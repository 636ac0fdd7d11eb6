"""The line one types into: a filter, or words to look for. What is wrong with it is said above it."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.events import Paste
from textual.message import Message
from textual.widgets import Input, Static

from tui.view.refusals import waiting_text
from tui.view.safe import safe_line

LENGTH_MAX = 512


class SafeInput(Input):
    """What it holds is safe to show. Of what is pasted it takes the first line, cut: it may be anything."""

    def validate_value(self, value: str) -> str:
        """Also what it is filled with from elsewhere."""
        return safe_line(value)

    def _on_paste(self, event: Paste) -> None:
        event.stop()
        event.prevent_default()
        line = event.text[:LENGTH_MAX].partition("\n")[0].partition("\r")[0]
        room = LENGTH_MAX - len(self.value)
        self.insert_text_at_cursor(safe_line(line)[:room])


class Prompt(Vertical):
    """Hidden until it is opened. Posts Answered on Enter; Escape closes it."""

    BINDINGS = [Binding("escape", "close", "close", show=False, id="prompt.close")]

    class Answered(Message):
        """Enter was pressed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """Nothing is asked any more."""

    def __init__(self) -> None:
        super().__init__(id="prompt")
        self.display = False

    def compose(self) -> ComposeResult:
        """What is wrong, and below it the line."""
        yield Static("", markup=False, id="prompt-fault")
        with Horizontal(id="prompt-line"):
            yield Static("/", markup=False, id="prompt-sign")
            yield SafeInput(max_length=LENGTH_MAX, compact=True, select_on_focus=False, id="prompt-input")

    def open(self, text: str, *, example: str) -> None:
        """Take a new line, beginning with `text`."""
        self.complain("")
        field = self.query_one(SafeInput)
        field.placeholder = example
        field.value = text
        field.cursor_position = len(text)
        self.display = True
        self.screen.set_focus(field)  # now: the keys that follow are for it
        field.focus()  # and once more after all that is under way, which may take it away

    def wait(self, waited_s: float) -> None:
        """Say how long one waits to hear whether the line will do."""
        self.complain(f"{waiting_text(waited_s)}; Esc gives up")

    def complain(self, fault: str) -> None:
        """Say what is wrong with the line; "" for nothing."""
        label = self.query_one("#prompt-fault", Static)
        label.update(safe_line(fault))
        label.display = bool(fault)

    def action_close(self) -> None:
        """Leave it as it was."""
        self.display = False
        self.post_message(self.Closed())

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Answered(event.value.strip()))
