"""The keys of the screen below, taken from its bindings, so that no key is missing and none is made up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import ScrollableContainer, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.view.states import JOB_BADGES, NODE_BADGES, TASK_BADGES, Badge

KEY_CELLS = 18
INHERITED = frozenset(
    binding.action
    for widget in (App, Screen, ScrollableContainer)
    for binding in widget.BINDINGS
    if isinstance(binding, Binding)
)
"""What Textual binds by itself: it works, but is not ours to explain."""


class Help(ModalScreen[None]):
    """Any of the closing keys leaves it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "close")]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._text = help_text(below)

    def compose(self) -> ComposeResult:
        """One page."""
        with VerticalScroll(classes="box"):
            yield Static(self._text, markup=False)


def help_text(screen: Screen[object]) -> str:
    """Keys by where they work, then what the glyphs mean."""
    parts = {"here": [], "in the table or text": [], "everywhere": []}  # type: dict[str, list[str]]
    merged: dict[tuple[str, str], list[str]] = {}
    for active in screen.active_bindings.values():
        if active.enabled and active.binding.action not in INHERITED:
            keys = merged.setdefault((_place(active, screen), active.binding.description), [])
            keys.append(screen.app.get_key_display(active.binding))
    for (place, description), keys in merged.items():
        parts[place].append(f"  {' '.join(dict.fromkeys(keys)):<{KEY_CELLS}} {description}")
    blocks = [f"{title}\n" + "\n".join(lines) for title, lines in parts.items() if lines]
    return "\n\n".join([*blocks, legend()])


def legend() -> str:
    """Every glyph with its word."""
    rows = (("tasks", TASK_BADGES.items()), ("jobs", JOB_BADGES.items()), ("nodes", NODE_BADGES.items()))
    return "glyphs\n" + "\n".join(f"  {noun:<6} {_badges(items)}" for noun, items in rows)


def _badges(items: Iterable[tuple[object, Badge]]) -> str:
    words = [f"{badge.glyph} {state}" for state, badge in items]
    lines = ["   ".join(words[start : start + 5]) for start in range(0, len(words), 5)]
    return ("\n" + " " * 9).join(lines)


def _place(active: ActiveBinding, screen: Screen[object]) -> str:
    if active.node is screen:
        return "here"
    return "in the table or text" if isinstance(active.node, Widget) else "everywhere"
