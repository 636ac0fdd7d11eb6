"""The command line: `:`, a word, what it is about. It says how a line may go on and what is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.widgets import Input, Static

from bus.errors import CorralError
from tui.client.asking import patiently
from tui.modals.modal import Modal
from tui.view.refusals import error_text, waiting_text
from tui.view.safe import safe_line
from tui.view.words import Words, common_start, completions, parse_line
from tui.widgets.choices import Choice, Choices
from tui.widgets.prompt import LENGTH_MAX, SafeInput

CHOICES_MAX = 8

Deed = Callable[[], Awaitable[None] | None]
"""What a line does, once the command line is gone."""


class CommandLine(Modal[Deed | None]):
    """Answers what is to be done. `earlier` are lines typed before, the newest last; it adds its own."""

    DEFAULT_CSS = """
    CommandLine { align: left bottom; background: transparent; }
    #command { height: auto; background: $surface; border-top: solid $panel; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "close", id="command.close"),
        Binding("tab", "complete(1)", "complete", priority=True, id="command.complete"),
        Binding("shift+tab", "complete(-1)", "complete backwards", priority=True, id="command.complete_back"),
        Binding("up", "recall(-1)", "line before", priority=True, id="command.earlier"),
        Binding("down", "recall(1)", "line after", priority=True, id="command.later"),
    ]

    def __init__(self, words: Words, earlier: list[str], *, line: str = "") -> None:
        super().__init__()
        self._words = words
        self._earlier = earlier
        self._recalled = len(earlier)
        self._begun = line
        self._typed = line
        self._lines: Sequence[str] = ()

    def compose(self) -> ComposeResult:
        """What may follow, what is wrong, the line."""
        with Vertical(id="command"):
            yield Choices(id="command-choices")
            yield Static("", markup=False, id="prompt-fault")
            with Horizontal(id="prompt-line"):
                yield Static(":", markup=False, id="prompt-sign")
                yield SafeInput(
                    self._begun, max_length=LENGTH_MAX, compact=True, select_on_focus=False, id="prompt-input"
                )

    def on_mount(self) -> None:
        """Type at once."""
        self._field.focus()
        self._offer()

    @property
    def _field(self) -> SafeInput:
        return self.query_one(SafeInput)

    def action_complete(self, step: int) -> None:
        """As far as all that fits agrees, then one after the other."""
        if not self._lines:
            return
        choices = self.query_one(Choices)
        shared = common_start(self._lines)
        if choices.cursor is None and len(shared) > len(self._field.value):
            self._type(shared)
        else:
            chosen = choices.move(step)
            with self.prevent(Input.Changed):
                self._type(self._lines[chosen or 0])

    def action_recall(self, step: int) -> None:
        """A line that was typed earlier."""
        self._recalled = max(0, min(len(self._earlier), self._recalled + step))
        self._type(self._earlier[self._recalled] if self._recalled < len(self._earlier) else self._typed)

    def on_key(self, event: Key) -> None:
        """What is typed before the line has the focus belongs into it all the same."""
        field = self.query_one(SafeInput)
        if event.is_printable and event.character is not None and not field.has_focus:
            event.stop()
            field.insert_text_at_cursor(event.character)

    @on(Input.Changed)
    def _on_typed(self) -> None:
        self.workers.cancel_group(self, "answer")  # it was about another line
        if self._recalled == len(self._earlier):
            self._typed = self._field.value
        self._complain("")
        self._offer()

    @on(Choices.Picked)
    def _on_picked(self, event: Choices.Picked) -> None:
        self._type(self._lines[event.index])
        self._field.focus()

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if line := event.value.strip():
            self._answer(line)
        else:
            self.dismiss(None)

    @work(exclusive=True, group="answer")
    async def _answer(self, line: str) -> None:
        """Find out what is wrong with the line while it can still be mended."""
        try:
            word, argument = parse_line(line, self._words)
            if word.check is not None and argument:
                await patiently(word.check(argument), self._wait)
        except CorralError as error:
            self._complain(error_text(error))
            return
        if self._earlier[-1:] != [line]:
            self._earlier.append(line)
        self.dismiss(word.bare if word.bare is not None and not argument else partial(word.run, argument))

    def _type(self, line: str) -> None:
        self._field.value = line
        self._field.cursor_position = len(line)

    def _wait(self, waited_s: float) -> None:
        self._complain(f"{waiting_text(waited_s)}; Esc gives up")

    def _complain(self, fault: str) -> None:
        label = self.query_one("#prompt-fault", Static)
        label.update(safe_line(fault))
        label.display = bool(fault)

    def _offer(self) -> None:
        self._lines = completions(self._field.value, self._words)[:CHOICES_MAX]
        offered = []
        for line in self._lines:
            word = self._words.get(line.strip())
            whole = f"{word.name} {word.argument}".strip() if word else line
            offered.append(Choice(whole, word.about if word else ""))
        self.query_one(Choices).offer(offered)
