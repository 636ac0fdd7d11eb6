"""The console's frame: its modes, its keys, the time cursor, and the ways of getting about."""

from __future__ import annotations

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from bus.errors import Error
from bus.values import Role
from tests.tui.driving import NOW_S, gone, opened, painted, showing, until
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.loading import at_once
from tui.modals.command import CommandLine
from tui.view.modes import MODE_DIGITS
from tui.widgets.choices import Choices


def console(pilot: Pilot[None]) -> Console:
    assert isinstance(pilot.app, Console)
    return pilot.app


def said(pilot: Pilot[None]) -> str:
    return "\n".join(note.message for note in pilot.app._notifications)


async def test_every_digit_leads_somewhere_or_says_that_it_does_not(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        for mode, digit in MODE_DIGITS.items():
            await pilot.press(digit)
            if mode in Console.MODES:
                await until(pilot, lambda mode=mode: pilot.app.current_mode == mode)  # type: ignore[misc]
            else:
                await until(pilot, lambda mode=mode: f"no screen of {mode} yet" in said(pilot))  # type: ignore[misc]


def test_every_key_of_ours_can_be_mapped_anew() -> None:
    at_once()
    waiting: list[type[DOMNode]] = [App, Widget]
    named = set()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("tui."):
            for binding in vars(kind).get("BINDINGS", ()):
                assert isinstance(binding, Binding) and binding.id, (kind, binding)
                named.add(binding.id)
    assert {"console.help", "confirm.yes", "jobs.cancel", "log.follow", "submit.leave"} <= named


async def test_the_past_is_told_to_the_screen_one_looks_at_and_locked(fake: FakeCluster) -> None:
    fake.world.jobs[:] = fake.world.jobs[-3:]
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        console(pilot).look_at(NOW_S - 60)
        await pilot.press("C")
        await pilot.pause()
        assert "Cancel job" not in painted(pilot)
        await pilot.press("2", "3")
        console(pilot).look_at(None)
        await pilot.press("C")
        await showing(pilot, "Cancel job")
        await pilot.press("escape")
        await gone(pilot, "Cancel job")


async def test_a_screen_hears_of_the_moment_once_it_is_looked_at(fake: FakeCluster) -> None:
    heard: list[float | None] = []
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000")
        nodes = pilot.app.screen
        nodes.on_moment = lambda: heard.append(console(pilot).moment)  # type: ignore[attr-defined]
        await pilot.press("3")
        await showing(pilot, " jobs  ")
        console(pilot).look_at(NOW_S)
        assert heard == []
        await pilot.press("2")
        await showing(pilot, " nodes  ")
        assert heard == [NOW_S]


async def typed(pilot: Pilot[None], line: str) -> None:
    """A line of the command line."""
    await pilot.press("colon")
    await until(pilot, lambda: isinstance(pilot.app.screen, CommandLine))
    await pilot.press(*line, "enter")


async def test_a_line_leads_to_modes_jobs_tasks_and_nodes(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "STATE")
        for line, crumb in (
            ("nodes", " nodes  "),
            ("node n-0003", "nodes › n-0003 › details"),
            ("jobs", " jobs  "),
            ("40", "jobs › 40 › details"),
            ("tasks 40", "40 › details › 40 › tasks"),
            ("40.0", "40 › tasks › 40.0 › details"),
            ("output 40.0", "40.0 › output"),
            ("why 40.0", "40.0 › why"),
        ):
            await typed(pilot, line)
            await showing(pilot, crumb)


async def test_what_is_wrong_with_a_line_is_said_in_its_place(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        for line, fault in (
            ("noodes", "no such word: noodes; nodes?"),
            ("node", "node takes NODE"),
            ("nodes 7", "nodes takes nothing"),
            ("job 4711", "E_NOT_FOUND"),
            ("filter stat=failed", "E_FIELD"),
            ("sort nme", "no such order: nme; name?"),
            ("theme corral-drak", "no such theme: corral-drak; corral-dark?"),
            ("view mine", "no such view: mine"),
        ):
            await typed(pilot, line)
            await showing(pilot, fault)
            await pilot.press("escape")
        await typed(pilot, "filter state=completed")
        await showing(pilot, "[/state=completed]")
        await typed(pilot, "sort -name")
        await showing(pilot, "NAME▾")


async def test_tab_completes_words_and_what_follows_them(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000", "LIVE")
        await pilot.press("colon", *"nod")
        await showing(pilot, "node NODE", "the screen of nodes")
        field = pilot.app.screen.query_one(Input)
        await pilot.press("tab")
        assert field.value == "node"
        await pilot.press(" ", *"n-000", "tab", "tab")
        assert field.value == "node n-0001"
        await pilot.press("enter")
        await showing(pilot, "n-0001 › details")
        await pilot.press("colon", "up")
        assert pilot.app.screen.query_one(Input).value == "node n-0001"


async def test_actions_are_words_where_the_role_allows_them(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        await typed(pilot, "cancel")
        await showing(pilot, "Cancel job 40")
        await pilot.press("escape")
        await typed(pilot, "why")
        await showing(pilot, "40 › why")


async def test_who_may_only_look_has_no_word_for_more(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        await typed(pilot, "cancel")
        await showing(pilot, "no such word: cancel")


async def test_brackets_lead_back_and_forth_through_places(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "STATE")
        await pilot.press("3")
        await showing(pilot, " jobs  ")
        await pilot.press("enter", "exclamation_mark")
        await showing(pilot, "jobs › 40 › tasks", "[/state=failed,timeout]")
        await pilot.press("2")
        await showing(pilot, " nodes  ")
        await pilot.press("left_square_bracket")
        await showing(pilot, "jobs › 40 › tasks", "[/state=failed,timeout]")
        await pilot.press("left_square_bracket")
        await showing(pilot, "jobs › 40 › tasks")
        await gone(pilot, "[/state")
        await pilot.press("left_square_bracket", "left_square_bracket")
        await showing(pilot, " pulse  ")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "No place before" in said(pilot))
        for _ in range(4):
            await pilot.press("right_square_bracket")
        await showing(pilot, " nodes  ")


async def test_a_click_on_a_crumb_leads_back_to_it(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "STATE")
        await pilot.press("3")
        await showing(pilot, " jobs  ")
        await pilot.press("enter")
        await showing(pilot, "jobs › 40 › tasks")
        await pilot.press("w")
        await showing(pilot, "40.0 › why")
        await pilot.click("#crumbs", offset=(10, 0))
        await showing(pilot, " jobs › 40 › tasks  ")
        await pilot.click("#crumbs", offset=(2, 0))
        await showing(pilot, " jobs  ")


async def test_the_command_that_shows_the_same_is_copied(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        await typed(pilot, "filter name~x state=failed")
        await showing(pilot, "[/name~x")
        await pilot.press("Y")
        assert pilot.app.clipboard == "corral jobs '--filter=name~x state=failed'"
        await typed(pilot, "why 40.0")
        await showing(pilot, "› why")
        await pilot.press("Y")
        assert pilot.app.clipboard == "corral why 40.0"


async def test_the_palette_finds_screens_actions_and_what_the_cluster_holds(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        for letters, sign, crumb in (
            ("evnt", "events", " events  "),
            ("n-0003", "node n-0003", "n-0003 › details"),
            ("40", "job 40 ", "40 › details"),
            ("chen", "user chen", '[/user="chen"]'),
        ):
            await pilot.press("ctrl+p", *letters)
            await showing(pilot, sign)
            while sign not in chosen(pilot):
                await pilot.press("down")
            await pilot.press("enter")
            await showing(pilot, crumb)
        await pilot.press("ctrl+p", *"cncel")
        await showing(pilot, "jobs.cancel")
        await pilot.press("enter")
        await showing(pilot, "Cancel job")


def chosen(pilot: Pilot[None]) -> str:
    choices = pilot.app.screen.query_one(Choices)
    return "" if choices.cursor is None else choices.render_line(choices.cursor).text


async def test_the_palette_offers_nothing_that_is_not_allowed(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000", "LIVE")
        await pilot.press("ctrl+p", *"cordon")
        await showing(pilot, "› cordon")
        assert "nodes.cordon" not in painted(pilot)
        await pilot.press(*"xqz")
        await showing(pilot, "nothing has these letters")


async def test_the_palette_says_what_the_cluster_refuses(fake: FakeCluster) -> None:
    fake.refusals["nodes"] = Error(code="E_FORBIDDEN", message="rita may not", status=403)
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "STATE")
        await pilot.press("ctrl+p", *"x")
        await showing(pilot, "E_FORBIDDEN: rita may not")


async def test_places_of_late_are_listed_and_gone_to(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE", "STATE")
        await pilot.press("3")
        await showing(pilot, " jobs  ")
        await pilot.press("enter")
        await showing(pilot, "jobs › 40 › tasks")
        await pilot.press("7")
        await showing(pilot, " events  ")
        await pilot.press("ctrl+o")
        await showing(pilot, "jobs › tasks 40", "visited lately")
        await pilot.press("enter")
        await showing(pilot, "jobs › 40 › tasks")


async def test_a_wide_screen_has_the_modes_at_its_side(fake: FakeCluster) -> None:
    async with opened(fake, size=(200, 60)) as pilot:
        await showing(pilot, "LIVE", "▌1 pulse", " 3 jobs")
        await pilot.click("#nav", offset=(4, 2))
        await showing(pilot, "▌3 jobs", " jobs  ")
        await pilot.resize_terminal(120, 40)
        await gone(pilot, "3 jobs")


async def test_a_click_on_a_hint_does_what_its_key_does(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE", "C cancel")
        column = painted(pilot).splitlines()[-1].index("C cancel")
        await pilot.click("#hints", offset=(column + 3, 0))
        await showing(pilot, "Cancel job 40")
        await pilot.press("escape")
        await gone(pilot, "Cancel job")
        await pilot.click("#hints", offset=(painted(pilot).splitlines()[-1].index("? help"), 0))
        await showing(pilot, "everywhere", "command line")
