"""A screen as text that one can read and compare: its lines, and which style each stretch of a line has.

A picture holds a scene at each size: its text, then its styles, two letters for each: a line `aX12 bY3` has
twelve cells of the first and three of the second; lines that look alike share one. At the end it says what
each is in each theme.

Nothing is guessed about when a screen is ready: it is painted on a clock that stands still while anything is
left to do (`virtual_time`), and looked at a fixed time of that clock after the last key.
"""

from __future__ import annotations

import asyncio
import difflib
import gc
import os
import string
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from unittest.mock import patch
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace
from rich.style import Style
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from tests.tui import virtual_time
from tests.tui.driving import NOW_S
from tests.tui.scenes import Scene
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.client.session import Offline, Online, Session, Update

HERE = Path(__file__).with_name("recorded")
THEMES = ("corral-dark", "corral-light", "corral-mono")
SEED, NODES, JOBS = 7, 1_000, 400
LETTERS = string.ascii_letters
KEY_S = 1.0
"""Longer than the console waits for one who still types or moves on."""

SIZE_S, THEME_S = 1.6, 0.2
"""Together with the themes, whole seconds: while one is counted, no theme sees another."""


class StillSession(Session):
    """Hears that the cluster is there, once, and that it is gone, once: nothing moves after that."""

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Those two."""
        heard: set[type] = set()
        async for update in super().updates():
            if isinstance(update, Online | Offline) and type(update) not in heard:
                heard.add(type(update))
                yield replace(update, latency_ms=2.0) if isinstance(update, Online) else update


class Frame(Struct, frozen=True):
    """What one looks at: the name of the screen, its words, and its lines with their styles."""

    screen: str
    text: str
    strips: list[Strip]


@dataclass
class Styles:
    """The letters of each style; a style is what a stretch looks like in each theme.

    They follow from the style itself, so that a new one leaves the others their letters.
    """

    letters: dict[tuple[str, ...], str] = field(default_factory=dict)

    def runs(self, themed: Sequence[Strip]) -> str:
        """One line as it is in each theme: "aX12 bY3"."""
        looks = zip(*map(_cells, themed), strict=True)
        return " ".join(f"{self._letters(look)}{len(list(same))}" for look, same in groupby(looks))

    def legend(self) -> Iterable[str]:
        """What each is."""
        for letters, look in sorted((letters, look) for look, letters in self.letters.items()):
            yield f"{letters}"
            yield from (f"    {theme:<13} {name}" for theme, name in zip(THEMES, look, strict=True))

    def _letters(self, look: tuple[str, ...]) -> str:
        if look not in self.letters:
            taken, place = {*self.letters.values()}, crc32("|".join(look).encode())
            while (letters := _pair(place)) in taken:
                place += 1
            self.letters[look] = letters
        return self.letters[look]


def picture(scene: Scene) -> str:
    """What `scene` looks like at every size and in every theme."""
    with patch.dict(os.environ):
        os.environ.pop("NO_COLOR", None)
        if scene.colourless:
            os.environ["NO_COLOR"] = "1"
        with _uncollected():
            return virtual_time.run(_picture(scene), now_s=NOW_S)


def file_of(scene: Scene) -> Path:
    """Where its picture is kept."""
    return HERE / f"{scene.name}.txt"


def difference(before: str, now: str, name: str) -> str:
    """What changed, as a patch of the recorded file."""
    lines = difflib.unified_diff(
        before.splitlines(), now.splitlines(), f"recorded/{name}", "as it is now", lineterm=""
    )
    return "\n".join(lines)


async def _picture(scene: Scene) -> str:
    fake = FakeCluster(_world())
    if scene.before is not None:
        scene.before(fake)
    session = StillSession(fake.connect)
    console = Console(session, ascii_only=scene.ascii_only)
    async with console.run_test(size=scene.sizes[0], notifications=True) as pilot:
        console.animation_level = "none"
        await asyncio.sleep(KEY_S)
        for key in scene.keys:
            await pilot.press(key)
            await asyncio.sleep(0.0 if len(key) == 1 and isinstance(console.focused, Input) else KEY_S)
        await asyncio.sleep(KEY_S)
        if scene.after is not None:
            scene.after(fake)
            session.hurry()
            await asyncio.sleep(scene.after_s)
        return _written(scene, await _frames(pilot, scene))


async def _frames(pilot: Pilot[None], scene: Scene) -> dict[tuple[tuple[int, int], str], Frame]:
    """By size and theme. Themes go there and back again, for each change costs its time."""
    frames = {}
    themes = THEMES
    for size in scene.sizes:
        if size != pilot.app.size:
            await pilot.resize_terminal(*size)
            await asyncio.sleep(SIZE_S)
        for theme in themes:
            if theme != pilot.app.theme:
                pilot.app.theme = theme
                await asyncio.sleep(THEME_S)
            frames[size, theme] = _frame(pilot)
        themes = themes[::-1]
    return frames


def _written(scene: Scene, frames: Mapping[tuple[tuple[int, int], str], Frame]) -> str:
    styles, parts = Styles(), []
    for size in scene.sizes:
        themed = [frames[size, theme] for theme in THEMES]
        first = themed[0]
        for theme, frame in zip(THEMES, themed, strict=True):
            assert frame.text == first.text, f"{scene.name}: {theme} says something else:\n{frame.text}"
        assert all(word in first.text for word in scene.words), f"{scene.words} in\n{first.text}"
        rows = [styles.runs(lines) for lines in zip(*(frame.strips for frame in themed), strict=True)]
        title = f"=== {scene.name} ({first.screen}) at {size[0]}x{size[1]}"
        parts += [title, *(line.rstrip() for line in first.text.splitlines()), f"{title}: styles"]
        line = 1
        for row, same in groupby(rows):
            last = line + len(list(same)) - 1
            parts.append(f"{line}{'' if last == line else f'-{last}'}: {row}")
            line = last + 1
    return "\n".join([*parts, "=== styles", *styles.legend(), ""])


def _pair(place: int) -> str:
    first, second = divmod(place % len(LETTERS) ** 2, len(LETTERS))
    return LETTERS[first] + LETTERS[second]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collecting garbage again and again takes two fifths of the time of a console that lives this short."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@cache
def _first_world() -> World:
    return World(seed=SEED, now_s=NOW_S, nodes=NODES, jobs=JOBS)


def _world() -> World:
    """One that a scene may change."""
    world = copy(_first_world())
    world.nodes, world.jobs, world.events = [*world.nodes], [*world.jobs], [*world.events]
    world._tasks = {}
    return world


def _frame(pilot: Pilot[None]) -> Frame:
    screen = pilot.app.screen
    strips = list(screen._compositor.render_strips())
    return Frame(type(screen).__name__, "\n".join(strip.text for strip in strips), strips)


def _cells(strip: Strip) -> list[str]:
    return [name for part in strip for name in [_style_name(part.style)] * part.cell_length]


@lru_cache(4096)
def _style_name(style: Style | None) -> str:
    """Its colours and attributes; what a click does is not to be seen."""
    if style is None:
        return "none"
    return str(Style(color=style.color, bgcolor=style.bgcolor) + style.without_color.clear_meta_and_links())
