"""Charts as data, and drawn: values in rows along one axis (`Strips`), and lines over a count (`Curves`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from tui.view.svg import Drawing, fitted, text_width

WIDTH = 760.0
MARGIN, GAP = 16.0, 10.0
LINE, BETWEEN = 17.0, 9.0
TITLE_PX, HEAD = 15.0, 44.0
FOOT = 46.0
CURVES_HEIGHT = 260.0
LABEL_MAX = WIDTH / 2
_STEPS = (1.0, 2.0, 5.0)
_TICKS_MAX = 9
_SHORT = 0.7
"""Decades: in so few, ticks at equal steps are rounder."""

_ENTRY_MAX = WIDTH - 2 * MARGIN - 18

Scale = Callable[[float], float]


class Points(Struct, frozen=True):
    """Of one series in one row: all `values`, and the one that stands for them."""

    series: str
    values: tuple[float, ...]
    middle: float


class Row(Struct, frozen=True):
    label: str
    points: tuple[Points, ...]


class Strips(Struct, frozen=True, kw_only=True):
    """`axis`: what is measured, in which unit; `limit`: a line across; `form`: of the number behind a row."""

    title: str
    axis: str
    rows: tuple[Row, ...]
    log: bool = False
    limit: float | None = None
    form: str = ".2f"


class Line(Struct, frozen=True, kw_only=True):
    """`upper`, `lower`: the band around `values`, or empty."""

    series: str
    at: tuple[float, ...]
    values: tuple[float, ...]
    upper: tuple[float, ...] = ()
    lower: tuple[float, ...] = ()


class Curves(Struct, frozen=True, kw_only=True):
    """Lines over a count of something; `limit`: a line across."""

    title: str
    across: str
    axis: str
    lines: tuple[Line, ...]
    log: bool = False
    limit: float | None = None


def draw(chart: Strips | Curves) -> str:
    """The SVG file."""
    return _strips(chart) if isinstance(chart, Strips) else _curves(chart)


def _strips(chart: Strips) -> str:
    series = list(dict.fromkeys(points.series for row in chart.rows for points in row.points))
    values = [
        value for row in chart.rows for points in row.points for value in (*points.values, points.middle)
    ]
    lines = sum(len(row.points) for row in chart.rows)
    bottom = HEAD + _legend_height(series) + lines * LINE + len(chart.rows) * BETWEEN
    drawing = Drawing(WIDTH, bottom + FOOT, title=chart.title)
    labels = [fitted(row.label, LABEL_MAX) for row in chart.rows]
    left = MARGIN + max(map(text_width, labels)) + GAP
    ends = [format(points.middle, chart.form) for row in chart.rows for points in row.points]
    right = WIDTH - MARGIN - max(map(text_width, ends)) - GAP
    top = _head(drawing, chart.title, series)
    ticks, place = _scale([*values, *_limits(chart)], left, right, log=chart.log)
    for tick in ticks:
        drawing.line((place(tick), top, place(tick), bottom), "grid")
        drawing.text(place(tick), bottom + 12, _number(tick), anchor="middle", dim=True)
    drawing.line((left, bottom, right, bottom), "axis")
    _below(drawing, chart.axis, (left + right) / 2, bottom)
    for limit in _limits(chart):
        drawing.line((place(limit), top, place(limit), bottom), "limit")
    y = top + BETWEEN / 2
    for row, label in zip(chart.rows, labels, strict=True):
        drawing.text(left - GAP, y + len(row.points) * LINE / 2, label, anchor="end")
        for points in row.points:
            for value in points.values:
                drawing.mark(place(value), y + LINE / 2, series.index(points.series), faint=True)
            drawing.mark(place(points.middle), y + LINE / 2, series.index(points.series))
            drawing.text(WIDTH - MARGIN, y + LINE / 2, format(points.middle, chart.form), anchor="end")
            y += LINE
        y += BETWEEN
    return drawing.document()


def _curves(chart: Curves) -> str:
    series = [line.series for line in chart.lines]
    values = [value for line in chart.lines for value in (*line.values, *line.upper, *line.lower)]
    top = HEAD + _legend_height(series) + 18
    bottom = top + CURVES_HEIGHT
    drawing = Drawing(WIDTH, bottom + FOOT, title=chart.title)
    ticks, up = _scale([*values, *_limits(chart)], bottom, top, log=chart.log)
    left = MARGIN + max(text_width(_number(tick)) for tick in ticks) + GAP
    right = WIDTH - MARGIN - GAP
    _head(drawing, chart.title, series)
    drawing.text(MARGIN, top - 14, fitted(chart.axis, WIDTH - 2 * MARGIN), dim=True)
    for tick in ticks:
        drawing.line((left, up(tick), right, up(tick)), "grid")
        drawing.text(left - GAP, up(tick), _number(tick), anchor="end", dim=True)
    counts, across = _scale([at for line in chart.lines for at in line.at], left, right, log=False)
    for count in counts:
        drawing.text(across(count), bottom + 12, _number(count), anchor="middle", dim=True)
    drawing.line((left, bottom, right, bottom), "axis")
    _below(drawing, chart.across, (left + right) / 2, bottom)
    for limit in _limits(chart):
        drawing.line((left, up(limit), right, up(limit)), "limit")
    for number, line in enumerate(chart.lines):
        at = [across(each) for each in line.at]
        if line.upper:
            drawing.band(_points(at, line.upper, up), _points(at, line.lower, up), number)
        drawing.path(_points(at, line.values, up), number)
        drawing.mark(at[-1], up(line.values[-1]), number)
    return drawing.document()


def _points(at: Sequence[float], values: Sequence[float], up: Scale) -> list[tuple[float, float]]:
    return [(x, up(value)) for x, value in zip(at, values, strict=True)]


def _limits(chart: Strips | Curves) -> tuple[float, ...]:
    return () if chart.limit is None else (chart.limit,)


def _head(drawing: Drawing, title: str, series: Sequence[str]) -> float:
    """Title and legend, unless the only series has no name; returns where the plot begins."""
    drawing.text(MARGIN, 22, fitted(title, WIDTH - 2 * MARGIN, TITLE_PX), size_px=TITLE_PX)
    if not any(series):
        return HEAD
    for number, (line, x) in enumerate(_legend(series)):
        y = HEAD + line * LINE
        drawing.mark(x + 6, y, number)
        drawing.text(x + 18, y, fitted(series[number], _ENTRY_MAX))
    return HEAD + _legend_height(series)


def _below(drawing: Drawing, axis: str, middle: float, bottom: float) -> None:
    """The axis' name under its middle, or as near as there is room."""
    axis = fitted(axis, WIDTH - 2 * MARGIN)
    half = text_width(axis) / 2
    x = min(max(middle, MARGIN + half), WIDTH - MARGIN - half)
    drawing.text(x, bottom + 31, axis, anchor="middle", dim=True)


def _legend(series: Sequence[str]) -> list[tuple[int, float]]:
    """The line and the place in it of each entry."""
    found: list[tuple[int, float]] = []
    line, x = 0, MARGIN
    for name in series:
        width = 18 + text_width(fitted(name, _ENTRY_MAX)) + 2 * GAP
        if x > MARGIN and x + width > WIDTH - MARGIN:
            line, x = line + 1, MARGIN
        found.append((line, x))
        x += width
    return found


def _legend_height(series: Sequence[str]) -> float:
    return 0.0 if not any(series) else (_legend(series)[-1][0] + 1) * LINE


def _scale(values: Sequence[float], begin: float, end: float, *, log: bool) -> tuple[list[float], Scale]:
    """Ticks, and where a value lies between `begin` and `end` in pixels."""
    lowest, highest = min(values), max(values)
    if log:
        margin = max((highest / lowest) ** 0.03, 1.05)
        lowest, highest = math.log10(lowest / margin), math.log10(highest * margin)
        ticks = _log_ticks(lowest, highest)
    else:
        margin = (highest - lowest) * 0.03 or abs(highest) * 0.03 or 1.0
        lowest, highest = lowest - margin, highest + margin
        ticks = _linear_ticks(lowest, highest)

    def place(value: float) -> float:
        at = math.log10(value) if log else value
        return begin + (end - begin) * (at - lowest) / (highest - lowest)

    return ticks, place


def _linear_ticks(lowest: float, highest: float) -> list[float]:
    rough = (highest - lowest) / (_TICKS_MAX - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (*_STEPS, 10.0) if each * power >= rough)
    return [number * step for number in range(math.ceil(lowest / step), math.floor(highest / step) + 1)]


def _log_ticks(lowest: float, highest: float) -> list[float]:
    if highest - lowest < _SHORT:
        return _linear_ticks(10.0**lowest, 10.0**highest)
    first, last = math.floor(lowest), math.ceil(highest)
    decades = range(first, last + 1, math.ceil((last - first) / (_TICKS_MAX - 1)))
    shown: list[float] = []
    for steps in ((1.0,), _STEPS, range(1, 10)):
        finer = [step * 10.0**decade for decade in decades for step in steps]
        finer = [tick for tick in finer if lowest <= math.log10(tick) <= highest]
        if len(finer) > _TICKS_MAX:
            break
        shown = finer
    return shown


def _number(value: float) -> str:
    return f"{value:,.10g}" if abs(value) >= 1e-9 else "0"
