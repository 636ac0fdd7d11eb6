"""One time cursor for every screen: what was is shown under a banner, and nothing of it can be changed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from textual.pilot import Pilot

from bus.api import Jobs
from bus.errors import Error
from tests.tui.driving import gone, opened, painted, showing, until
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.screens.document import job_details
from tui.widgets.time_bar import TimeBar

SEED = 7


def recent() -> FakeCluster:
    """A cluster whose history ends now: the cursor's steps are counted from the present."""
    return FakeCluster(World(seed=SEED, now_s=time.time(), nodes=20, jobs=40))


async def test_steps_lead_into_the_past_and_back() -> None:
    async with opened(recent()) as pilot:
        await pilot.press("3")
        await showing(pilot, "LIVE", "STATE")
        await pilot.press("comma")
        await showing(pilot, "PAST", "5m00s ago", "nothing can be changed")
        console = pilot.app
        assert isinstance(console, Console) and console.moment is not None
        before = console.moment
        await pilot.press("less_than_sign", "comma")
        await until(pilot, lambda: console.moment == before - 900)
        await pilot.press("full_stop", "greater_than_sign", "full_stop")
        await until(pilot, lambda: console.moment is None)
        await gone(pilot, "PAST")


async def test_a_past_that_cannot_be_told_has_no_pulse() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await showing(pilot, "memory  ━", "LIVE")
        fake.refusals["cluster"] = Error(code="E_UNAVAILABLE", message="no history", status=503)
        await pilot.press("comma")
        await showing(pilot, "PAST")
        await until(pilot, lambda: "memory  ━" not in painted(pilot))
        fake.refusals.clear()
        await pilot.press("n")
        await showing(pilot, "memory  ━", "LIVE")


async def test_lists_are_those_of_the_moment() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        console = pilot.app
        assert isinstance(console, Console)
        moment = fake.world.jobs[19].submitted_at + 1  # the twentieth has just come
        console.look_at(moment)
        await showing(pilot, "PAST", "20   ")
        assert "completed" in painted(pilot)
        await pilot.press("2")
        await showing(pilot, "nodes", "PAST", "n-0003")
        await pilot.press("7")
        await showing(pilot, "events", "PAST")
        await pilot.press("n")
        await gone(pilot, "PAST")


async def test_nothing_can_be_done_to_the_past() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("comma")
        await showing(pilot, "PAST")
        await pilot.press("C", "y")
        await pilot.press("2")
        await showing(pilot, "n-0003")
        await pilot.press("r", "y")
        assert fake.done == []


async def test_a_moment_is_typed_and_what_is_none_is_said() -> None:
    async with opened(recent()) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("ctrl+t")
        await showing(pilot, "Which moment?", "stands at now")
        await pilot.press(*"someday")
        await showing(pilot, "✖ not a moment")
        await pilot.press("enter")
        await showing(pilot, "✖ not a moment")
        await pilot.press("ctrl+u", *"2099-01-01")
        await showing(pilot, "is not in the past")
        await pilot.press("ctrl+u", *"-90m", "enter")
        await showing(pilot, "PAST", "1h30m ago")


async def test_a_moment_that_cannot_be_told_says_why() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        hint = "ask for a later moment, or for less with /filter"
        fake.refusals["jobs"] = Error(code="E_TOO_LARGE", message="so much happened", hint=hint)
        await pilot.press("comma")
        await showing(pilot, "PAST", "E_TOO_LARGE", "ask for a later moment")


async def test_the_bar_is_there_where_there_is_room() -> None:
    async with opened(recent(), size=(200, 60)) as pilot:
        await showing(pilot, " now  ◀", "●▶")
    async with opened(recent(), size=(80, 24)) as pilot:
        await showing(pilot, "LIVE")
        assert "◀" not in painted(pilot)
        await pilot.press("comma")
        await showing(pilot, "PAST")


async def test_the_pulse_has_the_figures_of_then() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "tasks   ")
        moment = fake.world.jobs[4].submitted_at + 1  # five had come
        then = fake.summary_then(moment).jobs
        console_of(pilot).look_at(moment)
        await showing(
            pilot, "PAST", f"{then['pending']} pending   ▶ {then['running']} running", " then, most"
        )
        await pilot.press("n")
        await gone(pilot, "PAST")


async def test_details_are_those_of_then() -> None:
    fake = recent()
    job = next(job for job in fake.world.jobs if (job.ended_at or 0.0) - (job.started_at or 0.0) > 10.0)
    assert job.started_at is not None and job.ended_at is not None
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        console = console_of(pilot)
        await console.push_screen(job_details(str(job.number)))
        await showing(pilot, str(job.state))
        console.look_at((job.started_at + job.ended_at) / 2)
        await showing(pilot, "PAST", "running")
        console.look_at(job.submitted_at - 60)
        await showing(pilot, f"job {job.number} was not there yet")
        await pilot.press("n")
        await showing(pilot, str(job.state))


async def test_the_scheduler_is_that_of_then() -> None:
    async with opened(recent()) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("6")
        await showing(pilot, "mode", "shadow", "forecasts of starts")
        console_of(pilot).look_at(time.time() - 8.5 * 3600)
        await showing(pilot, "PAST", "none passed the gate")
        await gone(pilot, "forecasts of starts")
        console_of(pilot).look_at(time.time() - 40 * 3600)
        await showing(pilot, "nothing was learned yet by then")


@pytest.mark.parametrize(
    ("digit", "said"), [("9", "tools as of now"), ("8", "disks, cards and GPUs as of now")]
)
@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_what_does_not_follow_says_so(digit: str, said: str, size: tuple[int, int]) -> None:
    async with opened(recent(), size=size) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press(digit, "comma")
        await showing(pilot, "PAST", said)


async def test_an_answer_of_an_older_moment_is_dropped_and_old_rows_stay_dimmed() -> None:
    fake = SlowPast(World(seed=SEED, now_s=time.time(), nodes=20, jobs=40))
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "40   ")
        console = console_of(pilot)
        first, second = (fake.world.jobs[place].submitted_at + 1 for place in (9, 19))
        console.look_at(first)
        await until(pilot, lambda: fake.moments == [first])
        console.look_at(second)
        await pilot.pause()
        assert pilot.app.screen.has_class("-travelling")
        assert "completed" in painted(pilot), "the rows of before stay until others are there"
        fake.gate.set()
        await showing(pilot, "20   ")
        assert fake.moments == [first, second]
        await until(pilot, lambda: not pilot.app.screen.has_class("-travelling"))


class SlowPast(FakeCluster):
    """Answers about the past once its gate is open."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.gate = asyncio.Event()
        self.moments: list[float] = []

    async def jobs(self, *, at: float | None = None, **asked: Any) -> Jobs:
        if at is not None:
            self.moments.append(at)
            await self.gate.wait()
        return await super().jobs(at=at, **asked)


def console_of(pilot: Pilot[None]) -> Console:
    assert isinstance(pilot.app, Console)
    return pilot.app


async def test_the_bar_says_how_much_happened_and_the_banner_in_words() -> None:
    async with opened(recent(), size=(200, 60)) as pilot:
        await showing(pilot, " now  ◀")
        bar = pilot.app.screen.query_one(TimeBar)
        await until(pilot, lambda: "▄" in str(bar.render()))
    async with opened(recent(), size=(80, 24)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("comma")
        await showing(pilot, "PAST", "tasks/s ended")


async def test_the_cursor_may_move_while_a_screen_is_put_together() -> None:
    async with opened(recent()) as pilot:
        await showing(pilot, "LIVE")
        console = console_of(pilot)
        for mode in ("nodes", "jobs", "events"):
            console.run_worker(console.action_mode(mode))
            for _ in range(4):
                await asyncio.sleep(0)
                console.action_time_step(-1)
                console.action_time_zoom(0)
        await showing(pilot, "events", "PAST", "1h00m")
