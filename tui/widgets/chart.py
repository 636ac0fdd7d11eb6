"""A chart of lines in braille, drawn line by line; the arrow keys and the mouse move its cursor."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, MouseMove
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.view.series import COLOURS, Panel, Part, index_at, panel_lines

TONES = (*(f"line{place}" for place in range(COLOURS)), "title", "label", "mark-event", "mark-policy")


class Chart(Widget, can_focus=True):
    """`show` takes what is drawn; the cursor is one for all charts of a screen, who is told by `Moved`."""

    DEFAULT_CSS = """
    Chart { height: 1fr; width: 1fr; background: $background; }
    Chart > .chart--plain { color: $foreground; background: $background; }
    Chart > .chart--title { color: $foreground; background: $background; text-style: bold; }
    Chart:focus > .chart--title { color: $text-accent; text-style: bold reverse; }
    Chart > .chart--label { color: $text-muted; background: $background; }
    Chart > .chart--cursor { background: $primary-muted; }
    Chart > .chart--line0 { color: $text-primary; background: $background; }
    Chart > .chart--line1 { color: $text-warning; background: $background; }
    Chart > .chart--line2 { color: $text-success; background: $background; }
    Chart > .chart--line3 { color: $text-error; background: $background; }
    Chart > .chart--line4 { color: $text-accent; background: $background; }
    Chart > .chart--line5 { color: $foreground; background: $background; }
    Chart > .chart--mark-event { color: $text-error; background: $background; text-style: bold; }
    Chart > .chart--mark-policy { color: $text-accent; background: $background; text-style: bold; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--plain",
        "chart--cursor",
        *(f"chart--{tone}" for tone in TONES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "go(-1)", "earlier", show=False, id="chart.left"),
        Binding("right,l", "go(1)", "later", show=False, id="chart.right"),
        Binding("shift+left,H", "go(-10)", "much earlier", show=False, id="chart.far_left"),
        Binding("shift+right,L", "go(10)", "much later", show=False, id="chart.far_right"),
        Binding("home,g", "go(-100000)", "the first moment", show=False, id="chart.first"),
        Binding("end,G", "go(100000)", "the last moment", show=False, id="chart.last"),
    ]

    class Moved(Message):
        """The cursor stands at another moment."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self) -> None:
        super().__init__()
        self.panel: Panel | None = None
        self.cursor: int | None = None
        self._lines: list[list[Part]] = []
        self._drawn: Size | None = None

    def show(self, panel: Panel, *, cursor: int | None = None) -> None:
        """Draw this; the same again costs nothing."""
        if (panel, cursor) != (self.panel, self.cursor):
            self.panel, self.cursor, self._drawn = panel, cursor, None
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width, plain = self.size.width, self._style("plain")
        if self.panel is None:
            return Strip.blank(width, plain)
        if self._drawn != (size := self.size):
            self._lines = panel_lines(self.panel, width=size.width, height=size.height, cursor=self.cursor)
            self._drawn = size
        parts = self._lines[y] if y < len(self._lines) else []
        strip = Strip([Segment(text, self._style(tone or "plain")) for text, tone in parts])
        return strip.adjust_cell_length(width, plain)

    def action_go(self, by: int) -> None:
        """Move the cursor by so many moments; at first it appears at the newest."""
        if self.panel is not None and self.panel.count:
            last = self.panel.count - 1
            start = last if self.cursor is None else self.cursor
            self.post_message(self.Moved(min(last, max(0, start + by))))

    def on_click(self, event: Click) -> None:
        """The moment under the mouse."""
        self._point(event.x)

    def on_mouse_move(self, event: MouseMove) -> None:
        """While its button is down, the cursor follows the mouse."""
        if event.button:
            self._point(event.x)

    def _point(self, column: int) -> None:
        if self.panel is not None:
            index = index_at(self.panel, column, width=self.size.width)
            if index is not None:
                self.post_message(self.Moved(index))

    def _style(self, tone: str) -> Style:
        name, _, cursor = tone.partition(" ")
        style = self.get_component_rich_style(f"chart--{name}")
        return style + self.get_component_rich_style("chart--cursor") if cursor else style
