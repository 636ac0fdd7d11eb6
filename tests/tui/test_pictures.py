"""Every screen looks as it was recorded: at three sizes and in three themes.

What changed on purpose is recorded again by `python -m tests.tui.record [SCENE…]`, and looked at in the diff.
"""

from __future__ import annotations

import asyncio
import re
from importlib import import_module
from pathlib import Path

import pytest
from textual.screen import ModalScreen, Screen

import tui.modals
import tui.screens
from tests.tui import virtual_time
from tests.tui.driving import NOW_S
from tests.tui.picture import HERE, difference, file_of, picture
from tests.tui.scenes import SCENES, Scene
from tui.screens.live import LiveScreen

BASES = {
    "Modal",
    "PlannedForm",
    "ActingScreen",
    "DocumentScreen",
    "EarlyKeys",
    "FormScreen",
    "GangScreen",
    "ListScreen",
    "LiveScreen",
    "ReadingScreen",
    "Searching",
    "SteerableList",
}
"""What screens are made of: nobody sees them as such."""


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_it_looks_as_it_was_recorded(scene: Scene) -> None:
    file, now = file_of(scene), picture(scene)
    before = file.read_text() if file.exists() else ""
    if now != before:
        pytest.fail(
            f"{difference(before, now, file.name)}\n\nIf this is how it should look: "
            f"python -m tests.tui.record {scene.name}",
            pytrace=False,
        )


def test_every_screen_is_recorded() -> None:
    recorded: set[str] = set()
    for file in HERE.glob("*.txt"):
        recorded.update(re.findall(r"^=== \S+ \((\w+)\) at", file.read_text(), flags=re.MULTILINE))
    assert _screens() - recorded - BASES == set()


def test_every_recording_has_its_scene() -> None:
    assert sorted(file.stem for file in HERE.glob("*.txt")) == sorted(scene.name for scene in SCENES)


def _screens() -> set[str]:
    """The names of all screens and modals of ours, wherever they are."""
    for package in (tui.screens, tui.modals):
        for file in Path(package.__path__[0]).glob("*.py"):
            import_module(f"{package.__name__}.{file.stem}")
    kinds = _kinds(LiveScreen) | _kinds(ModalScreen)
    return {kind.__name__ for kind in kinds if kind.__module__.startswith("tui.")}


def _kinds(kind: type[Screen[object]]) -> set[type[Screen[object]]]:
    below = set(kind.__subclasses__())
    return below.union(*map(_kinds, below))


def test_time_passes_at_once_and_in_order() -> None:
    seen: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time()))

    async def both() -> None:
        await asyncio.gather(wait("late", 3_600.0), wait("early", 0.5))

    virtual_time.run(both(), now_s=NOW_S)
    assert [(name, round(at_s, 6)) for name, at_s in seen] == [("early", 0.5), ("late", 3_600.0)]


def test_who_waits_for_ever_is_told() -> None:
    async def nothing() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="for ever"):
        virtual_time.run(nothing(), now_s=NOW_S)
