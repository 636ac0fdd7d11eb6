"""A small table whose rows change in place: the cursor stays on its row while the data moves."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.text import Text
from textual.binding import Binding
from textual.widgets import DataTable
from textual.widgets.data_table import RowKey

from tui.view.safe import safe_line
from tui.view.table import Column


class Row(Struct, frozen=True):
    """`key` names the row for as long as it lives; `tone` colours its state."""

    key: str
    cells: tuple[str, ...]
    tone: str


STATE_COLUMNS = ("S", "STATE")


class LiveTable(DataTable[Text]):
    """Columns as `tui.view.rows` names them; every cell is made safe here."""

    BINDINGS = [
        Binding("j", "cursor_down", "down", show=False),
        Binding("k", "cursor_up", "up", show=False),
        Binding("g,home", "scroll_top", "first", show=False),
        Binding("G,end", "scroll_bottom", "last", show=False),
    ]

    def __init__(self, columns: Sequence[Column], *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, show_row_labels=False)
        self._headings = tuple(columns)

    def on_mount(self) -> None:
        """Name the columns."""
        for column in self._headings:
            self.add_column(Text(column.title, justify="right" if column.right else "left"), key=column.title)

    @property
    def selected(self) -> str | None:
        """The key of the row under the cursor."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show `rows` in their order, touching only what changed."""
        self._widen(rows)
        if [row.key for row in rows] != [key.value for key in self._shown_keys()]:
            self._rebuild(rows)
            return
        for row in rows:
            for column, cell in zip(self._headings, self._texts(row), strict=True):
                if self.get_cell(row.key, column.title) != cell:
                    self.update_cell(row.key, column.title, cell, update_width=True)

    def _widen(self, rows: Sequence[Row]) -> None:
        """Make room before the cells change.

        The table itself measures when it is idle. Painted before that, it keeps lines of the old width, and
        goes on showing them.
        """
        texts = [self._texts(row) for row in rows]
        for column, *cells in zip(self.ordered_columns, *texts, strict=True):
            column.content_width = max([column.content_width, *(cell.cell_len for cell in cells)])

    def _shown_keys(self) -> list[RowKey]:
        return [row.key for row in self.ordered_rows]

    def _rebuild(self, rows: Sequence[Row]) -> None:
        selected, scroll = self.selected, self.scroll_offset
        self.clear()
        for row in rows:
            self.add_row(*self._texts(row), key=row.key)
        for index, row in enumerate(rows):
            if row.key == selected:
                self.move_cursor(row=index, scroll=False)
        self.scroll_to(scroll.x, scroll.y, animate=False)

    def _texts(self, row: Row) -> list[Text]:
        return [
            Text(
                safe_line(cell),
                style=self._tone_style(row.tone) if column.title in STATE_COLUMNS else "",
                justify="right" if column.right else "left",
                no_wrap=True,
            )
            for column, cell in zip(self._headings, row.cells, strict=True)
        ]

    def _tone_style(self, tone: str) -> str:
        variable = TONE_VARIABLES.get(tone)
        return "dim" if variable is None else self.app.theme_variables[variable]


# Tones that have a colour of the theme; the others are dimmed.
TONE_VARIABLES = {
    "ok": "text-success",
    "busy": "text-primary",
    "wait": "text-accent",
    "warn": "text-warning",
    "bad": "text-error",
}
