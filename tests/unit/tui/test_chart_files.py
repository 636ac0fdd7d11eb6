"""Charts as files: no value is lost, no gap is bridged, and nothing in a name gets out of its place."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from tui.view.chart_files import PANEL_PX, WIDTH_PX, csv_text, svg_text
from tui.view.series import Curve, Mark, Panel

SVG = "{http://www.w3.org/2000/svg}"
VALUES = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=20)


def panel(*curves: Curve, **other: object) -> Panel:
    fields: dict[str, object] = {
        "title": "cpu",
        "unit": "%",
        "since_s": 0.0,
        "step_s": 60.0,
        "curves": curves,
    }
    return Panel(**(fields | other))  # type: ignore[arg-type]


def test_every_value_has_its_row_and_what_was_not_measured_is_empty() -> None:
    text = csv_text(
        [panel(Curve("n1", (1.5, None))), panel(Curve('a,"b', (2.0,)), title="memory", unit="MiB")]
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["metric"], row["series"], row["value"], row["unit"]) for row in rows] == [
        ("cpu", "n1", "1.5", "%"),
        ("cpu", "n1", "", "%"),
        ("memory", 'a,"b', "2", "MiB"),
    ]
    assert [datetime.fromisoformat(row["time"]).timestamp() for row in rows] == [0.0, 60.0, 0.0]


def test_a_gap_is_no_line_and_a_policy_is_one() -> None:
    marks = (
        Mark(60.0, "policy", word="rollout"),
        Mark(60.0, "event", "lost"),
        Mark(9e9, "policy", word="late"),
    )
    drawn = panel(Curve("n1", (1.0, 2.0, None, 4.0)), marks=marks)
    root = ElementTree.fromstring(svg_text([drawn], title="charts"))
    lines = [path for path in root.iter(f"{SVG}path") if path.get("fill") == "none"]
    assert [path.get("d", "").count("L") for path in lines] == [1, 1], "two points, and one by itself"
    words = [each.text for each in root.iter(f"{SVG}text")]
    assert "rollout" in words and "late" not in words and "cpu, %" in words


@given(st.lists(st.tuples(st.text(max_size=8), VALUES), max_size=3))
def test_whatever_was_measured_the_drawing_can_be_read_and_stays_on_its_paper(
    curves: list[tuple[str, list[float | None]]],
) -> None:
    made = [panel(*(Curve(name, tuple(values)) for name, values in curves), unit="MiB")]
    root = ElementTree.fromstring(svg_text(made, title="\x1b]0;x\x07<svg>"))
    assert (root.get("width"), root.get("height")) == (f"{WIDTH_PX:.0f}", f"{PANEL_PX:.0f}")
    csv_text(made)
