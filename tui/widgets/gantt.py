"""Lanes of attempts under an axis of time; the cursor is a lane and an instant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.message import Message
from textual.strip import Strip

from bus.timeline import PlacedAttempt
from tui.view.gantt import (
    GLYPHS,
    OTHERS,
    Cause,
    Row,
    Scale,
    Story,
    bar_text,
    gap_text,
    rows_of,
    tick_step_s,
    ticks,
)
from tui.view.safe import fit, safe_line
from tui.widgets.line_view import LineView
from tui.widgets.virtual_table import TONES

NAME_CELLS = 14
AXIS_LINES = 1
NOW_MARK = "│"
PLANNED_MARK = "◇"


class GanttChart(LineView, can_focus=True):
    """`show` takes a story; the cursor keeps its node and instant."""

    DEFAULT_CSS = """
    GanttChart {
        height: 1fr; background: $background;
        overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1;
    }
    GanttChart > .gantt--plain { color: $foreground; background: $background; }
    GanttChart > .gantt--axis { color: $text-muted; background: $background; }
    GanttChart > .gantt--name { color: $foreground; background: $background; }
    GanttChart > .gantt--gap { color: $text-disabled; background: $background; }
    GanttChart > .gantt--cursor { color: $foreground; background: $primary-muted; text-style: bold; }
    GanttChart > .gantt--ok { color: $text-success; background: $background; }
    GanttChart > .gantt--busy { color: $text-primary; background: $background; }
    GanttChart > .gantt--wait { color: $text-accent; background: $background; }
    GanttChart > .gantt--warn { color: $text-warning; background: $background; }
    GanttChart > .gantt--bad { color: $text-error; background: $background; }
    GanttChart > .gantt--idle { color: $text-muted; background: $background; }
    GanttChart:nocolor > .gantt--cursor { text-style: reverse bold; }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "gantt--plain",
        "gantt--axis",
        "gantt--name",
        "gantt--gap",
        "gantt--cursor",
        *(f"gantt--{tone}" for tone in TONES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "lane(1)", "next lane", show=False, id="gantt.down"),
        Binding("up,k", "lane(-1)", "lane before", show=False, id="gantt.up"),
        Binding("pagedown,ctrl+d", "lane(20)", "further down", show=False, id="gantt.page_down"),
        Binding("pageup,ctrl+u", "lane(-20)", "further up", show=False, id="gantt.page_up"),
        Binding("left,h", "along(-1)", "earlier", show=False, id="gantt.left"),
        Binding("right,l", "along(1)", "later", show=False, id="gantt.right"),
        Binding("shift+left,H", "along(-20)", "much earlier", show=False, id="gantt.far_left"),
        Binding("shift+right,L", "along(20)", "much later", show=False, id="gantt.far_right"),
    ]

    class Moved(Message):
        """The cursor is elsewhere. `beyond_s`: so far outside of what is shown it wanted to go."""

        def __init__(self, beyond_s: float = 0.0) -> None:
            super().__init__()
            self.beyond_s = beyond_s

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.slots_most = 4
        self.story: Story | None = None
        self._names: Sequence[str] = ()
        self._since = self._until = 0.0
        self._rows: list[Row] = []
        self._laid: Scale | None = None
        self._drawn: tuple[Story, Sequence[str], Scale, int] | None = None
        self._row = 0
        self._at: float | None = None

    @property
    def scale(self) -> Scale:
        """The instants on the screen."""
        cells = max(1, self.scrollable_content_region.width - NAME_CELLS)
        return Scale(self._since, self._until, cells)

    @property
    def row(self) -> Row | None:
        """The lane under the cursor."""
        return self._rows[self._row] if self._row < len(self._rows) else None

    @property
    def rows(self) -> Sequence[Row]:
        """All lanes."""
        return self._rows

    @property
    def at(self) -> float:
        """The instant under the cursor."""
        middle = (self._since + self._until) / 2
        return middle if self._at is None else min(max(self._at, self._since), self._until)

    @property
    def attempt(self) -> PlacedAttempt | None:
        """The attempt under the cursor."""
        row = self.row
        if row is None:
            return None
        cell = self.scale.cell(self.at)
        found = next((bar for bar in row.bars if bar.first <= cell < bar.end), None)
        return None if found is None else row.attempts[found.attempt]

    @property
    def names(self) -> Sequence[str]:
        """The nodes that are drawn."""
        return self._names

    def show(self, story: Story, nodes: Sequence[str], *, since: float, until: float) -> None:
        """Draw these nodes from `since` to `until`."""
        self.story, self._names = story, nodes
        self._since, self._until = since, until
        self._lay_out()

    def point_at(self, at: float) -> None:
        """Put the cursor on an instant."""
        self._at = at
        self._changed()

    def action_lane(self, rows: int) -> None:
        """So many lanes down, or up."""
        self._row = max(0, min(self._row + rows, len(self._rows) - 1))
        top, height = self.scroll_offset.y, self.scrollable_content_region.height - AXIS_LINES
        if self._row < top:
            self.scroll_to(y=self._row, animate=False)
        elif self._row >= top + height:
            self.scroll_to(y=self._row - height + 1, animate=False)
        self._changed()

    def action_along(self, cells: int) -> None:
        """So many cells later, or earlier; what lies outside has to be asked for."""
        wanted = self.at + cells * self.scale.cell_s
        beyond = min(0.0, wanted - self._since) or max(0.0, wanted - self._until)
        self._at = wanted
        self.refresh()
        self.post_message(self.Moved(beyond))

    def on_resize(self, _: Resize) -> None:
        """Other cells, other lanes."""
        self._lay_out()

    def on_click(self, event: Click) -> None:
        """The lane and the instant that were clicked at."""
        if event.y >= AXIS_LINES and event.x >= NAME_CELLS:
            self._row = min(event.y - AXIS_LINES + self.scroll_offset.y, max(0, len(self._rows) - 1))
            self.point_at(self.scale.middle(event.x - NAME_CELLS))

    def render_line(self, y: int) -> Strip:
        """The axis, then the lanes."""
        if self.story is not None and self._laid != self.scale:
            self._make_rows()  # a scroll bar or a pane beside it came or went since
        width = self.scrollable_content_region.width
        plain = self.get_component_rich_style("gantt--plain")
        if y < AXIS_LINES:
            return self._axis().adjust_cell_length(width, plain)
        position = y - AXIS_LINES + self.scroll_offset.y
        if position >= len(self._rows) or self.story is None:
            return Strip.blank(width, plain)
        return self._lane(position).adjust_cell_length(width, plain)

    def _lay_out(self) -> None:
        if self.story is not None:
            self._make_rows()
            self._changed()

    def _make_rows(self) -> None:
        assert self.story is not None, "there is something to draw"
        drawn = (self.story, self._names, self.scale, self.slots_most)
        if drawn == self._drawn:
            return
        self._drawn, self._laid = drawn, self.scale
        node = self.row.node if self.row is not None else ""
        slot = self.row.slot if self.row is not None else 0
        self._rows = rows_of(self.story, self._names, self._laid, slots_most=self.slots_most)
        same = [place for place, row in enumerate(self._rows) if row.node == node and row.slot <= slot]
        self._row = same[-1] if same else min(self._row, max(0, len(self._rows) - 1))
        self.have_lines(len(self._rows) + AXIS_LINES)

    def _changed(self) -> None:
        self.refresh()
        self.post_message(self.Moved())

    def _axis(self) -> Strip:
        scale = self.scale
        signs = [" "] * scale.cells
        shape = "%H:%M:%S" if tick_step_s(scale) < 60 else "%H:%M" if tick_step_s(scale) < 86_400 else "%d %b"
        for cell, at in ticks(scale, utc_offset_s=time.localtime(scale.since).tm_gmtoff):
            text = f"╷{time.strftime(shape, time.localtime(at))}"
            signs[cell : cell + len(text)] = text[: scale.cells - cell]
        here = scale.cell(self.at)
        style = self.get_component_rich_style("gantt--axis")
        cells = [Segment(sign, style) for sign in signs[: scale.cells]]
        if 0 <= here < len(cells):
            cells[here] = Segment("▾", self.get_component_rich_style("gantt--cursor"))
        return Strip([Segment(" " * NAME_CELLS, style), *cells]).simplify()

    def _lane(self, position: int) -> Strip:
        row, scale = self._rows[position], self.scale
        chosen = position == self._row
        plain = self.get_component_rich_style("gantt--plain")
        cells = [Segment(" ", plain)] * scale.cells
        assert self.story is not None, "there are rows of a story only"
        now = scale.cell(self.story.now_s)
        if 0 <= now < scale.cells:
            cells[now] = Segment(NOW_MARK, self.get_component_rich_style("gantt--axis"))
        for gap in row.gaps:
            if gap.cause is not Cause.AHEAD:
                self._put(cells, gap.first, gap_text(gap), self.get_component_rich_style("gantt--gap"))
        for cell, _ in row.planned:
            self._put(cells, cell, PLANNED_MARK, self.get_component_rich_style("gantt--wait"))
        for bar in row.bars:
            attempt = row.attempts[bar.attempt]
            tone = GLYPHS.get(attempt.state, OTHERS)[1]
            text = safe_line(bar_text(bar, attempt, scale))
            self._put(cells, bar.first, text, self.get_component_rich_style(f"gantt--{tone}"))
        if row.more:
            text = f" +{row.more} more: s "
            self._put(
                cells, max(0, scale.cells - len(text)), text, self.get_component_rich_style("gantt--axis")
            )
        here = scale.cell(self.at)
        if chosen and 0 <= here < scale.cells:
            over = self.get_component_rich_style("gantt--cursor")
            cells[here] = Segment(cells[here].text, (cells[here].style or Style()) + over)
        name = self.get_component_rich_style("gantt--cursor" if chosen else "gantt--name")
        label = row.node if row.slot == 0 else ""
        head = Segment(fit(safe_line(label), NAME_CELLS - 1) + " ", name)
        return Strip([head, *cells]).simplify()

    def _put(self, cells: list[Segment], first: int, text: str, style: Style) -> None:
        for offset, sign in enumerate(text[: max(0, len(cells) - first)]):
            cells[first + offset] = Segment(sign, style)
