"""`Y` on every screen: the command it copies is one of ours, and shows in a shell what the screen shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot

from bus.values import Role
from tests.tui.driving import NOW_S, opened, showing, until
from tests.tui.shell import Pasted, paste, pasting_on
from tests.tui.test_shell import typed
from tui.client.fake_world import World
from tui.screens.openers import OPENERS
from tui.view.modes import MODE_DIGITS
from tui.view.shell import moment


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pasted:
    cluster = Pasted(World(seed=7, now_s=NOW_S, nodes=20, jobs=40), role=Role.ADMIN)
    pasting_on(cluster, monkeypatch, tmp_path)
    return cluster


async def copied(pilot: Pilot[None]) -> str:
    """What `Y` copies; it is also shown, for terminals that have no clipboard."""
    await pilot.press("Y")
    await until(pilot, lambda: any("copied" in note.title for note in pilot.app._notifications))
    note = list(pilot.app._notifications)[-1]
    assert note.message == f"$ {pilot.app.clipboard}", "what is copied is shown"
    pilot.app.clear_notifications()
    return pilot.app.clipboard


PUSHED = {
    "chart": ("chart n-0001 cpu,memory", "n-0001 cpu", "corral metrics n-0001 --metric=cpu,memory"),
    "changes": ("changes 2h", "› changes", "corral changes --since="),
    "details": ("details 40", "40 › details", "corral job 40"),
    "gantt": ("gantt 40", "40 › gantt", "corral timeline --job=40 --since=55m"),
    "gangs": ("gangs 5", "5 › gangs", "corral train status 5"),
    "job": ("job 40", "40 › details", "corral job 40"),
    "node": ("node n-0003", "n-0003 › details", "corral node n-0003"),
    "output": ("output 40.0", "40.0 › output", "corral logs 40.0 --both --follow"),
    "plan": ("plan", " plan ", "corral plan --next="),
    "ranks": ("ranks 5.0", "5.0 › ranks", "corral train ranks 5.0"),
    "spike": ("spike 2h..1h", "› spike", "corral spike --since="),
    "task": ("task 40.0", "40.0 › details", "corral task 40.0"),
    "tasks": ("tasks 40", "40 › tasks", "corral tasks 40"),
    "whatif": ("whatif n-0003", "n-0003 › whatif", "corral plan --drain=n-0003"),
    "tool": ("tool wordcount", "wordcount › tool", "corral tool show wordcount"),
    "why": ("why 40.0", "40.0 › why", "corral why 40.0"),
    "xray": ("xray chen", "chen › xray", "corral tree chen --all"),
}  # fmt: skip
MODES = {
    "pulse": "corral status",
    "nodes": "corral nodes",
    "jobs": "corral jobs",
    "charts": "corral metrics --since=1h",
    "scheduler": "corral scheduler",
    "events": "corral events",
    "storage": "corral devices",
    "tools": "corral tools",
    "users": "corral users",
}


def test_every_screen_is_among_those_that_are_tried() -> None:
    assert {*PUSHED} == {*OPENERS}
    assert {*MODES, "logs"} == {*MODE_DIGITS}


async def test_every_main_screen_has_a_command(fake: Pasted) -> None:
    async with opened(fake) as pilot:
        for mode, expected in MODES.items():
            await pilot.press(MODE_DIGITS[mode])
            await showing(pilot, f" {mode}  ", "LIVE")
            command = await copied(pilot)
            assert command == expected
            assert mode == "pulse" or await paste(command)  # status speaks of this machine first


async def test_every_pushed_screen_has_a_command(fake: Pasted) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        for line, crumb, expected in PUSHED.values():
            await typed(pilot, line)
            await showing(pilot, crumb)
            command = await copied(pilot)
            assert command.startswith(expected)
            assert await paste(command)
            await pilot.press("1", "1")
            await until(pilot, lambda: len(pilot.app.screen_stack) == 1)


async def test_what_a_list_is_narrowed_to_is_in_its_command(fake: Pasted) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "LIVE", "STATE")
        await typed(pilot, 'filter state=completed user~"e"')
        await typed(pilot, "sort -tasks")
        await showing(pilot, "[/state=completed")
        command = await copied(pilot)
        assert command == """corral jobs '--filter=state=completed user~"e"' --sort=-tasks"""
        screen = pilot.app.screen
        await until(pilot, lambda: len(screen.pages.rows) > 0)  # type: ignore[attr-defined]
        shown = [row.number for row in screen.pages.rows]  # type: ignore[attr-defined]
        assert [job["number"] for job in json.loads(await paste(f"{command} -o json"))["jobs"]] == shown
        await pilot.press("8", "t")
        await typed(pilot, "filter name=n-0001")
        await showing(pilot, "[/name=n-0001", "disk")
        command = await copied(pilot)
        assert command == "corral devices --kind=disk --filter=name=n-0001"
        assert "n-0001" in await paste(command) and "interface" not in await paste(command)
        await pilot.press("0", "t")
        await showing(pilot, "tokens", "TOKEN")
        assert await paste(await copied(pilot))
        await pilot.press("escape", "o")
        await showing(pilot, "connections", "PROGRAM")
        assert await paste(await copied(pilot))


async def test_an_output_is_printed_as_it_is_looked_at(fake: Pasted) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await typed(pilot, "logs 40.0 40.1")
        await showing(pilot, "1 40.0", "2 40.1")
        assert (await copied(pilot)).splitlines() == [
            "corral logs 40.0 --both --follow", "corral logs 40.1 --both --follow"
        ]  # fmt: skip
        await pilot.press("f", "e", "t")
        await typed(pilot, "filter loss*1")
        await pilot.press("plus")
        last = (await copied(pilot)).splitlines()[-1]
        assert last == "corral logs 40.1 '--grep=loss*1' --context=1 --timestamps"
        assert "loss" in await paste(last)
        await pilot.press("e")
        assert (await copied(pilot)).splitlines()[-1].startswith("corral logs 40.1 --stderr ")


async def test_the_past_is_written_into_it(fake: Pasted) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("comma")
        await showing(pilot, "PAST")
        then = moment(pilot.app.moment)  # type: ignore[attr-defined]
        for mode, option in (("1", "at"), ("2", "at"), ("3", "at"), ("7", "until"), ("5", "until")):
            await pilot.press(mode)
            await until(pilot, lambda: pilot.app.screen.is_current)
            command = await copied(pilot)
            assert f"--{option}={then}" in command
            assert await paste(command)
        await typed(pilot, "task 40.0")
        await showing(pilot, "40.0 › details")
        assert (command := await copied(pilot)) == f"corral task 40.0 --at={then}" and await paste(command)
        await typed(pilot, "tasks 40")
        await showing(pilot, "40 › tasks")
        assert f"--at={then}" in (command := await copied(pilot)) and await paste(command)
        await typed(pilot, "gantt 40")
        await showing(pilot, "40 › gantt")
        assert "--until=" in (command := await copied(pilot)) and await paste(command)
        await typed(pilot, "output 40.0")
        await showing(pilot, "40.0 › output")
        assert (command := await copied(pilot)) == f"corral logs 40.0 --both --at={then}"
        assert await paste(command)
        await typed(pilot, "why 40.0")
        await showing(pilot, "40.0 › why")
        assert (command := await copied(pilot)) == f"corral why 40.0 --at={then}" and await paste(command)
        await typed(pilot, "users")
        await showing(pilot, " users  ")
        assert (command := await copied(pilot)) == f"corral users --at={then}" and await paste(command)
        await typed(pilot, "xray")
        await showing(pilot, "xray")
        assert (command := await copied(pilot)) == f"corral tree --all --at={then}" and await paste(command)
