"""A table of any length that draws only the lines one sees.

It owns a cursor and column widths, no rows: it asks its `rows` for those on the screen. So mounting costs the
same for fifty rows as for a million. A change paints the lines again that read differently then, no others.
Everything it draws passes `safe_line`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp, Resize
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from tui.view.grid import GAP, GridColumn, fit_columns, widen
from tui.view.listings import Listing
from tui.view.safe import fit, safe_line, text_width
from tui.widgets.line_view import LineView

if TYPE_CHECKING:
    from tui.view.deeds import Ghost

T = TypeVar("T")

Look = tuple[str, tuple[str, ...], bool, bool]
"""What a line is made of: its tone, its cells, whether the cursor is there, whether it is marked."""

LINES_KEPT = 512
"""Lines that were painted, and may be again: a table that moves by a row has one that is new."""

SETTLED_S = 0.7
"""A reader who moved the cursor this short a time ago is still aiming: rows must not move under it."""

TONES = ("ok", "busy", "wait", "warn", "bad", "idle")
CURSOR_MARK, MARK = "▌", "◆"


class VirtualTable(LineView, Generic[T], can_focus=True):
    """One listing. `show` takes its rows, which are kept by reference and never changed here."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header",
        "table--sorted",
        "table--cursor",
        "table--marked",
        "table--plain",
        *(f"table--{tone}" for tone in TONES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "next row", show=False, id="table.down"),
        Binding("up,k", "move(-1)", "row before", show=False, id="table.up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, id="table.page_down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, id="table.page_up"),
        Binding("ctrl+d", "page(0.5)", "half a page down", show=False, id="table.half_down"),
        Binding("ctrl+u", "page(-0.5)", "half a page up", show=False, id="table.half_up"),
        Binding("home,g", "first", "first row", show=False, id="table.first"),
        Binding("end,G", "last", "last row", show=False, id="table.last"),
        Binding("enter", "select", "open", show=False, id="table.select"),
        Binding("space", "mark", "mark the row", show=False, id="table.mark"),
        Binding("ctrl+@,ctrl+space", "mark_range", "mark up to here", show=False, id="table.mark_range"),
        Binding("ctrl+a", "mark_all", "mark all loaded, or none", show=False, id="table.mark_all"),
    ]

    class Moved(Message):
        """The cursor is on another row, or the rows on the screen are others."""

    class Selected(Message):
        """Enter, or a click on the row under the cursor."""

    class Marked(Message):
        """Other rows are marked than before."""

    class StartWanted(Message):
        """The reader wants the first row of all; it may have been let go."""

    class EndWanted(Message):
        """The reader wants the last row of all; not all may be loaded."""

    class SortWanted(Message):
        """A click on the head of a column that can be sorted."""

        def __init__(self, sort: str) -> None:
            super().__init__()
            self.sort = sort

    def __init__(self, listing: Listing, *, id: str) -> None:  # type: ignore[type-arg]
        super().__init__(id=id)
        self._take(listing)
        self._ghost_of: Callable[[T], Ghost | None] = lambda _: None
        self._marks: dict[str, T] = {}
        self._anchor: str | None = None
        self._rows: Sequence[T] = ()
        self._cells: dict[int, tuple[str, ...]] = {}
        self._painted: dict[int, Look | None] = {}
        self._heads: dict[tuple[Style, Style], Strip] = {}
        self._lines: dict[tuple[tuple[str, ...], str, Style, Style], Strip] = {}
        self._cursor = 0
        self._moved_at = -SETTLED_S
        self._now_s = 0.0
        self._sort = ""

    def list_as(self, listing: Listing) -> None:  # type: ignore[type-arg]
        """Other columns, for other rows: those there are go."""
        self._take(listing)
        self._rows, self._cursor = (), 0
        self._resize_virtual()
        self._renew()

    def _take(self, listing: Listing) -> None:  # type: ignore[type-arg]
        self._columns: tuple[GridColumn[T], ...] = listing.columns
        self._tone_of = listing.tone
        self._key_of = listing.key
        self._ghost_column = _ghost_column([column.field.name for column in self._columns])
        self._wanted = [column.wanted_first for column in self._columns]
        self._layout_width = -1
        self._shown: list[tuple[int, int]] = []

    @property
    def cursor(self) -> int:
        """The position of the row under the cursor."""
        return self._cursor

    @property
    def drawn_s(self) -> float:
        """The moment that the ages on the screen are of."""
        return self._now_s

    @property
    def row_count(self) -> int:
        return len(self._rows)

    @property
    def row(self) -> T | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    @property
    def marked(self) -> list[T]:
        """The marked rows as they read now, in the order of their marking; one not loaded, as it last was."""
        if self._marks:
            known = ((self._key_of(row), row) for row in self._rows)
            self._marks |= {key: row for key, row in known if key in self._marks}
        return list(self._marks.values())

    @property
    def chosen(self) -> list[T]:
        """What an action is meant for: the marked rows, else the one under the cursor."""
        return self.marked or ([] if self.row is None else [self.row])

    @property
    def aiming_s(self) -> float:
        """How long from now the reader must be still until rows may change places; 0: they may now."""
        return max(0.0, self._moved_at + SETTLED_S - time.monotonic())

    @property
    def window(self) -> tuple[int, int]:
        """The first and the last position on the screen."""
        first = self.scroll_offset.y
        return first, max(first, first + self._page_rows - 1)

    @property
    def _page_rows(self) -> int:
        return max(1, self.scrollable_content_region.height - 1)

    def show(self, rows: Sequence[T], *, now_s: float, cursor: int | None = None, sort: str = "") -> None:
        """Draw `rows` as of `now_s`; `cursor` is where its row stands now, on the same line of the screen."""
        line = self._cursor - self.scroll_offset.y
        self._rows, self._now_s = rows, now_s
        if sort != self._sort:
            self._sort, self._layout_width = sort, -1
        if cursor is not None and cursor != self._cursor:
            self._cursor = cursor
            self._resize_virtual()
            # at the top one waits for what is new: there rows come in above the cursor
            if self.scroll_offset.y > 0 or cursor >= self._page_rows:
                self.scroll_to(y=max(0, cursor - line), animate=False)
        self._cursor = max(0, min(self._cursor, len(rows) - 1))
        self._resize_virtual()
        self._renew()

    def haunt(self, ghost_of: Callable[[T], Ghost | None]) -> None:
        """Have `ghost_of` say what is under way with a row; it stands behind the row's state."""
        self._ghost_of = ghost_of

    def mark(self, rows: Iterable[T]) -> None:
        """Mark these rows and no others."""
        self._marks = {self._key_of(row): row for row in rows}
        self._renew()
        self.post_message(self.Marked())

    def tick(self, now_s: float) -> None:
        """Draw the same rows with their ages as of `now_s`."""
        self._now_s = now_s
        self._renew()

    def move_to(self, position: int) -> None:
        """Put the cursor there, in sight."""
        position = max(0, min(position, len(self._rows) - 1))
        self._moved_at = time.monotonic()
        before, self._cursor = self._cursor, position
        top = self.scroll_offset.y
        if position < top:
            self.scroll_to(y=position, animate=False)
        elif position >= top + self._page_rows:
            self.scroll_to(y=position - self._page_rows + 1, animate=False)
        for line in {before, position}:
            self.refresh(Region(0, line - self.scroll_offset.y + 1, self.size.width, 1))
        self.post_message(self.Moved())

    def action_move(self, rows: int) -> None:
        """So many rows down, or up."""
        self.move_to(self._cursor + rows)

    def action_page(self, pages: float) -> None:
        """So many screens down, or up: the cursor stays on its line."""
        rows = round(pages * self._page_rows)
        self.scroll_to(y=max(0, min(self.scroll_offset.y + rows, self.max_scroll_y)), animate=False)
        self.move_to(self._cursor + rows)

    def action_first(self) -> None:
        """The first row."""
        self.move_to(0)
        self.post_message(self.StartWanted())

    def action_last(self) -> None:
        """The last row."""
        self.move_to(len(self._rows) - 1)
        self.post_message(self.EndWanted())

    def action_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away, and go on to the next."""
        if (row := self.row) is None:
            return
        key = self._key_of(row)
        if self._marks.pop(key, None) is None:
            self._marks[key] = row
        self._anchor = key
        self.post_message(self.Marked())
        self._renew()
        self.move_to(self._cursor + 1)

    def action_mark_range(self) -> None:
        """Mark all rows from the one marked last up to the cursor."""
        if self.row is None:
            return
        anchor = next(
            (index for index, row in enumerate(self._rows) if self._key_of(row) == self._anchor), self._cursor
        )
        first, last = sorted((anchor, self._cursor))
        self._marks |= {self._key_of(row): row for row in self._rows[first : last + 1]}
        self._anchor = self._key_of(self.row)
        self.post_message(self.Marked())
        self._renew()

    def action_mark_all(self) -> None:
        """Mark all rows that are loaded; where all are marked already, none."""
        unmarked = any(self._key_of(row) not in self._marks for row in self._rows)
        self.mark(self._rows if unmarked else ())

    def action_select(self) -> None:
        """Open the row under the cursor."""
        if self.row is not None:
            self.post_message(self.Selected())

    def on_resize(self, _: Resize) -> None:
        """Keep the cursor in sight."""
        self._resize_virtual()
        top = self.scroll_offset.y
        if not top <= self._cursor < top + self._page_rows:
            self.scroll_to(y=max(0, self._cursor - self._page_rows + 1), animate=False)

    def on_click(self, event: Click) -> None:
        """A row takes the cursor, and opens where it has it already; a head sorts."""
        if event.y == 0:
            left = 1
            for index, width in self._shown:
                if left <= event.x < left + width + GAP and self._columns[index].sort:
                    self.post_message(self.SortWanted(self._columns[index].sort))
                    return
                left += width + GAP
            return
        position = self.scroll_offset.y + event.y - 1
        if position == self._cursor:
            self.action_select()
        elif position < len(self._rows):
            self.move_to(position)

    def on_mouse_scroll_down(self, _: MouseScrollDown) -> None:
        """Rows further down may have to be asked for."""
        self.post_message(self.Moved())

    def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        """Rows further up may be old."""
        self.post_message(self.Moved())

    def render_lines(self, crop: Region) -> list[Strip]:
        """Widths are looked at once for all of the lines."""
        self._lay_out(self.scrollable_content_region.width)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """The head, a row, or nothing."""
        width = self._layout_width
        if y == 0:
            return self._head(width)
        self._painted[y] = look = self._look(y)
        if look is None:
            return Strip.blank(width, self.get_component_rich_style("table--plain"))
        return self._line(look, width)

    def _renew(self) -> None:
        """Paint again what reads differently now."""
        self._cells.clear()
        size, shown = self.scrollable_content_region.size, self._shown
        self._lay_out(size.width)
        if self._shown is not shown:
            self.refresh()
            return
        for y in range(1, size.height):
            if y not in self._painted or self._painted[y] != self._look(y):
                self.refresh(Region(0, y, size.width, 1))

    def _look(self, y: int) -> Look | None:
        """What line `y` of the screen is made of now; None where there is no row."""
        position = self.scroll_offset.y + y - 1
        if position >= len(self._rows):
            return None
        row = self._rows[position]
        ghost = self._ghost_of(row)
        tone = self._tone_of(row) if ghost is None else ghost.tone
        return tone, self._cells_at(position), position == self._cursor, self._key_of(row) in self._marks

    def _resize_virtual(self) -> None:
        self.have_lines(len(self._rows) + 1)

    def _lay_out(self, width: int) -> None:
        """Widths follow what is on the screen; they only grow."""
        first, last = self.window
        seen = range(first, min(last + 1, len(self._rows)))
        fresh = [self._cells_at(position) for position in seen if position not in self._cells]
        if widen(self._wanted, fresh, self._columns) or width != self._layout_width:
            self._layout_width = width
            wanted = [
                want + (2 if self._is_sorted(column) and 0 < want < len(column.title) + 2 else 0)
                for want, column in zip(self._wanted, self._columns, strict=True)
            ]
            self._shown = fit_columns(self._columns, wanted, width - 2)
            self._heads.clear()
            self._lines.clear()

    def _cells_at(self, position: int) -> tuple[str, ...]:
        """The safe cells of a row; kept until rows or time change."""
        cells = self._cells.get(position)
        if cells is None:
            row = self._rows[position]
            texts = [column.field.cell(row, self._now_s) for column in self._columns]
            if (ghost := self._ghost_of(row)) is not None:
                texts[self._ghost_column] += f" {ghost.text}"
            self._cells[position] = cells = tuple(map(safe_line, texts))
        return cells

    def _head(self, width: int) -> Strip:
        plain = self.get_component_rich_style("table--header")
        marked = self.get_component_rich_style("table--sorted")
        if (head := self._heads.get((plain, marked))) is not None:
            return head
        segments = [Segment(" ", plain)]
        for index, column_width in self._shown:
            column = self._columns[index]
            arrow = ("▾" if self._sort.startswith("-") else "▴") if self._is_sorted(column) else ""
            title = fit(column.title, max(0, column_width - len(arrow))).rstrip() + arrow
            segments.append(
                Segment(_aligned(title, column_width, right=column.field.right), marked if arrow else plain)
            )
            segments.append(Segment(" " * GAP, plain))
        self._heads[plain, marked] = head = _strip(segments, width, plain)
        return head

    def _line(self, look: Look, width: int) -> Strip:
        tone, cells, is_cursor, is_marked = look
        plain = self.get_component_rich_style("table--plain")
        toned = self.get_component_rich_style(f"table--{tone}") if tone in TONES else plain
        if is_cursor:
            over = self.get_component_rich_style("table--cursor")
            plain, toned = plain + over, toned + _background(over)
        if is_marked:
            plain += _foreground(self.get_component_rich_style("table--marked"))
        first = MARK if is_marked else CURSOR_MARK if is_cursor else " "
        if (line := self._lines.get((cells, first, plain, toned))) is not None:
            return line
        segments = [Segment(first, plain if is_marked else toned)]
        for index, column_width in self._shown:
            field = self._columns[index].field
            segments.append(
                Segment(
                    _aligned(cells[index], column_width, right=field.right), toned if field.tinted else plain
                )
            )
            segments.append(Segment(" " * GAP, plain))
        if len(self._lines) >= LINES_KEPT:
            self._lines.clear()
        self._lines[cells, first, plain, toned] = line = _strip(segments, width, plain)
        return line

    def _is_sorted(self, column: GridColumn[T]) -> bool:
        return bool(column.sort) and self._sort.removeprefix("-") == column.sort


def _strip(segments: list[Segment], width: int, plain: Style) -> Strip:
    """In as few pieces as there are styles: each of them is coloured, cut and printed on its own."""
    return Strip(segments).simplify().adjust_cell_length(width, plain)


def _aligned(text: str, width: int, *, right: bool) -> str:
    """Exactly `width` cells of a safe line."""
    fitted = fit(text, width)
    if not right:
        return fitted
    bare = fitted.rstrip()
    return " " * (width - text_width(bare)) + bare


def _background(style: Style) -> Style:
    return Style(bgcolor=style.bgcolor, bold=style.bold, reverse=style.reverse)


def _foreground(style: Style) -> Style:
    return Style(color=style.color, bold=style.bold)


def _ghost_column(names: Sequence[str]) -> int:
    """Where it is said what is under way with a row: behind its state, else behind its kind."""
    return next((names.index(name) for name in ("state", "status", "kind") if name in names), 0)
