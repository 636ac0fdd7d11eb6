"""The last line: at most six keys that do something here and now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from rich.text import Text
from textual.screen import Screen

from tui.view.safe import text_width
from tui.widgets.one_line import Link, OneLine

HINTS_MAX = 6
HELP = "help"
"""Is never left out: it tells of all the others."""

Hint = tuple[str, str, str]
"""Key, label and action."""


@runtime_checkable
class Hinting(Protocol):
    """A screen on which not every key that is allowed does something now."""

    def is_idle(self, action: str) -> bool:
        """Whether there is nothing that it could be done to: it is not spoken of."""
        ...


class Hints(OneLine):
    """Drawn from the bindings of the screen that are shown and allowed."""

    def __init__(self) -> None:
        super().__init__(id="hints")

    def on_mount(self) -> None:
        """Follow the focus: keys differ between tables."""
        self.screen.bindings_updated_signal.subscribe(self, self.redraw)

    def on_resize(self) -> None:
        """Say what fits."""
        self.redraw(self.screen)

    def redraw(self, screen: Screen[object]) -> None:
        """Draw what is allowed now, as far as there is room."""
        if not self.size.width:
            return  # not laid out yet: it is told once it is
        text, links = Text(" ", no_wrap=True, overflow="ellipsis"), []
        key_style = self.get_component_rich_style("hints--key")
        for key, label, action in fitting(hints_of(screen), width=self.size.width):
            start = text.cell_len
            text.append(key, style=key_style)
            text.append(f" {label}")
            links.append(Link(start, text.cell_len, action))
            text.append("   ")
        self.say(text, links=links)

    COMPONENT_CLASSES = {"hints--key"}


def fitting(hints: Sequence[Hint], *, width: int) -> list[Hint]:
    """Those for which there is room, whole: the last go first, help never."""
    kept = list(hints)
    while len(kept) > 1 and sum(text_width(f"{key} {label}   ") for key, label, _ in kept) > width + 2:
        del kept[-2 if kept[-1][2].endswith(f".{HELP}") else -1]
    return kept


def hints_of(screen: Screen[object]) -> list[Hint]:
    """The hints, in the order of the bindings; a click does the action."""
    found: dict[str, Hint] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        idle = isinstance(screen, Hinting) and screen.is_idle(binding.action)
        if binding.show and active.enabled and not idle:
            owner = "app" if active.node is screen.app else "screen" if active.node is screen else "focused"
            key = screen.app.get_key_display(binding)
            found.setdefault(binding.action, (key, binding.description, f"{owner}.{binding.action}"))
    more = [action for action in found if action != HELP][: HINTS_MAX - 1]
    return [hint for action, hint in found.items() if action == HELP or action in more]
