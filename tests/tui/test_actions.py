"""Everything that can be done from the console: asked first, told with its effect and command, then seen."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from bus.errors import Error
from bus.values import JobState, NodeAdmin, Role, TaskState
from tests.tui.driving import gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.screens.acting import ActingScreen
from tui.view.steering import steer_mode
from tui.widgets.virtual_table import VirtualTable

REFUSED = Error(code="E_CONFLICT", message="somebody was quicker", status=409)


def rows(pilot: Pilot[None]) -> VirtualTable:  # type: ignore[type-arg]
    return pilot.app.screen.query_one("#table", VirtualTable)


async def at_job(pilot: Pilot[None], number: int) -> None:
    """The cursor on a job of the list."""
    await pilot.press("3")
    await showing(pilot, "STATE")
    await until(pilot, lambda: rows(pilot).row is not None)
    await pilot.press("g")
    while rows(pilot).row.number != number:
        await pilot.press("j")


async def told(pilot: Pilot[None], *words: str) -> None:
    """A notice that holds them, which tests of the console do not paint."""
    await until(
        pilot,
        lambda: any(all(word in notice.message for word in words) for notice in pilot.app._notifications),
    )


def running(fake: FakeCluster) -> int:
    """The newest job that runs, with tasks of every kind."""
    job = next(job for job in reversed(fake.world.jobs) if job.state is JobState.RUNNING)
    counts = replace(job.counts, total=10, running=4, queued=4, failed=2, completed=0, cancelled=0)
    fake.world.jobs[job.number - 1] = replace(job, counts=counts, priority=5)
    return job.number


@pytest.mark.parametrize(
    ("key", "verb", "effect"),
    [
        ("C", "cancel", "4 tasks end (TERM, then KILL after the grace), 4 tasks never start"),
        ("R", "retry", "2 tasks that failed or ran out of time are queued again"),
        ("h", "hold", "4 tasks wait until released; 4 tasks go on"),
        ("p", "pause", "4 tasks stand still where they are and 4 tasks wait, until resumed"),
        ("Q", "requeue", "4 tasks end and wait again"),
    ],
)
async def test_each_action_on_a_job_is_asked_told_and_done(
    fake: FakeCluster, key: str, verb: str, effect: str
) -> None:
    number = running(fake)
    async with opened(fake) as pilot:
        await at_job(pilot, number)
        await pilot.press(key)
        await showing(pilot, f"$ corral {verb} {number}", effect)
        assert fake.done == []
        await pilot.press("y")
        await until(pilot, lambda: fake.done == [(verb, str(number))])


async def test_release_and_resume_lead_back(fake: FakeCluster) -> None:
    number = running(fake)
    job = fake.world.jobs[number - 1]
    async with opened(fake) as pilot:
        for key, verb, before in (
            ("e", "release", {"held": True}),
            ("o", "resume", {"state": JobState.PAUSED}),
        ):
            fake.world.jobs[number - 1] = replace(job, **before)
            await pilot.press("3", "ctrl+r")
            await at_job(pilot, number)
            await showing(pilot, "held" if verb == "release" else "paused")
            await pilot.press(key)
            await showing(pilot, f"$ corral {verb} {number}")
            await pilot.press("y")
            await until(pilot, lambda verb=verb: fake.done[-1:] == [(verb, str(number))])
        assert fake.world.jobs[number - 1].state is JobState.RUNNING


async def test_a_priority_is_typed_checked_and_taken_back(fake: FakeCluster) -> None:
    number = running(fake)
    async with opened(fake) as pilot:
        await at_job(pilot, number)
        await pilot.press("P", "1", "2")
        await showing(pilot, "priority: expected")
        await pilot.press("enter")  # what is wrong is not taken
        await pilot.press("backspace", "backspace", "8", "enter")
        await showing(pilot, f"$ corral priority {number} 8", "wait at priority 8 (now 5)")
        await pilot.press("y")
        await until(pilot, lambda: fake.world.jobs[number - 1].priority == 8)
        await told(pilot, "audit a1")
        await pilot.press("z")
        await showing(pilot, "Take back: set the priority of", f"$ corral priority {number} 5")
        await pilot.press("y")
        await until(pilot, lambda: fake.world.jobs[number - 1].priority == 5)


async def test_tasks_are_steered_one_and_many(fake: FakeCluster) -> None:
    number = running(fake)
    fake.world.jobs[number - 1] = job = fake.world.jobs[number - 1]
    tasks = fake.world.tasks(number)
    async with opened(fake) as pilot:
        await at_job(pilot, number)
        await pilot.press("enter")
        await showing(pilot, f"{number}.0")
        for key, verb, state in (
            ("R", "retry", TaskState.FAILED),
            ("C", "cancel", TaskState.RUNNING),
            ("Q", "requeue", TaskState.RUNNING),
        ):
            index = next(task.index for task in tasks if task.state is state)
            while rows(pilot).row.index != index:
                await pilot.press("j" if rows(pilot).row.index < index else "k")
            await pilot.press(key)
            await showing(pilot, f"$ corral {verb} {number}.{index}")
            await pilot.press("y")
            await until(pilot, lambda verb=verb, index=index: fake.done[-1] == (verb, f"{number}.{index}"))
        assert job.counts.total == 10
        waiting = [task.index for task in tasks if task.state is TaskState.QUEUED]
        await pilot.press("g", "ctrl+a", "C")
        await showing(pilot, "left out:")
        await pilot.press("y")
        await until(pilot, lambda: not [task for task in tasks if task.state is TaskState.QUEUED])
        assert {("cancel", f"{number}.{index}") for index in waiting} <= set(fake.done)


async def test_nodes_take_reasons_deadlines_and_labels(fake: FakeCluster) -> None:
    fake.world.nodes[0] = replace(fake.world.nodes[0], admin=NodeAdmin.ACTIVE)
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000")
        await pilot.press("r")
        await showing(
            pilot, "$ corral drain n-0000", "ends by itself", "would end there", "would start later"
        )
        assert "what_if" in fake.asked
        await pilot.press("o")
        await showing(pilot, "deadline")
        await pilot.press(*"soon")
        await showing(pilot, "deadline: expected")
        await pilot.press(*["backspace"] * 4, *"10m", "tab", *"fan", "enter")
        await showing(pilot, "corral drain n-0000 --reason fan --deadline 10m", "within 10m, or is")
        await pilot.press("y")
        await until(pilot, lambda: fake.world.nodes[0].deadline is not None)
        assert fake.world.nodes[0].reason == "fan"
        await pilot.press("m")
        await showing(pilot, "deadline")
        await pilot.press("enter")
        await showing(pilot, "$ corral maintenance n-0000", "ends by itself; then it")
        await pilot.press("y")
        await until(pilot, lambda: fake.world.nodes[0].goal is NodeAdmin.MAINTENANCE)
        await pilot.press("z")  # the deadline of the drain is over: it drains, as before
        await showing(pilot, "$ corral drain n-0000")
        await pilot.press("n", "L", *"nonsense")
        await showing(pilot, "nonsense: expected NAME=VALUE")
        await pilot.press(*["backspace"] * 8, *"zone=z gpu-", "enter")
        await showing(pilot, "$ corral label n-0000 zone=z gpu-")
        await pilot.press("y")
        await until(pilot, lambda: fake.world.nodes[0].labels["zone"] == "z")
        await pilot.press("z")
        await showing(pilot, "$ corral label n-0000 zone- gpu-")
        await pilot.press("y")
        await until(pilot, lambda: fake.world.nodes[0].set_labels == {})


@pytest.mark.contract("S2.63")
async def test_an_event_is_resolved_with_a_note(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("7")
        await showing(pilot, "EVENT")
        event = rows(pilot).row.id
        await pilot.press("R", *"fan changed", "enter")
        await showing(pilot, f"$ corral events resolve {event} --note 'fan changed'", "1 event dealt with")
        await pilot.press("y")
        await until(pilot, lambda: fake.world.events[0].resolution == "fan changed")
        await showing(pilot, "resolved", "by demo: fan changed")


async def test_a_ghost_stands_on_the_row_until_the_row_says_so(fake: FakeCluster) -> None:
    number = running(fake)
    answering = asyncio.Event()
    hold = fake.hold

    async def slow(job: str | int) -> object:
        await answering.wait()
        return await hold(job)

    fake.hold = slow  # type: ignore[method-assign,assignment]
    async with opened(fake) as pilot:
        await at_job(pilot, number)
        await pilot.press("h", "y")
        await showing(pilot, "running … holding")
        answering.set()
        await showing(pilot, "running, held")
        await gone(pilot, "holding")


async def test_a_refusal_stays_on_the_row_with_its_reason(fake: FakeCluster) -> None:
    number = running(fake)
    fake.refusals["hold"] = REFUSED
    async with opened(fake) as pilot:
        await at_job(pilot, number)
        await pilot.press("h", "y")
        await showing(pilot, "running ✖ not held", "E_CONFLICT: somebody was quicker")
        await pilot.press("z")
        await told(pilot, "nothing was done from here that could be taken back")


async def test_marks_gather_rows_and_some_refusals_are_told_row_by_row(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000")
        await pilot.press("space", "j", "j", "ctrl+@")
        await showing(pilot, "4 marked")
        cordon = fake.cordon

        async def but_one(node: str, *, reason: str = "") -> object:
            if node == "n-0002":
                fake.refusals["cordon"] = REFUSED
            try:
                return await cordon(node, reason=reason)
            finally:
                fake.refusals.clear()

        fake.cordon = but_one  # type: ignore[method-assign,assignment]
        await pilot.press("u")
        await showing(pilot, "Cordon", "nodes?", "$ corral cordon n-0000 n-0001")
        await pilot.press("y")
        await showing(pilot, "1 of", "were refused", "✖  failed", "somebody was quicker")
        await pilot.press("escape")
        await gone(pilot, "marked")  # nothing is done twice by mistake
        await pilot.press("ctrl+a")
        await showing(pilot, "20 marked")
        await pilot.press("ctrl+a")
        await gone(pilot, "20 marked")
        await pilot.press("space")
        await showing(pilot, "1 marked")
        await pilot.press("escape")
        await gone(pilot, "1 marked")


async def test_all_that_match_are_steered_by_query_and_revision(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("asterisk")
        await told(pilot, "a filter says which are meant")
        await pilot.press("slash", *"state=running", "enter")
        await showing(pilot, "[/state=running]")
        matching = len([job for job in fake.world.jobs if job.state is JobState.RUNNING])
        await pilot.press("C")
        await showing(pilot, f"a all {matching} matching")
        await pilot.press("a")
        await showing(pilot, f"Cancel all {matching} jobs that match state=running?", "--where state=running")
        unseen = next(job for job in fake.world.jobs if job.state is JobState.COMPLETED)
        fake.world.jobs[unseen.number - 1] = replace(unseen, state=JobState.RUNNING)
        await pilot.press("y")
        await showing(pilot, f"{matching} matched, {matching + 1} do now", f"Cancel all {matching + 1} jobs")
        assert fake.done == [], "it is asked again, of those who match now"
        await pilot.press("n")
        await pilot.press("asterisk")
        await showing(pilot, "matching  ")
        await pilot.press("h")
        await showing(pilot, f"Hold all {matching + 1} jobs")
        await pilot.press("y")
        await until(pilot, lambda: len([verb for verb, _ in fake.done if verb == "hold"]) == matching + 1)


async def test_a_stale_priority_is_not_typed_again(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3", "slash", *"state=running", "enter")
        await showing(pilot, "[/state=running]")
        await pilot.press("asterisk", "P", "9", "enter")
        await showing(pilot, "Set the priority of all", "--where state=running 9")
        over = next(job for job in fake.world.jobs if job.state is JobState.COMPLETED)
        fake.world.jobs[over.number - 1] = replace(over, state=JobState.RUNNING)
        await pilot.press("y")
        await showing(pilot, "E_STALE", "--where state=running 9")
        await pilot.press("y")
        await until(pilot, lambda: ("priority", str(over.number)) in fake.done)


async def test_what_was_done_to_all_that_match_is_taken_back(fake: FakeCluster) -> None:
    """Each gets back what it had, also where it does not match any more; who had it so already keeps it."""
    before = {job.number: job for job in fake.world.jobs if job.state is JobState.RUNNING}
    one = next(iter(before))
    fake.world.jobs[one - 1] = replace(fake.world.jobs[one - 1], priority=9)
    async with opened(fake) as pilot:
        await pilot.press("3", "slash", *"state=running", "enter")
        await showing(pilot, "[/state=running]")
        await pilot.press("asterisk", "P", "2", "enter")
        await showing(pilot, f"Set the priority of all {len(before)} jobs")
        await pilot.press("y")
        await until(pilot, lambda: {fake.world.job(number).priority for number in before} == {2})
        await told(pilot, f"{len(before)} of {len(before)} changed")
        await pilot.press("z")
        await showing(pilot, f"Take back: set the priority of {len(before)} jobs?", f"number={one}")
        await pilot.press("y")
        await until(pilot, lambda: fake.world.job(one).priority == 9)
        await until(
            pilot,
            lambda: all(
                fake.world.job(number).priority == job.priority
                for number, job in before.items()
                if number != one
            ),
        )
        await pilot.press("z")
        await told(pilot, "nothing was done from here that could be taken back")


async def test_the_journal_lists_what_was_done_with_commands_and_audit(fake: FakeCluster) -> None:
    number = running(fake)
    async with opened(fake) as pilot:
        await at_job(pilot, number)
        await pilot.press("h", "y")
        await until(pilot, lambda: len(fake.done) == 1)
        await pilot.press("a")
        await showing(pilot, "done from here", f"corral hold {number}", "a1", "4 tasks")
        await pilot.press("Y")
        await until(pilot, lambda: pilot.app.clipboard == f"corral hold {number}")
        await pilot.press("escape", "z")
        await showing(pilot, "Take back: hold job", f"$ corral release {number}")
        await pilot.press("y")
        await until(pilot, lambda: fake.done[-1] == ("release", str(number)))


async def test_nothing_is_changed_in_the_past_or_without_an_answer(fake: FakeCluster) -> None:
    number = running(fake)
    async with opened(fake) as pilot:
        await at_job(pilot, number)
        pilot.app.look_at(1.0)  # type: ignore[attr-defined]
        for key in ("C", "h", "P", "z"):
            await pilot.press(key)
        assert "corral" not in painted(pilot).splitlines()[-2] and len(pilot.app.screen_stack) == 1
        pilot.app.look_at(None)  # type: ignore[attr-defined]
        await at_job(pilot, number)
        await pilot.press("C")
        await showing(pilot, f"$ corral cancel {number}")
        fake.reachable = False
        await until(pilot, lambda: pilot.app.offline is not None)  # type: ignore[attr-defined]
        await pilot.press("y")
        await told(pilot, "nothing is changed: nobody answers now")
    assert fake.done == []


async def test_roles_see_what_they_may(fake: FakeCluster) -> None:
    fake.role = Role.USER
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000", "LIVE")
        for key in ("u", "r", "t", "m", "L"):
            await pilot.press(key)
        await pilot.press("question_mark")
        await showing(pilot, "everywhere")
        assert "cordon" not in painted(pilot) and "maintenance" not in painted(pilot)
    assert fake.done == []


async def test_the_scheduler_is_switched_and_switched_back(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        screen = pilot.app.screen
        assert isinstance(screen, ActingScreen)
        screen.call_later(screen.steer, steer_mode("on", before="shadow"))
        await showing(
            pilot, "Scheduler from shadow to on?", "$ corral scheduler mode on", "has passed its gate"
        )
        await pilot.press("y")
        await until(pilot, lambda: fake.mode == "on")
        await told(pilot, "audit a1")
        await pilot.press("z")
        await showing(pilot, "$ corral scheduler mode shadow")
        await pilot.press("y")
        await until(pilot, lambda: fake.mode == "shadow")
