"""Charts as files: every value as CSV, or the curves as SVG; what was not measured is empty, or a gap."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from itertools import groupby

from tui.view.instants import rfc3339
from tui.view.safe import safe_line
from tui.view.series import Curve, Panel, bounds, number, ticks, time_ticks, unit_for
from tui.view.svg import Drawing, fitted

WIDTH_PX, PANEL_PX = 960.0, 220.0
LEFT_PX, RIGHT_PX, HEAD_PX, FOOT_PX = 70.0, 20.0, 34.0, 26.0
LABELS_Y, LABELS_X = 4, 8

ENDINGS = (".csv", ".svg")


def csv_text(panels: Sequence[Panel]) -> str:
    """A row for each moment of each curve: when, of what, whose, how much, in which unit."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("time", "metric", "series", "value", "unit"))
    for panel in panels:
        for curve in panel.curves:
            for index, value in enumerate(curve.values):
                shown = "" if value is None else f"{value:.6g}"
                rows.writerow(
                    (rfc3339(panel.at(index)), panel.title, safe_line(curve.name), shown, panel.unit)
                )
    return text.getvalue()


def svg_text(panels: Sequence[Panel], *, title: str) -> str:
    """The panels below each other, with their marks."""
    drawing = Drawing(WIDTH_PX, max(1, len(panels)) * PANEL_PX, title=title)
    for place, panel in enumerate(panels):
        _draw(drawing, panel, top=place * PANEL_PX)
    return drawing.document()


def _draw(drawing: Drawing, panel: Panel, *, top: float) -> None:
    low, high = bounds(panel)
    span_s = panel.step_s * max(1, panel.count - 1)
    bottom, right = top + PANEL_PX - FOOT_PX, WIDTH_PX - RIGHT_PX

    def across(at_s: float) -> float:
        return LEFT_PX + (at_s - panel.since_s) / span_s * (right - LEFT_PX)

    def up(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top - HEAD_PX)

    unit = unit_for(panel.unit, high)
    drawing.text(LEFT_PX, top + HEAD_PX / 2, f"{panel.title}, {unit.label}")
    for tick in ticks(low / unit.size, high / unit.size, most=LABELS_Y):
        y = up(tick * unit.size)
        drawing.line((LEFT_PX, y, right, y), "grid")
        drawing.text(LEFT_PX - 8, y, number(tick), anchor="end", dim=True)
    drawing.line((LEFT_PX, bottom, right, bottom), "axis")
    for at_s, label in time_ticks(panel.since_s, span_s, most=LABELS_X):
        drawing.text(across(at_s), bottom + FOOT_PX / 2, label, anchor="middle", dim=True)
    for mark in panel.marks:
        if mark.kind == "policy" and 0 <= mark.at - panel.since_s <= span_s:
            drawing.line((across(mark.at), top + HEAD_PX, across(mark.at), bottom), "limit")
            drawing.text(across(mark.at) + 4, top + HEAD_PX + 6, mark.word, dim=True)
    legend = LEFT_PX + 180.0
    for series, curve in enumerate(panel.curves):
        for run in _runs(curve):
            points = [(across(panel.at(index)), up(value)) for index, value in run]
            drawing.path([*points, points[0]] if len(points) == 1 else points, series)
        if curve.name and legend < right - 80.0:
            drawing.mark(legend, top + HEAD_PX / 2, series)
            drawing.text(legend + 10, top + HEAD_PX / 2, fitted(curve.name, 110.0))
            legend += 130.0


def _runs(curve: Curve) -> list[list[tuple[int, float]]]:
    """Stretches without a gap."""

    def measured(pair: tuple[int, float | None]) -> bool:
        return pair[1] is not None and math.isfinite(pair[1])

    stretches = groupby(enumerate(curve.values), key=measured)
    return [[(at, value or 0.0) for at, value in run] for is_known, run in stretches if is_known]
