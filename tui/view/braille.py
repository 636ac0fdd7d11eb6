"""Lines in braille: two by four dots a cell, so that a chart of 60 × 10 cells has 120 × 40 points.

    row(v) = round((high − v) / (high − low) · (4·height − 1))
    column(i) = round(i · (2·width − 1) / (n − 1))

Neighbours are joined by a straight line, but never across a value that is not there: a gap is a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

BASE = 0x2800
BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""By column and row of a dot in its cell."""

Cells = list[list[int]]
"""The dots of each cell, line by line from the top."""

Dot = tuple[int, int]
"""Column and row, from the top left."""


def line_cells(values: Sequence[float | None], *, width: int, height: int, low: float, high: float) -> Cells:
    """One line through `values`, evenly apart over `width` cells; what lies outside is drawn at the edge."""
    cells = [[0] * width for _ in range(height)]
    for column, row in _dots(values, columns=2 * width, rows=4 * height, low=low, high=high):
        cells[row // 4][column // 2] |= BITS[column % 2][row % 4]
    return cells


def sign(dots: int) -> str:
    """The character of a cell."""
    return chr(BASE + dots) if dots else " "


def place(index: int, count: int, columns: int) -> int:
    """The column of one of `count` values."""
    return 0 if count < 2 else _rounded(index * (columns - 1), count - 1)


def row_of(value: float, *, rows: int, low: float, high: float) -> int:
    """The row of a value, the highest at the top; where all are one, in the middle."""
    share = (high - value) / (high - low) if high > low else 0.5
    return math.floor(min(1.0, max(0.0, share)) * (rows - 1) + 0.5)


def _dots(
    values: Sequence[float | None], *, columns: int, rows: int, low: float, high: float
) -> Iterator[Dot]:
    dots: list[Dot | None] = [
        None
        if value is None or not math.isfinite(value)
        else (place(index, len(values), columns), row_of(value, rows=rows, low=low, high=high))
        for index, value in enumerate(values)
    ]
    for dot in dots:
        if dot is not None:
            yield dot
    for begin, end in pairwise(dots):
        if begin is not None and end is not None:
            yield from _between(begin, end)


def _between(begin: Dot, end: Dot) -> Iterator[Dot]:
    """The dots of a straight line, one for each step along the longer way."""
    (from_column, from_row), (to_column, to_row) = begin, end
    across, down = to_column - from_column, to_row - from_row
    steps = max(abs(across), abs(down))
    for step in range(1, steps):
        yield from_column + _rounded(step * across, steps), from_row + _rounded(step * down, steps)


def _rounded(numerator: int, denominator: int) -> int:
    """Of a fraction, halves upwards."""
    return (2 * numerator + denominator) // (2 * denominator)
