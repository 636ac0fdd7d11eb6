"""Which indices conditions let through: the same as asking each index."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.filter import Condition, Operator, matches
from coordinator.store.spans import EVERYTHING, INDEX_MAX, intersect, size, spans_of

ORDERINGS = (Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST)
NUMBERS = st.integers(-3, 23)

conditions = st.one_of(
    st.builds(
        Condition,
        st.just("index"),
        st.just(Operator.EQUAL),
        st.lists(NUMBERS, min_size=1, max_size=6).map(tuple),
        st.booleans(),
    ),
    st.builds(Condition, st.just("index"), st.sampled_from(ORDERINGS), st.tuples(NUMBERS)),
)


@given(st.lists(conditions, max_size=4))
def test_spans_are_the_indices_that_fulfil_the_conditions(found: list[Condition]) -> None:
    spans = spans_of(found)
    inside = {index for index in range(30) if any(low <= index <= high for low, high in spans)}
    assert inside == {index for index in range(30) if matches(found, {"index": index}.__getitem__)}
    assert all(low <= high for low, high in spans)
    assert all(left[1] < right[0] for left, right in pairwise(spans))
    assert size(intersect(spans, ((0, 29),))) == len(inside)


def test_without_conditions_everything_is_let_through() -> None:
    assert spans_of(()) == EVERYTHING == ((0, INDEX_MAX),)


def test_numbers_beyond_the_end_are_nowhere() -> None:
    assert spans_of([Condition("index", Operator.AT_LEAST, (10**17,))]) == ()
    assert spans_of([Condition("index", Operator.LESS, (10**17,))]) == EVERYTHING


def test_numbers_cannot_be_searched_like_text() -> None:
    with pytest.raises(AssertionError):
        spans_of([Condition("index", Operator.CONTAINS, ("1",))])
