"""A screen as text that one can read and compare: its lines, and which style each stretch of a line has.

A picture holds the text once, and a map of styles for each theme. A map gives every style a letter; a line
`a12 b3` has twelve cells of the first and three of the second style; lines that look alike share one.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import groupby
from pathlib import Path
from unittest.mock import patch

from msgspec.structs import replace
from rich.segment import Segment
from rich.style import Style
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.driving import NOW_S, on_session, painted, showing, until
from tests.tui.scenes import Scene
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.client.session import Offline, Online, Session, Update

HERE = Path(__file__).with_name("recorded")
SIZES = ((80, 24), (120, 40), (200, 60))
THEMES = ("corral-dark", "corral-light", "corral-mono")
SEED = 7
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
STILL_TURNS = 3


class StillSession(Session):
    """Hears that the cluster is there, once, and that it is gone, once: nothing moves after that."""

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Those two."""
        heard: set[type] = set()
        async for update in super().updates():
            if isinstance(update, Online | Offline) and type(update) not in heard:
                heard.add(type(update))
                yield replace(update, latency_ms=2.0) if isinstance(update, Online) else update


@contextmanager
def stopped_clock() -> Iterator[None]:
    """It is NOW_S for ever, in Greenwich."""
    try:
        with patch.dict(os.environ, {"TZ": "UTC"}), patch("time.time", return_value=NOW_S):
            time.tzset()
            yield
    finally:
        time.tzset()


async def pictures(scene: Scene) -> dict[Path, str]:
    """The pictures of `scene` at every size, each in every theme, by the file where it is kept.

    All at once: most of the time a console waits for something.
    """
    with stopped_clock():
        return dict(
            zip(files(scene), await asyncio.gather(*(_picture(scene, s) for s in SIZES)), strict=True)
        )


def files(scene: Scene) -> list[Path]:
    """Where its pictures are kept, by size."""
    return [HERE / f"{scene.name}.{width}x{height}.txt" for width, height in SIZES]


async def _picture(scene: Scene, size: tuple[int, int]) -> str:
    fake = FakeCluster(World(seed=SEED, now_s=NOW_S, nodes=20, jobs=40))
    if scene.before is not None:
        scene.before(fake)
    async with _reached(scene, fake, size) as pilot:
        words = await _settled(pilot)
        maps = []
        for theme in THEMES:
            pilot.app.theme = theme
            assert await _settled(pilot) == words, f"{theme} says something else than {THEMES[0]}"
            maps.append(f"\n=== {theme}\n{_style_map(_strips(pilot))}")
    lines = "\n".join(line.rstrip() for line in words.splitlines())
    return f"=== {scene.name} at {size[0]}x{size[1]}\n{lines}\n{''.join(maps)}"


def difference(before: str, now: str, name: str) -> str:
    """What changed, as a patch of the recorded file."""
    return "\n".join(
        difflib.unified_diff(
            before.splitlines(), now.splitlines(), f"recorded/{name}", "as it is now", lineterm=""
        )
    )


@asynccontextmanager
async def _reached(scene: Scene, fake: FakeCluster, size: tuple[int, int]) -> AsyncGenerator[Pilot[None]]:
    session = StillSession(fake.connect)
    async with on_session(session, size=size) as pilot:
        pilot.app.animation_level = "none"
        for key, words in scene.keys:
            await showing(pilot, *words)
            await pilot.press(key)
        await showing(pilot, *scene.words)
        if scene.cut:
            fake.reachable = False
            session.hurry()
            await showing(pilot, "OFFLINE")
        yield pilot


async def _settled(pilot: Pilot[None]) -> str:
    """What stands there once nothing moves any more."""
    for entry in pilot.app.screen.query(Input):
        entry.cursor_blink = False
    seen: list[list[list[Segment]]] = []

    def still() -> bool:
        seen.append(_strips(pilot))
        return len(seen) > STILL_TURNS and all(each == seen[-1] for each in seen[-STILL_TURNS:])

    await until(pilot, still)
    return painted(pilot)


def _strips(pilot: Pilot[None]) -> list[list[Segment]]:
    return [list(strip) for strip in pilot.app.screen._compositor.render_strips()]


def _style_map(strips: Sequence[Sequence[Segment]]) -> str:
    letters: dict[str, str] = {}
    rows = []
    for strip in strips:
        styled = [(_style_name(part.style), part.cell_length) for part in strip if part.cell_length]
        runs = []
        for name, parts in groupby(styled, key=lambda part: part[0]):
            letter = letters.setdefault(name, _letter(len(letters)))
            runs.append(f"{letter}{sum(cells for _, cells in parts)}")
        rows.append(" ".join(runs))
    legend = [f"{letter} = {name}" for name, letter in letters.items()]
    shown, line = [], 1
    for row, same in groupby(rows):
        last = line + len(list(same)) - 1
        shown.append(f"{line}{'' if last == line else f'-{last}'}: {row}")
        line = last + 1
    return "\n".join([*legend, *shown, ""])


def _letter(index: int) -> str:
    turn, place = divmod(index, len(LETTERS))
    return LETTERS[place] + "'" * turn


def _style_name(style: Style | None) -> str:
    """Its colours and attributes; what a click does is not to be seen."""
    if style is None:
        return "none"
    return str(Style(color=style.color, bgcolor=style.bgcolor) + style.without_color.clear_meta_and_links())
