"""Letters that come with the key that opens a form are for the form, however long it takes to open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.driving import opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.screens import early


def typed_at_once(pilot: Pilot[None], *keys: str) -> None:
    """As a terminal hands over what came in one go."""
    for key in keys:
        pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))


async def test_a_number_after_the_key_of_priorities_is_the_priority(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "▌ 40")
        mode = pilot.app.current_mode
        typed_at_once(pilot, "P", "9", "0")
        await until(pilot, lambda: bool(pilot.app.screen.query("#blank-priority")))
        line = pilot.app.screen.query_one("#blank-priority", Input)
        await until(pilot, lambda: line.value == "90")
        assert pilot.app.current_mode == mode
        typed_at_once(pilot, "1")
        await until(pilot, lambda: line.value == "901")


async def test_a_name_after_the_key_of_submitting_is_in_its_first_line(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000")
        typed_at_once(pilot, "S", "d", "u", "C")
        await showing(pilot, "Submit a job")
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        line = pilot.app.focused
        assert isinstance(line, Input)
        await until(pilot, lambda: line.value == "duC")
        assert fake.done == []


async def test_where_no_form_opens_keys_go_on_as_before(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "▌ 40")
        await pilot.press("slash", *"name=nobody", "enter")
        await showing(pilot, "Nothing matches")
        typed_at_once(pilot, "P", "2")
        await until(pilot, lambda: pilot.app.current_mode == "nodes")


@pytest.fixture
def withheld(fake: FakeCluster) -> asyncio.Event:
    """Lists of jobs with a filter come once it is set: those of the second screen, not of the first."""
    come, jobs = asyncio.Event(), fake.jobs

    async def late(**asked: Any) -> Any:
        if asked.get("filter"):
            await come.wait()
        return await jobs(**asked)

    fake.jobs = late  # type: ignore[method-assign]
    return come


async def test_what_is_asked_of_a_row_before_the_list_is_there_is_done_then(
    fake: FakeCluster, withheld: asyncio.Event
) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "▌ 40")
        pilot.app.screen.seek(filter="number<10")  # type: ignore[attr-defined]
        typed_at_once(pilot, "j", "j", "C")
        await pilot.pause()
        assert "corral cancel" not in painted(pilot)
        withheld.set()
        await showing(pilot, "$ corral cancel 7")


async def test_letters_after_the_key_of_a_form_wait_with_it(
    fake: FakeCluster, withheld: asyncio.Event
) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "▌ 40")
        pilot.app.screen.seek(filter="number<10")  # type: ignore[attr-defined]
        typed_at_once(pilot, "P", "8")
        await pilot.pause()
        withheld.set()
        await until(pilot, lambda: bool(pilot.app.screen.query("#blank-priority")))
        line = pilot.app.screen.query_one("#blank-priority", Input)
        await until(pilot, lambda: line.value == "8")


async def test_who_went_elsewhere_meanwhile_or_waited_long_is_asked_nothing(
    fake: FakeCluster, withheld: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "▌ 40")
        pilot.app.screen.seek(filter="number<10")  # type: ignore[attr-defined]
        typed_at_once(pilot, "C")
        await pilot.press("2")
        await showing(pilot, "n-0000")
        await pilot.press("1")
        withheld.set()
        await showing(pilot, "[/number<10]", "▌  9")
        assert "corral cancel" not in painted(pilot)
        withheld.clear()
        monkeypatch.setattr(early, "EARLY_MAX_S", -1.0)
        pilot.app.screen.seek(filter="number<8")  # type: ignore[attr-defined]
        typed_at_once(pilot, "C")
        await pilot.pause()
        withheld.set()
        await showing(pilot, "[/number<8]", "▌  7")
        await pilot.press("j")
        await showing(pilot, "▌  6")
        assert "corral cancel" not in painted(pilot)


async def test_a_key_behind_the_key_of_its_screen_is_for_that_screen(
    fake: FakeCluster,
) -> None:
    first = fake.world.nodes[0].name
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "▌ 40")
        typed_at_once(pilot, "2", "d")
        await showing(pilot, f"{first} › details")
