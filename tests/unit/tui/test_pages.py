"""Pages stay joined while the list changes under them: no row twice, none missing where one looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tui.client.pages import KEPT_ROWS, PAGE_ROWS, Pages, Slice


class Row(Struct, frozen=True):
    number: int
    word: str = ""


class Server:
    """Newest first, by a cursor that names the last row given out; backwards, oldest first."""

    def __init__(self, count: int) -> None:
        self.rows = [Row(number) for number in range(count, 0, -1)]
        self.asked: list[tuple[str, int]] = []
        self.has_tags = True  # an older coordinator has none
        self.spared = 0

    async def fetch(self, cursor: str, limit: int, known: str) -> Slice[Row]:
        self.asked.append((cursor, limit))
        rows = [row for row in self.rows if not cursor or row.number < int(cursor)]
        return self._slice(rows, limit, known)

    async def fetch_backwards(self, cursor: str, limit: int, known: str) -> Slice[Row]:
        self.asked.append((cursor, limit))
        rows = [row for row in reversed(self.rows) if not cursor or row.number > int(cursor)]
        return self._slice(rows, limit, known)

    def _slice(self, rows: list[Row], limit: int, known: str) -> Slice[Row]:
        more = len(rows) > limit
        page, after = rows[:limit], str(rows[limit - 1].number) if more else ""
        tag = str(hash((tuple(page), after, len(self.rows)))) if self.has_tags else ""
        if tag and tag == known:
            self.spared += 1
            return Slice([], tag=tag, unchanged=True)
        return Slice(page, after, len(self.rows), {"x": 1}, tag)


def pages_of(server: Server) -> Pages[Row]:
    return Pages(server.fetch, lambda row: str(row.number))


def pages_from_the_end_of(server: Server) -> Pages[Row]:
    return Pages(server.fetch_backwards, lambda row: str(row.number), from_end=True)


async def test_the_end_is_reached_page_by_page() -> None:
    server = Server(2 * PAGE_ROWS + 1)
    pages = pages_of(server)
    await pages.reload()
    assert len(pages.rows) == PAGE_ROWS and pages.total == 2 * PAGE_ROWS + 1 and not pages.at_end
    await pages.extend()
    await pages.extend()
    assert pages.rows == server.rows and pages.at_end
    await pages.extend()
    assert len(server.asked) == 3


async def test_a_reload_asks_only_for_what_one_looks_at() -> None:
    server = Server(5 * PAGE_ROWS)
    pages = pages_of(server)
    await pages.reload()
    for _ in range(4):
        await pages.extend()
    server.asked.clear()
    await pages.reload(2 * PAGE_ROWS + 10, 2 * PAGE_ROWS + 50)
    assert len(server.asked) == 1 and pages.rows == server.rows


async def test_new_rows_on_the_first_page_part_it_from_the_pages_behind() -> None:
    server = Server(3 * PAGE_ROWS)
    pages = pages_of(server)
    await pages.reload()
    await pages.extend()
    server.rows.insert(0, Row(9_999))
    await pages.reload(0, 30)
    assert pages.rows == server.rows[:PAGE_ROWS] and pages.position("9999") == 0
    await pages.extend()
    assert pages.rows == server.rows[: 2 * PAGE_ROWS]


async def test_a_patch_changes_a_row_where_it_stands() -> None:
    server = Server(PAGE_ROWS + 10)
    pages = pages_of(server)
    await pages.reload()
    await pages.extend()
    assert pages.patch("5", lambda row: Row(row.number, "changed"))
    assert pages.rows[pages.position("5") or 0] == Row(5, "changed")
    assert not pages.patch("77777", lambda row: row)
    await pages.reload(0, 0)
    assert Row(5, "changed") in pages.rows


async def test_the_end_is_reached_without_what_lies_before_it() -> None:
    server = Server(100_000)
    pages = pages_from_the_end_of(server)
    await pages.reload()
    assert pages.rows == server.rows[-PAGE_ROWS:] and pages.at_end and not pages.at_start
    await pages.extend_before()
    assert pages.rows == server.rows[-2 * PAGE_ROWS :] and len(server.asked) == 2
    assert pages.position("1") == 2 * PAGE_ROWS - 1
    assert pages.patch("3", lambda row: Row(row.number, "changed"))
    assert pages.rows[-3] == Row(3, "changed")
    server.asked.clear()
    await pages.reload(0, 30)
    assert len(server.asked) == 1 and pages.rows[-3] == Row(3, "changed")
    await pages.reload(2 * PAGE_ROWS - 30, 2 * PAGE_ROWS - 1)
    assert pages.rows == server.rows[-2 * PAGE_ROWS :]


async def test_a_long_way_through_a_list_holds_no_more_than_a_stretch_of_it() -> None:
    server = Server(3 * KEPT_ROWS)
    pages = pages_of(server)
    await pages.reload()
    while not pages.at_end:
        await pages.extend()
        assert len(pages.rows) <= KEPT_ROWS
    assert pages.rows == server.rows[-KEPT_ROWS:] and not pages.at_start
    while not pages.at_start:
        await pages.extend_before()
        assert len(pages.rows) <= KEPT_ROWS
    assert pages.rows == server.rows[:KEPT_ROWS]


async def test_a_page_let_go_that_changed_meanwhile_joins_on_again() -> None:
    server = Server(KEPT_ROWS + 2 * PAGE_ROWS)
    pages = pages_of(server)
    await pages.reload()
    while not pages.at_end:
        await pages.extend()
    gone = server.rows.pop(PAGE_ROWS + 7)
    await pages.extend_before()
    start = server.rows.index(pages.rows[0])
    assert pages.rows == server.rows[start : start + len(pages.rows)]
    assert start == PAGE_ROWS and gone not in pages.rows


async def test_where_all_behind_a_page_let_go_went_away_it_is_the_last() -> None:
    server = Server(KEPT_ROWS + PAGE_ROWS)
    pages = pages_of(server)
    await pages.reload()
    while not pages.at_end:
        await pages.extend()
    del server.rows[PAGE_ROWS - 3 :]
    await pages.extend_before()
    assert pages.rows == server.rows and pages.at_start and pages.at_end


STEPS = st.sampled_from(["add", "drop", "reload", "extend", "before"])


@given(st.lists(st.tuples(STEPS, st.integers(0, 1500)), max_size=25), st.booleans())
async def test_rows_never_come_twice(steps: list[tuple[str, int]], from_end: bool) -> None:
    server = Server(1200)
    pages = pages_from_the_end_of(server) if from_end else pages_of(server)
    await pages.reload()
    for word, number in steps:
        match word:
            case "add":
                server.rows.insert(0, Row(server.rows[0].number + 1 if server.rows else 1))
            case "drop" if server.rows:
                server.rows.pop(number % len(server.rows))
            case "reload":
                await pages.reload(number, number + 40)
            case "before":
                await pages.extend_before()
            case _:
                await pages.extend()
        keys = [row.number for row in pages.rows]
        assert len({*keys}) == len(keys) and keys == sorted(keys, reverse=True)
        assert all(pages.position(str(key)) == place for place, key in enumerate(keys))


async def test_what_did_not_change_is_kept_and_what_did_is_read() -> None:
    server = Server(3 * PAGE_ROWS)
    pages = pages_of(server)
    await pages.reload()
    await pages.extend()
    await pages.reload(0, 2 * PAGE_ROWS - 1)
    assert server.spared == 2 and pages.rows == server.rows[: 2 * PAGE_ROWS]
    assert (pages.total, pages.states) == (3 * PAGE_ROWS, {"x": 1})
    changed = server.rows[PAGE_ROWS] = Row(server.rows[PAGE_ROWS].number, "changed")
    await pages.reload(0, 2 * PAGE_ROWS - 1)
    assert server.spared == 3 and pages.rows[PAGE_ROWS] == changed and pages.at_start


async def test_without_tags_everything_is_read_anew() -> None:
    server = Server(PAGE_ROWS)
    server.has_tags = False
    pages = pages_of(server)
    await pages.reload()
    server.rows[0] = Row(server.rows[0].number, "changed")
    await pages.reload()
    assert server.spared == 0 and pages.rows == server.rows
