"""Ranges of arrays in lists: one row that stands for all tasks nobody touched yet, shown as its gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import reduce
from operator import xor

from asyncpg.protocol import Record

from bus.fields import TASK_FIELDS
from bus.filter import Value
from coordinator.store.conditions import Statement, order_by
from coordinator.store.connection import Session
from coordinator.store.listing import Listing
from coordinator.store.shown import instant_s
from coordinator.store.spans import INDEX_MAX, Span, intersect, size, spans_of
from sql import queries

_SQL = queries("lists")


class Ranges:
    """What the ranges of a job add to its list."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def stretches(self, job: int, listing: Listing) -> AsyncIterator[tuple[Record, int, int]]:
        """In order, after the listing's cursor: a range's row, the first index of a gap, and its length.

        One more than the page holds, at most.
        """
        wanted = _spans(listing)
        left = listing.limit + 1
        for row in await self._rows(job, listing):
            spans = intersect(wanted, _after(listing, row))
            for first, count in await self._gaps(row, spans, limit=left, listing=listing):
                yield row, first, count
                left -= 1
            if left <= 0:
                return

    async def count(self, job: int, listing: Listing) -> tuple[Counter[str], int]:
        """How many untouched tasks the conditions let through, by state; and their ranges' digest."""
        wanted = _spans(listing)
        found: Counter[str] = Counter()
        digest = 0
        for row in await self._rows(job, listing):
            inside = intersect(wanted, (_extent(row),))
            digest ^= row["digest"] if inside else 0
            if size(inside) == row["count"]:
                found[row["state"]] += row["remaining"]
            elif inside:
                found[row["state"]] += await self._untouched(row, inside)
        return found, digest

    async def _rows(self, job: int, listing: Listing) -> Sequence[Record]:
        statement = Statement(_SQL["tasks"], listing.now_s, job)
        statement.require('"count" > 1')
        others = (each for each in listing.conditions if each.field != "index")
        statement.require_all(others, TASK_FIELDS)
        order = order_by(listing.order, TASK_FIELDS, tie="index")
        columns = f'*, hashint8extended({place_of(job, of_range=True)}, "remaining") as digest'
        return await self._session.fetch(statement.text(columns, order=order), *statement.arguments)

    async def _gaps(
        self, row: Record, spans: Sequence[Span], *, limit: int, listing: Listing
    ) -> list[tuple[int, int]]:
        inside = intersect(spans, (_extent(row),))
        if not inside:
            return []
        descending = listing.order.descending
        if row["remaining"] == row["count"]:
            whole = [(low, high - low + 1) for low, high in inside]
            return (whole[::-1] if descending else whole)[:limit]
        query = _SQL["gaps_backwards" if descending else "gaps"]
        lows, highs = [low for low, _ in inside], [high for _, high in inside]
        rows = await self._session.fetch(query, row["row_id"], lows, highs, lows[0], highs[-1], limit)
        return [(gap["first"], gap["count"]) for gap in rows]

    async def _untouched(self, row: Record, spans: Sequence[Span]) -> int:
        lows, highs = [low for low, _ in spans], [high for _, high in spans]
        found = await self._session.fetchrow(
            _SQL["untouched"], row["row_id"], lows, highs, lows[0], highs[-1]
        )
        assert found is not None, "a sum is always one row"
        return int(found["count"])


def place_of(job: int, *, of_range: bool = False) -> str:
    """In SQL, the number that a task, or a range by its first index, has among those of all jobs."""
    return f'{job}::bigint * 2097152 + "index" * 2 + {int(of_range)}'


def joined(digests: Iterable[int]) -> int:
    """Of several sets without a common member, the digest of all."""
    return reduce(xor, digests, 0)


def _spans(listing: Listing) -> tuple[Span, ...]:
    return spans_of(each for each in listing.conditions if each.field == "index")


def _extent(row: Record) -> Span:
    return row["index"], row["index"] + row["count"] - 1


def _after(listing: Listing, row: Record) -> tuple[Span, ...]:
    """The indices of a range that come after the page before."""
    position, order = listing.after, listing.order
    if position is None:
        return ((0, INDEX_MAX),)
    assert isinstance(position.tie, int), "tasks are told apart by their index"
    rest: Span = (0, position.tie - 1) if order.descending else (position.tie + 1, INDEX_MAX)
    if order.field == "index":
        return (rest,)
    value = row[order.field]
    key: Value = instant_s(value) if hasattr(value, "timestamp") else value
    if key == position.key:
        return (rest,)
    return ((0, INDEX_MAX),) if _comes_later(key, position.key, descending=order.descending) else ()


def _comes_later(key: Value, before: Value, *, descending: bool) -> bool:
    """Whether an unequal key stands behind another: what is absent stands last."""
    if key is None or before is None:
        return key is None
    assert not isinstance(key, str) or isinstance(before, str), "one field, one type"
    return (key < before) if descending else (key > before)  # type: ignore[operator]
