"""Keys, colours and views as somebody chose them; every text stands out from its ground in every theme."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import combinations
from pathlib import Path

import pytest
from textual.color import Color
from textual.pilot import Pilot
from textual.screen import ModalScreen

from tests.tui.driving import gone, painted, showing, until
from tests.tui.test_shell import said, typed
from tui.app import Console
from tui.client.fake import FakeCluster
from tui.client.session import Session
from tui.keys import binding_ids, clashes, known_keys
from tui.settings import View, read_settings
from tui.theme.palettes import SAFE, THEMES

CONTRAST_LEAST = 4.5
TONES = ("success", "primary", "warning", "error")
GROUNDS = ("background", "surface", "panel", "primary-muted", "surface-lighten-1")
TEXTS = ("foreground", "text-muted", *(f"text-{tone}" for tone in (*TONES, "accent")))


@asynccontextmanager
async def dressed(fake: FakeCluster, path: Path, *, text: str = "") -> AsyncIterator[Pilot[None]]:
    if text:
        path.write_text(text)
    console = Console(Session(fake.connect), settings_path=path)
    async with console.run_test(size=(120, 40)) as pilot:
        yield pilot


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "console.toml"


async def test_keys_are_what_the_settings_say(fake: FakeCluster, path: Path) -> None:
    async with dressed(
        fake, path, text='[keys]\n"jobs.cancel" = "X, ctrl+x"\n"mode.events" = "f8"\n'
    ) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE", "X cancel")
        await pilot.press("C")
        await pilot.pause()
        assert "Cancel job" not in painted(pilot)
        for key in ("X", "ctrl+x"):
            await pilot.press(key)
            await showing(pilot, "Cancel job")
            await pilot.press("escape")
            await gone(pilot, "Cancel job")


async def test_a_fault_is_told_and_the_console_opens(fake: FakeCluster, path: Path) -> None:
    text = 'theme = "corral-lihgt"\n[keys]\n"jobs.cansel" = "X"\n"jobs.hold" = "H"\n'
    async with dressed(fake, path, text=text) as pilot:
        await showing(pilot, "STATE", "LIVE")
        assert "there is no corral-lihgt; corral-light?  (and 1 more)" in said(pilot)
        await pilot.press("3")
        await pilot.press("H")
        await showing(pilot, "Hold job")


@pytest.mark.parametrize(
    ("wishes", "key", "ids"),
    [
        ({"jobs.cancel": "R"}, "R", {"jobs.cancel", "jobs.retry"}),
        ({"jobs.cancel": "f5", "jobs.hold": "f5"}, "f5", {"jobs.cancel", "jobs.hold"}),
        ({"jobs.cancel": "j"}, "j", {"jobs.cancel", "table.down"}),
        ({"jobs.cancel": "?"}, "question_mark", {"jobs.cancel", "console.help"}),
        ({"confirm.yes": "n"}, "n", {"confirm.yes", "confirm.no"}),
    ],
)
def test_two_wants_of_one_key_are_found(wishes: dict[str, str], key: str, ids: set[str]) -> None:
    met, wrong = known_keys(wishes)
    assert (key, frozenset(ids)) in clashes(wishes)
    assert met == {} and wrong[0].id == next(iter(wishes))
    assert all(id in wrong[0].said for id in ids)


@pytest.mark.parametrize(
    "wishes",
    [
        {"jobs.cancel": "R", "jobs.retry": "C"},
        {"nodes.drain": "C", "nodes.cordon": "f6"},
        {"jobs.cancel": "C"},
        {"gantt.closer": "j"},
    ],
    ids=["swapped", "on another screen", "as it is", "where no list is"],
)
def test_keys_that_do_not_meet_do_not_clash(wishes: dict[str, str]) -> None:
    assert known_keys(wishes) == (wishes, [])


async def test_a_clash_is_told_with_its_line_and_both_keep_their_keys(fake: FakeCluster, path: Path) -> None:
    text = 'theme = "corral-light"\n[keys]\n# mine\n"jobs.cancel" = "R"\n"jobs.why" = "f7"\n'
    async with dressed(fake, path, text=text) as pilot:
        await showing(pilot, "STATE", "LIVE")
        assert "console.toml, line 4: R is wanted by jobs.cancel and by jobs.retry" in said(pilot)
        await pilot.press("3")
        await showing(pilot, "C cancel", "f7 why")
        await pilot.press("C")
        await showing(pilot, "Cancel job")


async def test_what_is_no_toml_leaves_the_console_as_it_is(fake: FakeCluster, path: Path) -> None:
    async with dressed(fake, path, text="theme =\n") as pilot:
        await showing(pilot, "STATE", "LIVE")
        assert "line 1" in said(pilot) and pilot.app.theme == "corral-dark"


async def test_a_theme_is_taken_at_once_and_kept(fake: FakeCluster, path: Path) -> None:
    async with dressed(fake, path) as pilot:
        await showing(pilot, "STATE", "LIVE")
        await typed(pilot, "theme corral-light")
        await until(pilot, lambda: pilot.app.theme == "corral-light")
        await until(pilot, lambda: read_settings(path).theme == "corral-light")
    async with dressed(fake, path) as pilot:
        assert pilot.app.theme == "corral-light"


async def test_a_view_is_saved_shown_and_forgotten(fake: FakeCluster, path: Path) -> None:
    async with dressed(fake, path) as pilot:
        await pilot.press("3")
        await showing(pilot, "STATE", "LIVE")
        await typed(pilot, "filter state=completed")
        await showing(pilot, "[/state=completed]")
        await typed(pilot, "sort name")
        await showing(pilot, "NAME▴")
        await typed(pilot, "view save done")
        await until(pilot, lambda: "view done: saved" in said(pilot))
        assert read_settings(path).views == {"done": View("jobs", "state=completed", "name")}
        await pilot.press("2")
        await showing(pilot, " nodes  ")
        await typed(pilot, "view done")
        await showing(pilot, "[/state=completed]", "NAME▴", " jobs  ")
        await typed(pilot, "view delete done")
        await until(pilot, lambda: read_settings(path).views == {})


def test_wishes_for_keys_that_cannot_be_met_are_told() -> None:
    met, wrong = known_keys(
        {"jobs.cancel": "ctrl+x", "jobs.hold": "hyperspace", "jobs.why": "", "table.first": "f5,f6"}
    )
    assert met == {"jobs.cancel": "ctrl+x", "table.first": "f5,f6"}
    assert [fault.id for fault in wrong] == ["jobs.hold", "jobs.why"]
    assert "no such key: hyperspace" in wrong[0].said and "no such key: none" in wrong[1].said
    assert {"console.command", "table.down", "confirm.yes", "mode.pulse"} <= binding_ids()


@pytest.mark.parametrize("name", THEMES)
def test_texts_stand_out_from_their_grounds(name: str) -> None:
    colours = THEMES[name].to_color_system().generate()
    pairs = [(text, ground) for text in TEXTS for ground in GROUNDS]
    pairs += [("text-error", "error-muted"), ("text-warning", "warning-muted"), ("background", "warning")]
    poor = {
        pair: contrast(Color.parse(colours[pair[0]]), Color.parse(colours[pair[1]]))
        for pair in pairs
        if contrast(Color.parse(colours[pair[0]]), Color.parse(colours[pair[1]])) < CONTRAST_LEAST
    }
    assert not poor


@pytest.mark.parametrize("name", THEMES)
async def test_what_is_painted_stands_out(fake: FakeCluster, path: Path, name: str) -> None:
    async with dressed(fake, path, text=f'theme = "{name}"\n') as pilot:
        for keys, word in (
            ((), " %"),  # the pulse
            (("2",), "n-0000"),
            (("3",), "JOB"),
            (("d",), "submitted"),
            (("escape", "C"), "$ corral cancel"),
            (("escape", "question_mark"), "everywhere"),
            (("escape", "colon"), ":"),
        ):
            await pilot.press(*keys)
            await showing(pilot, word)
            await pilot.pause()
            assert not list(poor_cells(pilot))


def poor_cells(pilot: Pilot[None]) -> list[tuple[str, float]]:
    """Texts that are hard to read. Signs that draw (lines, bars, scroll bars) are no texts."""
    screen = pilot.app.screen
    box = screen.query(".box, #command").first().region if isinstance(screen, ModalScreen) else screen.region
    poor = []
    for strip in screen._compositor.render_strips()[box.y : box.bottom]:
        for part in strip.crop(box.x, box.right):  # what lies below a modal is dimmed on purpose
            words = [word for word in part.text.split() if any(sign.isalnum() for sign in word)]
            style = part.style
            if not words or style is None or style.color is None or style.bgcolor is None:
                continue
            stands_out = contrast(Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor))
            if stands_out < CONTRAST_LEAST:
                poor.append((part.text, stands_out))
    return poor


def test_tones_are_told_apart_by_colour_blind_eyes() -> None:
    colours = SAFE.to_color_system().generate()
    tones = {tone: Color.parse(colours[f"text-{tone}"]) for tone in TONES}
    for matrix in (PROTAN, DEUTAN):
        for one, other in combinations(TONES, 2):
            seen = [as_seen(tones[tone], matrix) for tone in (one, other)]
            distance = sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5
            assert distance > 0.12, (one, other, distance)


def contrast(one: Color, other: Color) -> float:
    """WCAG 2.2: (L1 + 0.05) / (L2 + 0.05), L the relative luminance."""
    lights = sorted(
        0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in (linear(one), linear(other))
    )
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def linear(colour: Color) -> tuple[float, float, float]:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return red, green, blue


PROTAN = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
DEUTAN = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
"""Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of CVD" (2009)."""


def as_seen(colour: Color, matrix: tuple[tuple[float, float, float], ...]) -> list[float]:
    """Linear RGB as such eyes see it."""
    return [sum(weight * part for weight, part in zip(row, linear(colour), strict=True)) for row in matrix]
