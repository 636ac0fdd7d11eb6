"""The pulse tells the hour, the day and who used most, where there is room; without answers it goes on."""

from __future__ import annotations

import time
from typing import cast

import pytest
from msgspec.structs import replace

from bus.api import Outlook, Whoami
from bus.errors import Error
from bus.past import Changes, Spike
from tests.tui.driving import opened, painted, showing, until
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.screens.live import LiveScreen
from tui.widgets.gantt import GanttChart


@pytest.mark.contract("S4.61")
async def test_a_tall_screen_tells_the_hour_and_the_day(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "pulse", "● 98", "queued", "in an hour", " used ", "users")


async def test_a_small_one_asks_for_none_of_it(fake: FakeCluster) -> None:
    async with opened(fake, size=(80, 24)) as pilot:
        await showing(pilot, "cpu ━", "STATE")
        assert "in an hour" not in painted(pilot) and "series" not in fake.asked


async def test_an_older_cluster_knows_no_hours(fake: FakeCluster) -> None:
    fake.refusals["series"] = Error(code="E_SUBJECT", message="no such operation", status=404)
    async with opened(fake) as pilot:
        await showing(pilot, "memory", "STATE", "✖ the last hour: ", "users")
        assert "in an hour" not in painted(pilot)


BEHIND_S = 3_600.0


@pytest.fixture
def behind(fake: FakeCluster) -> FakeCluster:
    """The clock here is an hour behind the coordinator's."""
    told = fake.whoami

    async def whoami() -> Whoami:
        return replace(await told(), now=time.time() + BEHIND_S)

    fake.whoami = whoami  # type: ignore[method-assign]
    return fake


def is_theirs(moment: float, *, ago_s: float = 0.0) -> bool:
    """Whether it is by the coordinator's clock."""
    return abs(moment - (time.time() + BEHIND_S - ago_s)) < 60.0


async def test_the_gantt_chart_and_the_time_cursor_go_by_the_clock_of_the_coordinator(
    behind: FakeCluster,
) -> None:
    async with opened(behind) as pilot:
        await showing(pilot, "clock here 1h00m behind")
        await pilot.press("2", "b")
        await showing(pilot, "nodes › gantt", "attempts on 20 nodes")
        chart = pilot.app.screen.query_one(GanttChart)
        assert is_theirs(chart.story.now_s)
        await pilot.press("escape", "comma")
        await showing(pilot, "PAST")
        console = cast("Console", pilot.app)
        assert console.moment is not None and is_theirs(console.moment, ago_s=console.time_step_s)
        await pilot.press("ctrl+t", *"-2h", "enter")
        await until(pilot, lambda: is_theirs(console.moment or 0.0, ago_s=7_200.0))


async def test_moments_that_are_typed_go_by_the_clock_of_the_coordinator(
    behind: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    changes, spike = behind.changes, behind.spike

    async def told_changes(since: float, until: float | None = None, *, before: int = 0) -> Changes:
        asked.append(since)
        return await changes(since, until, before=before)

    async def told_spike(since: float, until: float) -> Spike:
        asked[:] = [since, until]
        return await spike(since, until)

    monkeypatch.setattr(behind, "changes", told_changes)
    monkeypatch.setattr(behind, "spike", told_spike)
    async with opened(behind) as pilot:
        await showing(pilot, "clock here 1h00m behind")
        await pilot.press("colon", *"changes 2h", "enter")
        await until(pilot, lambda: bool(asked) and is_theirs(asked[0], ago_s=7_200.0))
        await showing(pilot, "2h00m › changes")
        asked.clear()
        await pilot.press("colon", *"spike 2h..1h", "enter")
        await until(pilot, lambda: len(asked) == 2 and is_theirs(asked[0], ago_s=7_200.0))
        assert is_theirs(asked[1], ago_s=3_600.0)


async def test_what_a_drain_would_delay_is_told_by_the_clock_of_the_coordinator(
    behind: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def of_outlook(outlook: Outlook, *, now_s: float) -> tuple[str, ...]:
        asked.append(now_s)
        return ("looked ahead",)

    monkeypatch.setattr("tui.view.effects.of_outlook", of_outlook)
    async with opened(behind) as pilot:
        await showing(pilot, "clock here 1h00m behind")
        await pilot.press("2")
        await showing(pilot, "n-0000")
        await pilot.press("r")
        await showing(pilot, "$ corral drain", "looked ahead")
        assert is_theirs(asked[0])


async def test_ages_are_those_of_the_clock_of_the_coordinator(behind: FakeCluster) -> None:
    """A clock an hour behind makes nobody's job an hour younger."""
    async with opened(behind) as pilot:
        await showing(pilot, "clock here 1h00m behind")
        screen = pilot.app.screen
        assert isinstance(screen, LiveScreen)
        assert is_theirs(screen.now_s)
