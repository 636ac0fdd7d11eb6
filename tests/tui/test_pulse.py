"""The pulse tells the hour, the day and who used most, where there is room; without answers it goes on."""

from __future__ import annotations

import pytest

from bus.api import Error
from tests.tui.driving import opened, painted, showing
from tui.client.fake import FakeCluster


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
        await showing(pilot, "memory", "STATE")
        assert "in an hour" not in painted(pilot)
