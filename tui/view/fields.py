"""What a list can show of a row: named fields, chosen by the form of the answer or by the reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from tui.view.table import Column

T = TypeVar("T")


class Field(Struct, Generic[T], frozen=True):
    """One column of a list. `name` is what `--columns` calls it; `cell` takes the row and the time now.

    `wide`: only where asked for. `tinted`, `least`: see Column.
    """

    name: str
    title: str
    cell: Callable[[T, float], str]
    right: bool = False
    flexible: bool = False
    wide: bool = False
    tinted: bool = False
    least: int = 0


class UnknownField(Exception):
    """No field of that name; `allowed` are those there are."""

    def __init__(self, name: str, allowed: Sequence[str]) -> None:
        self.name = name
        self.allowed = tuple(allowed)
        super().__init__(name)


def choose(fields: Sequence[Field[T]], names: Sequence[str], *, wide: bool) -> tuple[Field[T], ...]:
    """Those named, in that order; without names the usual ones. Raises UnknownField."""
    if not names:
        return tuple(field for field in fields if wide or not field.wide)
    by_name = {field.name: field for field in fields}
    for name in names:
        if name not in by_name:
            raise UnknownField(name, list(by_name))
    return tuple(by_name[name] for name in names)


def columns(fields: Sequence[Field[T]]) -> tuple[Column, ...]:
    """Their heads."""
    return tuple(
        Column(
            field.title, right=field.right, flexible=field.flexible, tinted=field.tinted, least=field.least
        )
        for field in fields
    )


def cells(fields: Sequence[Field[T]], row: T, *, now_s: float) -> tuple[str, ...]:
    """What they show of one row."""
    return tuple(field.cell(row, now_s) for field in fields)
