"""Long lists: their end and their middle are reached without gathering all, and rows stay under the hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from bus.api import Cluster
from tests.tui.driving import opened, showing, until
from tui.client.fake import FakeCluster
from tui.client.fake_world import TASKS_OF_BIG_JOB, World
from tui.client.pages import PAGE_ROWS
from tui.screens.listing import ListScreen
from tui.screens.tasks import TasksScreen


@pytest.fixture
def big(big_world: World) -> FakeCluster:
    return FakeCluster(big_world)


async def in_tasks(pilot: Pilot[None]) -> TasksScreen:
    await showing(pilot, "LIVE")
    pilot.app.push_screen(TasksScreen(342))
    await showing(pilot, "342.0 ")
    screen = pilot.app.screen
    assert isinstance(screen, TasksScreen)
    return screen


async def test_the_end_of_a_hundred_thousand_rows_takes_one_request(big: FakeCluster) -> None:
    async with opened(big) as pilot:
        screen = await in_tasks(pilot)
        before = big.asked.count("tasks")
        await pilot.press("G")
        last = TASKS_OF_BIG_JOB - 1
        await showing(pilot, f"▌342.{last}", f"342.{last - 20}")
        assert big.asked.count("tasks") <= before + 2, "the last page, and perhaps the one before it"
        assert screen.pages.at_end and len(screen.pages.rows) <= 2 * PAGE_ROWS
        await pilot.press("ctrl+b", "k")
        await until(pilot, lambda: screen.table.row is not None and screen.table.row.index < last - 20)
        await pilot.press("g")
        await showing(pilot, "▌342.0 ")
        assert screen.pages.at_start


async def test_who_pages_far_holds_only_a_stretch_and_gets_back_what_was_let_go(
    big: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = 3 * PAGE_ROWS
    monkeypatch.setattr("tui.client.pages.KEPT_ROWS", kept)
    async with opened(big) as pilot:
        screen = await in_tasks(pilot)

        def at() -> int:
            return -1 if (row := screen.table.row) is None else row.index

        def paged(pages: float) -> int:
            screen.table.action_page(pages)
            assert len(screen.pages.rows) <= kept
            return at()

        await until(pilot, lambda: paged(4) > kept + PAGE_ROWS)
        assert not screen.pages.at_start
        await until(pilot, lambda: paged(-4) == 0)
        assert screen.pages.at_start


async def test_an_order_by_what_may_be_absent_has_its_end_too(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        screen = pilot.app.screen
        assert isinstance(screen, ListScreen)
        assert screen.listing.opposite("runtime") is None
        await pilot.press("E", "G")
        await until(pilot, lambda: screen.pages.at_end and screen.table.cursor == 39)
        assert screen.table.row is not None and screen.table.row.started_at is None


async def test_a_coordinator_that_was_replaced_is_asked_anew_at_once(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.screens.listing.RELOAD_S", 3_600.0)
    epochs = [3]

    async def cluster() -> Cluster:
        summary = fake.world.summary()
        summary.epoch = epochs[0]
        return summary

    fake.cluster = cluster  # type: ignore[method-assign]
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        screen = pilot.app.screen
        assert isinstance(screen, ListScreen)
        asked = fake.asked.count("jobs")
        epochs[0] = 4
        screen.session.hurry()
        await until(pilot, lambda: fake.asked.count("jobs") > asked)


async def test_after_an_outage_a_list_is_asked_for_at_once(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.screens.listing.RELOAD_S", 3_600.0)
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        fake.reachable = False
        await showing(pilot, "OFFLINE")
        fake.world.jobs[-1] = replace(fake.world.jobs[-1], name="meanwhile")
        fake.reachable = True
        await showing(pilot, "LIVE", "meanwhile")
