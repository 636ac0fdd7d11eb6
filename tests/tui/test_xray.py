"""The tree of users, jobs, tasks and nodes: asked for when opened, steered line by line."""

from __future__ import annotations

from bus.errors import Error
from bus.values import Role
from tests.tui.driving import gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.screens.document import job_details
from tui.screens.xray import XRayScreen


async def test_branches_are_asked_for_when_they_are_opened(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        pilot.app.push_screen(XRayScreen())
        await showing(pilot, "xray", "▸ ● ann", "not over")
        fake.asked.clear()
        await pilot.press("enter")
        await showing(pilot, "▾ ● ann", "tasks: ")
        assert "jobs" in fake.asked and "tasks" not in fake.asked
        await pilot.press("down", "enter")
        await showing(pilot, ".0  ")
        assert "tasks" in fake.asked
        await pilot.press("down", "enter")
        await until(pilot, lambda: "attempt 1 on n-" in painted(pilot) or "on no node yet" in painted(pilot))
        await pilot.press("left", "left", "left", "left", "left")
        await gone(pilot, "tasks: ")


async def test_jobs_that_a_task_submitted_are_below_it(fake: FakeCluster) -> None:
    """There, and on a page of its job's details."""
    child = next(job for job in fake.world.jobs if job.user == "ann")
    child.parent = "40.0"
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        screen = XRayScreen(fake.world.jobs[39].user)
        pilot.app.push_screen(screen)
        await showing(pilot, "tasks: ")
        for key in ("40", "40.0"):
            places = [place for place, (_, branch) in enumerate(screen.tree_view.lines) if branch.key == key]
            screen.tree_view.action_move(-1_000)
            screen.tree_view.action_move(places[0])
            await pilot.press("enter")
            await showing(pilot, f"{key}.0" if key == "40" else f"{child.number} {child.name}")
        found = next(branch for _, branch in screen.tree_view.lines if branch.row is child)
        assert found.can_open
        pilot.app.push_screen(job_details("40"))
        await showing(pilot, "[job]", "submitted")
        await pilot.press("tab", "tab", "tab")
        await showing(pilot, "[children]", "from 40.0")


async def test_what_is_under_the_cursor_is_shown_explained_and_steered(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        pilot.app.push_screen(XRayScreen("ann"))
        await showing(pilot, "ann › xray", "▾ ● ann", "tasks: ")
        assert "cancel" not in painted(pilot).splitlines()[-1], "people cannot be cancelled"
        await pilot.press("down", "d")
        await showing(pilot, "› details", "[job]")
        await pilot.press("escape", "w")
        await showing(pilot, "› why")
        await pilot.press("escape")
        await showing(pilot, "tasks: ")
        job = next(job for job in reversed(fake.world.jobs) if job.user == "ann")
        live = next(
            job for job in reversed(fake.world.jobs) if job.user == "ann" and not job.state.is_terminal
        )
        for _ in range([j.number for j in reversed(fake.world.jobs) if j.user == "ann"].index(live.number)):
            await pilot.press("down")
        assert job.user == live.user
        await pilot.press("C")
        await showing(pilot, f"corral cancel {live.number}")
        await pilot.press("y")
        await until(pilot, lambda: ("cancel", str(live.number)) in fake.done)


async def test_many_tasks_come_page_by_page(fake: FakeCluster) -> None:
    big = max(fake.world.jobs, key=lambda job: job.counts.total if job.counts.total < 2_000 else 0)
    assert big.counts.total > 100
    async with opened(fake, size=(120, 200)) as pilot:
        await showing(pilot, "LIVE")
        screen = XRayScreen(big.user)
        pilot.app.push_screen(screen)
        await showing(pilot, "tasks: ")
        place = next(
            p for p, (_, branch) in enumerate(screen.tree_view.lines) if branch.key == str(big.number)
        )
        screen.tree_view.action_move(place)
        await pilot.press("enter")
        await showing(pilot, f"{big.number}.49", "… Enter shows more")
        screen.tree_view.action_move(51)
        await pilot.press("enter")
        await showing(pilot, f"{big.number}.99")


async def test_who_may_only_look_is_offered_no_action(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        pilot.app.push_screen(XRayScreen())
        await showing(pilot, "▾ ● demo")
        await pilot.press("down", "C")
        await pilot.pause()
        assert fake.done == []


async def test_what_is_refused_says_why_on_its_branch_or_in_its_place(fake: FakeCluster) -> None:
    fake.refusals["jobs"] = Error(code="E_FORBIDDEN", message="not for you", status=403)
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        pilot.app.push_screen(XRayScreen())
        await showing(pilot, "▸ ● ann")
        await pilot.press("enter")
        await showing(pilot, "✖ E_FORBIDDEN: not for you")
        await pilot.press("escape")
        fake.refusals["users"] = Error(code="E_UNAVAILABLE", message="the database is away", status=503)
        pilot.app.push_screen(XRayScreen())
        await showing(pilot, "E_UNAVAILABLE: the database is away", "ctrl-r asks again")


async def test_a_key_opens_it_at_whose_job_is_under_the_cursor(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("x")
        await showing(pilot, f"jobs › {fake.world.jobs[-1].user} › xray", "tasks: ")
