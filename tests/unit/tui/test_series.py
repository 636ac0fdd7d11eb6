"""Charts of characters: round ticks, gaps, exact values, and what is asked for them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.api import Happened
from bus.series import METRICS, Aggregate, Measured, Series, SeriesKind
from tui.theme.plain import ascii_twin
from tui.view.charting import Subject, learning, marks_of, panels_of, parse_subject, queries
from tui.view.safe import text_width
from tui.view.series import (
    TICK,
    Curve,
    Mark,
    Panel,
    bounds,
    exact,
    index_at,
    number,
    panel_lines,
    reading,
    summary,
    ticks,
    time_ticks,
)
from tui.view.words import WordError

T0 = 1_790_000_000.0
HOSTILE = "n\x1b[2J\u202e"


def panel(*values: float | None, unit: str = "%", **other: object) -> Panel:
    fields: dict[str, object] = {
        "title": "cpu", "unit": unit, "since_s": T0, "step_s": 60.0, "curves": (Curve("n1", values),),
    }  # fmt: skip
    return Panel(**(fields | other))  # type: ignore[arg-type]


def painted(shown: Panel, *, width: int = 40, height: int = 9, cursor: int | None = None) -> list[str]:
    lines = panel_lines(shown, width=width, height=height, cursor=cursor)
    return ["".join(text for text, _ in line) for line in lines]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 12))
def test_ticks_are_round_inside_and_not_too_many(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most=most)
    assert len(found) <= most + 1
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in found)
    if len(found) > 2:
        step = found[1] - found[0]
        digits = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert any(math.isclose(digits, each, rel_tol=1e-3) for each in (1, 2, 2.5, 5, 10)), step


@given(st.floats(0, 2e9), st.floats(60.0, 30 * 86_400.0), st.integers(1, 20))
def test_ticks_of_time_are_inside_and_not_too_many(since_s: float, span_s: float, most: int) -> None:
    found = [at for at, _ in time_ticks(since_s, span_s, most=most)]
    assert len(found) <= most + 1 and all(since_s <= at <= since_s + span_s for at in found)


@given(
    st.lists(st.none() | st.floats(-1e9, 1e9) | st.just(math.nan), max_size=50),
    st.sampled_from(["%", "millicores", "MiB", "Mbit/s", "s", "tasks", "°C"]),
    st.integers(0, 90),
    st.integers(1, 20),
)
def test_whatever_was_measured_the_chart_has_its_size(
    values: list[float | None], unit: str, width: int, height: int
) -> None:
    shown = panel(*values, unit=unit, title=HOSTILE, curves=(Curve(HOSTILE, tuple(values)),) * 9)
    for cursor in (None, 0 if values else None):
        lines = painted(shown, width=width, height=height, cursor=cursor)
        assert len(lines) == height
        assert all(text_width(line) <= width for line in lines)
        assert not any("\x1b" in line or "\u202e" in line for line in lines[1:])
    assert all(ascii_twin(line).isascii() for line in painted(panel(*values, unit=unit)))


def test_a_chart_has_its_axis_its_unit_and_its_newest_value() -> None:
    lines = painted(panel(10.0, 50.0, None, 90.0), width=44)
    assert lines[0].startswith(" cpu %  n1 90")
    assert any(line.startswith("    100 ┤") for line in lines) and any("  0 ┤" in line for line in lines)
    assert painted(panel(10.0, 50.0), cursor=0)[0].startswith(" cpu %  n1 10")
    assert "nothing was measured" in painted(panel(None, None))[0]


def test_lines_bear_letters_and_events_marks() -> None:
    curves = (Curve("n1", (10.0,) * 30), Curve("n2", (90.0,) * 30))
    marks = (Mark(T0 + 600, "event"), Mark(T0 + 1200, "policy", "the table orders tasks instead of f1"))
    lines = painted(panel(curves=curves, marks=marks), width=60)
    assert "a n1" in lines[0] and "b n2" in lines[0]
    plot = "\n".join(lines[1:-2])
    assert "a" in plot and "b" in plot
    assert "▴" in lines[-2] and "◆" in lines[-2]
    assert "the table orders" in reading(panel(curves=curves, marks=marks), 20)


def test_a_reading_tells_all_curves_their_units_and_what_cannot_be_true() -> None:
    shown = panel(curves=(Curve("n1", (1500.0,), (0,)), Curve("n2", (None,))), unit="millicores")
    assert reading(shown, 0).endswith("cpu: n1 1.5 cores (cannot be true), n2 –")
    assert summary(panel(1.0, None, 3.0)) == ["n1: now 3 %, least 1 %, mean 2 %, most 3 %; nothing for 1m00s"]
    assert summary(panel(None)) == ["n1: nothing was measured"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2500.0, "millicores", "2.5 cores"), (100.0, "MiB", "100 MiB"), (4096.0, "MiB", "4 GiB"),
        (3_000_000.0, "MiB", "2.86 TiB"), (2_500.0, "Mbit/s", "2.5 Gbit/s"), (90.0, "s", "90 s"),
        (600.0, "s", "10 min"), (None, "%", "–"), (math.nan, "%", "–"), (12.34, "%", "12.3 %"),
        (0.22, "millicores", "<0.001 cores"),
    ],
)  # fmt: skip
def test_values_are_in_units_of_people(value: float | None, unit: str, text: str) -> None:
    assert exact(value, unit) == text


def test_numbers_are_short() -> None:
    assert [number(each) for each in (0.0, 0.25, 1234.5, 123_456.0, 2_500_000.0, 0.00001)] == [
        "0", "0.25", "1,234", "123k", "2.5M", "1.0e-05",
    ]  # fmt: skip


def test_axes_begin_at_nothing_but_temperatures_do_not() -> None:
    assert bounds(panel(40.0, 60.0)) == (0.0, 100.0)
    assert bounds(panel(0.0, unit="tasks")) == (0.0, 1.0)
    low, high = bounds(panel(40.0, 60.0, unit="°C"))
    assert 30 < low < 40 and 60 < high < 70


@given(st.integers(1, 300), st.integers(20, 120), st.data())
def test_a_click_finds_the_moment_below_it(count: int, width: int, data: st.DataObject) -> None:
    shown = panel(*[1.0] * count)
    column = data.draw(st.integers(9, width - 1))
    found = index_at(shown, column, width=width)
    assert found is not None and 0 <= found < count
    assert index_at(shown, 3, width=width) is None and index_at(panel(), column, width=width) is None


def test_what_a_line_asks_for() -> None:
    assert parse_subject("cluster") == Subject()
    assert parse_subject("n1,n2 cpu,mem") == Subject(SeriesKind.NODE, ("n1", "n2"), ("cpu", "memory"))
    assert parse_subject("1042.7") == Subject(SeriesKind.TASK, ("1042.7",))
    assert parse_subject("learning") == learning() and parse_subject(learning().line) == learning()
    assert parse_subject("cluster reward,wait").panels == ("reward", "wait")
    for line in ("", "n1 cpu x", "n1 cpi", "1042.7 temperature"):
        with pytest.raises(WordError):
            parse_subject(line)


def test_a_node_by_itself_has_a_curve_for_each_gpu() -> None:
    subject = Subject(SeriesKind.NODE, ("n1",))
    assert {"gpu", "gpu_memory", "gpu_temperature", "gpu_power"} < set(subject.panels)
    asked = queries(subject, ["cpu", "gpu", "gpu_power"], since_s=0.0, until_s=60.0)
    assert [(query.kind, query.metrics) for query in asked] == [
        (SeriesKind.NODE, ["cpu"]),
        (SeriesKind.GPU, ["gpu", "gpu_power"]),
    ]
    answer = Measured(
        times=[0.0], step_s=60.0, resolution_s=0.0,
        series=[
            Series(id=f"n1:{gpu}", metric="gpu", unit="%", aggregate=Aggregate.MEAN, values=[10.0 * gpu])
            for gpu in range(8)
        ],
    )  # fmt: skip
    (made,) = panels_of(subject, ["gpu"], [answer], [])
    assert [curve.name for curve in made.curves] == list("01234567") and made.unit == "%"
    head = painted(made, width=120)[0]
    assert all(f"{letter} {gpu} " in head for gpu, letter in enumerate("abcdefgh")), head
    several = Subject(SeriesKind.NODE, ("n1", "n2"))
    assert "gpu_power" not in several.panels
    (both,) = queries(several, ["gpu"], since_s=0.0, until_s=60.0)
    assert both.kind is SeriesKind.NODE, "of several nodes the sums"


def test_a_rank_is_no_gpu() -> None:
    assert parse_subject("1042.7:3,1042.7 cpu") == Subject(SeriesKind.TASK, ("1042.7:3", "1042.7"), ("cpu",))
    assert parse_subject("1042").kind is SeriesKind.TASK and parse_subject("7:0").kind is SeriesKind.GPU
    with pytest.raises(WordError):
        parse_subject("1042.7:3 temperature")


def test_some_gpus_are_asked_for_by_name() -> None:
    subject = parse_subject("n1:0,n2:3 gpu,gpu_power")
    assert subject == Subject(SeriesKind.GPU, ("n1:0", "n2:3"), ("gpu", "gpu_power"))
    assert parse_subject("n1:0").panels == ("gpu", "gpu_memory", "gpu_temperature", "gpu_power")
    with pytest.raises(WordError):
        parse_subject("n1:0 cpu")


def test_a_node_without_gpus_says_so() -> None:
    absent = panel(None, None, curves=(Curve("n1", (None, None), lacks="GPU"),))
    assert "n1 has no GPU" in painted(absent)[0] and "measured" not in painted(absent)[0]
    assert summary(absent) == ["n1: has no GPU"]
    both = panel(curves=(Curve("n1", (None,), lacks="GPU"), Curve("g1", (5.0,))))
    assert "a n1 has no GPU" in painted(both, width=60)[0] and "b g1 5" in painted(both, width=60)[0]


def test_a_band_asks_for_least_and_most_of_levels_and_names_them() -> None:
    subject = Subject(SeriesKind.NODE, ("n1",), ("cpu",))
    assert subject.may_have_band and not Subject(SeriesKind.NODE, ("a", "b")).may_have_band
    asked = queries(subject, ["cpu"], since_s=0.0, until_s=60.0, band=True)
    assert [query.aggregate for query in asked] == [Aggregate.AUTO, Aggregate.MAX, Aggregate.MIN]
    answers = [
        Measured(
            times=[0.0],
            step_s=60.0,
            resolution_s=60.0,
            series=[Series(id="n1", metric="cpu", unit="millicores", aggregate=aggregate, values=[1.0])],
        )
        for aggregate in (Aggregate.MEAN, Aggregate.MAX, Aggregate.MIN)
    ]
    (made,) = panels_of(subject, ["cpu"], answers, [])
    assert [curve.name for curve in made.curves] == ["n1", "most", "least"]
    counts = queries(Subject(), ["throughput"], since_s=0.0, until_s=60.0, band=True)
    assert [query.aggregate for query in counts] == [Aggregate.AUTO], "counts have none"


def test_axes_go_around_what_is_measured() -> None:
    def axis(unit: str, *values: float) -> tuple[float, float]:
        curve = Curve("", values)
        return bounds(Panel(title="", unit=unit, since_s=0.0, step_s=1.0, curves=(curve,)))

    assert axis("reward", -5.0, -1.0) == (-5.0, 0.0)
    assert axis("% of static", 80.0, 90.0) == (78.0, 102.0), "the rule it is measured by is on it"
    assert axis("°C", 40.0, 60.0) == (38.0, 62.0)
    assert axis("% of placements", 4.0) == (0.0, 4.0)


@pytest.mark.parametrize("kind", SeriesKind)
def test_every_panel_can_be_asked_for_and_levels_apart_from_counts(kind: SeriesKind) -> None:
    subject = Subject(kind, () if kind is SeriesKind.CLUSTER else ("a", "b"))
    asked = queries(subject, subject.panels, since_s=0.0, until_s=60.0)
    for query in asked:
        known = METRICS[kind]
        assert {known[name].counted for name in query.metrics} in ({True}, {False})
    answers = [
        Measured(
            times=[0.0, 5.0], step_s=5.0, resolution_s=0.0,
            series=[
                Series(id=each, metric=name, unit=METRICS[kind][name].unit, aggregate=Aggregate.MEAN,
                       values=[1.0, None])
                for name in query.metrics for each in (query.ids or [""])
            ],
        )
        for query in asked
    ]  # fmt: skip
    made = panels_of(subject, subject.panels, answers, [])
    assert [each.title for each in made] == [name.replace("_", " ") for name in subject.panels]
    assert all(len(each.curves) == (len(subject.ids) or len(each.curves)) for each in made)


def test_another_policy_is_a_line_down_the_plot_with_its_name() -> None:
    def plotted(minute: int) -> list[str]:
        marks = (Mark(T0 + 60.0 * minute, "policy", word="rollout"), Mark(T0 + 600.0, "event", "lost"))
        return painted(panel(*(1.0,) * 60, marks=marks), width=60, height=10)[1:8]

    *plot, bottom = plotted(30)
    (column,) = {line.index(TICK) for line in plot}
    assert plot[0][column:].rstrip() == f"{TICK}rollout"
    assert TICK not in bottom, "the curve is drawn over it"
    assert plotted(59)[0].rstrip().endswith(TICK), "no room for its name"
    high = painted(panel(*(100.0,) * 60, marks=(Mark(T0 + 1_800.0, "policy", word="sjf"),)))
    assert not any("sjf" in line for line in high), "nor over a curve"


def test_marks_tell_policies_from_other_events() -> None:
    events = [Happened(id=str(at), at=float(at), kind=kind, message="m") for at, kind in
              enumerate(("node_lost", "scheduler_policy"))]  # fmt: skip
    assert [mark.kind for mark in marks_of(events)] == ["event", "policy"]
    kinds = {"policy": {"policy": ""}, "mode": {"mode": "on"}, "placement": {}}
    told = [
        Happened(id=kind, at=0.0, kind=f"scheduler_{kind}", details=details)
        for kind, details in kinds.items()
    ]
    assert [mark.word for mark in marks_of(told)] == ["static", "mode on", "placement"]
