"""The part of a long list that somebody looks at, page by page, kept up to date where it is looked at.

The coordinator pages by cursor, not by position. So pages are chained: each begins where the one before it
ended. What is looked at is asked for anew with the cursors its pages had; where the end of the last of them
moved, the pages behind it no longer join on and are dropped, to be asked for again when they are needed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T", bound=Struct)

PAGE_ROWS = 500
"""A screen of any size lies within two pages; one page is answered and decoded in a few milliseconds."""

JUMP_ROWS = 10_000
"""The most that one request may ask for: pages on the way to the end of a list."""


class Slice(Struct, Generic[T], frozen=True):
    """One page as it was answered."""

    rows: list[T]
    next: str = ""
    total: int = 0
    states: dict[str, int] = {}


class _Page(Struct, Generic[T]):
    cursor: str
    limit: int
    rows: list[T]
    next: str


Fetch = Callable[[str, int], Awaitable[Slice[T]]]
"""Asks for (cursor, limit) of one list with its filter and order."""


class Pages(Generic[T]):
    """The rows known so far, in the list's order."""

    def __init__(self, fetch: Fetch[T], key: Callable[[T], str]) -> None:
        self._fetch = fetch
        self._key = key
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
    def complete(self) -> bool:
        """Whether there is nothing behind the last row."""
        return self.loaded and (not self._pages or not self._pages[-1].next)

    def position(self, key: str) -> int | None:
        """Where the row named `key` stands now."""
        return self._positions.get(key)

    async def reload(self, first: int = 0, last: int = 0) -> None:
        """Ask anew for the pages that hold the rows `first` to `last`."""
        begin, end = self._page_of(first), self._page_of(last)
        cursor = self._pages[begin].cursor if self._pages else ""
        for index in range(begin, end + 1):
            limit = self._pages[index].limit if index < len(self._pages) else PAGE_ROWS
            page = await self._ask(cursor, limit)
            self._pages[index : index + 1] = [page]
            cursor = page.next
            if not cursor:
                end = index
                break
        if end + 1 < len(self._pages) and self._pages[end + 1].cursor != cursor:
            del self._pages[end + 1 :]
        self.loaded = True
        self._flatten()

    async def extend(self, *, limit: int = PAGE_ROWS) -> None:
        """Ask for the page behind the last row."""
        if self.complete or not self._pages:
            return
        self._pages.append(await self._ask(self._pages[-1].next, limit))
        self._flatten()

    def patch(self, key: str, change: Callable[[T], T]) -> bool:
        """Put `change` of the row named `key` in its place; False where that row is not known."""
        position = self._positions.get(key)
        if position is None:
            return False
        changed = change(self._rows[position])
        self._rows[position] = changed
        for page in self._pages:
            if position < len(page.rows):
                page.rows[position] = changed
                break
            position -= len(page.rows)
        return True

    async def _ask(self, cursor: str, limit: int) -> _Page[T]:
        answer = await self._fetch(cursor, limit)
        self.total, self.states = answer.total, answer.states
        return _Page(cursor, limit, list(answer.rows), answer.next)

    def _page_of(self, position: int) -> int:
        for index, page in enumerate(self._pages):
            if position < len(page.rows):
                return index
            position -= len(page.rows)
        return max(0, len(self._pages) - 1)

    def _flatten(self) -> None:
        """A row may come twice while it moves between two pages: its first place counts."""
        seen: dict[str, int] = {}
        rows: list[T] = []
        for page in self._pages:
            unseen = []
            for row in page.rows:
                key = self._key(row)
                if key not in seen:
                    seen[key] = len(rows)
                    rows.append(row)
                    unseen.append(row)
            page.rows = unseen
        self._rows, self._positions = rows, seen
