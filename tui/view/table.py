"""Rows into an aligned plain-text table."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tui.view.safe import fit, safe_line, text_width


class Column(Struct, frozen=True):
    """`right`: figures; `flexible`: gives way first where the terminal is narrow."""

    title: str
    right: bool = False
    flexible: bool = False


def render(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, width: int | None) -> list[str]:
    """Lines of a table, the header first; every cell made safe. `width` None: as wide as it needs."""
    cells = [[safe_line(cell) for cell in row] for row in rows]
    widths = [
        max([text_width(column.title), *(text_width(row[index]) for row in cells)])
        for index, column in enumerate(columns)
    ]
    if width is not None:
        _shrink(columns, widths, width)
    lines = [_line([column.title for column in columns], columns, widths)]
    lines.extend(_line(row, columns, widths) for row in cells)
    return lines


def _shrink(columns: Sequence[Column], widths: list[int], width: int) -> None:
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    for index, column in enumerate(columns):
        if column.flexible and excess > 0:
            smaller = max(8, widths[index] - excess)
            excess -= widths[index] - smaller
            widths[index] = min(widths[index], smaller)


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    parts = []
    for cell, column, width in zip(cells, columns, widths, strict=True):
        fitted = fit(cell, width)
        parts.append(
            " " * (width - text_width(fitted.rstrip())) + fitted.rstrip() if column.right else fitted
        )
    return "  ".join(parts).rstrip()
