"""Whatever opens may be left before it stands."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.screen import Screen

from bus.values import Role
from tests.tui.driving import opened, showing, until
from tests.tui.test_states import PLACES, Place
from tui.client.fake import FakeCluster
from tui.screens.openers import screen_of
from tui.view.modes import MODE_DIGITS

MODALS = {
    "submit": ("S",),
    "resubmit": ("s",),
    "question": ("C",),
    "blanks": ("P",),
    "command": ("colon",),
    "palette": ("ctrl+p",),
    "places": ("ctrl+o",),
    "moment": ("ctrl+t",),
    "help": ("question_mark",),
    "journal": ("a",),
}
"""What opens each, in the list of jobs."""


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[Screen[Any]]:
    """Every screen is left in the moment it is opened; these were."""
    left: list[Screen[Any]] = []

    def push(self: Any, screen: Screen[Any], *given: Any, **named: Any) -> Any:
        opening = before(self, screen, *given, **named)
        left.append(screen)
        self.pop_screen()
        return opening

    from tui.app import Console

    before = Console.push_screen
    monkeypatch.setattr(Console, "push_screen", push)
    return left


@pytest.mark.parametrize("keys", MODALS.values(), ids=MODALS)
async def test_a_modal_left_before_it_stands_takes_nobody_along(
    fake: FakeCluster, pushed: list[Screen[Any]], keys: tuple[str, ...]
) -> None:
    fake.role = Role.ADMIN
    async with opened(fake) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press(*keys)
        await pilot.pause()
        assert pushed
        await pilot.press("2")
        await showing(pilot, "n-0003")


@pytest.mark.parametrize("keys", [("v",), ("p",), ("o",), ("t", "t", "t", "u"), ("d",)])
async def test_what_opens_from_storage_left_before_it_stands_takes_nobody_along(
    fake: FakeCluster, pushed: list[Screen[Any]], keys: tuple[str, ...]
) -> None:
    async with opened(fake) as pilot:
        await pilot.press("8")
        await showing(pilot, "eth0")
        for key in keys[:-1]:
            await pilot.press(key)
        if len(keys) > 1:
            await showing(pilot, "TAKEN", "n-0000")
        await pilot.press(keys[-1])
        await until(pilot, lambda: bool(pushed))
        await pilot.press("2")
        await showing(pilot, "n-0003")


async def test_the_form_of_a_call_left_before_it_stands_takes_nobody_along(
    fake: FakeCluster, pushed: list[Screen[Any]]
) -> None:
    async with opened(fake) as pilot:
        await pilot.press("9")
        await showing(pilot, "wordcount")
        await pilot.press("c")
        await until(pilot, lambda: bool(pushed))
        await pilot.press("2")
        await showing(pilot, "n-0003")


@pytest.mark.parametrize("place", [each for each in PLACES if each.line not in MODE_DIGITS], ids=str)
async def test_a_screen_left_before_it_stands_takes_nobody_along(
    fake: FakeCluster, pushed: list[Screen[Any]], place: Place
) -> None:
    async with opened(fake) as pilot:
        screen = screen_of(place.line)
        assert screen is not None
        pilot.app.push_screen(screen)
        await pilot.pause()
        assert pushed == [screen]
        await pilot.press("2")
        await showing(pilot, "n-0003")


async def test_an_answer_that_comes_after_one_left_closes_nothing_else(fake: FakeCluster) -> None:
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("3", "d")
        await showing(pilot, "› details")
        below = pilot.app.screen
        await pilot.press("colon")
        await until(pilot, lambda: pilot.app.screen is not below)
        line = pilot.app.screen
        line.dismiss(None)
        line.dismiss(None)
        await pilot.pause()
        assert pilot.app.screen is below
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is not below)
        line.dismiss(None)
        await pilot.press("2")
        await showing(pilot, "n-0003")


async def test_who_waits_for_an_answer_is_stopped_before_the_parts_go(fake: FakeCluster) -> None:
    stopped: list[bool] = []

    async def wait(form: Screen[Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(bool(form.query("#form-fault")))

    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("S")
        await showing(pilot, "Submit a job")
        form = pilot.app.screen
        form.run_worker(wait(form))
        await pilot.pause()
        await pilot.press("escape")
        await until(pilot, lambda: bool(stopped))
    assert stopped == [True]
