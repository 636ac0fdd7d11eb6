"""A few lines to choose from, with what each is for; one of them is the chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from rich.segment import Segment
from rich.style import Style
from textual.events import Click
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.view.safe import fit, safe_line, text_width

NAME_CELLS_MAX = 44
CURSOR_MARK = "▌"


class Choice(Struct, frozen=True):
    """`found`: the places of the name's letters that were typed."""

    name: str
    about: str = ""
    found: tuple[int, ...] = ()


class Choices(Widget):
    """As high as what it offers. A click posts Picked."""

    DEFAULT_CSS = """
    Choices { height: auto; background: $surface; display: none; }
    Choices > .choices--name { color: $foreground; background: $surface; }
    Choices > .choices--about { color: $text-muted; background: $surface; }
    Choices > .choices--found { color: $text-accent; background: $surface; text-style: bold; }
    Choices > .choices--cursor { background: $primary-muted; text-style: bold; }
    Choices:nocolor > .choices--cursor { text-style: reverse; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "choices--name",
        "choices--about",
        "choices--found",
        "choices--cursor",
    }

    class Picked(Message):
        """A line was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._choices: Sequence[Choice] = ()
        self.cursor: int | None = None

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._choices)

    def offer(self, choices: Sequence[Choice], *, cursor: int | None = None) -> None:
        """Other lines."""
        self._choices, self.cursor = choices, cursor
        self.display = bool(choices)
        self.styles.height = len(choices)
        self.refresh()

    def move(self, by: int) -> int | None:
        """The line so many further down, going round; where nothing is chosen yet, the first or last."""
        if self._choices:
            start = self.cursor if self.cursor is not None else -1 if by > 0 else 0
            self.cursor = (start + by) % len(self._choices)
            self.refresh()
        return self.cursor

    def on_click(self, event: Click) -> None:
        """Choose it."""
        if event.y < len(self._choices):
            self.post_message(self.Picked(event.y))

    def render_line(self, y: int) -> Strip:
        """A mark, the name with the letters that were typed, what it is for."""
        width = self.size.width
        about_style = self.get_component_rich_style("choices--about")
        if y >= len(self._choices):
            return Strip.blank(width, about_style)
        choice = self._choices[y]
        name_style = self.get_component_rich_style("choices--name")
        found_style = self.get_component_rich_style("choices--found")
        over = Style()
        if y == self.cursor:
            over = self.get_component_rich_style("choices--cursor")
        names = max(text_width(safe_line(other.name)) for other in self._choices)
        segments = [Segment(CURSOR_MARK if y == self.cursor else " ", name_style + over)]
        for at, sign in enumerate(choice.name):
            style = found_style if at in choice.found else name_style
            segments.append(Segment(safe_line(sign), style + over))
        line = Strip(segments).adjust_cell_length(min(names, NAME_CELLS_MAX) + 3, name_style + over)
        about = Segment(fit(safe_line(choice.about), max(0, width - line.cell_length)), about_style + over)
        return Strip([*line, about]).adjust_cell_length(width, about_style + over)
