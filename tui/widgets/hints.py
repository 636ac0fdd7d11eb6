"""The last line: at most six keys that do something here and now."""

from __future__ import annotations

from rich.text import Text
from textual.screen import Screen

from tui.widgets.one_line import OneLine

HINTS_MAX = 6


class Hints(OneLine):
    """Drawn from the bindings of the screen that are shown and allowed."""

    def __init__(self) -> None:
        super().__init__(id="hints")

    def on_mount(self) -> None:
        """Follow the focus: keys differ between tables."""
        self.screen.bindings_updated_signal.subscribe(self, self.redraw)
        self.redraw(self.screen)

    def redraw(self, screen: Screen[object]) -> None:
        """Draw what is allowed now."""
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        key_style = self.get_component_rich_style("hints--key")
        for key, label in hints_of(screen):
            text.append(key, style=key_style)
            text.append(f" {label}   ")
        self.say(text)

    COMPONENT_CLASSES = {"hints--key"}


def hints_of(screen: Screen[object]) -> list[tuple[str, str]]:
    """Key and label of the hints, in the order of the bindings."""
    found: dict[str, tuple[str, str]] = {}
    for active in screen.active_bindings.values():
        if active.binding.show and active.enabled:
            label = active.binding.description
            found.setdefault(active.binding.action, (screen.app.get_key_display(active.binding), label))
    return list(found.values())[:HINTS_MAX]
