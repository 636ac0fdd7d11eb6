"""Grids of parameters: every combination of some values is one task, found by its index alone.

A grid of a million combinations stays as short as it was written. Names are taken in order of their
characters, the last one varies fastest; so what an index means depends on the values alone, and not on the
order in which a file or a database happens to keep the names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod

from msgspec import Struct

from bus.units import ARRAY_COUNT_MAX, UnitError, counted

Parameter = str | int | float | bool
"""What may stand in a grid."""

NAMES_MAX = 16
VALUE_CHARACTERS_MAX = 4096
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_EXACT = 2**53
"""Whole numbers below it are the same as integers and as floats."""


class Matrix(Struct, frozen=True):
    """`names` and, parallel to them, the `values` that each takes."""

    names: tuple[str, ...]
    values: tuple[tuple[Parameter, ...], ...]

    @property
    def count(self) -> int:
        """How many combinations there are."""
        return prod(map(len, self.values))

    def at(self, ordinal: int) -> dict[str, Parameter]:
        """The combination `ordinal`, counted from 0. Raises IndexError."""
        if not 0 <= ordinal < self.count:
            raise IndexError(ordinal)
        found: dict[str, Parameter] = {}
        for name, values in zip(reversed(self.names), reversed(self.values), strict=True):
            ordinal, place = divmod(ordinal, len(values))
            found[name] = values[place]
        return {name: found[name] for name in self.names}


def parse_matrix(grid: Mapping[str, Sequence[Parameter]]) -> Matrix:
    """At most 16 names with 1 to 1,000,000 combinations. Raises UnitError (E_ARRAY)."""
    expected = 'names with lists of values, such as {"lr": [0.1, 0.01], "model": ["small", "large"]}'
    if not grid or len(grid) > NAMES_MAX:
        raise UnitError(counted(len(grid), "name"), f"1–{NAMES_MAX} {expected}", "E_ARRAY")
    for name, values in grid.items():
        if not _NAME.fullmatch(name):
            raise UnitError(name, "a name of 1–63 of [A-Za-z0-9_] that begins with no digit", "E_ARRAY")
        if not values:
            raise UnitError(f"no value for {name}", expected, "E_ARRAY")
        for value in values:
            if isinstance(value, str) and (len(value) > VALUE_CHARACTERS_MAX or "\0" in value):
                raise UnitError(f"a text of {name}", "at most 4096 characters, none of them NUL", "E_ARRAY")
    names = tuple(sorted(grid))
    matrix = Matrix(names, tuple(tuple(map(_canonical, grid[name])) for name in names))
    if matrix.count > ARRAY_COUNT_MAX:
        sizes = " x ".join(str(len(values)) for values in matrix.values)
        raise UnitError(f"{sizes} = {matrix.count} tasks", f"at most {ARRAY_COUNT_MAX}", "E_ARRAY")
    for name, values in zip(matrix.names, matrix.values, strict=True):
        if len(set(map(parameter_text, values))) < len(values):
            raise UnitError(f"a value of {name} twice", "each value once", "E_ARRAY")
    return matrix


def parameter_text(value: Parameter) -> str:
    """A value as a task finds it in its environment: `true`, 10, 0.001, text as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def matrix_text(combination: Mapping[str, Parameter]) -> str:
    """A combination in one line, for people and logs: `lr=0.1 model=small`."""
    return " ".join(f"{name}={parameter_text(value)}" for name, value in combination.items())


def _canonical(value: Parameter) -> Parameter:
    """A number in one form: a database may give 1e5 back as 100000."""
    if isinstance(value, bool | str):
        return value
    if abs(value) < _EXACT:
        return int(value) if value == int(value) else value
    return float(value)
