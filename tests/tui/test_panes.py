"""Beside a list: details, output, why and events of the row under the cursor, where there is room."""

from __future__ import annotations

from textual.pilot import Pilot

from bus.errors import Error
from tests.tui.driving import opened, painted, showing, until
from tests.tui.test_shell import console
from tui.client.fake import FakeCluster
from tui.view.subjects import subject_of
from tui.widgets.panes import Panes
from tui.widgets.virtual_table import VirtualTable


def tabs_line(pilot: Pilot[None]) -> int:
    lines = painted(pilot).splitlines()
    return next(at for at, line in enumerate(lines) if "output  why  events" in line)


async def test_the_pane_below_a_table_has_tabs(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE", "details  output  why  events", "submitted")
        await pilot.press("enter")
        await showing(pilot, "40 › tasks")
        await pilot.press("tab")
        await showing(pilot, "epoch 399")
        await pilot.press("tab")
        await showing(pilot, "It went where the least is left over")
        await pilot.press("tab")
        await until(pilot, lambda: pilot.app.screen.query_one(Panes).tab == "events")
        await pilot.press("tab")
        await showing(pilot, "submitted")


async def test_a_click_chooses_a_tab(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE", "details  output")
        column = painted(pilot).splitlines()[tabs_line(pilot)].index("why")
        await pilot.click(offset=(column, tabs_line(pilot)))
        await until(pilot, lambda: pilot.app.screen.query_one(Panes).tab == "why")


async def test_a_wide_screen_shows_all_at_once(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        await pilot.press("enter")
        await showing(pilot, "output  task 40.0", "epoch 399", "events  task 40.0", "node")


async def test_a_narrow_screen_has_the_table_alone_and_asks_for_no_more(fake: FakeCluster) -> None:
    async with opened(fake, size=(80, 24)) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        await pilot.press("enter")
        await showing(pilot, "40 › tasks")
        await pilot.press("j", "j")
        await pilot.pause(0.6)
        assert "details  output" not in painted(pilot)
        assert not {"logs", "why"} & set(fake.asked)


async def test_what_is_refused_is_said_in_its_pane(fake: FakeCluster) -> None:
    fake.refusals["why"] = Error(code="E_FORBIDDEN", message="rita may not", status=403)
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        await pilot.press("tab", "tab")
        await showing(pilot, "E_FORBIDDEN: rita may not")


async def test_another_size_keeps_the_row_and_the_focus(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        await pilot.press("j", "j", "j")
        table = pilot.app.screen.query_one(VirtualTable)
        for size, sign in (
            ((200, 60), "output"),
            ((80, 24), "FAIL"),
            ((20, 5), "▌"),
            ((120, 40), "details  output"),
        ):
            await pilot.resize_terminal(*size)
            await showing(pilot, sign, "37")
            assert table.cursor == 3 and pilot.app.focused is table


async def test_in_the_past_nothing_of_now_is_asked(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        console(pilot).look_at(1.0)
        await pilot.press("tab", "tab")
        await pilot.pause(0.6)
        assert "why" not in fake.asked
        console(pilot).look_at(None)
        await until(pilot, lambda: "why" in fake.asked)


def test_every_row_names_what_may_be_asked_about_it(fake: FakeCluster) -> None:
    single = next(job for job in fake.world.jobs if job.counts.total == 1)
    array = next(job for job in fake.world.jobs if job.counts.total > 1)
    for row, name, output in (
        (single, f"job {single.number}", f"{single.number}.0"),
        (array, f"job {array.number}", ""),
        (fake.world.tasks(array.number)[0], f"task {array.number}.0", f"{array.number}.0"),
        (fake.world.nodes[0], "node n-0000", ""),
    ):
        subject = subject_of(row)
        assert subject is not None and (subject.name, subject.output) == (name, output)
        assert subject.events is not None
    assert subject_of(object()) is None
