"""Find anything by some of its letters: screens, actions, places, and what the cluster holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from msgspec import Struct
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.widgets import Input, Static

from bus.errors import CorralError
from tui.client.asking import patiently
from tui.modals.command import Deed
from tui.modals.modal import Modal
from tui.view.fuzzy import fuzzy_match
from tui.view.refusals import error_text, waiting_text
from tui.view.safe import safe_line
from tui.widgets.choices import Choice, Choices
from tui.widgets.prompt import LENGTH_MAX, SafeInput

TYPING_S = 0.2
"""Nothing is asked of the coordinator while somebody still types."""

ENTRIES_MAX = 14
ABOVE_AND_BELOW = 8


class Entry(Struct, frozen=True):
    """`name` is what is searched; `deed` what choosing it does."""

    name: str
    about: str
    deed: Deed


Ask = Callable[[str], Awaitable[Sequence[Entry]]]
"""What the cluster holds that has these letters."""


class Palette(Modal[Deed | None]):
    """Answers the deed of what was chosen. Without anything typed, it offers all there is, in its order."""

    DEFAULT_CSS = """
    #palette { width: 90; padding: 0 1; }
    #palette-note { height: auto; padding: 0 1; color: $text-muted; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "close", id="palette.close"),
        Binding("down,ctrl+n,tab", "move(1)", "next", priority=True, id="palette.down"),
        Binding("up,ctrl+p,shift+tab", "move(-1)", "before", priority=True, id="palette.up"),
    ]

    def __init__(self, entries: Sequence[Entry], *, example: str, ask: Ask | None = None) -> None:
        super().__init__()
        self._entries = entries
        self._example = example
        self._ask = ask
        self._asked: Sequence[Entry] = ()
        self._shown: Sequence[Entry] = ()

    def compose(self) -> ComposeResult:
        """The line, and below it what was found."""
        with Vertical(classes="box", id="palette"):
            with Horizontal(id="prompt-line"):
                yield Static("›", markup=False, id="prompt-sign")
                yield SafeInput(
                    placeholder=self._example, max_length=LENGTH_MAX, compact=True, id="prompt-input"
                )
            yield Choices(id="palette-choices")
            yield Static("", markup=False, id="palette-note")

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(SafeInput).focus()
        self._offer()

    def action_move(self, step: int) -> None:
        """Another line."""
        self.query_one(Choices).move(step)

    def on_key(self, event: Key) -> None:
        """What is typed before the line has the focus belongs into it all the same."""
        field = self.query_one(SafeInput)
        if event.is_printable and event.character is not None and not field.has_focus:
            event.stop()
            field.insert_text_at_cursor(event.character)

    @on(Input.Changed)
    def _on_typed(self, event: Input.Changed) -> None:
        self._asked = ()
        self._offer()
        if self._ask is not None:
            self._find(event.value.strip())

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._choose(self.query_one(Choices).cursor)

    @on(Choices.Picked)
    def _on_picked(self, event: Choices.Picked) -> None:
        self._choose(event.index)

    def _choose(self, index: int | None) -> None:
        if index is not None and index < len(self._shown):
            self.dismiss(self._shown[index].deed)

    @work(exclusive=True, group="find")
    async def _find(self, typed: str) -> None:
        """A letter more ends the search for the letters before it."""
        await asyncio.sleep(TYPING_S)
        if not typed or self._ask is None:
            return
        self._say("asking …")
        try:
            self._asked = await patiently(self._ask(typed), self._wait)
        except CorralError as error:
            self._say(f"✖ {error_text(error)}")
            return
        self._offer()

    def _offer(self) -> None:
        if not self.is_current:
            return
        typed = self.query_one(SafeInput).value.strip()
        found: list[tuple[float, tuple[int, ...], Entry]] = []
        for entry in (*self._asked, *self._entries):
            match = fuzzy_match(typed, entry.name)
            if match is not None:
                found.append((match[0] if typed else 0.0, match[1], entry))
            elif entry in self._asked:
                found.append((0.0, (), entry))
        found.sort(key=lambda one: -one[0])
        room = max(1, min(ENTRIES_MAX, self.app.size.height - ABOVE_AND_BELOW))
        self._shown = [entry for _, _, entry in found[:room]]
        choices = [Choice(entry.name, entry.about, places) for _, places, entry in found[:room]]
        self.query_one(Choices).offer(choices, cursor=0 if choices else None)
        more = len(found) - len(choices)
        self._say("" if choices and not more else f"{more} more" if more else "nothing has these letters")

    def _wait(self, waited_s: float) -> None:
        self._say(waiting_text(waited_s))

    def _say(self, words: str) -> None:
        if not self.is_current:
            return  # something was chosen meanwhile
        note = self.query_one("#palette-note", Static)
        note.update(safe_line(words))
        note.display = bool(words)
