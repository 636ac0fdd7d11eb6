"""Every cell of a braille line is right, against a reference that looks at each dot by itself."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.view.braille import BITS, line_cells, place, row_of, sign

VALUES = st.lists(st.none() | st.floats(-5.0, 15.0) | st.just(math.nan), min_size=0, max_size=24)
SIZES = st.tuples(st.integers(1, 7), st.integers(1, 5))


def half_up(fraction: Fraction) -> int:
    return math.floor(fraction + Fraction(1, 2))


def is_on_line(dot: tuple[int, int], begin: tuple[int, int], end: tuple[int, int]) -> bool:
    """Whether a dot is the nearest one to the straight line, at its column or, where it is steep, its row."""
    (x, y), (x0, y0), (x1, y1) = dot, begin, end
    if abs(x1 - x0) >= abs(y1 - y0):
        if not min(x0, x1) <= x <= max(x0, x1):
            return False
        share = Fraction(x - x0, x1 - x0) if x1 != x0 else Fraction(0)
        return y == y0 + half_up(share * (y1 - y0))
    if not min(y0, y1) <= y <= max(y0, y1):
        return False
    return x == x0 + half_up(Fraction(y - y0, y1 - y0) * (x1 - x0))


@given(VALUES, SIZES)
def test_every_cell_is_that_of_the_reference(values: list[float | None], size: tuple[int, int]) -> None:
    width, height = size
    drawn = line_cells(values, width=width, height=height, low=0.0, high=10.0)
    points = [
        None
        if value is None or math.isnan(value)
        else (place(at, len(values), 2 * width), row_of(value, rows=4 * height, low=0.0, high=10.0))
        for at, value in enumerate(values)
    ]
    lines = [(one, other) for one, other in pairwise(points) if one is not None and other is not None]
    lines += [(one, one) for one in points if one is not None]
    for row in range(height):
        for column in range(width):
            dots = sum(
                BITS[x][y]
                for x in range(2)
                for y in range(4)
                if any(is_on_line((2 * column + x, 4 * row + y), *line) for line in lines)
            )
            assert drawn[row][column] == dots, (values, row, column)


@pytest.mark.parametrize(
    ("values", "picture"),
    [
        ([], ["  ", "  "]),
        ([None, math.nan, math.inf], ["  ", "  "]),
        ([10.0], ["⠁ ", "  "]),
        ([0.0, 0.0], ["  ", "⣀⣀"]),
        ([10.0, None, 10.0, 10.0], ["⠁⠉", "  "]),
        ([99.0, -99.0], ["⢣ ", " ⢣"]),
    ],
)
def test_nothing_one_point_a_gap_and_what_lies_outside(
    values: list[float | None], picture: list[str]
) -> None:
    drawn = line_cells(values, width=2, height=2, low=0.0, high=10.0)
    assert ["".join(map(sign, row)) for row in drawn] == picture


def test_what_never_changes_lies_in_the_middle() -> None:
    assert row_of(5.0, rows=9, low=5.0, high=5.0) == 4
