"""What a key costs: nothing is laid out, styled or drawn anew that reads as before."""

from __future__ import annotations

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.screen import Screen
from textual.strip import Strip

from tests.tui.driving import opened, showing, until
from tests.tui.test_shell import console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.view.listings import NODES
from tui.widgets import virtual_table

KEYS = 45
"""More than there are lines on the screen, past jobs of one task and of many."""


async def test_a_key_in_a_table_lays_nothing_out_and_styles_nothing(
    big_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(FakeCluster(big_world)) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE", "details  output  why  events")
        table = console(pilot).screen.query_one(virtual_table.VirtualTable)
        done: list[str] = []
        lay_out, apply = Screen._refresh_layout, Stylesheet.apply

        def laid_out(screen: Screen[object], *args: object, **named: object) -> None:
            done.append("layout")
            lay_out(screen, *args, **named)  # type: ignore[arg-type]

        def applied(sheet: Stylesheet, node: DOMNode, **named: object) -> None:
            done.append(f"style of {node}")
            apply(sheet, node, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(Screen, "_refresh_layout", laid_out)
        monkeypatch.setattr(Stylesheet, "apply", applied)
        outputs = set()
        for _ in range(KEYS):
            await pilot.press("j")
            outputs.add("-outputless" in console(pilot).screen.query_one("#panes").classes)
        await until(pilot, lambda: table.cursor == KEYS)
        assert table.scroll_offset.y > 0 and outputs == {True, False}
        assert done == []


async def test_where_all_panes_are_seen_the_output_is_there_for_jobs_that_have_one(big_world: World) -> None:
    async with opened(FakeCluster(big_world), size=(200, 60)) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE", "details  output  why  events")
        screen = console(pilot).screen
        panes, output = screen.query_one("#panes"), screen.query_one("#pane-output")
        seen = set()
        for _ in range(KEYS):
            await pilot.press("j")
            await until(pilot, lambda: output.display is not panes.has_class("-outputless"))
            assert screen.query_one("#title-output").display is output.display
            seen.add(output.display)
        assert seen == {True, False}


class OneTable(App[None]):
    """Nothing else, and no clock."""

    def compose(self) -> ComposeResult:
        yield virtual_table.VirtualTable(NODES, id="table")


async def test_a_table_that_moves_by_a_line_draws_the_new_one_and_the_two_of_the_cursor(
    big_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with OneTable().run_test(size=(120, 40)) as pilot:
        table = pilot.app.query_one(virtual_table.VirtualTable)
        table.show(big_world.nodes, now_s=1.0)
        table.move_to(500)
        await pilot.pause()
        top, drawn, draw = table.scroll_offset.y, 0, virtual_table._strip

        def counted(segments: list[Segment], width: int, plain: Style) -> Strip:
            nonlocal drawn
            drawn += 1
            return draw(segments, width, plain)

        monkeypatch.setattr(virtual_table, "_strip", counted)
        table.move_to(501)
        await pilot.pause()
        assert table.scroll_offset.y == top + 1
        assert 0 < drawn <= 3
