"""What the mouse does: rows, heads, tabs, the wheel, hints, crumbs, the screens at the side."""

from __future__ import annotations

from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from tests.tui.driving import on_session, painted, showing, until
from tests.tui.troubled import console, screen_at
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.client.session import Session
from tui.widgets.panes import Panes
from tui.widgets.virtual_table import VirtualTable


async def click(pilot: Pilot[None], word: str, *, line: int | None = None) -> None:
    """On the first place of a word; `line` is the line it stands in, where there are several."""
    lines = painted(pilot).splitlines()
    y = next(at for at, text in enumerate(lines) if word in text and line in (None, at))
    await pilot.click(offset=(lines[y].index(word) + 1, y))


async def test_every_part_of_a_wide_screen_takes_clicks(fake: FakeCluster) -> None:
    async with on_session(Session(fake.connect), size=(200, 60)) as pilot:
        await showing(pilot, "LIVE", "STATE")
        await click(pilot, "2 nodes")
        await until(pilot, lambda: console(pilot).current_mode == "nodes")
        await showing(pilot, "n-0003", "NODE ")
        table = screen_at(pilot).query_one(VirtualTable)
        await click(pilot, "LOAD")
        await showing(pilot, "LOAD▴")
        await click(pilot, "LOAD")
        await showing(pilot, "LOAD▾")
        await until(pilot, lambda: table.row is not None)
        place = next(at for at, row in enumerate(table._rows) if row.name == "n-0003")
        await click(pilot, "n-0003", line=table.region.y + 1 + place)
        await until(pilot, lambda: table.row is not None and table.row.name == "n-0003")
        await click(pilot, "why")
        await until(pilot, lambda: screen_at(pilot).query_one(Panes).tab == "why")
        await click(pilot, "d details")
        await showing(pilot, "nodes › n-0003 › details")
        await click(pilot, "labels")
        await showing(pilot, "[labels]")
        await click(pilot, "nodes ›")
        await until(pilot, lambda: screen_at(pilot).crumb == "nodes")
        await click(pilot, "? help")
        await showing(pilot, "everywhere")


async def test_the_wheel_moves_what_one_sees_and_asks_for_more(big_world: World) -> None:
    fake = FakeCluster(big_world)
    async with on_session(Session(fake.connect)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("2")
        await showing(pilot, "n-0000")
        table = screen_at(pilot).query_one(VirtualTable)

        def turn(event: type[MouseScrollDown] | type[MouseScrollUp]) -> None:
            step = 1 if event is MouseScrollDown else -1
            table.post_message(event(table, 5, 5, 0, step, 0, False, False, False))

        async def turned(event: type[MouseScrollDown] | type[MouseScrollUp], word: str) -> None:
            def seen() -> bool:
                turn(event)
                return word in painted(pilot)

            await until(pilot, seen)

        await turned(MouseScrollDown, "n-0060")
        assert table.cursor == 0, "the wheel leaves the cursor where it is"
        await turned(MouseScrollUp, "n-0000")


async def test_sizes_that_change_all_the_while_do_no_harm(fake: FakeCluster) -> None:
    """While lists are on their way, and screens come and go."""
    async with on_session(Session(fake.connect)) as pilot:
        sizes = ((80, 24), (200, 60), (20, 5), (8, 2), (120, 40), (40, 10), (1, 1), (160, 34))
        for digit, size in zip("21359613", sizes, strict=True):
            await pilot.press(digit)
            await pilot.resize_terminal(*size)
        await pilot.resize_terminal(120, 40)
        await pilot.press("3")
        await showing(pilot, "LIVE", "STATE", "details  output")
