"""From one screen of the console to another, at two sizes: the first visit of each, and every later one.

Screens are made ahead some seconds after the start: first visits are measured with that done, and (`unmade`)
for who is quicker.
"""

from __future__ import annotations

import asyncio
import time

from textual.events import Key
from textual.pilot import Pilot

from tests.bench.figures import Figure, Sizes
from tests.bench.looking import SIZE, WAIT_S, WIDE, looking_at, refreshed, spread
from tui.app import Console
from tui.view.modes import MODE_DIGITS


async def measure(sizes: Sizes) -> list[Figure]:
    """Painted whole with what it has by then; on the large terminal with all panes."""
    figures = []
    for size in (SIZE, WIDE):
        later: list[float] = []
        async with looking_at(size=size, makes_ahead=False) as (pilot, console):
            unmade = await _first_visits(pilot, console)
        async with looking_at(size=size) as (pilot, console):
            first = await _first_visits(pilot, console)
            for _ in range(max(1, sizes.console_keys // 20)):
                for mode in MODE_DIGITS:
                    if mode != console.current_mode:
                        later.append(await _switch_ms(console, mode))
                        await pilot.pause()
        terminal = f"{size[0]}x{size[1]}"
        figures += [
            spread(f"console.mode.{terminal}", later, f"{len(MODE_DIGITS)} screens in turn"),
            spread(f"console.first_visit.{terminal}", first, f"{len(first)} screens"),
            spread(f"console.first_visit.unmade.{terminal}", unmade, f"{len(unmade)} screens"),
        ]
    return figures


async def _first_visits(pilot: Pilot[None], console: Console) -> list[float]:
    visits = []
    for mode in [mode for mode in MODE_DIGITS if mode != console.current_mode]:
        visits.append(await _switch_ms(console, mode))
        await pilot.pause()
    return visits


async def _switch_ms(console: Console, mode: str) -> float:
    digit, begin = MODE_DIGITS[mode], time.perf_counter()
    console.post_message(Key(digit, digit))
    async with asyncio.timeout(WAIT_S):
        while console.current_mode != mode or not console.screen.is_mounted:
            await asyncio.sleep(0)
    await refreshed(console)
    return (time.perf_counter() - begin) * 1000
