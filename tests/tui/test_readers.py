"""Who may only look goes everywhere, is offered nothing to do, and is told which role a key needs."""

from __future__ import annotations

import pytest

from bus.values import Role
from tests.tui.driving import on_session, painted, showing, until
from tests.tui.test_states import PLACES, at, go
from tests.tui.troubled import Troubled, console, said, screen_at
from tui.client.fake import FakeCluster
from tui.client.session import Session
from tui.modals.help import KEY_CELLS, key_blocks
from tui.screens.commanding import doables, words_of
from tui.screens.finding import entries_of
from tui.screens.live import LiveScreen
from tui.view.actions import ROLES
from tui.widgets.hints import hints_of

VERBS = {"cancel", "retry", "hold", "release", "drain", "cordon", "submit", "resubmit", "undo", "resolve"}
DEEDS = (*(f"steer('{verb}')" for verb in ROLES), "submit", "resubmit", "undo", "what_if", "all_matching")


async def test_nothing_is_offered_anywhere_that_would_change_something(fake: FakeCluster) -> None:
    fake.role = Role.READONLY
    async with at(Troubled(fake), PLACES[0]) as pilot:
        for place in PLACES:
            await go(pilot, place)
            await showing(pilot, place.sign)
            only_looks(screen_at(pilot))


def only_looks(screen: LiveScreen) -> None:
    """Neither keys nor hints, help, palette or the command line have anything to do."""
    offered = {doable.action: doable for doable in doables(screen)}
    assert not set(DEEDS) & set(offered)
    assert not [action for _, _, action in hints_of(screen) if action.partition(".")[2] in DEEDS]
    told = {line[KEY_CELLS:].strip() for _, words in key_blocks(screen) for line in words.splitlines()}
    named = {entry.name for entry in entries_of(screen.console, screen)}
    allowed = {doable.about for doable in offered.values()}
    deeds = {about for action, about in bound(screen) if action in DEEDS} - allowed
    assert not deeds & (told | named)
    assert not VERBS & set(words_of(screen.console, screen))


def bound(screen: LiveScreen) -> list[tuple[str, str]]:
    """Action and words of every key of the screen, allowed or not."""
    keys = screen._bindings.key_to_bindings.values()
    return [(binding.action, binding.description) for bindings in keys for binding in bindings]


@pytest.mark.parametrize(
    ("place", "key", "needs"), [("jobs", "C", "user"), ("jobs", "S", "user"), ("nodes", "r", "operator")]
)
async def test_a_key_of_others_says_whose_it_is(fake: FakeCluster, place: str, key: str, needs: str) -> None:
    fake.role = Role.READONLY
    async with at(Troubled(fake), next(each for each in PLACES if each.line == place)) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: f"needs {needs}, you are readonly (demo)" in said(pilot))
    assert fake.done == []


async def test_a_key_that_is_locked_says_why(fake: FakeCluster) -> None:
    async with on_session(Session(fake.connect)) as pilot:
        await showing(pilot, "LIVE", "STATE")
        console(pilot).look_at(1.0)
        await pilot.press("3", "C")
        await until(pilot, lambda: "in the past: n leads back to now" in said(pilot))
        console(pilot).look_at(None)
        fake.reachable = False
        await showing(pilot, "OFFLINE")
        await pilot.press("C")
        await until(pilot, lambda: "nobody answers now" in said(pilot))
        assert "Cancel" not in painted(pilot)
    assert fake.done == []
