"""The console steers a real cluster: submits, holds, releases, cancels, drains, and takes back."""

from __future__ import annotations

from functools import partial

from textual.pilot import Pilot
from textual.widgets import Input

from bus.client import Client
from bus.layout import Layout
from bus.values import JobState, NodeAdmin
from tests.fixtures_cluster import LiveCluster
from tests.tui.driving import gone, on_session, showing, until
from tui.client.session import Session


async def type_into(pilot: Pilot[None], line: str, text: str) -> None:
    """One line of the form."""
    await until(pilot, lambda: bool(pilot.app.screen.query(f"#form-{line}-text")))
    pilot.app.screen.query_one(f"#form-{line}-text", Input).focus()
    await pilot.pause()
    await pilot.press(*text)


async def test_a_job_is_submitted_steered_and_its_node_drained(cluster: LiveCluster) -> None:
    credentials = Layout(cluster.folder).credentials("olga")
    session = Session(partial(Client.connect, cluster.nats.url, credentials, name="console"))
    async with cluster.client("olga") as olga, on_session(session) as pilot:
        await showing(pilot, "LIVE", "olga (operator)")
        first = (await olga.submit(command=["sleep", "600"], name="first")).number
        await pilot.press("S")
        await type_into(pilot, "command", "sleep 600")
        await type_into(pilot, "name", "from-a-form")
        await type_into(pilot, "after", str(first))  # so that it waits
        await showing(pilot, "0 would start now", f"--name=from-a-form --after={first} -- sleep 600")
        await pilot.press("ctrl+s")
        await showing(pilot, " jobs  ", "from-a-form", "pending")
        number = (await olga.jobs(limit=1)).jobs[0].number
        await pilot.press("h")
        await showing(pilot, f"$ corral hold {number}", "1 task wait until released")
        await pilot.press("y")
        await showing(pilot, "pending, held")
        assert (await olga.job(number)).held
        await pilot.press("z")
        await showing(pilot, "Take back: hold job", f"$ corral release {number}")
        await pilot.press("y")
        await gone(pilot, "pending, held")
        await gone(pilot, "releasing")
        assert not (await olga.job(number)).held
        await pilot.press("C")
        await showing(pilot, f"$ corral cancel {number}")
        await pilot.press("y")
        await showing(pilot, "⊘  cancelled")
        assert (await olga.job(number)).state is JobState.CANCELLED
        await pilot.press("2")
        await showing(pilot, "n1", "healthy")
        await pilot.press("r")
        await showing(pilot, "$ corral drain n1", "nothing waits that could be delayed", "ends by itself")
        await pilot.press("y")
        await showing(pilot, "healthy, draining")
        assert (await olga.node("n1")).admin is NodeAdmin.DRAINING
        await pilot.press("z")
        await showing(pilot, "$ corral undrain n1")
        await pilot.press("y")
        await gone(pilot, "draining")
        assert (await olga.node("n1")).admin is NodeAdmin.ACTIVE
        await pilot.press("a")
        await showing(pilot, "done from here", f"corral cancel {number}", "corral drain n1", "applied")
