"""The part of a long list that somebody looks at, page by page, kept up to date where it is looked at.

The coordinator pages by cursor, not by position. So pages are chained: each begins where the one before it
ended. What is looked at is asked for anew with the cursors its pages had; where the end of the last of them
moved, the pages behind it no longer join on and are dropped, to be asked for again when they are needed.

A page bears the tag it was answered with, and is asked for with it: of one that did not change nothing is
read, sent or decoded again.

No more than KEPT_ROWS are held: of pages left far behind only the cursors are kept. The end of a list is
reached without what lies before it, by reading the list backwards: then the chain hangs from the end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T", bound=Struct)

PAGE_ROWS = 500
"""A screen of any size lies within two pages; one page is answered and decoded in a few milliseconds."""

KEPT_ROWS = 10 * PAGE_ROWS
"""So many are held at most, or two pages where these are larger."""

JUMP_ROWS = 10_000
"""The most that one request may ask for: pages on the way to an end that cannot be read backwards."""


class Slice(Struct, Generic[T], frozen=True):
    """One page as it was answered."""

    rows: list[T]
    next: str = ""
    total: int = 0
    states: dict[str, int] = {}
    tag: str = ""
    unchanged: bool = False  # it is what the tag that was asked with names; nothing else is told


class _Page(Struct, Generic[T]):
    cursor: str
    limit: int
    rows: list[T]
    next: str
    tag: str


Fetch = Callable[[str, int, str], Awaitable[Slice[T]]]
"""Asks for (cursor, limit) of one list with its filter and order, unless it is still what the tag names."""


class Pages(Generic[T]):
    """The rows known so far, in the list's order; one stretch of it without a hole.

    `from_end`: `fetch` gives the list in the opposite order, and the stretch begins at its end.
    """

    def __init__(self, fetch: Fetch[T], key: Callable[[T], str], *, from_end: bool = False) -> None:
        self._fetch = fetch
        self._key = key
        self._from_end = from_end
        self._left: list[tuple[str, int]] = []  # cursor and limit of the pages let go before the first held
        self._pages: list[_Page[T]] = []
        self._rows: list[T] = []
        self._positions: dict[str, int] = {}
        self.total = 0
        self.states: Mapping[str, int] = {}
        self.loaded = False

    @property
    def rows(self) -> list[T]:
        """Not to be changed by readers."""
        return self._rows

    @property
    def at_start(self) -> bool:
        """Whether there is nothing before the first row."""
        return self._is_exhausted if self._from_end else not self._left

    @property
    def at_end(self) -> bool:
        """Whether there is nothing behind the last row."""
        return not self._left if self._from_end else self._is_exhausted

    def position(self, key: str) -> int | None:
        """Where the row named `key` stands now."""
        return self._positions.get(key)

    async def reload(self, first: int = 0, last: int = 0) -> None:
        """Ask anew for the pages that hold the rows `first` to `last`."""
        if self._from_end:
            first, last = len(self._rows) - 1 - last, len(self._rows) - 1 - first
        await self._renew(self._page_of(first), self._page_of(last))
        self.loaded = True
        self._flatten()

    async def extend(self, *, limit: int = PAGE_ROWS) -> None:
        """Ask for the page behind the last row."""
        await (self._go_back() if self._from_end else self._go_on(limit))

    async def extend_before(self, *, limit: int = PAGE_ROWS) -> None:
        """Ask for the page before the first row."""
        await (self._go_on(limit) if self._from_end else self._go_back())

    def patch(self, key: str, change: Callable[[T], T]) -> bool:
        """Put `change` of the row named `key` in its place; False where that row is not known."""
        position = self._positions.get(key)
        if position is None:
            return False
        changed = change(self._rows[position])
        self._rows[position] = changed
        place = len(self._rows) - 1 - position if self._from_end else position
        for page in self._pages:
            if place < len(page.rows):
                page.rows[place] = changed
                page.tag = ""  # it is not what was answered: the rest of the row comes with the next answer
                break
            place -= len(page.rows)
        return True

    @property
    def _is_exhausted(self) -> bool:
        return self.loaded and (not self._pages or not self._pages[-1].next)

    async def _go_on(self, limit: int) -> None:
        """One page more at the loose end of the chain; the held ones nearest to its beginning are let go."""
        if self._is_exhausted or not self._pages:
            return
        self._pages.append(await self._ask(self._pages[-1].next, limit))
        while self._is_too_much():
            page = self._pages.pop(0)
            self._left.append((page.cursor, page.limit))
        self._flatten()

    async def _go_back(self) -> None:
        """The page let go last again; those at the loose end are dropped."""
        if not self._left:
            return
        cursor, limit = self._left[-1]
        page, rest = await self._ask(cursor, limit), self._pages
        if not page.next:
            rest = []
        elif page.next != rest[0].cursor:
            second = await self._ask(page.next, rest[0].limit)
            joins_on = len(rest) > 1 and rest[1].cursor == second.next
            rest = [second, *(rest[1:] if joins_on else [])]
        self._left.pop()
        self._pages = [page, *rest]
        while self._is_too_much():
            self._pages.pop()
        self._flatten()

    async def _renew(self, begin: int, end: int) -> None:
        """Ask anew for the held pages `begin` to `end`; what no longer joins on to them is dropped."""
        cursor = self._pages[begin].cursor if self._pages else ""
        for index in range(begin, end + 1):
            limit = self._pages[index].limit if index < len(self._pages) else PAGE_ROWS
            held = self._pages[index] if index < len(self._pages) else None
            page = await self._ask(cursor, limit, held=held)
            self._pages[index : index + 1] = [page]
            cursor = page.next
            if not cursor:
                end = index
                break
        if end + 1 < len(self._pages) and self._pages[end + 1].cursor != cursor:
            del self._pages[end + 1 :]

    async def _ask(self, cursor: str, limit: int, *, held: _Page[T] | None = None) -> _Page[T]:
        """The page; `held`, where it is the same one and still as it was."""
        known = held if held is not None and held.cursor == cursor else None
        answer = await self._fetch(cursor, limit, "" if known is None else known.tag)
        if answer.unchanged and known is not None:
            return known
        self.total, self.states = answer.total, answer.states
        return _Page(cursor, limit, list(answer.rows), answer.next, answer.tag)

    def _is_too_much(self) -> bool:
        return len(self._pages) > 2 and sum(len(page.rows) for page in self._pages) > KEPT_ROWS

    def _page_of(self, position: int) -> int:
        for index, page in enumerate(self._pages):
            if position < len(page.rows):
                return index
            position -= len(page.rows)
        return max(0, len(self._pages) - 1)

    def _flatten(self) -> None:
        """A row may come twice while it moves between two pages: its first place counts."""
        seen: set[str] = set()
        rows: list[T] = []
        for page in self._pages:
            unseen = []
            for row in page.rows:
                if (key := self._key(row)) not in seen:
                    seen.add(key)
                    unseen.append(row)
            page.rows = unseen
            rows += unseen
        if self._from_end:
            rows.reverse()
        self._rows, self._positions = rows, {self._key(row): place for place, row in enumerate(rows)}
