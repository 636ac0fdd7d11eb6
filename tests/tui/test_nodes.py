"""The map of the nodes: it shows all of them, and what is brushed becomes the list's filter."""

from __future__ import annotations

from typing import cast

import pytest
from textual.pilot import Pilot

from bus.errors import Error
from tests.tui.driving import gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.screens.every_task import EveryTaskScreen
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


def listed(pilot: Pilot[None]) -> EveryTaskScreen:
    return cast("EveryTaskScreen", pilot.app.screen)


async def test_what_is_brushed_leads_to_its_tasks(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await mapped(pilot, fake)
        await pilot.press("shift+right", "shift+right")
        await showing(pilot, "3 brushed")
        await pilot.press("i")
        await showing(pilot, "all › tasks", "[/node=n-0000,n-0001,n-0002]")
        await until(pilot, lambda: bool(listed(pilot).pages.rows))
        assert {task.node for task in listed(pilot).pages.rows} <= {"n-0000", "n-0001", "n-0002"}
        await pilot.press("escape")
        await gone(pilot, "[/node=")
        await until(pilot, lambda: listed(pilot).pages.total > 500)
        assert len({task.job for task in listed(pilot).pages.rows}) > 1, "of several jobs"
        await pilot.press("escape")
        await showing(pilot, "3 brushed")


async def test_tasks_of_all_jobs_that_match_are_steered_at_once(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("colon", *"tasks all", "enter")
        await until(pilot, lambda: listed(pilot).pages.total > 500)
        await pilot.press("asterisk")
        assert listed(pilot).scope() is None, "a filter says which are meant"
        await pilot.press("slash", *"state=running node=n-0000,n-0001", "enter")
        await showing(pilot, "[/state=running node=n-0000,n-0001]")
        await until(pilot, lambda: 0 < listed(pilot).pages.total < 500)
        matching = listed(pilot).pages.total
        assert len({task.job for task in listed(pilot).pages.rows}) > 1, "of several jobs"
        await pilot.press("asterisk", "C")
        await showing(pilot, f"Cancel all {matching} tasks that match", "--where")
        await pilot.press("y")
        await until(pilot, lambda: len([verb for verb, _ in fake.done if verb == "cancel"]) == matching)


async def test_marked_nodes_and_the_one_under_the_cursor_have_tasks_too(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0003")
        await pilot.press("i")
        await showing(pilot, "[/node=n-0000]")
        await pilot.press("escape", "escape")
        await showing(pilot, "n-0003")
        await pilot.press("g", "space", "space", "i")
        await showing(pilot, "[/node=n-0000,n-0001]")


async def test_more_nodes_than_a_filter_names_are_not_taken_for_others(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tui.screens.nodes", "tui.view.heat"):
        monkeypatch.setattr(f"{module}.FILTER_CHARS_MAX", 10)
    async with opened(fake) as pilot:
        await mapped(pilot, fake)
        await pilot.press("shift+right", "shift+right")
        await showing(pilot, "3 brushed")
        await pilot.press("i")
        said = "3 names are more than a filter holds: choose fewer"
        await until(pilot, lambda: any(note.message == said for note in pilot.app._notifications))
        assert isinstance(pilot.app.screen, NodesScreen)


async def test_the_command_line_opens_the_tasks_of_all(fake: FakeCluster) -> None:
    async with opened(fake, size=WIDE) as pilot:
        await pilot.press("colon", *"tasks all", "enter")
        await showing(pilot, "all › tasks", "USER")
        await until(pilot, lambda: bool(listed(pilot).pages.rows))
        assert listed(pilot).shell_command() == "corral tasks"
        await pilot.press("exclamation_mark")
        await showing(pilot, "[/state=failed,timeout]")


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
