"""The console shows what the session sees, opens what is selected, and does nothing unasked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot
from textual.widgets import DataTable, Log

from tests.tui.fake_cluster import FakeSession, a_job, a_snapshot
from tui.app import Console
from tui.client.session import Offline
from tui.screens.overview import OverviewScreen
from tui.widgets.live_table import LiveTable, Row

WAIT_S = 20.0


@asynccontextmanager
async def console(session: FakeSession, *, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[None]]:
    app = Console(session)
    async with app.run_test(size=size) as pilot:
        yield pilot


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await pilot.pause(0.01)


def painted(pilot: Pilot[None]) -> str:
    """What stands on the screen."""
    screen = pilot.app.screen
    return "\n".join("".join(part.text for part in strip) for strip in screen._compositor.render_strips())


async def showing(pilot: Pilot[None], text: str) -> None:
    await until(pilot, lambda: text in painted(pilot))


async def test_it_paints_before_it_connects(session: FakeSession) -> None:
    async with console(session) as pilot:
        await showing(pilot, "connecting")


async def test_nodes_and_jobs_appear_and_change_in_place(session: FakeSession) -> None:
    async with console(session) as pilot:
        session.queue.put_nowait(a_snapshot(a_job(3), a_job(2), a_job(1)))
        await showing(pilot, "healthy")
        table = pilot.app.screen.query_one("#jobs", LiveTable)
        await pilot.press("j")
        assert table.selected == "2"
        session.queue.put_nowait(a_snapshot(a_job(4), a_job(3), a_job(2), a_job(1)))
        await until(pilot, lambda: table.row_count == 4)
        assert table.selected == "2"


async def test_a_table_has_room_for_its_cells_before_it_is_painted(session: FakeSession) -> None:
    async with console(session) as pilot:
        await until(pilot, lambda: bool(pilot.app.screen.query("#jobs")))
        table = pilot.app.screen.query_one("#jobs", LiveTable)
        cells = tuple("x" * 20 for _ in table.ordered_columns)
        table.show_rows([Row("1", cells, "ok")])
        assert {column.content_width for column in table.ordered_columns} == {20}
        table.show_rows([Row("1", tuple(2 * cell for cell in cells), "ok")])
        assert {column.content_width for column in table.ordered_columns} == {40}


async def test_no_name_drives_the_terminal_or_runs_markup(session: FakeSession) -> None:
    async with console(session, size=(200, 40)) as pilot:
        session.queue.put_nowait(a_snapshot(a_job(1)))
        await showing(pilot, "[@click=app.quit]y[/]")
        for key, sign in (("enter", "1.0"), ("enter", "second")):
            await pilot.press(key)
            await showing(pilot, sign)
            assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(painted(pilot))


async def test_enter_leads_to_tasks_and_their_output_and_escape_back(session: FakeSession) -> None:
    async with console(session) as pilot:
        session.queue.put_nowait(a_snapshot(a_job(7)))
        await showing(pilot, "running")
        await pilot.press("enter")
        await showing(pilot, "7.2")
        await pilot.press("enter")
        await showing(pilot, "second ␛[31mline")
        await pilot.press("e")
        await showing(pilot, "a warning")
        assert pilot.app.screen.query_one(Log).line_count
        await pilot.press("escape")
        await until(pilot, lambda: bool(pilot.app.screen.query("#tasks")))
        await pilot.press("escape")
        await until(pilot, lambda: bool(pilot.app.screen.query("#jobs")))


async def test_cancel_asks_first_and_shows_the_command(session: FakeSession) -> None:
    async with console(session) as pilot:
        session.queue.put_nowait(a_snapshot(a_job(7)))
        await showing(pilot, "running")
        await pilot.press("C")
        await showing(pilot, "as a command: corral cancel 7")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, OverviewScreen))
        assert session.fake.cancelled == []
        await pilot.press("C")
        await showing(pilot, "Cancel job 7?")
        await pilot.press("y")
        await until(pilot, lambda: session.fake.cancelled == ["7"])


async def test_offline_keeps_the_last_picture_under_its_age(session: FakeSession) -> None:
    async with console(session) as pilot:
        session.queue.put_nowait(a_snapshot(a_job(7)))
        await showing(pilot, "healthy")
        session.queue.put_nowait(Offline("no server answers", 0.0, 2.0))
        await showing(pilot, "OFFLINE")
        assert pilot.app.screen.has_class("offline")
        assert "healthy" in painted(pilot)
        session.queue.put_nowait(a_snapshot(a_job(7)))
        await until(pilot, lambda: not pilot.app.screen.has_class("offline"))


async def test_an_empty_cluster_says_what_to_do(session: FakeSession) -> None:
    async with console(session, size=(80, 24)) as pilot:
        session.queue.put_nowait(a_snapshot())
        await showing(pilot, "corral run -- echo hello")


async def test_help_opens_and_closes(session: FakeSession) -> None:
    async with console(session) as pilot:
        await pilot.press("question_mark")
        await showing(pilot, "this help")
        await pilot.press("escape")
        await until(pilot, lambda: bool(pilot.app.screen.query(DataTable)))
