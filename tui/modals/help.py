"""The keys of the screen below, taken from its bindings, so that no key is missing and none is made up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Horizontal, ScrollableContainer, VerticalScroll
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.modals.modal import Modal
from tui.view.listings import SORT_BY
from tui.view.states import JOB_BADGES, NODE_BADGES, TASK_BADGES, Badge

KEY_CELLS = 14
SORTING = "sort by (again: the other way round)"
SCREENS = "screens"
HERE, WITHIN, EVERYWHERE = "here", "in the table or text", "everywhere"
COLUMNS = ((HERE, SORTING, SCREENS), (WITHIN, EVERYWHERE))
"""Beside each other, about as high as each other."""

WORDS_A_LINE = 3
INHERITED = frozenset(
    (key, binding.action)
    for widget in (App, Screen, ScrollableContainer)
    for binding in widget.BINDINGS
    if isinstance(binding, Binding)
    for key in binding.key.split(",")
)
"""What Textual binds by itself: it works, but is not ours to explain."""


HEADING = """\
heading
  N nodes that take work, of all   R P F tasks that run, wait, failed: of jobs that are not over
  cpu mem gpu held, of what nodes that take work have"""


class Help(Modal[None]):
    """Any of the closing keys leaves it."""

    DEFAULT_CSS = """
    Help > .box { max-height: 100%; padding: 0 2; }
    #keys { width: auto; max-width: 100%; height: auto; margin-bottom: 1; }
    #keys Static { width: auto; margin-right: 4; }
    Help.-narrow #keys { layout: vertical; }
    Help.-narrow #keys Static { margin: 0 0 1 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "close", id="help.close")
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal")]  # noqa: RUF012 - as Textual declares it

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        blocks = key_blocks(below)
        self._columns = ["\n\n".join(words for place, words in blocks if place in part) for part in COLUMNS]

    def compose(self) -> ComposeResult:
        """What works here beside what works elsewhere, or above it where it is narrow; then the glyphs."""
        with VerticalScroll(classes="box"):
            with Horizontal(id="keys"):
                yield from (Static(column, markup=False) for column in self._columns if column)
            yield Static(legend(), markup=False)


def key_blocks(screen: Screen[object]) -> list[tuple[str, str]]:
    """Keys by where they work: first those of the screen; the ones that sort in a block of their own."""
    parts: dict[str, list[str]] = {
        HERE: [],
        SORTING: [],
        WITHIN: [],
        EVERYWHERE: [],
        SCREENS: [],
    }
    merged: dict[tuple[str, str], list[str]] = {}
    for active in screen.active_bindings.values():
        if active.enabled and (active.binding.key, active.binding.action) not in INHERITED:
            keys = merged.setdefault((_place(active, screen), active.binding.description), [])
            keys.append(screen.app.get_key_display(active.binding))
    for (place, description), keys in merged.items():
        if place == SORTING:
            parts[place].append(f"{' '.join(keys)} {description.removeprefix(SORT_BY)}")
        elif place == SCREENS:
            parts[place].append(f"{' '.join(keys)} {description}")
        else:
            parts[place].append(f"  {' '.join(dict.fromkeys(keys)):<{KEY_CELLS}} {description}")
    for place in (SORTING, SCREENS):
        words = parts[place]
        parts[place] = [
            "  " + "".join(f"{word:<13}" for word in words[start : start + WORDS_A_LINE]).rstrip()
            for start in range(0, len(words), WORDS_A_LINE)
        ]
    return [(title, f"{title}\n" + "\n".join(lines)) for title, lines in parts.items() if lines]


def legend() -> str:
    """Every glyph with its word, and the letters of the heading."""
    rows = (("tasks", TASK_BADGES.items()), ("jobs", JOB_BADGES.items()), ("nodes", NODE_BADGES.items()))
    glyphs = "\n".join(f"  {noun:<6} {_badges(items)}" for noun, items in rows)
    return f"glyphs\n{glyphs}\n\n{HEADING}"


def _badges(items: Iterable[tuple[object, Badge]]) -> str:
    words = [f"{badge.glyph} {state}" for state, badge in items]
    lines = ["   ".join(words[start : start + 5]) for start in range(0, len(words), 5)]
    return ("\n" + " " * 9).join(lines)


def _place(active: ActiveBinding, screen: Screen[object]) -> str:
    if active.binding.description.startswith(SORT_BY):
        return SORTING
    if (active.binding.id or "").startswith("mode."):
        return SCREENS
    if active.node is screen:
        return HERE
    return WITHIN if isinstance(active.node, Widget) else EVERYWHERE
