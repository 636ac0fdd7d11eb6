"""The main screens and the saved views at the side of a wide screen: with their digits, or to click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from rich.segment import Segment
from textual.events import Click
from textual.strip import Strip
from textual.widget import Widget

from tui.view.safe import fit, safe_line

HERE_MARK = "▌"


class NavLine(Struct, frozen=True):
    """`action` is what a click runs; a line without one is a heading, or nothing."""

    text: str
    action: str = ""
    here: bool = False


class Nav(Widget):
    """Shown by its style where there is room."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"nav--line", "nav--here", "nav--title"}

    def __init__(self) -> None:
        super().__init__(id="nav")
        self._lines: Sequence[NavLine] = ()

    def show(self, lines: Sequence[NavLine]) -> None:
        """Other lines."""
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def on_click(self, event: Click) -> None:
        """Go there. The application goes: the way there may take this screen away."""
        if event.y < len(self._lines) and (action := self._lines[event.y].action):
            self.app.call_next(self.app.run_action, action)

    def render_line(self, y: int) -> Strip:
        """A mark where one is, and the words."""
        line = self._lines[y] if y < len(self._lines) else NavLine("")
        look = "nav--here" if line.here else "nav--line" if line.action else "nav--title"
        style = self.get_component_rich_style(look)
        mark = HERE_MARK if line.here else " "
        return Strip([Segment(fit(mark + safe_line(line.text), self.size.width), style)])


def nav_lines(modes: Sequence[tuple[str, str]], views: Sequence[str], *, here: str) -> list[NavLine]:
    """`modes`: digits and names, in order; `here` is the mode one is in."""
    lines = [NavLine(f"{digit} {mode}", f"app.mode('{mode}')", mode == here) for digit, mode in modes]
    if views:
        lines += [NavLine(""), NavLine(" views")]
        lines += [NavLine(f"  {view}", f"app.show_view('{view}')") for view in views]
    return lines
