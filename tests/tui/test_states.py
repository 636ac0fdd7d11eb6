"""Every screen in every state: its answer on the way, late, refused, broken, and nobody there to give one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Struct
from textual.pilot import Pilot

from bus.errors import ApiError, CorralError, Error, RequestTimeout
from bus.values import Role
from tests.tui.driving import gone, on_session, showing, until
from tests.tui.troubled import Troubled, console, screen_at
from tui.client.fake import FakeCluster
from tui.client.session import Session
from tui.screens.nodes import NodesScreen
from tui.screens.openers import screen_of
from tui.view.modes import MODE_DIGITS

FORBIDDEN = ApiError(
    Error(code="E_FORBIDDEN", message="demo may not ask that", expected="operator or above", status=403)
)
AWAY = ApiError(Error(code="E_UNAVAILABLE", message="the database is away", hint="try again", status=503))


class Place(Struct, frozen=True):
    """`line` opens it; `sign` stands there once it is answered."""

    line: str
    sign: str

    def __str__(self) -> str:
        return self.line


PLACES = [
    Place("pulse", "STATE"),
    Place("nodes", "n-0003"),
    Place("jobs", "STATE"),
    Place("charts", "cpu %"),
    Place("scheduler", "shadow"),
    Place("events", "EVENT"),
    Place("storage", "eth0"),
    Place("tools", "podman"),
    Place("users", "LEVEL"),
    Place("tasks 40", "40.0"),
    Place("job 40", "submitted"),
    Place("task 40.0", "completed"),
    Place("node n-0003", "healthy"),
    Place("tool wordcount", "versions"),
    Place("why 40.0", "least"),
    Place("gantt n-0003", "╷"),
    Place("gantt 37", "╷"),
    Place("xray demo", "▾"),
    Place("whatif n-0003", "drain"),
    Place("changes 2h", "jobs"),
    Place("spike 2h..1h", "against"),
    Place("chart n-0003", "cpu cores"),
]


@pytest.fixture
def troubled(fake: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Troubled:
    """Who waits is told so soon, so that tests need not wait long."""
    monkeypatch.setattr("tui.client.asking.SLOW_S", 0.1)
    monkeypatch.setattr("tui.ticking.TICK_S", 0.1)
    fake.role = Role.USER
    return Troubled(fake)


@asynccontextmanager
async def at(
    troubled: Troubled, place: Place, *, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[Pilot[None]]:
    """The console at a place, as soon as somebody is there to be asked."""
    async with on_session(Session(troubled.connect), size=size) as pilot:
        await showing(pilot, "LIVE")
        await go(pilot, place)
        yield pilot


async def go(pilot: Pilot[None], place: Place) -> None:
    """To a main screen by its digit, to any other from where one is."""
    if place.line in MODE_DIGITS:
        if console(pilot).current_mode != place.line:
            await pilot.press(MODE_DIGITS[place.line])
        await until(pilot, lambda: console(pilot).current_mode == place.line)
    else:
        screen = screen_of(place.line)
        assert screen is not None
        await pilot.app.push_screen(screen)


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_it_says_what_keeps_the_answer_and_what_was_there_stays(
    troubled: Troubled, place: Place
) -> None:
    troubled.hold()
    async with at(troubled, place) as pilot:
        await showing(pilot, "◐ waiting", "? help")
        await troubled.release(into=FORBIDDEN)
        await showing(pilot, "✖ needs operator, you are user (demo)", "ctrl-r asks again")
        await troubled.release()
        await pilot.press("ctrl+r")
        await showing(pilot, place.sign)
        troubled.hold()
        await pilot.press("ctrl+r")
        await showing(pilot, "◐ waiting", place.sign)
        await troubled.release()
        await gone(pilot, "◐ waiting")
        faults: list[tuple[CorralError, str]] = [
            (FORBIDDEN, "needs operator, you are user (demo)"),
            (AWAY, "E_UNAVAILABLE: the database is away"),
            (RequestTimeout("why.show: none within 5 s"), "no answer in time"),
        ]
        for fault, words in faults:
            troubled.fail(fault)
            await pilot.press("ctrl+r")
            await showing(pilot, words, place.sign, "LIVE")
        await troubled.release()
        await pilot.press("ctrl+r")
        await gone(pilot, "✖ no answer")
        troubled.fake.reachable = False
        screen_at(pilot).session.hurry()
        await showing(pilot, "OFFLINE", place.sign)
        assert screen_at(pilot).has_class("-offline")
        troubled.fake.reachable = True
        screen_at(pilot).session.hurry()
        await showing(pilot, "LIVE", place.sign)
        assert not screen_at(pilot).has_class("-offline")


async def test_an_output_says_what_keeps_it_too(troubled: Troubled) -> None:
    troubled.hold()
    async with at(troubled, Place("output 40.0", "")) as pilot:
        await showing(pilot, "40.0 › output", "◐ waiting")
        await troubled.release(into=FORBIDDEN)
        await showing(pilot, "✖ needs operator, you are user (demo)", "ctrl-r asks again")
        await troubled.release(into=RequestTimeout("none within 5 s"))
        await pilot.press("ctrl+r")
        await showing(pilot, "◐ no answer in time, asked again soon", "LIVE")
        await troubled.release()
        await showing(pilot, "epoch 399")
        await pilot.press("ctrl+r")
        await showing(pilot, "epoch 399")


async def test_a_pane_does_not_wait_for_another(troubled: Troubled) -> None:
    troubled.hold("why", "logs")
    async with at(troubled, Place("tasks 40", "40.0"), size=(200, 60)) as pilot:
        await showing(pilot, "40.0", "output  task 40.0  ◐ waiting", "events  task 40.0", "task completed")
        await pilot.press("tab", "tab")
        await showing(pilot, "why  events  ◐ waiting", "task completed")
        await troubled.release()
        await showing(pilot, "epoch 399", "least")
        await gone(pilot, "◐ waiting")


async def test_the_map_waits_for_its_own_answer(troubled: Troubled) -> None:
    async with at(troubled, Place("nodes", "n-0003"), size=(200, 60)) as pilot:
        await showing(pilot, "n-0003", "cpu held")
        troubled.hold("nodes")
        screen = screen_at(pilot)
        assert isinstance(screen, NodesScreen)
        screen._load_map()
        await showing(pilot, "◐ waiting", "cpu held")
        await troubled.release()
        await gone(pilot, "◐ waiting")


async def test_an_empty_cluster_is_not_taken_for_one_that_does_not_answer(troubled: Troubled) -> None:
    """A page that was answered, and then is not: it says both."""
    async with at(troubled, Place("jobs", "STATE")) as pilot:
        await showing(pilot, "STATE")
        await pilot.press("slash", *"name~nothing", "enter")
        await showing(pilot, "Nothing matches name~nothing", "Esc shows everything")
        troubled.hold()
        await pilot.press("ctrl+r")
        await showing(pilot, "Nothing matches name~nothing", "◐ waiting")
        await troubled.release()
        await gone(pilot, "◐ waiting")
        await pilot.press("escape")
        await showing(pilot, "STATE")


async def test_where_the_console_itself_is_refused_the_reason_has_a_line(troubled: Troubled) -> None:
    async with at(troubled, Place("jobs", "STATE"), size=(80, 24)) as pilot:
        await showing(pilot, "STATE")
        troubled.fail(AWAY, "cluster")
        screen_at(pilot).session.hurry()
        await showing(pilot, "OFFLINE", "✖ E_UNAVAILABLE: the database is away", "old)", "STATE")
        await troubled.release()
        screen_at(pilot).session.hurry()
        await showing(pilot, "LIVE")
        await gone(pilot, "✖ E_UNAVAILABLE")


async def test_a_line_that_is_looked_into_for_long_says_so_and_can_be_given_up(troubled: Troubled) -> None:
    async with at(troubled, Place("jobs", "STATE")) as pilot:
        await showing(pilot, "STATE")
        troubled.hold("jobs", "nodes", "node", "job")
        await pilot.press("slash", *"name~x", "enter")
        await showing(pilot, "◐ waiting 0 s; Esc gives up", "LIVE")
        await pilot.press("escape")
        await gone(pilot, "Esc gives up")
        await gone(pilot, "name~x")
        await pilot.press("colon", *"job 40", "enter")
        await showing(pilot, "◐ waiting 0 s; Esc gives up")
        await pilot.press("escape")
        await gone(pilot, "Esc gives up")
        await pilot.press("ctrl+p", *"train")
        await showing(pilot, "◐ waiting 0 s")
        await troubled.release()
        await gone(pilot, "◐ waiting 0 s")
        await pilot.press("escape")
        await gone(pilot, "these letters")


async def test_a_question_that_waits_for_what_it_would_do_counts(troubled: Troubled) -> None:
    troubled.fake.role = Role.ADMIN
    async with at(troubled, Place("nodes", "n-0000")) as pilot:
        await showing(pilot, "n-0000")
        troubled.hold("what_if")
        await pilot.press("r")
        await showing(pilot, "Drain node n-0000", "looking ahead … ◐ waiting 0 s")
        await troubled.release(into=AWAY)
        await showing(pilot, "not known: E_UNAVAILABLE")
        await pilot.press("n")
        await gone(pilot, "Drain node")
    assert troubled.fake.done == []


async def test_what_it_would_do_may_come_when_the_question_is_on_its_way_out(troubled: Troubled) -> None:
    troubled.fake.role = Role.ADMIN
    async with at(troubled, Place("nodes", "n-0000")) as pilot:
        await showing(pilot, "n-0000")
        troubled.hold("what_if")
        await pilot.press("r")
        await showing(pilot, "looking ahead … ◐ waiting 0 s")
        question = pilot.app.screen
        await question.query_one("#outlook").remove()  # parts go before who works for them is stopped
        await troubled.release()
        await until(pilot, lambda: all(worker.node is not question for worker in pilot.app.workers))
        await pilot.press("n")
        await gone(pilot, "Drain node")


async def test_a_form_waits_for_its_plan_and_for_its_answer(troubled: Troubled) -> None:
    async with at(troubled, Place("jobs", "STATE")) as pilot:
        await showing(pilot, "STATE")
        troubled.hold("plan", "submit")
        await pilot.press("S")
        await showing(pilot, "Submit a job")
        await pilot.press(*"true")
        await showing(pilot, "corral submit", "◐ waiting 0 s")
        await troubled.release()
        await gone(pilot, "◐ waiting")
        troubled.hold("submit")
        await pilot.press("ctrl+s")
        await showing(pilot, "◐ waiting 0 s")
        assert troubled.fake.done == []
        await troubled.release()
        await until(pilot, lambda: [verb for verb, _ in troubled.fake.done] == ["submit"])
