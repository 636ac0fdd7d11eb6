"""Rows into an aligned plain-text table."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tui.view.safe import fit, safe_line, text_width
from tui.view.tones import paint


class Column(Struct, frozen=True):
    """`right`: figures; `flexible`: gives way first where the terminal is narrow; `tinted`: by its row;
    `least`: cells, so that tables of the same columns line up."""

    title: str
    right: bool = False
    flexible: bool = False
    tinted: bool = False
    least: int = 0


def render(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    tones: Sequence[str] = (),
) -> list[str]:
    """Lines of a table, the header first; every cell made safe. `width` None: as wide as it needs.

    `tones`, one a row, colour the tinted columns; without them the lines are plain text.
    """
    cells = [[safe_line(cell) for cell in row] for row in rows]
    widths = [
        max([column.least, text_width(column.title), *(text_width(row[index]) for row in cells)])
        for index, column in enumerate(columns)
    ]
    if width is not None:
        _shrink(columns, widths, width)
    lines = [_line([column.title for column in columns], columns, widths, "")]
    lines.extend(
        _line(row, columns, widths, tones[index] if tones else "") for index, row in enumerate(cells)
    )
    return lines


def _shrink(columns: Sequence[Column], widths: list[int], width: int) -> None:
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    for index, column in enumerate(columns):
        if column.flexible and excess > 0:
            smaller = max(8, widths[index] - excess)
            excess -= widths[index] - smaller
            widths[index] = min(widths[index], smaller)


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], tone: str) -> str:
    parts = []
    last = len(cells) - 1
    for index, (cell, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        fitted = fit(cell, width).rstrip()
        gap = " " * (width - text_width(fitted))
        shown = paint(fitted, tone) if column.tinted else fitted
        if column.right:
            parts.append(gap + shown)
        else:
            parts.append(shown if index == last else shown + gap)
    return "  ".join(parts).rstrip()
