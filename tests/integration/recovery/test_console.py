"""Servers go away under the console and come back: it says so, forgets nothing, and goes on by itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from textual.pilot import Pilot

from bus.client import Client
from tests.integration.recovery.rig import Rig
from tests.tui.driving import on_session, showing, until
from tests.tui.troubled import said, screen_at
from tui.client.session import Session
from tui.widgets.virtual_table import VirtualTable

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOBS = 5


@asynccontextmanager
async def looking_at_jobs(rig: Rig, client: Client, name: str) -> AsyncIterator[Pilot[None]]:
    """A filter, two marks and the cursor on the fourth of five jobs."""
    for number in range(JOBS):
        job = await client.submit(command=["true"], name=f"{name}-{number}")
        await client.wait(job.number)
    session = Session(
        partial(Client.connect, rig.nats_process.url, rig.folder / "adam.creds", name="console")
    )
    async with on_session(session) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("3", "slash", *f"name~{name}", "enter")
        await showing(pilot, f"{name}-0", f"[/name~{name}]")
        await pilot.press("space", "space", "j")
        await showing(pilot, "2 marked")
        yield pilot
        assert (table := table_at(pilot)).row is not None
        assert table.row.name == f"{name}-1" and len(table.marked) == 2
        # LIVE is of the connection: until the list has asked again, its fault stands where the filter does
        await showing(pilot, f"[/name~{name}]")


def table_at(pilot: Pilot[None]) -> VirtualTable:  # type: ignore[type-arg]
    return screen_at(pilot).query_one(VirtualTable)


async def test_a_database_that_went_away(rig: Rig, client: Client) -> None:
    async with looking_at_jobs(rig, client, "kept") as pilot:
        rig.kill_database()
        await showing(pilot, "OFFLINE", "E_UNAVAILABLE", "old)", "kept-4")
        await pilot.press("C")
        await until(pilot, lambda: "nobody answers now" in said(pilot))
        await asyncio.to_thread(rig.start_database)
        await showing(pilot, "LIVE", "kept-4")


async def test_a_coordinator_that_was_killed(rig: Rig, client: Client) -> None:
    async with looking_at_jobs(rig, client, "seen") as pilot:
        online = screen_at(pilot).console.online
        assert online is not None
        rig.leader.signal(signal.SIGKILL)
        await until(pilot, lambda: is_led_by_another(pilot, online.cluster.epoch))
        late = await client.submit(command=["true"], name="seen-after")
        await showing(pilot, "LIVE", "seen-4", "seen-after")
        await client.wait(late.number)


def is_led_by_another(pilot: Pilot[None], epoch: int) -> bool:
    console = screen_at(pilot).console
    return console.offline is None and console.online is not None and console.online.cluster.epoch > epoch
