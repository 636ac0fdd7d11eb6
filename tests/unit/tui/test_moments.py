"""What people type for a moment, and where the cursor goes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.view.moments import STEPS_S, Density, banner, bar, parse_moment, stepped, then_text

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [
        ("-2h", 7200),
        ("90m", 5400),
        ("13:05", 3300),
        ("13:05:30", 3270),
        ("14:05", 86_100),
        ("today", 50_400),
        ("yesterday", 136_800),
        ("2026-11-22", 50_400),
        ("2026-11-22T10:00Z", 14_400),
        ("2026-11-22T12:00+02:00", 14_400),
        (" 1h30m ", 5400),
    ],
)
def test_a_moment_is_understood(text: str, ago_s: float) -> None:
    assert parse_moment(text, now=NOW) == NOW_S - ago_s


@pytest.mark.parametrize("text", ["", "now", "  "])
def test_the_present_is_no_moment(text: str) -> None:
    assert parse_moment(text, now=NOW) is None


@pytest.mark.parametrize(
    "text", ["someday", "25:00", "2026-13-01", "-", "2h ago", "2026-11-22T15:00Z", "2099-01-01"]
)
def test_what_is_no_moment_of_the_past_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(text, now=NOW)


@given(st.sampled_from(STEPS_S), st.integers(1, 30), st.floats(0.0, 4.0))
def test_as_many_steps_forward_lead_back_to_now(step_s: float, steps: int, passing_s: float) -> None:
    moment = None
    for _ in range(steps):
        moment = stepped(moment, -step_s, now_s=NOW_S)
    assert moment == NOW_S - steps * step_s
    for _ in range(steps):
        assert moment is not None
        moment = stepped(moment, step_s, now_s=NOW_S + passing_s)
    assert moment is None


@given(st.none() | st.floats(0.0, NOW_S), st.sampled_from(STEPS_S), st.integers(5, 200))
def test_the_cursor_stands_on_its_bar(moment: float | None, step_s: float, width: int) -> None:
    drawn = bar(moment, step_s=step_s, now_s=NOW_S, width=width)
    assert len(drawn) == width and drawn.count("●") == 1 and drawn[0] == "◀" and drawn[-1] == "▶"
    if moment is None:
        assert drawn.endswith("●▶")


def test_the_banner_says_when_and_how_long_ago() -> None:
    assert banner(NOW_S - 7800, now_s=NOW_S).endswith(", 2h10m ago")


def test_the_bar_is_as_high_as_much_happened_and_dotted_before_anything_is_kept() -> None:
    density = Density(NOW_S - 7200, 1800, (None, 1.0, 0.0, 7.0))
    drawn = bar(None, step_s=300, now_s=NOW_S, width=14, density=density)
    assert drawn == "◀···▁▁▁───▄▄●▶"
    assert density.begins_s == NOW_S - 5400
    assert bar(None, step_s=300, now_s=NOW_S, width=14) == f"◀{'─' * 11}●▶"


@pytest.mark.parametrize(
    ("ago_s", "said"), [(600, "7 tasks/s ended"), (4000, "1 tasks/s ended"), (7000, "figures are kept from ")]
)
def test_what_happened_at_the_cursor_is_said_in_words(ago_s: float, said: str) -> None:
    density = Density(NOW_S - 7200, 1800, (None, 1.0, 0.0, 7.0))
    assert then_text(NOW_S - ago_s, density).startswith(said)
    assert then_text(NOW_S - ago_s, None) == ""
    assert density.at(NOW_S - 9000) is None and Density(0.0, 1.0, ()).at(5.0) is None


@given(st.floats(0.0, NOW_S), st.lists(st.none() | st.floats(0.0, 1e6), max_size=80), st.integers(5, 200))
def test_whatever_is_known_the_bar_fits(moment: float, values: list[float | None], width: int) -> None:
    density = Density(NOW_S - 7200, 7200 / max(len(values), 1), values)
    drawn = bar(moment, step_s=300, now_s=NOW_S, width=width, density=density)
    assert len(drawn) == width and drawn.count("●") == 1
