"""Screen 9: tools are searched, and called through the form that their schema makes."""

from __future__ import annotations

import json

from textual.pilot import Pilot
from textual.widgets import Input

from bus.errors import Error, RequestTimeout
from bus.values import Role
from tests.tui.driving import gone, opened, painted, showing, until
from tui.client.fake import FakeCluster
from tui.modals.call import Call

REFUSED = Error(code="E_TOOL_DISABLED", message="ann disabled blender", status=409)


async def form(pilot: Pilot[None]) -> None:
    """On the list of tools, the form of the first one."""
    await showing(pilot, "LIVE")
    await pilot.press("9")
    await showing(pilot, "wordcount", "podman")
    await pilot.press("c")
    await showing(pilot, "Call blender@4.2.0", "to be filled in: scene*, frame*")


async def told(pilot: Pilot[None], *words: str) -> None:
    """A message with all these words."""
    notices = pilot.app._notifications
    await until(pilot, lambda: any(all(word in note.message for word in words) for note in notices))


async def fill(pilot: Pilot[None], place: int, text: str) -> None:
    pilot.app.screen.query_one(f"#call-{place}", Input).focus()
    await pilot.pause()
    await pilot.press(*text)


async def test_a_tool_is_called_and_its_job_is_told(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await form(pilot)
        await pilot.press(*"my shot", "tab", *"seven")
        await showing(pilot, "✖ frame: expected a whole number")
        await pilot.press("ctrl+s")  # nothing is in order yet
        await told(pilot, "not yet: see what is wrong")
        await pilot.press(*["backspace"] * 5, "7")
        await gone(pilot, "✖ frame")
        await showing(pilot, '{"scene": "my shot", "frame": 7}', "1 task, 1 would start now")
        assert fake.done == []
        await pilot.press("ctrl+s")
        await told(pilot, "✔ corral tool call blender", "job 41")
        assert fake.specs[41]["input"] == {"scene": "my shot", "frame": 7}
        assert fake.specs[41]["tool"] == "blender"
        await pilot.press("a")
        await showing(pilot, "done from here", "corral tool call blender")


async def test_the_command_of_a_call_is_one_key_away(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await form(pilot)
        await fill(pilot, 0, "it's")
        await showing(pilot, '{"scene": "it')
        await pilot.press("ctrl+y")
        await until(pilot, lambda: "corral tool call blender" in pilot.app.clipboard)
        command = pilot.app.clipboard
    import shlex

    *_, option, given = shlex.split(command)
    assert option == "--input" and json.loads(given) == {"scene": "it's"}


async def test_what_was_refused_is_told_on_the_tool_and_fills_the_form_again(fake: FakeCluster) -> None:
    fake.refusals["submit"] = REFUSED
    async with opened(fake, size=(160, 40)) as pilot:
        await form(pilot)
        await fill(pilot, 0, "a")
        await fill(pilot, 1, "1")
        await pilot.press("ctrl+s")
        await showing(pilot, "✖ not called", "ann disabled blender")
        del fake.refusals["submit"]
        await pilot.press("c")
        await showing(pilot, "Call blender@4.2.0", '{"scene": "a", "frame": 1}', "would start now")
        await pilot.press("ctrl+s")
        await told(pilot, "job 41")
        await gone(pilot, "not called")


async def test_a_call_without_an_answer_is_not_made_twice(fake: FakeCluster) -> None:
    keys: list[str | None] = []

    async def lost(spec: object = None) -> object:
        keys.append(getattr(spec, "dedupe_key", None))
        raise RequestTimeout("no answer in time")

    fake.submit = lost  # type: ignore[method-assign,assignment]
    async with opened(fake, size=(160, 40)) as pilot:
        await form(pilot)
        await fill(pilot, 0, "a")
        await fill(pilot, 1, "1")
        await pilot.press("ctrl+s")
        await showing(pilot, "✖ not called")
        await pilot.press("c")
        await showing(pilot, "Call blender", "would start now")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(keys) == 2)
    assert keys[0] == keys[1] and keys[0]


async def test_what_the_coordinator_would_refuse_is_said_at_its_line(fake: FakeCluster) -> None:
    fake.refusals["plan"] = Error(
        code="E_INPUT",
        message="/frame breaks the rule `x`",
        field="/input/frame",
        expected="less",
        status=422,
    )
    async with opened(fake) as pilot:
        await form(pilot)
        await fill(pilot, 0, "a")
        await fill(pilot, 1, "1")
        await showing(pilot, "✖ frame: /frame breaks the rule `x`; expected less")
        await pilot.press("escape")
        await gone(pilot, "Call blender")
    assert "submit" not in fake.asked


async def test_a_tool_is_called_from_its_page_too(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *"tool wordcount", "enter")
        await showing(pilot, "wordcount › tool", "corral tool call wordcount")
        await pilot.press("c")
        await showing(pilot, "Call wordcount@1.0.0", "at least 1 keys")
        await pilot.press(*"a b a")
        await showing(pilot, "would start now")
        await pilot.press("ctrl+s")
        await told(pilot, "✔ corral tool call wordcount")
    assert fake.specs[41]["input"] == {"text": "a b a"}


async def test_what_is_no_tool_and_what_is_gone_cannot_be_called(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("9")
        await showing(pilot, "podman")
        await pilot.press("G", "c")
        await told(pilot, "only what is registered can be called")
        fake.refusals["tool"] = Error(code="E_NOT_FOUND", message="no tool 'blender'", status=404)
        await pilot.press("g", "c")
        await told(pilot, "no tool 'blender'")
        assert not isinstance(pilot.app.screen, Call)


async def test_readonly_is_offered_no_call(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "(readonly)")
        await pilot.press("9")
        await showing(pilot, "wordcount")
        assert "call it" not in painted(pilot)
        await pilot.press("c")
        await told(pilot, "needs user")
        assert "tool" not in fake.asked


async def test_tools_are_searched_by_tag_and_words(fake: FakeCluster) -> None:
    async with opened(fake, size=(160, 40)) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("9")
        await showing(pilot, "podman", "TAGS", "text m")
        await pilot.press("slash", *"tag=render", "enter")
        await gone(pilot, "podman")
        await showing(pilot, "blender", "[/tag=render]", "Renders frames of a scene")
        await pilot.press("Y")
        await told(pilot, "$ corral tool ls --tag=render")
        await pilot.press("slash", *["backspace"] * 12, *"tga=x", "enter")
        await showing(pilot, "no such word of a search: tga; tag?")
        await pilot.press("escape", "escape")
        await showing(pilot, "podman")
