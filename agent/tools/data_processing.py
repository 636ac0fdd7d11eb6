"""Cleaning data: fill gaps, drop them, remove outliers and duplicates, normalise, sort, select.

The steps are done in the order in which they are listed, each on what the one before left. A step without a
column takes every column that it can be done to: numbers for `normalise` and `remove_outliers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from agent.tools import table
from agent.tools.table import Cell, Table

STEPS_MAX = 100

_IQR = 1.5
_SIGMAS = 3.0


def data_processing(given: dict[str, Any], needs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """{"data": …, "steps": [{"op": …, …}, …]} → {"data": same form, "rows", "removed", "steps"}.

    `changed`: rows that the step removed or moved, or cells that it changed. Raises ValueError.
    """
    del needs
    steps = given.get("steps", [{"op": "drop_gaps"}, {"op": "deduplicate"}])
    if not isinstance(steps, list) or not 1 <= len(steps) <= STEPS_MAX:
        raise ValueError(f"steps must be a list of 1 to {STEPS_MAX}")
    data = table.read(given.get("data"))
    before = data.rows
    done = []
    for position, step in enumerate(steps):
        if not isinstance(step, dict) or step.get("op") not in _STEPS:
            raise ValueError(f"steps/{position}/op must be one of {', '.join(_STEPS)}")
        try:
            changed = _STEPS[step["op"]](data, step)
        except ValueError as error:
            raise ValueError(f"steps/{position}: {error}") from error
        done.append({"op": step["op"], "changed": changed})
    return {"data": data.write(), "rows": data.rows, "removed": before - data.rows, "steps": done}


def _columns(data: Table, step: dict[str, Any], *, numeric: bool = False) -> list[str]:
    asked = step.get("column", step.get("columns"))
    if asked is not None:
        names = [asked] if isinstance(asked, str) else list(asked)
        for name in names:
            data.column(name)
        return names
    return [name for name, values in data.columns.items() if not numeric or table.numbers(values)]


def _fill(data: Table, step: dict[str, Any]) -> int:
    """Gaps become the mean, the median, the value before, or `value`."""
    how = step.get("with", "mean")
    if how not in ("mean", "median", "previous", "value"):
        raise ValueError("with must be mean, median, previous or value")
    if how == "value" and "value" not in step:
        raise ValueError("value is missing")
    changed = 0
    for name in _columns(data, step, numeric=how in ("mean", "median")):
        values = data.columns[name]
        changed += values.count(None)
        if how == "previous":
            before: Cell = None
            for row, value in enumerate(values):
                before = value if value is not None else before
                values[row] = before
            changed -= values.count(None)
            continue
        by = step["value"] if how == "value" else _middle(table.numbers(values), how, name)
        data.columns[name] = [by if value is None else value for value in values]
    return changed


def _middle(found: list[float], how: str, name: str) -> float:
    if not found:
        raise ValueError(f"column {name!r} has no numbers")
    return table.mean(found) if how == "mean" else table.median(found)


def _drop_gaps(data: Table, step: dict[str, Any]) -> int:
    checked = [data.columns[name] for name in _columns(data, step)]
    return _keep(
        data, [row for row in range(data.rows) if all(values[row] is not None for values in checked)]
    )


def _deduplicate(data: Table, step: dict[str, Any]) -> int:
    """Of rows that are equal in these columns the first stays."""
    checked = [data.columns[name] for name in _columns(data, step)]
    seen: dict[tuple[Any, ...], int] = {}
    for row in range(data.rows):
        seen.setdefault(tuple((type(values[row]) is bool, values[row]) for values in checked), row)
    return _keep(data, list(seen.values()))


def _remove_outliers(data: Table, step: dict[str, Any]) -> int:
    """Rows beyond `k` interquartile ranges outside the quartiles, or `k` deviations from the mean."""
    method = step.get("method", "iqr")
    if method not in ("iqr", "zscore"):
        raise ValueError("method must be iqr or zscore")
    k = step.get("k", _IQR if method == "iqr" else _SIGMAS)
    if not table.is_number(k) or k <= 0:
        raise ValueError("k must be a number above 0")
    kept = set(range(data.rows))
    for name in _columns(data, step, numeric=True):
        values = data.columns[name]
        found = table.numbers(values)
        if len(found) < 2:
            continue
        if method == "iqr":
            ordered = sorted(found)
            low, high = table.quantile(ordered, 0.25), table.quantile(ordered, 0.75)
            low, high = low - k * (high - low), high + k * (high - low)
        else:
            mean, spread = table.mean(found), table.deviation(found)
            low, high = mean - k * spread, mean + k * spread
        kept -= {
            row for row, value in enumerate(values) if table.is_number(value) and not low <= value <= high
        }
    return _keep(data, sorted(kept))


def _normalise(data: Table, step: dict[str, Any]) -> int:
    """To 0…1 (`minmax`), or to mean 0 and standard deviation 1 (`zscore`); a constant column becomes 0."""
    method = step.get("method", "minmax")
    if method not in ("minmax", "zscore"):
        raise ValueError("method must be minmax or zscore")
    changed = 0
    for name in _columns(data, step, numeric=True):
        values = data.columns[name]
        found = table.numbers(values)
        if not found:
            raise ValueError(f"column {name!r} has no numbers")
        if method == "minmax":
            shift, scale = min(found), max(found) - min(found)
        else:
            shift, scale = table.mean(found), table.deviation(found)
        data.columns[name] = [
            ((value - shift) / scale if scale else 0.0) if table.is_number(value) else value  # type: ignore[operator]
            for value in values
        ]
        changed += len(found)
    return changed


def _sort(data: Table, step: dict[str, Any]) -> int:
    """By these columns: numbers, then texts, gaps last; rows that are equal keep their order."""
    keys = [data.columns[name] for name in _columns(data, step)]

    def key(row: int) -> tuple[Any, ...]:
        return tuple(_place(values[row]) for values in keys)

    order = sorted(range(data.rows), key=key, reverse=bool(step.get("descending", False)))
    moved = sum(row != place for place, row in enumerate(order))
    data.keep(order)
    return moved


def _place(value: Cell) -> tuple[int, float, str]:
    if value is None:
        return (2, 0.0, "")
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value), "")


def _select(data: Table, step: dict[str, Any]) -> int:
    names = _columns(data, step)
    gone = len(data.columns) - len(names)
    data.columns = {name: data.columns[name] for name in names}
    data.form = "rows" if data.form == "list" else data.form
    return gone


def _round(data: Table, step: dict[str, Any]) -> int:
    digits = step.get("digits", 0)
    if not isinstance(digits, int) or isinstance(digits, bool) or not 0 <= digits <= 15:
        raise ValueError("digits must be 0 to 15")
    changed = 0
    for name in _columns(data, step, numeric=True):
        rounded = [
            round(value, digits) if isinstance(value, float) else value for value in data.columns[name]
        ]
        changed += sum(new != old for new, old in zip(rounded, data.columns[name], strict=True))
        data.columns[name] = rounded
    return changed


def _keep(data: Table, rows: list[int]) -> int:
    gone = data.rows - len(rows)
    data.keep(rows)
    return gone


_STEPS: dict[str, Callable[[Table, dict[str, Any]], int]] = {
    "fill": _fill,
    "drop_gaps": _drop_gaps,
    "deduplicate": _deduplicate,
    "remove_outliers": _remove_outliers,
    "normalise": _normalise,
    "sort": _sort,
    "select": _select,
    "round": _round,
}
