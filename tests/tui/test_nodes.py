"""The map of the nodes: it shows all of them, and what is brushed becomes the list's filter."""

from __future__ import annotations

from typing import cast

import pytest
from textual.pilot import Pilot

from bus.api import Error
from tests.tui.driving import gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.screens.nodes import NodesScreen
from tui.view.heat import Measure
from tui.widgets.heatmap import HeatMap

WIDE = (200, 60)


def screen(pilot: Pilot[None]) -> NodesScreen:
    return cast("NodesScreen", pilot.app.screen)


async def mapped(pilot: Pilot[None], fake: FakeCluster) -> HeatMap:
    """The map alone, with all nodes on it."""
    await pilot.press("2")
    await showing(pilot, "n-0003")
    await pilot.press("v")
    await until(pilot, lambda: len(screen(pilot).heat.nodes) == len(fake.world.nodes))
    await showing(pilot, "cpu held", "by name")
    return screen(pilot).heat


async def test_a_wide_screen_has_the_map_above_the_list(fake: FakeCluster) -> None:
    async with opened(fake, size=WIDE) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003", "cpu held", "▀")


async def test_a_narrow_one_has_it_on_a_key_and_escape_leads_back(fake: FakeCluster) -> None:
    async with opened(fake, size=(80, 24)) as pilot:
        await mapped(pilot, fake)
        assert "▆" in painted(pilot) and "STATE" not in painted(pilot)
        await pilot.press("escape")
        await showing(pilot, "STATE")
        assert "▆" not in painted(pilot)


async def test_a_map_alone_has_the_whole_screen(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003", "cpu held", "▀")
        heat = await mapped(pilot, fake)
        await until(pilot, lambda: heat.size.height > 50 and heat.heat_layout.cell == 8)
        await pilot.press("escape")
        await showing(pilot, "STATE")
        assert heat.size.height < 10


async def test_the_cursor_names_its_node_and_enter_opens_it(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        heat = await mapped(pilot, fake)
        await pilot.press("right", "right")
        await showing(pilot, "n-0002 ")
        assert heat.node is fake.world.nodes[2] or heat.node == fake.world.nodes[2]
        await pilot.press("enter")
        await showing(pilot, "n-0002 › details")


async def test_what_is_brushed_becomes_the_filter(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await mapped(pilot, fake)
        await pilot.press("shift+right", "shift+right")
        await showing(pilot, "3 brushed")
        await pilot.press("escape")
        await gone(pilot, "3 brushed")
        await pilot.press("left", "left", "shift+right", "enter")
        await showing(pilot, "[/name=n-0000,n-0001]", "STATE")
        assert "n-0002" not in painted(pilot)


async def test_a_mouse_brushes_too(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        heat = await mapped(pilot, fake)
        x, y = heat.heat_layout.places[4][0], 0
        await pilot.mouse_down(heat, offset=(0, y))
        await pilot.hover(heat, offset=(x, y))
        await pilot.mouse_up(heat, offset=(x, y))
        await showing(pilot, "[/name=n-0000,n-0001,n-0002,n-0003,n-0004]")


async def test_colours_groups_and_digits_go_round(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        heat = await mapped(pilot, fake)
        for measure in (*list(Measure)[1:], Measure.CPU):
            await pilot.press("c")
            await showing(pilot, f" {measure} ")
        await pilot.press("o", "o", "o")
        await showing(pilot, "by zone")
        assert [title.text for title in heat.heat_layout.titles] == ["a", "b", "c"]
        await pilot.press("number_sign")
        await showing(pilot, "x away")
        assert "▆" not in painted(pilot)


async def test_without_unicode_the_map_is_made_of_digits(fake: FakeCluster) -> None:
    async with opened(fake, ascii_only=True) as pilot:
        await mapped(pilot, fake)
        await showing(pilot, "x away")


async def test_without_colours_too(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(fake) as pilot:
        await mapped(pilot, fake)
        await showing(pilot, "x away")


async def test_a_map_that_cannot_be_had_says_why(fake: FakeCluster) -> None:
    fake.refusals["nodes"] = Error(code="E_FORBIDDEN", message="not for you", status=403)
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("2", "v")
        await showing(pilot, "✖ E_FORBIDDEN: not for you")
