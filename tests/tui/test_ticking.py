"""What recurs does so where it is seen: hidden screens cost nothing, and what is gone is forgotten."""

from __future__ import annotations

from typing import ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tests.tui.driving import until
from tui import ticking
from tui.ticking import Ticking


class Page(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Static("page")

    def on_mount(self) -> None:
        self.calls = self.rare = 0
        assert isinstance(self.app, Ticking)
        self.app.every(self, 1, self.count)
        self.app.every(self.query_one(Static), 3, self.count_rare)

    def count(self) -> None:
        self.calls += 1

    def count_rare(self) -> None:
        self.rare += 1


class Clock(Ticking):
    MODES: ClassVar = {"one": Page, "two": Page}
    DEFAULT_MODE = "one"


def page(app: App[None]) -> Page:
    screen = app.screen_stack[0]
    assert isinstance(screen, Page)
    return screen


async def test_hidden_screens_wait_and_those_below_a_modal_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticking, "TICK_S", 0.01)
    app = Clock()
    async with app.run_test() as pilot:
        one = page(app)
        await until(pilot, lambda: one.rare >= 2)
        assert one.calls >= 6
        await app.switch_mode("two")
        two, before = page(app), one.calls
        await until(pilot, lambda: two.calls >= 5)
        assert one.calls == before and two is not one
        await app.push_screen(ModalScreen())
        before = two.calls
        await until(pilot, lambda: two.calls > before)


async def test_what_is_gone_is_called_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticking, "TICK_S", 0.01)
    app = Clock()
    async with app.run_test() as pilot:
        one = page(app)
        await until(pilot, lambda: one.rare >= 1)
        await one.query_one(Static).remove()
        calls, rare = one.calls, one.rare
        await until(pilot, lambda: one.calls >= calls + 6)
        assert one.rare == rare
