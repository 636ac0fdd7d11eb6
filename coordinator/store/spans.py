"""Stretches of whole numbers: which indices of a job's tasks conditions let through.

A range of an array is one row that stands for many tasks; conditions on the index choose among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from bus.filter import Condition, Operator

INDEX_MAX = 2**31 - 2
"""The database counts one beyond both ends."""

Span = tuple[int, int]
"""From the first to the last, both included."""

EVERYTHING: tuple[Span, ...] = ((0, INDEX_MAX),)


def spans_of(conditions: Iterable[Condition]) -> tuple[Span, ...]:
    """The numbers for which all conditions (all of one field) hold, as disjoint spans from low to high."""
    spans = EVERYTHING
    for condition in conditions:
        spans = intersect(spans, _spans(condition))
    return spans


def intersect(left: Iterable[Span], right: Iterable[Span]) -> tuple[Span, ...]:
    """What lies in both; each is disjoint and ordered."""
    lefts, rights = list(left), list(right)
    found: list[Span] = []
    one = other = 0
    while one < len(lefts) and other < len(rights):
        low, high = max(lefts[one][0], rights[other][0]), min(lefts[one][1], rights[other][1])
        if low <= high:
            found.append((low, high))
        if lefts[one][1] < rights[other][1]:
            one += 1
        else:
            other += 1
    return tuple(found)


def size(spans: Iterable[Span]) -> int:
    """How many numbers."""
    return sum(high - low + 1 for low, high in spans)


def _spans(condition: Condition) -> tuple[Span, ...]:
    values = sorted({value for value in condition.values if isinstance(value, int)})
    match condition.operator:
        case Operator.EQUAL if condition.negated:
            edges = [-1, *values, INDEX_MAX + 1]
            gaps = pairwise(edges)
            return intersect(((low + 1, high - 1) for low, high in gaps if high - low > 1), EVERYTHING)
        case Operator.EQUAL:
            return intersect(((value, value) for value in values), EVERYTHING)
        case Operator.LESS:
            return intersect(((0, values[0] - 1),), EVERYTHING)
        case Operator.AT_MOST:
            return intersect(((0, values[0]),), EVERYTHING)
        case Operator.MORE:
            return intersect(((values[0] + 1, INDEX_MAX),), EVERYTHING)
        case Operator.AT_LEAST:
            return intersect(((values[0], INDEX_MAX),), EVERYTHING)
        case Operator.CONTAINS:
            raise AssertionError("no number contains another")
