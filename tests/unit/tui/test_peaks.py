"""Where a curve is highest, and from when to when it stands out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.view.peaks import POINTS_LEAST, extent, highest
from tui.view.series import Curve, Panel

STEP_S = 60.0


def panel(*curves: Curve) -> Panel:
    return Panel(title="cpu", unit="%", since_s=6_000.0, step_s=STEP_S, curves=curves)


def test_the_highest_value_of_all_curves_is_the_peak() -> None:
    low, high = Curve("a", (1.0, 2.0, 1.0)), Curve("b", (1.0, 1.0, 5.0))
    assert highest(panel(low, high)) == 2
    assert highest(panel(Curve("a", (3.0, 3.0, None)))) == 0  # the first of equals
    assert highest(panel(Curve("a", (None, float("nan"))))) is None


def test_what_cannot_be_true_is_no_peak() -> None:
    assert highest(panel(Curve("a", (1.0, 900.0, 2.0), anomalies=(1,)))) == 2


def test_a_peak_is_as_wide_as_it_stands_out_by_half() -> None:
    values = (1.0,) * 20 + (4.0, 9.0, 10.0, 6.0, 2.0) + (1.0,) * 15
    began, ended = extent(panel(Curve("a", values)), 22)
    assert (began, ended) == (6_000.0 + 21 * STEP_S, 6_000.0 + 24 * STEP_S)


def test_a_gap_ends_it() -> None:
    values = (1.0,) * 20 + (9.0, None, 10.0, 9.0, 9.0, 9.0) + (1.0,) * 15
    assert extent(panel(Curve("a", values)), 22) == (6_000.0 + 22 * STEP_S, 6_000.0 + 26 * STEP_S)


def test_where_nothing_was_measured_the_moment_and_its_neighbours_are_asked_about() -> None:
    assert extent(panel(Curve("a", (None,) * 9)), 4) == (6_000.0 + 3 * STEP_S, 6_000.0 + 6 * STEP_S)


@given(st.lists(st.none() | st.floats(0.0, 1e6), min_size=1, max_size=60), st.data())
def test_the_extent_holds_the_moment_and_is_no_wider_than_a_quarter(
    values: list[float | None], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(values) - 1))
    drawn = panel(Curve("a", tuple(values)))
    began, ended = extent(drawn, index)
    assert began <= drawn.at(index) < ended
    assert drawn.since_s <= began and ended <= drawn.at(drawn.count)
    assert ended - began <= STEP_S * max(POINTS_LEAST, len(values) / 4)
