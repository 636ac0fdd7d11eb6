"""The Gantt chart: what ran where, why nothing did, nearer and further, now and then."""

from __future__ import annotations

import re
from datetime import datetime
from typing import cast

from textual.pilot import Pilot

from bus.errors import Error
from tests.tui.driving import opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.screens.every_task import EveryTaskScreen
from tui.screens.gantt import GanttScreen
from tui.widgets.gantt import GanttChart


def chart(pilot: Pilot[None]) -> GanttChart:
    return cast("GanttScreen", pilot.app.screen).chart


async def drawn(pilot: Pilot[None]) -> GanttChart:
    await pilot.press("2")
    await showing(pilot, "n-0003")
    await pilot.press("b")
    await showing(pilot, "nodes › gantt", "attempts on 20 nodes", "n-0000", "━")
    return chart(pilot)


async def on_attempt(pilot: Pilot[None]) -> str:
    """Put the cursor on a bar; the task it is of."""
    shown = chart(pilot)
    row = next(place for place, row in enumerate(shown.rows) if row.bars)
    shown.action_lane(row - shown.rows.index(shown.row) if shown.row else row)
    bar = shown.rows[row].bars[0]
    shown.point_at(shown.scale.middle(bar.first))
    attempt = shown.rows[row].attempts[bar.attempt]
    assert shown.attempt == attempt
    return attempt.task


async def test_bars_gaps_and_the_axis_are_drawn(fake: FakeCluster) -> None:
    async with opened(fake, size=(160, 50)) as pilot:
        await drawn(pilot)
        screen = painted(pilot)
        assert "does not fit" in screen and "╷" in screen


async def test_the_cursor_says_what_it_is_on_and_opens_it(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await drawn(pilot)
        task = await on_attempt(pilot)
        await showing(pilot, f"{task} train of ")
        await pilot.press("w")
        await showing(pilot, f"{task} › why")
        await pilot.press("escape", "d")
        await showing(pilot, f"{task} › details")


async def test_what_is_shown_leads_to_its_tasks(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        shown = await drawn(pilot)
        await pilot.press("slash", *"name=n-0001,n-0002", "enter")
        await until(pilot, lambda: list(shown.names) == ["n-0001", "n-0002"])
        await pilot.press("i")
        await showing(pilot, "all › tasks", "[/node=n-0001,n-0002 started>=")
        filter = cast("EveryTaskScreen", pilot.app.screen).step().filter
        since, until_ = re.findall("started[<>]=([^ ]+)", filter)
        span = datetime.fromisoformat(until_) - datetime.fromisoformat(since)
        assert 0.0 < span.total_seconds() <= shown.scale.until - shown.scale.since


async def test_a_gap_says_why_and_leads_to_its_node(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        shown = await drawn(pilot)
        row = next(place for place, row in enumerate(shown.rows) if row.gaps)
        shown.action_lane(row)
        gap = shown.rows[row].gaps[0]
        shown.point_at(shown.scale.middle(gap.first))
        await showing(pilot, f"{shown.rows[row].node}  {gap.cause}")
        await pilot.press("enter")
        await showing(pilot, f"{shown.rows[row].node} › details")


async def test_it_zooms_pans_and_comes_back_to_now(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        shown = await drawn(pilot)
        await pilot.press("plus")
        await until(pilot, lambda: abs(shown.scale.until - shown.scale.since - 1_800.0) < 1.0)
        end = shown.scale.until
        for _ in range(6):
            await pilot.press("shift+left")
        await until(pilot, lambda: shown.scale.until < end - 60.0)
        await pilot.press("n")
        await until(pilot, lambda: shown.scale.until >= end)
        await pilot.press("underscore", "underscore")
        await until(pilot, lambda: shown.scale.until - shown.scale.since > 7_000.0)


async def test_lanes_are_few_or_all(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        shown = await drawn(pilot)
        for _ in range(5):
            await pilot.press("underscore")
        await until(pilot, lambda: any(row.more for row in shown.rows))
        few = len(shown.rows)
        await pilot.press("s")
        await until(pilot, lambda: len(shown.rows) > few and not any(row.more for row in shown.rows))


async def test_a_filter_chooses_nodes_and_its_faults_are_said(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await drawn(pilot)
        await pilot.press("slash", *"nme=x", "enter")
        await showing(pilot, "E_FIELD")
        await pilot.press("escape", "slash", *"name=n-0004", "enter")
        await showing(pilot, "[/name=n-0004]", "on 1 nodes")
        await pilot.press("slash", "end", "ctrl+u", *"name=none-such", "enter")
        await showing(pilot, "No nodes here.")


async def test_what_is_refused_says_why_and_which_key_helps(fake: FakeCluster) -> None:
    fake.refusals["timeline"] = Error(code="E_TOO_LARGE", message="it takes longer than 5 s", status=413)
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003")
        await pilot.press("b")
        await showing(pilot, "E_TOO_LARGE: it takes longer than 5 s", "ctrl-r asks again")
        del fake.refusals["timeline"]
        await pilot.press("ctrl+r")
        await showing(pilot, "attempts on 20 nodes")


async def test_the_past_ends_at_the_time_cursor(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        shown = await drawn(pilot)
        then = shown.scale.until - 7_200.0
        cast("GanttScreen", pilot.app.screen).console.look_at(then)
        await until(pilot, lambda: abs(shown.scale.until - then) < 600.0)


async def test_without_unicode_it_is_drawn_in_ascii(fake: FakeCluster) -> None:
    async with opened(fake, ascii_only=True) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003")
        await pilot.press("b")
        await showing(pilot, "attempts on 20 nodes", "===")
        assert painted(pilot).isascii() or "?" not in painted(pilot).splitlines()[5]


async def test_a_jobs_bars_are_shown_on_its_nodes_alone(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("b")
        await showing(pilot, "40 › gantt")
        await showing(pilot, "attempts on", "━")
        assert "timeline" in fake.asked


async def test_bars_keep_to_the_axis_when_the_screen_changes(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        shown = await drawn(pilot)
        for size in ((200, 60), (90, 30)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            cells = shown.scale.cells
            await until(pilot, lambda cells=cells: max(g.end for r in shown.rows for g in r.gaps) == cells)
