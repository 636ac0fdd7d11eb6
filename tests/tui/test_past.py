"""The screens of reasons: the scheduler, why, what if, what changed, and what stands out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bus.errors import Error
from bus.values import Role
from tests.tui.driving import opened, painted, showing, until
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.fake_world import World
from tui.screens.past import changes_since, explain_spike, spike_of
from tui.seen import keep_seen, read_seen
from tui.view.words import WordError


def recent() -> FakeCluster:
    return FakeCluster(World(seed=7, now_s=time.time(), nodes=20, jobs=40))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_scheduler_says_who_acts_and_why(size: tuple[int, int]) -> None:
    async with opened(recent(), size=size) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("6")
        await showing(pilot, "scheduler", "q-learning", "evidence", "over 32 windows")
        await pilot.press("G")
        await showing(pilot, "epsilon", "◆")


async def test_the_mode_is_changed_after_a_question() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("6")
        await showing(pilot, "q-learning")
        await pilot.press("m")
        await showing(pilot, "Scheduler from shadow to on?", "$ corral scheduler mode on")
        await pilot.press("y")
        await until(pilot, lambda: fake.done == [("scheduler_mode", "on")])


async def test_who_may_only_look_changes_no_mode() -> None:
    fake = recent()
    fake.role = Role.READONLY
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("6")
        await showing(pilot, "q-learning")
        await pilot.press("m", "y")
        assert fake.done == []


async def test_why_shows_the_decision_and_leads_to_the_node() -> None:
    async with opened(recent()) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE")
        await pilot.press("w")
        await showing(pilot, "› why", "chosen", "too little free: cores", "█")
        await pilot.press("enter")
        await showing(pilot, "› details")


async def test_what_if_says_the_effect_before_it_drains() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await pilot.press("2")
        await showing(pilot, "n-0000")
        await pilot.press("W")
        await showing(pilot, "n-0000 › whatif", "n-0000 drained", "what if")
        await showing(pilot, "what n-0000 holds", "would end there, the last in about", "LATER BY", "stays")
        await pilot.press("t")
        await showing(
            pilot, "n-0000 drained within 1m", "would go elsewhere, later by", "could go nowhere", "h100"
        )
        await pilot.press("a")
        await showing(pilot, "1 more like it")
        await pilot.press("d", "o")
        await showing(pilot, "order fcfs")
        assert fake.done == []
        await pilot.press("enter")
        await showing(pilot, "$ corral drain n-0000 --deadline 1m", "would go elsewhere, later by")
        await pilot.press("y")
        await until(pilot, lambda: fake.done == [("drain", "n-0000")])


async def test_what_starts_next_is_a_word_from_everywhere() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("colon", *"plan", "enter")
        await showing(pilot, " plan  ", "rollout orders", "BETWEEN", "forecasts so far were right")
        assert "upcoming" in fake.asked
        await pilot.press("escape", "6")
        await showing(pilot, "changes of mode and policy")
        await pilot.press("p")
        await showing(pilot, "scheduler › plan", "rollout orders")


async def test_what_changed_since_one_looked_is_told(tmp_path: Path) -> None:
    fake = recent()
    seen = tmp_path / "console.seen"
    keep_seen(seen, time.time() - 7200)
    async with opened(fake) as pilot:
        console = pilot.app
        assert isinstance(console, Console)
        console._path = tmp_path / "console.toml"
        await showing(pilot, "LIVE")
        await pilot.press("ctrl+n")
        await showing(pilot, "since I last looked", "changed", "(2h00m)")
    left_s = read_seen(seen)
    assert left_s is not None and time.time() - left_s < 600


def test_a_broken_memory_of_the_last_visit_is_none(tmp_path: Path) -> None:
    path = tmp_path / "console.seen"
    assert read_seen(path) is None
    for text in ("", "yesterday", "nan", "-1"):
        path.write_text(text)
        assert read_seen(path) is None


async def test_a_spike_is_explained_and_a_refusal_says_why() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        now_s = time.time()
        pilot.app.push_screen(explain_spike(now_s - 600, now_s))
        await showing(pilot, "› spike", "six times as long", "usual")
        fake.refusals["spike"] = Error(code="E_TOO_LARGE", message="so much happened", hint="ask for less")
        await pilot.press("ctrl+r")
        await showing(pilot, "E_TOO_LARGE", "ask for less")


@pytest.mark.parametrize("text", ["someday", "2099-01-01"])
def test_words_that_are_no_moment_are_refused(text: str) -> None:
    with pytest.raises(WordError, match="not a moment"):
        changes_since(text)
    with pytest.raises(WordError, match=r"FROM\.\.TO"):
        spike_of("14:00")
    with pytest.raises(WordError, match="not before"):
        spike_of("1h..2h")


async def test_offline_the_page_stays() -> None:
    fake = recent()
    async with opened(fake) as pilot:
        await showing(pilot, "LIVE")
        await pilot.press("6")
        await showing(pilot, "q-learning")
        fake.reachable = False
        await pilot.press("ctrl+r")
        await showing(pilot, "OFFLINE")
        assert "q-learning" in painted(pilot)
