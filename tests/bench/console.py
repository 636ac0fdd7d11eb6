"""The console without a cluster: what its tables cost to mount and to page, and how soon a key is painted."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import psutil
from textual.app import App, ComposeResult
from textual.events import Key
from textual.pilot import Pilot

from bus.api import JobChanged, Task
from bus.values import JobState, Resources, TaskState
from tests.bench.cluster import Cluster
from tests.bench.figures import Figure, Sizes, percentile
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.client.session import Session
from tui.screens.jobs import JobsScreen
from tui.screens.nodes import NodesScreen
from tui.view.listings import TASKS
from tui.widgets.virtual_table import VirtualTable

SIZE = (120, 40)
WAIT_S = 30.0


class OneTable(App[None]):
    """Nothing but a table of so many tasks."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = [
            Task(id=str(i), job=1, index=i, state=TaskState.RUNNING, node="n", resources=Resources(1000, 64),
                 submitted_at=0.0)
            for i in range(rows)
        ]  # fmt: skip

    def compose(self) -> ComposeResult:
        yield VirtualTable(TASKS, id="table")


async def measure(_: Cluster, sizes: Sizes) -> list[Figure]:
    """All figures of the console; the real cluster is left alone."""
    return [*await _table(sizes), *await _keys(sizes), *await _live(sizes)]


async def _table(sizes: Sizes) -> list[Figure]:
    app = OneTable(2 * sizes.console_rows)
    async with app.run_test(size=SIZE) as pilot:
        table = app.query_one(VirtualTable)
        begin = time.perf_counter()
        table.show(app.rows[: sizes.console_rows], now_s=1.0)
        await _painted(pilot, f" 1.{SIZE[1] - 3} ")
        mounted_ms = (time.perf_counter() - begin) * 1000
        table.show(app.rows, now_s=1.0)
        pages = []
        for _ in range(sizes.console_keys):
            begin = time.perf_counter()
            table.action_page(1)
            await _refreshed(app)
            pages.append((time.perf_counter() - begin) * 1000)
    return [
        Figure(name="console.mount", value=mounted_ms, unit="ms", note=f"{sizes.console_rows} rows"),
        _spread("console.page_down", pages, f"in {2 * sizes.console_rows} rows"),
    ]


async def _keys(sizes: Sizes) -> list[Figure]:
    """From a key to its line on the screen, in the jobs of a big cluster; and from one screen to another."""
    fake = FakeCluster(World(seed=1, now_s=time.time()))
    app = Console(Session(fake.connect))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("3")
        await _until(pilot, lambda: isinstance(app.screen, JobsScreen) and app.screen.table.row_count > 0)
        keys, modes = [], []
        for _ in range(sizes.console_keys):
            begin = time.perf_counter()
            app.post_message(Key("j", "j"))
            await _refreshed(app)
            keys.append((time.perf_counter() - begin) * 1000)
        for index in range(sizes.console_keys // 5):
            key, kind = (("2", NodesScreen), ("3", JobsScreen))[index % 2]
            begin = time.perf_counter()
            app.post_message(Key(key, key))
            while not isinstance(app.screen, kind):
                await asyncio.sleep(0)
            await _refreshed(app)
            modes.append((time.perf_counter() - begin) * 1000)
    return [_spread("console.key", keys, "j in the jobs"), _spread("console.mode", modes, "jobs, nodes")]


async def _live(sizes: Sizes) -> list[Figure]:
    """What it costs to look: with a change a second, and with a flood."""
    fake = FakeCluster(World(seed=1, now_s=time.time()))
    app = Console(Session(fake.connect))
    figures = []
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("3")
        await _until(pilot, lambda: isinstance(app.screen, JobsScreen) and app.screen.table.row_count > 0)
        for name, changes_a_tick, ticks_a_second in (("console.idle", 1, 1), ("console.flood", 500, 10)):
            begin, cpu = time.perf_counter(), time.process_time()
            while time.perf_counter() - begin < sizes.console_s:
                for number in range(changes_a_tick):
                    job = fake.world.jobs[-1 - number % 200]
                    fake.change(
                        JobChanged(number=job.number, state=JobState.RUNNING, counts=job.counts, at=1.0)
                    )
                await asyncio.sleep(1 / ticks_a_second)
            share = 100 * (time.process_time() - cpu) / (time.perf_counter() - begin)
            note = f"{changes_a_tick * ticks_a_second} changes/s"
            figures.append(Figure(name=name, value=share, unit="% of a core", note=note))
    resident_mib = psutil.Process(os.getpid()).memory_info().rss / 2**20
    memory = Figure(name="console.memory", value=resident_mib, unit="MiB", note="with its made-up cluster")
    return [*figures, memory]


def _spread(name: str, samples: list[float], note: str) -> Figure:
    words = f"{note}; p50 {percentile(samples, 50):.1f}"
    return Figure(name=name, value=percentile(samples, 95), unit="ms", note=words, samples=tuple(samples))


async def _refreshed(app: App[None]) -> None:
    """Until what was asked for before is done and painted."""
    done = asyncio.Event()
    app.screen.call_after_refresh(done.set)
    await done.wait()


async def _painted(pilot: Pilot[None], words: str) -> None:
    def shown() -> bool:
        strips = pilot.app.screen._compositor.render_strips()
        return any(words in "".join(part.text for part in strip) for strip in strips)

    await _until(pilot, shown)


async def _until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await pilot.pause()
