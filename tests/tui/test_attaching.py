"""The key that leads to a task's terminal: who is offered it, and what is said where there is none to be had.

That it works is shown on a live cluster, by tests/integration/cluster/test_sessions.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bus.values import Role
from tests.tui.driving import opened, showing
from tests.tui.pty_session import on_pty
from tests.tui.test_actions import told
from tui.client.fake import FakeCluster
from tui.lending import Lending

DEMO = [sys.executable, "-P", "-m", "tui", "top", "--demo"]
BREAKS = """
import sys
from textual.app import App
from textual.widgets import Label
from tui.lending import Lending

class Breaking(Lending):
    BINDINGS = [("b", "lend", "lend"), ("q", "quit", "quit")]
    def compose(self):
        yield Label("standing")
    def on_resize(self, event):
        self.query_one(Label).update(f"as wide as {event.size.width}")
    async def action_lend(self):
        async def use():
            print("lent", flush=True)
            raise ValueError
        try:
            await self.lend(use)
        except ValueError:
            self.query_one(Label).update("taken back")

Breaking().run()
"""


async def test_of_a_job_of_many_tasks_one_is_chosen_and_without_a_terminal_none_is_lent(
    fake: FakeCluster,
) -> None:
    async with opened(fake) as pilot:
        assert isinstance(pilot.app, Lending) and not pilot.app.can_lend
        await pilot.press("3")
        await showing(pilot, "▌ 40")
        await pilot.press("i")
        await showing(pilot, "40 › tasks", "40.0")
        await pilot.press("i")
        await told(pilot, "a terminal is needed")


async def test_readonly_is_offered_none(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "(readonly)")
        await pilot.press("i")
        await told(pilot, "needs user")


def test_a_made_up_cluster_has_no_terminals_and_says_so() -> None:
    with on_pty(DEMO) as terminal:
        terminal.wait_for("LIVE")
        terminal.press(b"3")
        terminal.wait_for("STATE", "400")
        terminal.press(b"\r")
        terminal.wait_for("400.0")
        terminal.press(b"i")
        terminal.wait_for("made-up cluster have no terminals")
        terminal.press(b"q")
        assert terminal.wait_for_end() == 0


def test_what_breaks_while_it_has_the_terminal_gives_it_back(tmp_path: Path) -> None:
    program = tmp_path / "breaking.py"
    program.write_text(BREAKS)
    with on_pty([sys.executable, "-P", str(program)]) as terminal:
        terminal.wait_for("as wide as")
        for _ in range(2):
            terminal.press(b"b")
            terminal.wait_for("lent", "taken back")
        terminal.resize(90, 30)
        terminal.wait_for("as wide as 90")
        terminal.press(b"q")
        assert terminal.wait_for_end() == 0
        assert terminal.echoes
