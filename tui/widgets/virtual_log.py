"""Lines of text, any number of them, drawn only where one looks: output of tasks, and pages of facts.

It keeps the newest `LINES_MAX`. While it follows, it stays at the end; a reader who scrolls up stops it.
A line takes one row and is cut at the edge, or wraps into as many as it needs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import MouseScrollUp
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui.view.lines import LINES_MAX, Line, find_line
from tui.view.painting import Run, needle_spans, runs_of
from tui.view.safe import fit, safe_line, text_width
from tui.view.stamps import STAMP_CELLS, Stamps, stamp
from tui.view.wrapping import row_count, wrapped
from tui.widgets.line_view import LineView
from tui.widgets.virtual_table import TONES

SIDE_STEP = 16
MARK_CELLS = 2
WRAPPED_SIGN = "↪"


class VirtualLog(LineView, can_focus=True):
    """A pager over lines that may go on coming."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--plain",
        "log--label",
        "log--found",
        "log--here",
        *(f"log--{tone}" for tone in TONES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "line(1)", "line down", show=False, id="text.down"),
        Binding("up,k", "line(-1)", "line up", show=False, id="text.up"),
        Binding("pagedown,space,ctrl+f", "page(1)", "page down", show=False, id="text.page_down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="text.page_up"),
        Binding("ctrl+d", "page(0.5)", "half a page down", show=False, id="text.half_down"),
        Binding("ctrl+u", "page(-0.5)", "half a page up", show=False, id="text.half_up"),
        Binding("home,g", "top", "first line", show=False, id="text.top"),
        Binding("end,G", "end", "last line, and follow", show=False, id="text.end"),
        Binding("right", "aside(1)", "to the right", show=False, id="text.right"),
        Binding("left", "aside(-1)", "to the left", show=False, id="text.left"),
    ]

    following: reactive[bool] = reactive(False)

    class Scrolled(Message):
        """The reader looks elsewhere, or stopped or began to follow."""

    class TopWanted(Message):
        """The reader asked for the very first line."""

    def __init__(self, *, id: str, following: bool = False) -> None:
        super().__init__(id=id)
        self._lines: list[Line] = []
        self._rests: list[Line] = []
        self._dropped = 0
        self._needle = ""
        self._here: int | None = None
        self._aside = 0
        self._longest = 0
        self._wraps = False
        self._rows: list[int] = []
        self._stamps = Stamps.NONE
        self._since_s = 0.0
        self.set_reactive(VirtualLog.following, following)

    @property
    def line_count(self) -> int:
        return len(self._lines)

    @property
    def lines(self) -> Sequence[Line]:
        """What it holds."""
        return self._lines

    @property
    def dropped(self) -> int:
        """Lines no longer kept because too many came after them."""
        return self._dropped

    @property
    def wraps(self) -> bool:
        """Whether long lines go on in the next row."""
        return self._wraps

    @property
    def window(self) -> tuple[int, int]:
        """The lines [first, last) that one sees."""
        top = self.scroll_offset.y
        last = self._line_at(top + self._height - 1)[0] + 1
        return self._line_at(top)[0], min(last, len(self._lines))

    def clear(self) -> None:
        """Forget all lines."""
        self._lines, self._rests, self._dropped, self._here = [], [], 0, None
        self._longest = 0
        self._sized()

    def replace(self, lines: Sequence[Line]) -> None:
        """Other lines in the place of these; the reader stays where they look."""
        before, self._lines = self._lines, list(lines)
        self._longest = max((text_width(line.text) for line in self._lines), default=0)
        if len(before) != len(self._lines) or self._wraps:
            self._sized()
            return
        top, width = self.scroll_offset.y, self.size.width
        for position in range(top, min(top + self._height, len(before))):
            if before[position] != self._lines[position]:
                self.refresh(Region(0, position - top, width, 1))

    def show(self, lines: Sequence[Line], *, first: int | None = None, rests: Sequence[Line] = ()) -> None:
        """Another stretch of the same output: what one looks at stays where it is, or `first` comes first."""
        before, top = self._lines, self._line_at(self.scroll_offset.y)[0]
        anchor = before[top] if top < len(before) else None
        here = None if self._here is None else before[self._here]
        self._lines, self._rests = list(lines), list(rests)
        self._longest = max((len(line.text) for line in self._lines), default=0)
        self._here = None if here is None else self._place_of(here)
        self._sized()
        if self.following and first is None:
            return
        if first is None:
            first = None if anchor is None else self._place_of(anchor)
        self.scroll_to(y=self._row_of(min(first or 0, len(self._lines))), animate=False, immediate=True)

    def extend(self, lines: Sequence[Line], *, rests: Sequence[Line] = ()) -> None:
        """More lines at the end; `rests` are shown after them until the next ones come."""
        if not lines and list(rests) == self._rests:
            return
        self._rests = list(rests)
        self._lines.extend(lines)
        self._longest = max(self._longest, *(len(line.text) for line in lines), 0)
        excess = len(self._lines) - LINES_MAX
        if excess > 0:
            del self._lines[:excess]
            self._dropped += excess
            self._here = None if self._here is None or self._here < excess else self._here - excess
            if not self.following:
                self.scroll_to(y=max(0, self.scroll_offset.y - excess), animate=False)
        self._sized()

    def wrap(self, wraps: bool) -> None:
        """Long lines go on in the next row, or are cut; the first line one sees stays the first."""
        top = self._line_at(self.scroll_offset.y)[0]
        self._wraps, self._aside = wraps, 0
        self._sized()
        if not self.following:
            self.scroll_to(y=self._row_of(top), animate=False)

    def stamp(self, stamps: Stamps, *, since_s: float) -> None:
        """Say when lines came, by the clock or since `since_s`, or do not."""
        self._stamps, self._since_s = stamps, since_s
        self._sized()

    def mark(self, needle: str) -> None:
        """Paint every place of these words, `*` standing for anything between them."""
        self._needle, self._here = safe_line(needle), None
        self.refresh()

    def search(self, needle: str) -> tuple[int, int]:
        """Mark `needle` (in any case) and go to its first place from here; see `next_match`."""
        self.mark(needle)
        return self.next_match(forward=True, start=self.window[0] - 1)

    def next_match(self, *, forward: bool, start: int | None = None) -> tuple[int, int]:
        """Go to the next line that holds the needle: (its number among those that do, how many do)."""
        if start is None:
            start = self.window[0] if self._here is None else self._here
        found = find_line(self._lines, self._needle, start, forward=forward)
        if found is None:
            return 0, 0
        self.look_at(found)
        folded = self._needle.casefold()
        places = [index for index, line in enumerate(self._lines) if folded in line.text.casefold()]
        return places.index(found) + 1, len(places)

    @property
    def here(self) -> int | None:
        """The line of the match one went to last."""
        return self._here

    def look_at(self, index: int) -> None:
        """Go to a line and mark it as the one that was looked for."""
        self._here = index
        self.following = False
        first, last = self.window
        if not first <= index < last:
            above = self._height // 3
            self.scroll_to(y=max(0, self._row_of(index) - above), animate=False, immediate=True)
        self.refresh()

    def watch_following(self, following: bool) -> None:
        """Go to the end when it begins."""
        if following:
            self._to_end()
        self.post_message(self.Scrolled())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """By whatever hand: the bar and the wheel count too."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Scrolled())

    def action_line(self, lines: int) -> None:
        """So many lines down, or up."""
        self._scroll_by(lines)

    def action_page(self, pages: float) -> None:
        """So many screens down, or up."""
        self._scroll_by(round(pages * max(1, self._height - 1)))

    def action_top(self) -> None:
        """The first line."""
        self.post_message(self.TopWanted())  # before anybody hears that the first line is near
        self.following = False
        self.scroll_to(y=0, animate=False)
        self.post_message(self.Scrolled())

    def action_end(self) -> None:
        """The last line, and what comes after it."""
        self.following = True
        self._to_end()
        self.post_message(self.Scrolled())

    def action_aside(self, steps: int) -> None:
        """See more of long lines."""
        room = max(0, self._longest + MARK_CELLS - self.scrollable_content_region.width)
        self._aside = 0 if self._wraps else max(0, min(self._aside + steps * SIDE_STEP, room))
        self.refresh()

    def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        """Whoever looks back does not want to be taken to the end."""
        self.following = False

    def render_line(self, y: int) -> Strip:
        """One row: a line cut at the edge of the screen, or a part of one that wraps."""
        width = self.scrollable_content_region.width
        plain = self.get_component_rich_style("log--plain")
        index, part = self._line_at(self.scroll_offset.y + y)
        if index >= len(self._lines) + len(self._rests):
            return Strip.blank(width, plain)
        line = self._lines[index] if index < len(self._lines) else self._rests[index - len(self._lines)]
        toned = self.get_component_rich_style(f"log--{line.tone}") if line.tone in self._tones else plain
        text = safe_line(line.text).rstrip()
        begin, end = (0, len(text)) if not self._wraps else wrapped(text, self._text_width)[part]
        head = [Segment(fit(safe_line(line.mark) or " " if not part else WRAPPED_SIGN, 1) + " ", toned)]
        if self._stamps is not Stamps.NONE:
            when = stamp(line, self._stamps, since_s=self._since_s) if not part else " " * STAMP_CELLS
            head.append(Segment(when, self.get_component_rich_style("log--idle")))
        spans = needle_spans(text, self._needle)
        runs = runs_of(line, spans, begin=begin, end=end)
        is_here = index == self._here
        body = Strip(
            [Segment(text[run.begin : run.end], self._style(run, toned, is_here=is_here)) for run in runs]
        )
        room = max(0, width - sum(segment.cell_length for segment in head))
        shown = body.crop(self._aside, self._aside + room)
        if body.cell_length - self._aside > room and not self._wraps and room:
            shown = Strip([*shown.crop(0, room - 1), Segment("…", plain)])
        return Strip([*head, *shown]).adjust_cell_length(width, plain)

    _tones = frozenset({*TONES, "label"})

    def _style(self, run: Run, toned: Style, *, is_here: bool) -> Style:
        style = toned
        if run.is_label:
            style = self.get_component_rich_style("log--idle")
        if (ink := run.ink) is not None:
            if ink.tone in self._tones:
                style = self.get_component_rich_style(f"log--{ink.tone}")
            style += Style(
                bold=ink.bold or None, underline=ink.underline or None, reverse=ink.reverse or None
            )
        if run.is_found:
            style += self.get_component_rich_style("log--here" if is_here else "log--found")
        return style

    @property
    def _height(self) -> int:
        return max(1, self.scrollable_content_region.height)

    @property
    def _text_width(self) -> int:
        stamped = STAMP_CELLS if self._stamps is not Stamps.NONE else 0
        return max(1, self.scrollable_content_region.width - MARK_CELLS - stamped)

    def _line_at(self, row: int) -> tuple[int, int]:
        """The line that a row belongs to, and which of its rows it is."""
        if not self._wraps:
            return row, 0
        index = bisect_right(self._rows, row) - 1
        return index, row - self._rows[index]

    def _row_of(self, index: int) -> int:
        return self._rows[min(index, len(self._rows) - 1)] if self._wraps else index

    def _place_of(self, line: Line) -> int | None:
        """Where the same output stands now, or what comes next after it in its stream."""
        for index, each in enumerate(self._lines):
            if each.offset >= line.offset and each.mark == line.mark:
                return index
        return None

    def _scroll_by(self, lines: int) -> None:
        target = max(0, min(self.scroll_offset.y + lines, self.max_scroll_y))
        if lines < 0:
            self.following = False
        self.scroll_to(y=target, animate=False)
        self.post_message(self.Scrolled())

    def _to_end(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def _sized(self) -> None:
        rows = len(self._lines) + len(self._rests)
        if self._wraps:
            width = self._text_width
            counts = (row_count(line.text, width) for line in (*self._lines, *self._rests))
            self._rows = list(accumulate(counts, initial=0))
            rows = self._rows[-1]
        self.have_lines(rows)
        if self.following:
            self._to_end()
        self.refresh()

    def on_resize(self) -> None:
        """Stay at the end while following."""
        self._sized()
