"""Why, output, people and the tree as they were: each follows the time cursor, and none changes anything."""

from __future__ import annotations

import time

import pytest

from bus.api import Job
from bus.values import Stream
from tests.tui.driving import gone, opened, painted, showing, until
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.screens.document import why
from tui.screens.log import LogScreen
from tui.screens.xray import XRayScreen
from tui.view.log_facts import byte_text

LINES = 40


def recent(*, lively: bool = False) -> FakeCluster:
    return FakeCluster(World(seed=7, now_s=time.time(), nodes=20, jobs=40), lively=lively)


def ran(fake: FakeCluster, *, least_s: float = 10.0) -> Job:
    """A job that is over and took a while."""
    return next(
        job for job in fake.world.jobs if job.ended_at and job.started_at and job.counts.completed
        if job.ended_at - job.started_at > least_s and fake.world.tasks(job.number)[0].node
    )  # fmt: skip


def console_of(pilot: object) -> Console:
    console = pilot.app  # type: ignore[attr-defined]
    assert isinstance(console, Console)
    return console


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_why_is_that_of_then_and_says_what_is_not_kept(size: tuple[int, int]) -> None:
    fake = recent()
    job = ran(fake)
    async with opened(fake, size=size) as pilot:
        await showing(pilot, "LIVE")
        await console_of(pilot).push_screen(why(f"{job.number}.0"))
        await showing(pilot, "It went where the least is left over.", "chosen")
        console_of(pilot).look_at(job.submitted_at + 0.001)
        await showing(
            pilot, "PAST", "No node has four GPUs free.", "not kept", "fair share", "what kept it back"
        )
        assert "what would start it" not in painted(pilot)
        await pilot.press("n")
        await showing(pilot, "It went where the least is left over.")
        await gone(pilot, "not kept")


async def test_output_is_what_had_been_printed_by_then(tmp_path: object) -> None:
    fake = recent(lively=True)
    job = ran(fake)
    task = fake.world.tasks(job.number)[0]
    assert task.started_at is not None and task.ended_at is not None
    half_s = (task.started_at + task.ended_at) / 2
    then = await fake.output_then(f"{job.number}.0", half_s)
    whole = await fake.logs(f"{job.number}.0")
    assert 0 < then.size < whole.size
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await console_of(pilot).push_screen(LogScreen(f"{job.number}.0"))
        await showing(pilot, "■ ended", byte_text(whole.size + len(b"".join(fake.output[Stream.STDERR]))))
        await pilot.press("e")
        await showing(pilot, byte_text(whole.size))
        console_of(pilot).look_at(half_s)
        await showing(pilot, "PAST", "■ as it was then", byte_text(then.size), "running")
        assert "follow" not in painted(pilot).splitlines()[1]
        assert not pilot.app.screen.has_class("-travelling")
        console_of(pilot).look_at(task.submitted_at - 60)
        await showing(pilot, "was not there yet")
        await pilot.press("n")
        await showing(pilot, "■ ended", byte_text(whole.size))


async def test_an_output_that_is_opened_in_the_past_is_that_of_then() -> None:
    fake = recent(lively=True)
    job = ran(fake)
    task = fake.world.tasks(job.number)[0]
    assert task.started_at is not None and task.ended_at is not None
    half_s = (task.started_at + task.ended_at) / 2
    sizes = [(await fake.output_then(f"{job.number}.0", half_s, stream=each)).size for each in Stream]
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        console_of(pilot).look_at(half_s)
        await console_of(pilot).push_screen(LogScreen(f"{job.number}.0"))
        await showing(pilot, "PAST", "■ as it was then", byte_text(sum(sizes)))
        await pilot.press("slash", *"epoch", "enter")
        await pilot.press("n")
        assert console_of(pilot).moment == half_s, "what is looked for comes before the way back"


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_people_are_those_of_then(size: tuple[int, int]) -> None:
    fake = recent()
    moment = fake.world.jobs[2].submitted_at + 1  # three had come
    then = {user.name for user in (await fake.users(at=moment)).users}
    now = {user.name for user in (await fake.users()).users}
    assert then < now
    async with opened(fake, size=size) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("0")
        await showing(pilot, "USER", *now)
        console_of(pilot).look_at(moment)
        await showing(pilot, "PAST", *then)
        await until(pilot, lambda: not any(name in painted(pilot) for name in now - then))
        assert "as of now" not in painted(pilot)


async def test_the_tree_is_that_of_then() -> None:
    fake = recent()
    moment = fake.world.jobs[2].submitted_at + 1
    job, now = fake.jobs_then(moment)[-1], {user.name for user in (await fake.users()).users}
    then = {user.name for user in (await fake.users(at=moment)).users}
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await console_of(pilot).push_screen(XRayScreen())
        await showing(pilot, "xray", *now)
        console_of(pilot).look_at(moment)
        await until(pilot, lambda: not any(name in painted(pilot) for name in now - then))
        await until(pilot, lambda: not pilot.app.screen.has_class("-travelling"))
        await showing(pilot, "PAST", f"{job.user}  1 job not over")


async def test_the_panes_beside_a_list_tell_of_then() -> None:
    fake = recent()
    job = fake.world.jobs[-1]
    async with opened(fake, size=(200, 60)) as pilot:
        await pilot.press("3")
        await pilot.press("tab", "tab")
        await showing(pilot, "STATE", "events  job", "It went where")
        console_of(pilot).look_at(job.submitted_at + 0.001)
        await showing(pilot, "PAST", "No node has four GPUs free.")
        await pilot.press("n")
        await gone(pilot, "No node has four GPUs free.")
