"""The pages of gangs: from a job and its tasks to its ranks, live, and what can be done there."""

from __future__ import annotations

from msgspec.structs import replace

from bus.api import TaskChanged
from bus.errors import Error
from bus.values import Role, TaskState
from tests.tui.driving import gone, opened, painted, showing
from tests.tui.test_actions import told
from tui.client.fake import FakeCluster

GANGS, RUNNING, WAITING, OTHER = 16, "10.0", "38.0", 40
"""Of the fake cluster: a job of four gangs, a gang that runs, one that waits, a job that has none."""


async def test_a_job_leads_to_its_gangs_and_a_gang_to_its_ranks(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("3", "slash", *f"number={GANGS}", "enter")
        await showing(pilot, f"[/number={GANGS}]", f"▌ {GANGS}")
        await pilot.press("r")
        await showing(pilot, f"{GANGS} › gangs", f"{GANGS}.0", f"{GANGS}.3", "PROGRESS", "42%", "loss=0.31")
        await pilot.press("Y")
        await told(pilot, f"$ corral train status {GANGS}")
        await pilot.press("enter")
        await showing(pilot, f"{GANGS}.0 › ranks", "GPU MEM")
        await pilot.press("Y")
        await told(pilot, f"$ corral train ranks {GANGS}.0")
        await pilot.press("escape", "escape")
        await showing(pilot, f"[/number={GANGS}]")


async def test_a_task_leads_to_its_ranks_and_a_rank_to_its_node_and_output(fake: FakeCluster) -> None:
    node = fake.world.tasks(10)[0].node
    async with opened(fake, size=(200, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *"tasks 10", "enter")
        await showing(pilot, "10 › tasks", f"▌{RUNNING}")
        await pilot.press("r")
        await showing(pilot, f"{RUNNING} › ranks", "4 of 4 ranks running on 2 nodes", "try 2, 1 restart")
        await showing(pilot, "step 300, 1m ago; step 400 is being saved: 3 of 4 ranks have", "loss=0.31")
        await pilot.press("j")
        await showing(pilot, f"rank       {RUNNING}:1")
        await pilot.press("l")
        await showing(pilot, f"{RUNNING}:1 › output")
        await pilot.press("escape", "enter")
        await showing(pilot, f"{node} › details")
        await pilot.press("escape", "c")
        await showing(pilot, f"{RUNNING}:1 › chart")
        await pilot.press("escape", "w")
        await showing(pilot, f"{RUNNING} › why")
        await pilot.press("escape", "d")
        await showing(pilot, f"{RUNNING} › details")


async def test_it_goes_along_with_the_gang(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *f"ranks {WAITING}", "enter")
        await showing(pilot, "none of 4 ranks has a place", "4 of 4 ranks have no place now: 0-3", "waits")
        await pilot.press("enter", "l")
        await showing(pilot, f"{WAITING} › output")
        await pilot.press("escape")
        tasks = fake.world.tasks(38)
        tasks[0] = replace(
            tasks[0], state=TaskState.RUNNING, node="n-0003", started_at=tasks[0].submitted_at, fence=1
        )
        fake.change(
            TaskChanged(
                job=38, index=0, state=TaskState.RUNNING, node="n-0003", fence=1, exit_code=None, at=0.0
            )
        )
        await showing(pilot, "4 of 4 ranks running", "n-0003", "n-0004")
        await gone(pilot, "have no place")


async def test_a_gang_and_its_job_are_steered_there(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *f"ranks {RUNNING}", "enter")
        await showing(pilot, "4 of 4 ranks running")
        await pilot.press("h")
        await showing(pilot, "Hold job 10", "$ corral hold 10")
        await pilot.press("y")
        await told(pilot, "corral hold 10")
        await pilot.press("P")
        await showing(pilot, "1 to 10; 10 goes first")
        await pilot.press("9", "enter")
        await showing(pilot, "$ corral priority 10 9")
        await pilot.press("y")
        await told(pilot, "corral priority 10 9")
        await pilot.press("Q")
        await showing(pilot, f"Requeue task {RUNNING}?", f"$ corral requeue {RUNNING}")
        await pilot.press("y")
        await showing(pilot, "none of 4 ranks has a place")
        await pilot.press("C")
        await showing(pilot, f"$ corral cancel {RUNNING}")
        await pilot.press("y")
        await showing(pilot, "⊘ cancelled")
    assert fake.done == [("hold", "10"), ("priority", "10"), ("requeue", RUNNING), ("cancel", RUNNING)]


async def test_marked_gangs_are_meant_together(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *f"gangs {GANGS}", "enter")
        await showing(pilot, f"{GANGS}.3")
        await pilot.press("j", "space", "space", "C")
        await showing(pilot, f"$ corral cancel {GANGS}.1 {GANGS}.2")
        await pilot.press("escape")
    assert fake.done == []


async def test_what_is_no_gang_says_so_and_what_is_refused_says_why(fake: FakeCluster) -> None:
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *f"gangs {OTHER}", "enter")
        await showing(pilot, "no task of it is a gang", "--gang N")
        await pilot.press("escape", "colon", *"ranks 10", "enter")
        await showing(pilot, "4 of 4 ranks running")
        fake.refusals["task"] = Error(code="E_DB", message="the database is away", status=503)
        await pilot.press("C")
        await told(pilot, "the database is away")


async def test_who_only_looks_is_offered_no_steering(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with opened(fake, size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *f"ranks {RUNNING}", "enter")
        await showing(pilot, "4 of 4 ranks running")
        await pilot.press("C")
        await told(pilot, "needs user")
        assert "cancel" not in painted(pilot).splitlines()[-1]
    assert fake.done == []
