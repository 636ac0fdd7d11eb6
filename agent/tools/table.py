"""Small tables in memory: the `data` that the data tools take, and what they give back.

Three forms mean the same: a list of numbers (one column, "value"), a list of rows (objects), or an object
of columns (lists of one length). A text is the path of a CSV or JSON file on the node. A gap is null, or an
empty field of a CSV file; a number is finite, and no boolean.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

CELLS_MAX = 1_000_000
COLUMNS_MAX = 1_000
VALUE = "value"

Cell = float | int | str | bool | None


class Table:
    """Columns of one length, in order. `form`: "list", "rows" or "columns", as `write` gives it back."""

    def __init__(self, columns: dict[str, list[Cell]], form: str) -> None:
        self.columns = columns
        self.form = form

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: object) -> list[Cell]:
        """Raises ValueError where there is none of that name."""
        if not isinstance(name, str) or name not in self.columns:
            raise ValueError(f"no column {name!r}; there are {', '.join(list(self.columns)[:20])}")
        return self.columns[name]

    def keep(self, kept: Sequence[int]) -> None:
        """Only these rows, in this order."""
        for name, values in self.columns.items():
            self.columns[name] = [values[row] for row in kept]

    def write(self) -> Any:
        """The table in the form in which it came."""
        if self.form == "list" and list(self.columns) == [VALUE]:
            return list(self.columns[VALUE])
        if self.form == "columns":
            return self.columns
        names = list(self.columns)
        return [dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]


def read(data: object) -> Table:
    """Raises ValueError with the place of the fault, OSError where a file cannot be read."""
    match data:
        case str(path):
            return _read_file(path)
        case dict() if data:
            return _of_columns(data)
        case list() if data and all(isinstance(row, dict) for row in data):
            return _of_rows(data)
        case list() if data:
            return _checked({VALUE: [_cell(value, f"data/{row}") for row, value in enumerate(data)]}, "list")
        case _:
            raise ValueError("data must be numbers, rows or columns, or the path of a .csv or .json file")


def is_number(value: Cell) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def numbers(values: Iterable[Cell]) -> list[float]:
    """The numbers among them; gaps and texts are left out."""
    return [float(value) for value in values if is_number(value)]  # type: ignore[arg-type]  # just looked at


def mean(values: Sequence[float]) -> float:
    """Of at least one."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample (n - 1); 0 of a single value."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def median(values: Sequence[float]) -> float:
    """Of at least one."""
    return quantile(sorted(values), 0.5)


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None where one of them does not vary."""
    of_one, of_other = mean(one), mean(other)
    together = math.fsum((a - of_one) * (b - of_other) for a, b in zip(one, other, strict=True))
    spread = math.fsum((a - of_one) ** 2 for a in one) * math.fsum((b - of_other) ** 2 for b in other)
    return max(-1.0, min(1.0, together / math.sqrt(spread))) if spread > 0.0 else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order, at least one; linear between neighbours, as numpy and R (type 7) have it."""
    at = (len(ordered) - 1) * share
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _of_columns(data: dict[str, Any]) -> Table:
    for name, values in data.items():
        if not isinstance(values, list):
            raise ValueError(f"data/{name} must be a list")
    columns = {
        name: [_cell(value, f"data/{name}/{row}") for row, value in enumerate(values)]
        for name, values in data.items()
    }
    return _checked(columns, "columns")


def _of_rows(data: list[dict[str, Any]]) -> Table:
    names: dict[str, None] = {}
    for row in data:
        names.update(dict.fromkeys(row))
        if len(names) > COLUMNS_MAX:
            raise ValueError(f"more than {COLUMNS_MAX} columns")
    columns = {
        name: [_cell(row.get(name), f"data/{index}/{name}") for index, row in enumerate(data)]
        for name in names
    }
    return _checked(columns, "rows")


def _cell(value: object, where: str) -> Cell:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return value
    raise ValueError(f"{where} must be a finite number, a text, a boolean or null")


def _checked(columns: dict[str, list[Cell]], form: str) -> Table:
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"columns of different lengths: {', '.join(map(str, sorted(lengths)))}")
    if not columns or lengths == {0}:
        raise ValueError("data has no rows")
    if len(columns) > COLUMNS_MAX or len(columns) * lengths.pop() > CELLS_MAX:
        raise ValueError(f"at most {COLUMNS_MAX} columns and {CELLS_MAX} cells")
    return Table(columns, form)


def _read_file(path: str) -> Table:
    with open(path, encoding="utf-8-sig", newline="") as file:
        if path.lower().endswith(".json"):
            return read_parsed(json.load(file))
        if not path.lower().endswith(".csv"):
            raise ValueError(f"{path}: neither .csv nor .json")
        rows = csv.reader(file, strict=True)
        names = next(rows, [])
        if not names or len(set(names)) != len(names):
            raise ValueError(f"{path}: the first line must name the columns, each once")
        columns: dict[str, list[Cell]] = {name: [] for name in names}
        try:
            for row in rows:
                if len(row) != len(names):
                    raise ValueError(f"{path}:{rows.line_num}: {len(row)} fields, expected {len(names)}")
                if rows.line_num * len(names) > CELLS_MAX:
                    raise ValueError(f"{path}: more than {CELLS_MAX} cells")
                for name, text in zip(names, row, strict=True):
                    columns[name].append(_field(text))
        except csv.Error as error:
            raise ValueError(f"{path}:{rows.line_num}: {error}") from error
    return _checked(columns, "rows")


def read_parsed(data: object) -> Table:
    """Of a file's content: another path in it is not followed."""
    if isinstance(data, str):
        raise ValueError("a file's data must be numbers, rows or columns")
    return read(data)


def _field(text: str) -> Cell:
    """A CSV field: a number where it is written as one."""
    stripped = text.strip()
    if not stripped:
        return None
    try:
        number = float(stripped)
    except ValueError:
        return text
    if not math.isfinite(number) or "_" in stripped:
        return text
    return int(number) if number.is_integer() and stripped.lstrip("+-").isdigit() else number
