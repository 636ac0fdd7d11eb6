"""How the console starts: with what its first picture takes, styled once; the rest comes in a quiet time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet

from bus.api import Nodes
from tests.tui.driving import opened, showing, until
from tui import loading
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.session import Session
from tui.theme.palettes import LIGHT

ROOT = Path(__file__).parents[2]
LATER = {
    "tomllib",
    "bus.filter",
    "tui.view.deeds",
    "nats",
    "numpy",
    "cryptography",
    "bus.api",
    "bus.client",
    "bus.codec",
    "bus.connection",
    "tui.client.fake",
}
"""What connects, and the made-up cluster: there is time for them once something stands on the screen."""


def loaded_by(program: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return set(answer.stdout.split())


def test_the_first_picture_loads_neither_a_connection_nor_other_screens() -> None:
    loaded = loaded_by("import tui.app, tui.screens.pulse")
    assert "tui.screens.jobs" in loaded
    assert not loaded & (LATER | set(loading.AHEAD) - {"tui.screens.openers"})


def test_all_there_is_to_open_is_loaded_ahead() -> None:
    """Who opens a screen for the first time does not wait for its module."""
    loaded = loaded_by("import tui.app, tui.screens.pulse; from tui.loading import at_once; at_once()")
    files = [file for folder in ("screens", "modals") for file in (ROOT / "tui" / folder).glob("[a-z]*.py")]
    assert {f"tui.{file.parent.name}.{file.stem}" for file in files} <= loaded


async def test_modules_are_read_one_by_one_once_the_cluster_answers(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = loading.import_module

    def noted(module: str) -> ModuleType:
        read.append(module)
        return real(module)

    monkeypatch.setattr(loading, "import_module", noted)
    monkeypatch.setattr(loading, "PAUSE_S", 0.0)
    fake.reachable = False
    async with opened(fake) as pilot:
        await showing(pilot, "OFFLINE")
        assert read == ["tui.screens.pulse"]
        fake.reachable = True
        await showing(pilot, "LIVE")
        await pilot.app.workers.wait_for_complete(
            [worker for worker in pilot.app.workers if worker.group == "loading"]
        )
        assert read[1:] == list(loading.AHEAD)


async def test_screens_made_ahead_ask_for_nothing_and_are_shown_as_any_other(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "PAUSE_S", 0.0)
    monkeypatch.setattr(loading, "MAKING_PAUSE_S", 0.0)
    asked: list[str] = []
    real = fake.nodes

    async def noted(**wanted: Any) -> Nodes:
        asked.append(f"{wanted}")
        return await real(**wanted)

    monkeypatch.setattr(fake, "nodes", noted)
    console = Console(Session(fake.connect), makes_ahead=True)
    async with console.run_test(size=(120, 40)) as pilot:
        await showing(pilot, "LIVE")
        await until(pilot, lambda: len(console._screen_stacks) == len(Console.MODES))
        made = {mode: stack[0] for mode, stack in console._screen_stacks.items()}
        await until(pilot, lambda: all(screen.is_mounted for screen in made.values()))
        assert not asked
        assert not console.history.recent(), "nobody was there"
        console.choose_theme(LIGHT.name)
        await pilot.resize_terminal(200, 60)
        await pilot.press("2")
        await showing(pilot, fake.world.nodes[0].name)
        assert console.screen is made["nodes"]
        assert asked
        assert console.screen.has_class("-wide")
        assert console.screen.styles.background == made["pulse"].styles.background


async def test_styles_are_parsed_anew_for_another_theme_alone(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Stylesheet] = []
    reparse = Stylesheet.reparse

    def counted(sheet: Stylesheet) -> None:
        parsed.append(sheet)
        reparse(sheet)

    monkeypatch.setattr(Stylesheet, "reparse", counted)
    async with opened(fake) as pilot:
        for digit, words in (("2", "NODE"), ("3", "JOB"), ("7", "EVENT"), ("2", "NODE")):
            await pilot.press(digit)
            await showing(pilot, words, "LIVE")
        assert parsed == []
        before = pilot.app.screen.styles.background
        pilot.app.theme = LIGHT.name
        await pilot.pause()
        assert parsed and pilot.app.screen.styles.background != before
        await pilot.press("3")
        await showing(pilot, "JOB")
        assert pilot.app.screen.styles.background != before, "a screen that nobody saw then wears it, too"
