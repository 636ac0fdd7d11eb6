"""A grid of parameters: each combination once, found by its index, the same however it was kept."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.matrix import matrix_text, parameter_text, parse_matrix
from bus.units import UnitError

numbers = st.integers(-(2**62), 2**62) | st.floats(-1e300, 1e300)
grids = st.dictionaries(
    st.from_regex(r"[a-z_]{1,5}", fullmatch=True),
    st.lists(numbers | st.text("abc", max_size=3) | st.booleans(), min_size=1, max_size=4, unique_by=str),
    min_size=1,
    max_size=4,
)


@given(grids)
def test_each_combination_once_the_last_name_fastest(grid: dict) -> None:
    try:
        matrix = parse_matrix(grid)
    except UnitError as error:
        assert "twice" in str(error)  # 1 and 1.0 are the same
        return
    seen = [tuple(matrix.at(ordinal).values()) for ordinal in range(matrix.count)]
    assert seen == list(product(*matrix.values))
    assert list(matrix.at(0)) == sorted(grid)


@given(grids)
def test_a_database_may_keep_it_in_its_own_form(grid: dict) -> None:
    """jsonb sorts keys its own way and writes 1e5 as 100000."""
    stored = json.loads(json.dumps(dict(sorted(grid.items(), reverse=True))))
    for values in stored.values():
        values[:] = [
            int(value) if isinstance(value, float) and value == int(value) and abs(value) < 2**62 else value
            for value in values
        ]
    try:
        first = parse_matrix(grid)
    except UnitError:
        return
    again = parse_matrix(stored)
    for ordinal in range(first.count):
        assert matrix_text(again.at(ordinal)) == matrix_text(first.at(ordinal))


def test_a_million_combinations_are_accepted_and_one_more_is_not() -> None:
    matrix = parse_matrix({"a": [*range(1000)], "b": [*range(1000)]})
    assert matrix.count == 1_000_000 and matrix.at(999_999) == {"a": 999, "b": 999}
    with pytest.raises(IndexError):
        matrix.at(1_000_000)
    with pytest.raises(UnitError, match="1001 x 1000 = 1001000 tasks"):
        parse_matrix({"a": [*range(1001)], "b": [*range(1000)]})


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (1.0, "1.0"), (3, "3")])
def test_values_as_a_task_sees_them(value: object, text: str) -> None:
    assert parameter_text(value) == text


def test_text_that_no_environment_holds_is_refused() -> None:
    for value in ("a\0b", "x" * 4097):
        with pytest.raises(UnitError, match="at most 4096"):
            parse_matrix({"a": [value]})
