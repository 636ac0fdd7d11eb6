"""The pulse tells the hour, the day and who used most, where there is room; without answers it goes on."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from bus.api import Error, Whoami
from tests.tui.driving import opened, painted, showing
from tui.client.fake import FakeCluster
from tui.screens.live import LiveScreen


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


async def test_ages_are_those_of_the_clock_of_the_coordinator(fake: FakeCluster) -> None:
    """A clock an hour behind makes nobody's job an hour younger."""
    told = fake.whoami

    async def whoami() -> Whoami:
        return replace(await told(), now=time.time() + 3_600.0)

    fake.whoami = whoami  # type: ignore[method-assign]
    async with opened(fake) as pilot:
        await showing(pilot, "clock here 1h00m behind")
        screen = pilot.app.screen
        assert isinstance(screen, LiveScreen)
        assert abs(screen.now_s - time.time() - 3_600.0) < 60.0
