"""The console on a real cluster: it lists, follows, cancels, and comes back by itself after an outage."""

from __future__ import annotations

import signal
from functools import partial

from bus.client import Client
from bus.layout import Layout
from bus.values import JobState
from tests.fixtures_cluster import LiveCluster
from tests.tui.driving import on_session, showing
from tui.client.session import Session

SCRIPT = "echo to-stdout; echo to-stderr >&2; sleep 600"


async def test_a_job_is_seen_followed_and_cancelled_through_an_outage(cluster: LiveCluster) -> None:
    credentials = Layout(cluster.folder).credentials("olga")
    session = Session(partial(Client.connect, cluster.nats.url, credentials, name="console"))
    async with cluster.client("alice") as alice, on_session(session) as pilot:
        await showing(pilot, "LIVE", "olga (operator)")
        job = await alice.submit(command=["sh", "-c", SCRIPT], name="seen-by-olga")
        await showing(pilot, "seen-by-olga", "running")
        await pilot.press("2")
        await showing(pilot, "n1", "n2", "n3", "healthy")
        await pilot.press("3", "slash", *"name~seen", "enter")
        await showing(pilot, "[/name~seen]", "seen-by-olga")
        await pilot.press("l")
        await showing(pilot, f"{job.number}.0 › output", "to-stdout", "! to-stderr", "live")
        await pilot.press("escape")
        await showing(pilot, "[/name~seen]")
        await pilot.press("w")
        await showing(pilot, "› why", "running")
        await pilot.press("escape")
        cluster.kill("coordinator", signal.SIGKILL)
        await showing(pilot, "OFFLINE", "retry in", "seen-by-olga")
        cluster.start_coordinator()
        await showing(pilot, "LIVE", "seen-by-olga")
        await pilot.press("C")
        await showing(pilot, f"$ corral cancel {job.number}")
        await pilot.press("y")
        await showing(pilot, "⊘  cancelled")
        assert (await alice.job(job.number)).state is JobState.CANCELLED
        await pilot.press("7")
        await showing(pilot, "EVENT", str(job.number))
