"""The console's frame: its modes, its keys, the time cursor, and the ways of getting about."""

from __future__ import annotations

from textual.binding import Binding
from textual.pilot import Pilot

from tests.tui.driving import NOW_S, gone, opened, painted, showing, until
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.modals.confirm import Confirm
from tui.modals.help import Help
from tui.screens.document import DocumentScreen
from tui.screens.log import LogScreen
from tui.screens.tasks import TasksScreen
from tui.view.modes import MODE_DIGITS
from tui.widgets.prompt import Prompt
from tui.widgets.virtual_log import VirtualLog
from tui.widgets.virtual_table import VirtualTable


def console(pilot: Pilot[None]) -> Console:
    assert isinstance(pilot.app, Console)
    return pilot.app


def said(pilot: Pilot[None]) -> str:
    return "\n".join(note.message for note in pilot.app._notifications)


async def test_every_digit_leads_somewhere_or_says_that_it_does_not(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        for mode, digit in MODE_DIGITS.items():
            await pilot.press(digit)
            if mode in Console.MODES:
                await showing(pilot, f" {mode}  ")
            else:
                await until(pilot, lambda mode=mode: f"no screen of {mode} yet" in said(pilot))  # type: ignore[misc]


def test_every_key_of_ours_can_be_mapped_anew() -> None:
    widgets = (Confirm, Help, Console, *Console.MODES.values(), TasksScreen, LogScreen, DocumentScreen)
    for widget in (*widgets, Prompt, VirtualLog, VirtualTable):
        for base in widget.__mro__:
            if base.__module__.startswith("tui."):
                for binding in vars(base).get("BINDINGS", ()):
                    assert isinstance(binding, Binding) and binding.id, (base, binding)


async def test_the_past_is_told_to_the_screen_one_looks_at_and_locked(fake: FakeCluster) -> None:
    fake.world.jobs[:] = fake.world.jobs[-3:]
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        console(pilot).look_at(NOW_S - 60)
        await pilot.press("C")
        await pilot.pause()
        assert "Cancel job" not in painted(pilot)
        await pilot.press("2", "3")
        console(pilot).look_at(None)
        await pilot.press("C")
        await showing(pilot, "Cancel job")
        await pilot.press("escape")
        await gone(pilot, "Cancel job")


async def test_a_screen_hears_of_the_moment_once_it_is_looked_at(fake: FakeCluster) -> None:
    heard: list[float | None] = []
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000")
        nodes = pilot.app.screen
        nodes.on_moment = lambda: heard.append(console(pilot).moment)  # type: ignore[attr-defined]
        await pilot.press("3")
        await showing(pilot, " jobs  ")
        console(pilot).look_at(NOW_S)
        assert heard == []
        await pilot.press("2")
        await showing(pilot, " nodes  ")
        assert heard == [NOW_S]
