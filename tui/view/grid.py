"""Which columns of a table fit a terminal, and how wide each is: pure, tested apart from any widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from tui.view.amounts import NONE
from tui.view.fields import Field
from tui.view.safe import text_width

T = TypeVar("T")

GAP = 2


class GridColumn(Struct, Generic[T], frozen=True, kw_only=True):
    """One column. `priority` 0 is never dropped, the highest goes first.

    `sort`: what the server calls it in an order, "" where it cannot; `letter`: the shifted key that sorts by
    it. `least`: how narrow it may be cut, 0 where half of it would mislead; `most`: its greatest width, as
    long as others need the room. `optional`: not there while no row has anything to say in it.
    """

    field: Field[T]
    priority: int = 0
    sort: str = ""
    letter: str = ""
    least: int = 0
    most: int = 24
    optional: bool = False

    @property
    def title(self) -> str:
        return self.field.title

    @property
    def wanted_first(self) -> int:
        """What it wants before a row is known; 0: not to be seen."""
        return 0 if self.optional else len(self.title)

    def widths(self, wanted: int) -> tuple[int, int]:
        """The least and the greatest width, where its cells want `wanted`."""
        most = max(len(self.title), min(wanted, self.most))
        return (min(most, max(self.least, len(self.title))) if self.least else most), most


def fit_columns(columns: Sequence[GridColumn[T]], wanted: Sequence[int], width: int) -> list[tuple[int, int]]:
    """(index, width) of the columns shown, in their order, within `width` cells.

    Columns are dropped until the least widths fit; what is left over goes to the most important ones first,
    up to their greatest width, then to those that are still cut. The last one standing is cut.
    """
    bounds = [column.widths(want) for column, want in zip(columns, wanted, strict=True)]
    least = [low for low, _ in bounds]
    shown = [index for index, column in enumerate(columns) if wanted[index] or not column.optional]
    while len(shown) > 1 and _taken(shown, least) > width:
        shown.remove(max(shown, key=lambda index: (columns[index].priority, index)))
    widths = {index: max(1, min(least[index], width)) for index in shown}
    spare = max(0, width - _taken(shown, least))
    by_priority = sorted(shown, key=lambda index: columns[index].priority)
    for enough in ([high for _, high in bounds], wanted):
        for index in by_priority:
            more = max(0, min(spare, enough[index] - widths[index]))
            widths[index] += more
            spare -= more
    return [(index, widths[index]) for index in shown]


def widen(wanted: list[int], rows: Sequence[Sequence[str]], columns: Sequence[GridColumn[T]]) -> bool:
    """Grow the wanted widths to what safe `rows` need; True where one grew. They never shrink: no jumping."""
    grew = False
    for cells in rows:
        for index, cell in enumerate(cells):
            width = text_width(cell)
            if width > wanted[index] and not (columns[index].optional and cell in ("", NONE)):
                wanted[index] = max(width, len(columns[index].title))
                grew = True
    return grew


def _taken(shown: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + GAP * (len(shown) - 1)
