"""Lines of text, any number of them, drawn only where one looks: output of tasks, and pages of facts.

It keeps the newest `LINES_MAX`. While it follows, it stays at the end; a reader who scrolls up stops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import MouseScrollUp
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.view.lines import LINES_MAX, Line, find_line
from tui.view.safe import fit, safe_line, text_width
from tui.widgets.virtual_table import TONES

SIDE_STEP = 16


class VirtualLog(ScrollView, can_focus=True):
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

    def __init__(self, *, id: str, following: bool = False) -> None:
        super().__init__(id=id)
        self._lines: list[Line] = []
        self._dropped = 0
        self._needle = ""
        self._here: int | None = None
        self._aside = 0
        self._longest = 0
        self.set_reactive(VirtualLog.following, following)

    @property
    def line_count(self) -> int:
        return len(self._lines)

    @property
    def dropped(self) -> int:
        """Lines no longer kept because too many came after them."""
        return self._dropped

    def clear(self) -> None:
        """Forget all lines."""
        self._lines, self._dropped, self._here = [], 0, None
        self._longest = 0
        self._sized()

    def replace(self, lines: Sequence[Line]) -> None:
        """Other lines in the place of these; the reader stays where they look."""
        before, self._lines = self._lines, list(lines)
        self._longest = max((text_width(line.text) for line in self._lines), default=0)
        if len(before) != len(self._lines):
            self._sized()
            return
        top, width = self.scroll_offset.y, self.size.width
        for position in range(top, min(top + self._height, len(before))):
            if before[position] != self._lines[position]:
                self.refresh(Region(0, position - top, width, 1))

    def extend(self, lines: Sequence[Line]) -> None:
        """More lines at the end."""
        if not lines:
            return
        self._lines.extend(lines)
        self._longest = max(self._longest, *(len(line.text) for line in lines))
        excess = len(self._lines) - LINES_MAX
        if excess > 0:
            del self._lines[:excess]
            self._dropped += excess
            self._here = None if self._here is None or self._here < excess else self._here - excess
            if not self.following:
                self.scroll_to(y=max(0, self.scroll_offset.y - excess), animate=False)
        self._sized()

    def search(self, needle: str) -> tuple[int, int]:
        """Mark `needle` (in any case) and go to its first place from here; see `next_match`."""
        self._needle, self._here = safe_line(needle), None
        self.refresh()
        return self.next_match(forward=True, start=self.scroll_offset.y - 1)

    def next_match(self, *, forward: bool, start: int | None = None) -> tuple[int, int]:
        """Go to the next line that holds the needle: (its number among those that do, how many do)."""
        if start is None:
            start = self.scroll_offset.y if self._here is None else self._here
        found = find_line(self._lines, self._needle, start, forward=forward)
        if found is None:
            return 0, 0
        self._here = found
        self.following = False
        if not self.scroll_offset.y <= found < self.scroll_offset.y + self._height:
            self.scroll_to(y=max(0, found - self._height // 3), animate=False)
        self.refresh()
        folded = self._needle.casefold()
        places = [index for index, line in enumerate(self._lines) if folded in line.text.casefold()]
        return places.index(found) + 1, len(places)

    def watch_following(self, following: bool) -> None:
        """Go to the end when it begins."""
        if following:
            self._to_end()
        self.post_message(self.Scrolled())

    def action_line(self, lines: int) -> None:
        """So many lines down, or up."""
        self._scroll_by(lines)

    def action_page(self, pages: float) -> None:
        """So many screens down, or up."""
        self._scroll_by(round(pages * max(1, self._height - 1)))

    def action_top(self) -> None:
        """The first line."""
        self.following = False
        self.scroll_to(y=0, animate=False)
        self.post_message(self.Scrolled())

    def action_end(self) -> None:
        """The last line, and what comes after it."""
        self.following = True
        self._to_end()

    def action_aside(self, steps: int) -> None:
        """See more of long lines."""
        room = max(0, self._longest + 2 - self.scrollable_content_region.width)
        self._aside = max(0, min(self._aside + steps * SIDE_STEP, room))
        self.refresh()

    def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        """Whoever looks back does not want to be taken to the end."""
        self.following = False

    def render_line(self, y: int) -> Strip:
        """One line, cut at the edge of the screen."""
        width = self.scrollable_content_region.width
        position = self.scroll_offset.y + y
        plain = self.get_component_rich_style("log--plain")
        if position >= len(self._lines):
            return Strip.blank(width, plain)
        line = self._lines[position]
        toned = self.get_component_rich_style(f"log--{line.tone}") if line.tone in self._tones else plain
        segments = [Segment(fit(safe_line(line.mark) or " ", 1) + " ", toned)]
        text = safe_line(line.text)[self._aside :]
        named = max(0, line.label_chars - self._aside)
        is_here, label = position == self._here, self.get_component_rich_style("log--idle")
        segments.extend(self._marked(text[:named], label, is_here=is_here))
        segments.extend(self._marked(text[named : width + 1], toned, is_here=is_here))
        strip = Strip(segments)
        if strip.cell_length > width or len(text) > width + 1:
            strip = Strip([*strip.crop(0, width - 1), Segment("…", plain)])
        return strip.adjust_cell_length(width, plain)

    _tones = frozenset({*TONES, "label"})

    def _marked(self, text: str, style: Style, *, is_here: bool) -> list[Segment]:
        """`text` with every place of the needle painted."""
        if not self._needle or self._needle.casefold() not in text.casefold():
            return [Segment(text, style)]
        found = self.get_component_rich_style("log--here" if is_here else "log--found")
        folded, needle, segments, begin = text.casefold(), self._needle.casefold(), [], 0
        if len(folded) != len(text):  # "ß" folds to two letters: places would not match
            return [Segment(text, style + found)]
        while (place := folded.find(needle, begin)) >= 0:
            segments += [
                Segment(text[begin:place], style),
                Segment(text[place : place + len(needle)], style + found),
            ]
            begin = place + len(needle)
        return [*segments, Segment(text[begin:], style)]

    @property
    def _height(self) -> int:
        return max(1, self.scrollable_content_region.height)

    def _scroll_by(self, lines: int) -> None:
        target = max(0, min(self.scroll_offset.y + lines, self.max_scroll_y))
        if lines < 0:
            self.following = False
        self.scroll_to(y=target, animate=False)
        self.post_message(self.Scrolled())

    def _to_end(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def _sized(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._lines))
        if self.following:
            self._to_end()
        self.refresh()

    def on_resize(self) -> None:
        """Stay at the end while following."""
        self._sized()
