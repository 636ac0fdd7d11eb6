"""Outputs in the console: one of 100 MB, one that grows by 50,000 lines a second; and a chart of lanes."""

from __future__ import annotations

import asyncio
import time

from textual.events import Key

from bus.api import Task
from bus.values import Stream
from tests.bench.figures import Figure, Sizes
from tests.bench.looking import WAIT_S, looking_at, refreshed, shows, spread, until
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.screens.gantt import GanttScreen
from tui.screens.log import LogScreen
from tui.widgets.gantt import GanttChart
from tui.widgets.virtual_log import VirtualLog

LINE = b"%08d  epoch 17  loss 0.4173  accuracy 0.913  1187 samples/s\n"
TASK = "1.0"
TICK_S = 0.05


class Printing(FakeCluster):
    """One output, held whole as a node would hold it in its file."""

    def __init__(self, lines: int) -> None:
        super().__init__(World(seed=1, now_s=time.time()))
        self.text = bytearray().join(LINE % number for number in range(lines))
        self.lines = lines

    def print_more(self, lines: int) -> None:
        """The program goes on."""
        self.text += b"".join(LINE % number for number in range(self.lines, self.lines + lines))
        self.lines += lines

    def _size(self, task: Task, stream: Stream) -> int:
        return len(self.text) if stream is Stream.STDOUT else 0

    def _read(self, task: Task, stream: Stream, offset: int, limit: int) -> bytes:
        return bytes(self.text[offset : offset + max(0, limit)]) if stream is Stream.STDOUT else b""


async def measure(sizes: Sizes) -> list[Figure]:
    """Opening at the end, going to the beginning and back, following; a chart of lanes over an hour."""
    return [*await _long(sizes), await _growing(sizes), *await _lanes(sizes)]


async def _long(sizes: Sizes) -> list[Figure]:
    fake = Printing(sizes.log_bytes // len(LINE % 0))
    opened, ends = [], []
    last = f"{fake.lines - 1:08d}"
    async with looking_at(fake) as (pilot, console):
        for _ in range(sizes.repeats):
            begin = time.perf_counter()
            await console.push_screen(LogScreen(TASK))
            await until(pilot, lambda: shows(console, last))
            opened.append((time.perf_counter() - begin) * 1000)
            for key, number in (("g", f"{0:08d}"), ("G", last)):
                begin = time.perf_counter()
                console.post_message(Key(key, key))
                await until(pilot, lambda words=number: shows(console, words))  # type: ignore[misc]
                ends.append((time.perf_counter() - begin) * 1000)
            await console.pop_screen()
    note = f"{len(fake.text) / 1e6:.0f} MB"
    return [spread("console.log_open", opened, note), spread("console.log_end", ends, f"{note}, g and G")]


async def _growing(sizes: Sizes) -> Figure:
    """The share of a core for console and printing together; at the end all of it is on the screen."""
    fake = Printing(1_000)
    fake.printing = True
    async with looking_at(fake) as (pilot, console):
        await console.push_screen(LogScreen(TASK))
        await until(pilot, lambda: shows(console, "00000999"))
        begin, cpu = time.perf_counter(), time.process_time()
        while (passed_s := time.perf_counter() - begin) < sizes.console_s:
            if (due := int(passed_s * sizes.log_lines_a_second) + 1_000 - fake.lines) > 0:
                fake.print_more(due)
            await asyncio.sleep(TICK_S)
        share = 100 * (time.process_time() - cpu) / (time.perf_counter() - begin)
        rate = (fake.lines - 1_000) / (time.perf_counter() - begin)
        last, begin = f"{fake.lines - 1:08d}", time.perf_counter()
        await until(pilot, lambda: shows(console, last))
        behind_ms = (time.perf_counter() - begin) * 1000
        assert console.screen.query_one("#log", VirtualLog).following
    note = f"{rate:.0f} lines/s followed, the printing included; {behind_ms:.0f} ms behind at the end"
    return Figure(name="console.log_follow", value=share, unit="% of a core", note=note)


async def _lanes(sizes: Sizes) -> list[Figure]:
    opened, keys = [], []
    async with looking_at() as (pilot, console):
        for _ in range(sizes.repeats):
            begin = time.perf_counter()
            screen = GanttScreen()
            await console.push_screen(screen)
            await until(pilot, lambda shown=screen: shown.is_mounted and not shown.is_bare)  # type: ignore[misc]
            await refreshed(console)
            opened.append((time.perf_counter() - begin) * 1000)
            chart = screen.query_one(GanttChart)
            chart.focus()
            for key in ("down", "left", "up", "right") * max(1, sizes.console_keys // 20):
                before, begin = (chart.row, chart.at), time.perf_counter()
                console.post_message(Key(key, None))
                async with asyncio.timeout(WAIT_S):
                    while (chart.row, chart.at) == before:
                        await asyncio.sleep(0)
                await refreshed(console)
                keys.append((time.perf_counter() - begin) * 1000)
                await pilot.pause()
            await console.pop_screen()
    return [
        spread("console.gantt_open", opened, "1,000 nodes"),
        spread("console.gantt_key", keys, "the cursor"),
    ]
