"""Charts show what was measured, follow the cursor and the ranges, and say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.errors import Error
from tests.tui.driving import gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.screens.charts import ChartsScreen
from tui.widgets.chart import Chart

BRAILLE = range(0x2801, 0x2900)


def has_lines(text: str) -> bool:
    return any(ord(sign) in BRAILLE for sign in text)


async def test_the_cluster_is_drawn_and_the_cursor_reads_it(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("5")
        await showing(pilot, "charts  cluster  last 1 h", "cpu", "used", "held", "throughput")
        await until(pilot, lambda: has_lines(painted(pilot)))
        await pilot.press("left")
        await until(pilot, lambda: "cpu: used" in painted(pilot))
        screen = pilot.app.screen
        assert isinstance(screen, ChartsScreen) and screen.cursor is not None
        before = screen.cursor
        await pilot.press("left")
        await until(pilot, lambda: screen.cursor == before - 1)
        await pilot.click(Chart, offset=(30, 4))
        await until(pilot, lambda: screen.cursor is not None and screen.cursor < before - 10)


async def test_ranges_are_changed_and_one_chart_fills_the_screen(fake: FakeCluster) -> None:
    async with opened(fake, size=(80, 24)) as pilot:
        await pilot.press("5")
        await showing(pilot, "last 1 h", "2 of 7 charts")
        await pilot.press("less_than_sign")
        await showing(pilot, "last 6 h")
        await pilot.press("greater_than_sign", "greater_than_sign")
        await showing(pilot, "last 15 m")
        await pilot.press("down", "down")
        await showing(pilot, " gpu %", " tasks ")
        await pilot.press("m")
        await showing(pilot, "1 of 7 charts")


async def test_zooming_keeps_the_cursor_in_the_middle(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("5")
        await showing(pilot, "throughput")
        await pilot.press("home", "greater_than_sign")
        await showing(pilot, "last 15 m", "up to the cursor")
        await pilot.press("e")
        await until(pilot, lambda: "up to the cursor" not in painted(pilot))


async def test_nodes_are_laid_over_each_other(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003")
        await pilot.press("space", "space", "c")
        await showing(pilot, "nodes › n-0000,n-0001 › chart", "a n-0000", "b n-0001", "cores", "°C")
        await pilot.press("s")
        await showing(pilot, "n-0000, n-0001 in words", "cpu  n-0001: now", "least")
        await pilot.press("escape")
        await showing(pilot, "a n-0000")
        await pilot.press("escape")
        await showing(pilot, " nodes  ", "n-0003")


async def test_what_the_scheduler_learned_is_charted(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("6")
        await showing(pilot, "learning curves")
        await pilot.press("c")
        await showing(
            pilot, "scheduler › learning › chart", "td error", "|r − V|", "ε", "+2 s.e.", "(meant 80)"
        )
        await until(pilot, lambda: has_lines(painted(pilot)))
        await pilot.press("escape")
        await showing(pilot, "changes of mode and policy")


async def test_a_line_opens_a_chart_of_what_it_names(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *"chart n-0001 mem", "enter")
        await showing(pilot, "n-0001 memory › chart", "memory")
        await pilot.press("b")
        await showing(pilot, "a n-0001", "b most", "c least")
        await pilot.press("b")
        await gone(pilot, "c least")


async def test_the_highest_peak_is_explained_and_esc_leads_back_to_it(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: has_lines(painted(pilot)))
        screen = pilot.app.screen
        assert isinstance(screen, ChartsScreen) and screen.cursor is None
        await pilot.press("enter")
        await showing(pilot, "› spike", "against", "six times as long")
        assert screen.cursor is not None
        peak = max(value for curve in screen.panels[0].curves for value in curve.values if value is not None)
        assert peak in [curve.values[screen.cursor] for curve in screen.panels[0].curves]
        at_s = screen.panels[0].at(screen.cursor)
        await pilot.press("escape")
        await showing(pilot, "cpu: used")
        assert pilot.app.screen is screen
        assert screen.cursor is not None and screen.panels[0].at(screen.cursor) == at_s


async def test_the_peak_under_the_cursor_is_explained(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: has_lines(painted(pilot)))
        await pilot.press("left", "left", "left", "x")
        await showing(pilot, "› spike")


async def test_what_is_drawn_is_saved_into_a_new_file(
    fake: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = tmp_path / "d.csv"
    async with opened(fake) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: has_lines(painted(pilot)))
        await pilot.press("colon", *"save d.txt", "enter")
        await showing(pilot, "which form? a name that ends in .csv or .svg")
        await pilot.press(*["backspace"] * 3, *"csv", "enter")
        await until(pilot, saved.exists)
        await until(pilot, lambda: saved.read_text().endswith("\n"))
        rows = saved.read_text().splitlines()
        assert rows[0] == "time,metric,series,value,unit" and any(",cpu,used," in row for row in rows)
        saved.write_text("mine")
        await pilot.press("colon", *"save d.csv", "enter")
        await pilot.press("colon", *"save d.svg", "enter")
        await until(pilot, (tmp_path / "d.svg").exists)
        assert saved.read_text() == "mine"


async def test_a_refusal_says_why_and_which_key_helps(fake: FakeCluster) -> None:
    fake.refusals["series"] = Error(code="E_TOO_LARGE", message="the database needs too long", status=413)
    async with opened(fake) as pilot:
        await pilot.press("5")
        await showing(pilot, "✖ E_TOO_LARGE: the database needs too long", "ctrl-r asks again")
        del fake.refusals["series"]
        await pilot.press("ctrl+r")
        await until(pilot, lambda: has_lines(painted(pilot)))


async def test_without_a_cluster_the_last_picture_stays(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("5")
        await until(pilot, lambda: has_lines(painted(pilot)))
        fake.reachable = False
        await pilot.press("ctrl+r")
        await showing(pilot, "OFFLINE")
        assert has_lines(painted(pilot))


async def test_without_unicode_lines_are_still_lines(fake: FakeCluster) -> None:
    async with opened(fake, ascii_only=True) as pilot:
        await pilot.press("5")
        await showing(pilot, "throughput", "a used")
