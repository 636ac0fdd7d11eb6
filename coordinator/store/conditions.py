"""Conditions and orders as SQL: values go as arguments, names come from the fields of the list alone.

The queries that these complete (`sql/coordinator/queries/lists.sql`, `events.sql`) have one column for each
field, of the field's name. Each piece means what `bus.filter.matches` means: a property test holds both to
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bus.fields import Field, Kind
from bus.filter import Condition, Operator, Order, Value, fold
from coordinator.store.listing import Position

_TYPES = {
    Kind.TEXT: "text",
    Kind.CHOICE: "text",
    Kind.FLAG: "boolean",
    Kind.NUMBER: "double precision",
    Kind.DURATION: "double precision",
    Kind.INSTANT: "double precision",
}


class Statement:
    """A query in the making: its arguments, and what its rows must fulfil."""

    def __init__(self, source: str, *arguments: object) -> None:
        self._source = source
        self.arguments: list[object] = list(arguments)
        self._wheres: list[str] = []

    def argument(self, value: object, kind: str) -> str:
        """The place of an argument of a type of PostgreSQL's."""
        self.arguments.append(value)
        return f"${len(self.arguments)}::{kind}"

    def require(self, piece: str) -> None:
        """One more thing that must hold of every row."""
        self._wheres.append(piece)

    def require_all(self, conditions: Iterable[Condition], fields: Mapping[str, Field]) -> None:
        """That all conditions hold."""
        for condition in conditions:
            self.require(self._piece(condition, fields[condition.field]))

    def require_after(
        self, position: Position | None, order: Order, fields: Mapping[str, Field], *, tie: str
    ) -> None:
        """Only what comes after the end of the page before. `tie`: the column that settles equal keys."""
        if position is None:
            return
        sign = "<" if order.descending else ">"
        own = self.argument(position.tie, "text" if isinstance(position.tie, str) else "bigint")
        if order.field == tie:
            self.require(f'"{tie}" {sign} {own}')
            return
        field = fields[order.field]
        key = self.argument(position.key, _type(field))
        if field.kind is Kind.INSTANT:
            key = f"to_timestamp({key})"
        left, right = (_sortable(each, field, order) for each in (f'"{order.field}"', key))
        self.require(f'({left}, "{tie}") {sign} ({right}, {own})')

    def text(self, columns: str = "*", *, order: str = "", limit: int | None = None, group: str = "") -> str:
        """The whole of it; with a limit, call it once."""
        where = f"\nwhere {' and '.join(self._wheres)}" if self._wheres else ""
        ending = f"\ngroup by {group}" if group else ""
        ending += f"\norder by {order}" if order else ""
        if limit is not None:
            ending += f"\nlimit {self.argument(limit, 'bigint')}"
        return f"select {columns}\nfrom (\n{self._source.rstrip().rstrip(';')}\n) listed{where}{ending}"

    def _piece(self, condition: Condition, field: Field) -> str:
        column = f'"{condition.field}"'
        match condition.operator:
            case Operator.EQUAL:
                piece = self._equal(column, field, condition.values)
            case Operator.CONTAINS:
                parts = [fold(str(value)) for value in condition.values]
                some = self.argument(parts, "text[]")
                found = f'strpos(lower({column} collate "C"), part) > 0'
                piece = f"exists (select from unnest({some}) part where {found})"
            case ordering:
                limit = self.argument(condition.values[0], _type(field))
                if field.kind is Kind.INSTANT:
                    limit = f"to_timestamp({limit})"
                piece = f"{column} {ordering} {limit}"
        return f"({piece}) is not true" if condition.negated else f"({piece})"

    def _equal(self, column: str, field: Field, values: tuple[Value, ...]) -> str:
        present = [value for value in values if value is not None]
        absent = f"{column} is null"
        if not present:
            return absent
        some = f"{column} = any ({self.argument(present, _type(field) + '[]')})"
        return some if len(present) == len(values) else f"{some} or {absent}"


def order_by(order: Order, fields: Mapping[str, Field], *, tie: str) -> str:
    """The order's columns: what is absent comes last either way, `tie` settles equal keys."""
    way = "desc" if order.descending else "asc"
    if order.field == tie:
        return f'"{tie}" {way}'
    column = _sortable(f'"{order.field}"', fields[order.field], order)
    return f'{column} {way}, "{tie}" {way}'


def _type(field: Field) -> str:
    return _TYPES.get(field.kind, "bigint")


def _sortable(value: str, field: Field, order: Order) -> str:
    if field.kind in (Kind.TEXT, Kind.CHOICE):
        return f'{value} collate "C"'
    if not field.optional:
        return value
    last = "'-infinity'" if order.descending else "'infinity'"
    if field.kind is Kind.INSTANT:
        return f"coalesce({value}, {last}::timestamptz)"
    return f"coalesce({value}::double precision, {last}::double precision)"
