"""The console on its made-up cluster: a thousand nodes, a job of a hundred thousand tasks.

Targets (design of the console): key → paint p50 ≤ 10 ms, p95 ≤ 33; page down p95 ≤ 40; mode p50 ≤ 80; first
paint ≤ 300, first data ≤ 800; at a change a second ≤ 1.5 % of a core, at 5,000 ≤ 10; ≤ 120 MB. Where a figure
is a percentile, it is the 95th, and the note has the median.
"""

from __future__ import annotations

import asyncio
import time

from textual.app import App, ComposeResult
from textual.events import Key

from bus.api import JobChanged, Task
from bus.values import JobState, Resources, TaskState
from tests.bench import console_modes, console_readers, console_start
from tests.bench.cluster import Cluster
from tests.bench.figures import Figure, Sizes
from tests.bench.looking import SIZE, key_ms, looking_at, refreshed, shows, spread, until
from tui.client.fake import FakeCluster
from tui.client.fake_world import TASKS_OF_BIG_JOB, World
from tui.screens.jobs import JobsScreen
from tui.screens.nodes import NodesScreen
from tui.screens.tasks import TasksScreen
from tui.view.listings import TASKS
from tui.widgets.virtual_table import VirtualTable

BIG_JOB = 342
CHANGES_A_SECOND, CHANGES_A_TICK = 5_000, 500


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
    begun = await asyncio.to_thread(console_start.measure, sizes)
    looked = [await look(sizes) for look in (_table, _rows, _keys, _flood)]
    return [
        *begun,
        *(figure for figures in looked for figure in figures),
        *await console_modes.measure(sizes),
        *await console_readers.measure(sizes),
    ]


async def _table(sizes: Sizes) -> list[Figure]:
    app = OneTable(2 * sizes.console_rows)
    async with app.run_test(size=SIZE) as pilot:
        table = app.query_one(VirtualTable)
        begin = time.perf_counter()
        table.show(app.rows[: sizes.console_rows], now_s=1.0)
        await until(pilot, lambda: shows(app, f" 1.{SIZE[1] - 3} "))
        mounted_ms = (time.perf_counter() - begin) * 1000
    return [Figure(name="console.mount", value=mounted_ms, unit="ms", note=f"{sizes.console_rows} rows")]


async def _rows(sizes: Sizes) -> list[Figure]:
    """Through a list too long to hold: page after page, and to its end and back."""
    async with looking_at() as (pilot, app):
        await app.push_screen(TasksScreen(BIG_JOB))
        await until(pilot, lambda: isinstance(app.screen, TasksScreen) and app.screen.table.row_count > 0)
        pages, ends = [], []
        for _ in range(sizes.console_keys):
            pages.append(await key_ms(app, "pagedown"))
            await pilot.pause()  # a hand that holds the key gets thirty a second
        screen = app.screen
        assert isinstance(screen, TasksScreen)
        for key, position in (("G", TASKS_OF_BIG_JOB - 1), ("g", 0)) * max(1, sizes.console_keys // 20):
            begin = time.perf_counter()
            app.post_message(Key(key, key))
            await until(pilot, lambda at=position: (row := screen.table.row) is not None and row.index == at)
            ends.append((time.perf_counter() - begin) * 1000)
    note = f"in {TASKS_OF_BIG_JOB} rows"
    return [spread("console.page_down", pages, note), spread("console.end", ends, f"{note}, end and start")]


async def _keys(sizes: Sizes) -> list[Figure]:
    """From a key to its line on the screen, in the jobs of a big cluster; and from one screen to another."""
    async with looking_at() as (pilot, app):
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen) and app.screen.table.row_count > 0)
        keys, modes = [], []
        for _ in range(sizes.console_keys):
            keys.append(await key_ms(app, "j"))
            await pilot.pause()
        for index in range(sizes.console_keys // 5):
            key, kind = (("2", NodesScreen), ("3", JobsScreen))[index % 2]
            begin = time.perf_counter()
            app.post_message(Key(key, key))
            while not isinstance(app.screen, kind):
                await asyncio.sleep(0)
            await refreshed(app)
            modes.append((time.perf_counter() - begin) * 1000)
            await pilot.pause()
    return [spread("console.key", keys, "j in the jobs"), spread("console.mode", modes, "jobs, nodes")]


async def _flood(sizes: Sizes) -> list[Figure]:
    """What it costs to look on while 5,000 things change every second."""
    fake = FakeCluster(World(seed=1, now_s=time.time()))
    async with looking_at(fake) as (pilot, app):
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen) and app.screen.table.row_count > 0)
        begin, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - begin < sizes.console_s:
            for number in range(CHANGES_A_TICK):
                job = fake.world.jobs[-1 - number % 200]
                fake.change(JobChanged(number=job.number, state=JobState.RUNNING, counts=job.counts, at=1.0))
            await asyncio.sleep(CHANGES_A_TICK / CHANGES_A_SECOND)
        share = 100 * (time.process_time() - cpu) / (time.perf_counter() - begin)
    note = f"{CHANGES_A_SECOND} changes/s"
    return [Figure(name="console.flood", value=share, unit="% of a core", note=note)]
