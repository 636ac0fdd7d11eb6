"""Details have pages: Tab and a click turn them, each says what it knows, and what fails says why."""

from __future__ import annotations

from msgspec.structs import replace

from bus.api import Attempt
from bus.errors import Error
from bus.values import GpuInfo, Inventory
from tests.tui.driving import gone, opened, showing
from tui.client.fake import FakeCluster

INVENTORY = Inventory(
    hostname="n-0000", ip="10.0.0.1", architecture="x86_64", os_version="Linux", kernel_version="6.1",
    cpu_model="any", cpu_cores=64,
    gpus=(
        GpuInfo(uuid="GPU-1", model="H100", mem_mib=81_920, shareable=True),
        GpuInfo(uuid="GPU-2", model="H100", mem_mib=81_920, healthy=False),
    ),
)  # fmt: skip


async def test_a_jobs_pages_are_turned(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("d")
        await showing(pilot, "40 › details", "[job]", "submitted")
        await pilot.press("tab", "tab")
        await showing(pilot, "[faults]")
        await pilot.press("tab")
        await showing(pilot, "[children]", "Its tasks submitted no jobs.")
        await pilot.press("tab")
        await showing(pilot, "[events]")
        await pilot.press("tab")
        await showing(pilot, "[job]", "priority")
        await pilot.press("shift+tab")
        await showing(pilot, "[events]")


async def test_a_task_has_its_attempts_newest_first(fake: FakeCluster) -> None:
    tasks = fake.world.tasks(40)
    tries = [
        Attempt(fence=1, node="n-0001", state="lost", assigned_at=5.0, started_at=7.0, ended_at=9.0,
                message="its lease ended"),
        Attempt(fence=2, node="n-0002", state="failed", assigned_at=10.0, exit_code=3,
                explanation={"order": "fair", "rank": "best_fit"}),
    ]  # fmt: skip
    tasks[0] = replace(tasks[0], attempts=tries, output={"loss": 0.25})
    async with opened(fake, size=(120, 50)) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("enter")
        await showing(pilot, "40.0")
        await pilot.press("d", "tab")
        await showing(
            pilot, "[attempts]", "attempt 2", "attempt 1", "its lease ended", "order fair, rank best_fit"
        )
        await pilot.press("tab")
        await showing(pilot, "[input]", "asks for", "as submitted")
        await pilot.press("tab")
        await showing(pilot, "[output]", '"loss": 0.25')


async def test_a_node_has_gpus_tasks_events_and_labels(fake: FakeCluster) -> None:
    fake.world.nodes[0] = replace(fake.world.nodes[0], inventory=INVENTORY, gpu_taken={"GPU-1": 500})
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003")
        await pilot.press("enter")
        await showing(pilot, "[node]", "n-0000")
        await pilot.press("tab")
        await showing(pilot, "[GPUs]", "taken", "██████████░░", "may be shared", "free")
        await pilot.press("tab")
        await showing(pilot, "[tasks]", "now: ", "in the last hour")
        await pilot.press("tab")
        await showing(pilot, "[events]")
        await pilot.press("tab")
        await showing(pilot, "[labels]", "rack", "r00")


async def test_a_click_turns_the_pages_too(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003")
        await pilot.press("enter")
        await showing(pilot, "[node]")
        await pilot.click("#tabs", offset=(9, 0))
        await showing(pilot, "[GPUs]", "No GPU.")


async def test_a_page_that_cannot_be_had_says_why_and_the_others_stay(fake: FakeCluster) -> None:
    fake.refusals["timeline"] = Error(code="E_TOO_LARGE", message="it takes longer than 5 s", status=413)
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003")
        await pilot.press("enter")
        await showing(pilot, "[node]")
        await pilot.press("tab", "tab")
        await showing(pilot, "E_TOO_LARGE", "ctrl-r asks again")
        await pilot.press("tab")
        await gone(pilot, "E_TOO_LARGE")
