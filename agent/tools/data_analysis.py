"""Describing data: statistics a column, correlation of the numeric ones, the same by groups.

The standard deviation is that of a sample (n - 1); quartiles are linear between neighbours. A correlation
(Pearson's) uses the rows where both have a number, and is null where fewer than two do or one is constant.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from agent.tools import table
from agent.tools.table import Cell, Table

TOP = 5
GROUPS_MAX = 1_000
CORRELATED_MAX = 50


def data_analysis(given: dict[str, Any], needs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """{"data": …, "group_by"?: column, "correlation"?: true} → {"rows", "columns", "correlation", …}.

    Raises ValueError.
    """
    del needs
    data = table.read(given.get("data"))
    answer: dict[str, Any] = {
        "rows": data.rows,
        "columns": {name: describe(values) for name, values in data.columns.items()},
    }
    if given.get("correlation", True):
        answer["correlation"] = _correlations(data)
    if "group_by" in given:
        answer["groups"] = _groups(data, given["group_by"])
    return answer


def describe(values: list[Cell]) -> dict[str, Any]:
    """`kind` is number, text, boolean, mixed or empty; what there is to say follows from it."""
    there = [value for value in values if value is not None]
    told: dict[str, Any] = {
        "kind": _kind(there),
        "count": len(there),
        "missing": len(values) - len(there),
        "distinct": len({(type(value) is bool, value) for value in there}),
    }
    if told["kind"] == "number":
        ordered = sorted(table.numbers(there))
        told |= {
            "min": ordered[0],
            "q1": table.quantile(ordered, 0.25),
            "median": table.quantile(ordered, 0.5),
            "q3": table.quantile(ordered, 0.75),
            "max": ordered[-1],
            "mean": table.mean(ordered),
            "stdev": table.deviation(ordered),
            "sum": math.fsum(ordered),
        }
    elif there:
        counts = Counter(map(_word, there))
        told["top"] = [{"value": value, "count": n} for value, n in counts.most_common(TOP)]
    return told


def _kind(there: Sequence[Cell]) -> str:
    kinds = {"boolean" if isinstance(v, bool) else "text" if isinstance(v, str) else "number" for v in there}
    return "empty" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"


def _word(value: Cell) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _correlations(data: Table) -> dict[str, dict[str, float | None]]:
    """Every pair of numeric columns once: {a: {b: r}}."""
    names = [name for name, values in data.columns.items() if len(table.numbers(values)) > 1][:CORRELATED_MAX]
    found: dict[str, dict[str, float | None]] = {}
    for position, one in enumerate(names):
        for other in names[position + 1 :]:
            found.setdefault(one, {})[other] = correlation(data.columns[one], data.columns[other])
    return found


def correlation(one: list[Cell], other: list[Cell]) -> float | None:
    """Pearson's, over the rows where both are numbers."""
    both = [
        (float(a), float(b))  # type: ignore[arg-type]  # both are numbers
        for a, b in zip(one, other, strict=True)
        if table.is_number(a) and table.is_number(b)
    ]
    if len(both) < 2:
        return None
    return table.correlation([a for a, _ in both], [b for _, b in both])


def _groups(data: Table, by: object) -> list[dict[str, Any]]:
    """One entry a value of the column, in the order of their first rows."""
    members: dict[str, list[int]] = {}
    for row, value in enumerate(data.column(by)):
        members.setdefault("" if value is None else _word(value), []).append(row)
        if len(members) > GROUPS_MAX:
            raise ValueError(f"more than {GROUPS_MAX} groups by {by!r}")
    return [
        {
            "value": value,
            "rows": len(rows),
            "columns": {
                name: describe([values[row] for row in rows])
                for name, values in data.columns.items()
                if name != by
            },
        }
        for value, rows in members.items()
    ]
