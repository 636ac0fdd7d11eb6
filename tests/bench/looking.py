"""What benches of the console do: press a key and wait for its paint, on a terminal that is not there."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.app import App
from textual.events import Key
from textual.pilot import Pilot

from tests.bench.figures import Figure, percentile
from tui.__main__ import GARBAGE_THRESHOLD
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.client.session import Session
from tui.widgets.virtual_table import VirtualTable

SIZE = (120, 40)
WIDE = (200, 60)
WAIT_S = 30.0


@asynccontextmanager
async def looking_at(
    fake: FakeCluster | None = None, *, size: tuple[int, int] = SIZE, makes_ahead: bool = True
) -> AsyncIterator[tuple[Pilot[None], Console]]:
    """The console on a cluster, the demo's unless another is given; it is online, and all of it is loaded.

    `makes_ahead`: its main screens are made as well, as the command does it.
    """
    gc.set_threshold(GARBAGE_THRESHOLD)  # as the command has it
    fake = fake or FakeCluster(World(seed=1, now_s=time.time()))
    console = Console(Session(fake.connect), makes_ahead=makes_ahead)
    async with console.run_test(size=size) as pilot:
        await until(pilot, lambda: console.online is not None and not reading_ahead(console))
        yield pilot, console


def reading_ahead(console: Console) -> bool:
    """Whether modules of screens are still being read."""
    return any(worker.group == "loading" and not worker.is_finished for worker in console.workers)


async def key_ms(app: App[None], key: str) -> float:
    """Milliseconds from a key that moves the cursor to the paint of its row."""
    table = app.screen.query_one(VirtualTable)
    before, begin = table.row, time.perf_counter()
    app.post_message(Key(key, key if len(key) == 1 else None))
    async with asyncio.timeout(WAIT_S):
        while table.row is before:
            await asyncio.sleep(0)
    await refreshed(app)
    return (time.perf_counter() - begin) * 1000


async def refreshed(app: App[None]) -> None:
    """Until what was asked for before is done and painted."""
    done = asyncio.Event()
    app.screen.call_after_refresh(done.set)
    await done.wait()


def shows(app: App[None], *words: str) -> bool:
    """Whether the words stand on the screen."""
    lines = ["".join(part.text for part in strip) for strip in app.screen._compositor.render_strips()]
    return all(any(word in line for line in lines) for word in words)


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Raises TimeoutError where it does not come about."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await pilot.pause()


def spread(name: str, samples: list[float], note: str) -> Figure:
    """The 95th percentile, with the median and the least beside it."""
    words = f"{note}; p50 {percentile(samples, 50):.1f}, least {min(samples):.1f}"
    return Figure(name=name, value=percentile(samples, 95), unit="ms", note=words, samples=tuple(samples))
