"""Letters that come with the key that opens a form are for the form, however long it takes to open."""

from __future__ import annotations

from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.driving import opened, showing, until
from tui.client.fake import FakeCluster


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
