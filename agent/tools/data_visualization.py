"""A plot of data as an SVG file: bars, lines, points or a histogram, written by hand, for every browser.

The file (`file`) is left in CORRAL_ARTIFACTS and so becomes an artifact of the task; without it, in the work
folder. The picture is in the output as well (`svg`) unless it is larger than 256 KiB. What is the user's in
it is escaped; nothing in it is a script, a link or a font.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agent.tools import table
from agent.tools.table import Cell, Table

KINDS = ("bar", "line", "scatter", "histogram")
FILE = "plot.svg"
SERIES_MAX = 8
MARKS_MAX = 20_000
INLINE_BYTES_MAX = 256 * 1024

_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5")
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 40, 48
_TICKS = 5
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_INK, _GRID = "#333", "#ddd"


def data_visualization(given: dict[str, Any], needs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """{"data": …, "kind"?: "line", "x"?, "y"?, "title"?, …} → {"file", "bytes", "sha256", "svg"?, …}.

    `x` and `y` name columns; `y` may be a list. Raises ValueError, OSError.
    """
    del needs
    picture, marks = draw(given)
    encoded = picture.encode()
    Path(os.environ.get("CORRAL_ARTIFACTS", ""), FILE).write_bytes(encoded)
    answer: dict[str, Any] = {
        "file": FILE,
        "mime_type": "image/svg+xml",
        "bytes": len(encoded),
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "marks": marks,
    }
    if len(encoded) <= INLINE_BYTES_MAX:
        answer["svg"] = picture
    return answer


def draw(given: dict[str, Any]) -> tuple[str, int]:
    """The picture, and how many bars or points are in it. Raises ValueError."""
    kind = given.get("kind", "line")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    width, height = _size(given, "width", 640), _size(given, "height", 400)
    if given.get("data") is None:
        raise ValueError("data is missing")
    data = table.read(given["data"])
    frame = _Frame(width, height, str(given.get("title", ""))[:200])
    marks = _histogram(frame, data, given) if kind == "histogram" else _plot(frame, data, given, kind)
    return frame.picture(), marks


def _size(given: dict[str, Any], name: str, default: int) -> int:
    size = given.get(name, default)
    if not isinstance(size, int) or isinstance(size, bool) or not 160 <= size <= 4096:
        raise ValueError(f"{name} must be 160 to 4096")
    return size


class _Frame:
    """A picture with axes. Data coordinates become pixels once `scale` is known."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._width, self._height = width, height
        self._parts: list[str] = []
        self._title = title
        self._x = self._y = (0.0, 1.0)

    def scale(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x, self._y = _widened(*x), _widened(*y)

    def at(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self._x, self._y
        across = _LEFT + (x - x0) / (x1 - x0) * (self._width - _LEFT - _RIGHT)
        up = self._height - _BOTTOM - (y - y0) / (y1 - y0) * (self._height - _TOP - _BOTTOM)
        return round(across, 2), round(up, 2)

    def grid(self, *, across: bool) -> None:
        for value in ticks(*self._y):
            x, y = self.at(self._x[0], value)
            end, _ = self.at(self._x[1], value)
            self._parts.append(f'<line x1="{x}" y1="{y}" x2="{end}" y2="{y}" stroke="{_GRID}"/>')
            self.text(x - 6, y + 4, _number(value), anchor="end")
        for value in ticks(*self._x) if across else ():
            x, y = self.at(value, self._y[0])
            self.text(x, y + 16, _number(value))

    def text(self, x: float, y: float, words: str, *, anchor: str = "middle", size: int = 11) -> None:
        safe = "".join(_ESCAPED.get(c, c) for c in words if c.isprintable())
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">{safe}</text>'
        )

    def bar(self, x0: float, x1: float, value: float, colour: str) -> None:
        left, top = self.at(x0, max(value, 0.0))
        right, bottom = self.at(x1, min(value, 0.0))
        wide, high = max(round(right - left, 2), 0.1), round(bottom - top, 2)
        self._parts.append(f'<rect x="{left}" y="{top}" width="{wide}" height="{high}" fill="{colour}"/>')

    def points(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        for x, y in (self.at(*point) for point in points):
            self._parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}" fill-opacity="0.7"/>')

    def line(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        path = " ".join(f"{x},{y}" for x, y in (self.at(*point) for point in points))
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')

    def legend(self, names: Sequence[str]) -> None:
        for place, name in enumerate(names if len(names) > 1 else ()):
            x = self._width - _RIGHT - 120
            y = _TOP + 16 * place
            self._parts.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{_COLOURS[place]}"/>')
            self.text(x + 16, y + 9, name[:20], anchor="start")

    def named(self, x: str, y: str) -> None:
        self.text((_LEFT + self._width - _RIGHT) / 2, self._height - 10, x[:80])
        self.text(8, _TOP - 10, y[:80], anchor="start")

    def picture(self) -> str:
        self.text(self._width / 2, 20, self._title, size=14)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self._width}" height="{self._height}" '
            f'viewBox="0 0 {self._width} {self._height}" font-family="sans-serif" fill="{_INK}">'
        )
        back = '<rect width="100%" height="100%" fill="#fff"/>'
        return "\n".join([head, back, *self._parts, "</svg>", ""])


def _plot(frame: _Frame, data: Table, given: dict[str, Any], kind: str) -> int:
    x_name = given.get("x")
    names = _y_names(data, given, x_name)
    across = data.column(x_name) if x_name is not None else list(range(data.rows))
    is_named = kind == "bar" or len(table.numbers(across)) < sum(value is not None for value in across)
    if is_named and kind == "scatter":
        raise ValueError("a scatter plot needs numbers in x")
    series: list[list[tuple[float, float]]] = []
    for name in names:
        pairs = zip(range(data.rows) if is_named else across, data.column(name), strict=True)
        series.append([(float(x), float(y)) for x, y in pairs if table.is_number(x) and table.is_number(y)])  # type: ignore[arg-type]
    every = [point for points in series for point in points]
    if not every:
        raise ValueError("there are no numbers to plot")
    if len(every) > MARKS_MAX:
        raise ValueError(f"more than {MARKS_MAX} points")
    low, high = min(y for _, y in every), max(y for _, y in every)
    if kind == "bar":
        frame.scale((-0.5, data.rows - 0.5), (min(low, 0.0), max(high, 0.0)))
    else:
        frame.scale((min(x for x, _ in every), max(x for x, _ in every)), (low, high))
    frame.grid(across=not is_named)
    if is_named:
        _name_places(frame, across, low=min(low, 0.0) if kind == "bar" else low)
    for place, points in enumerate(series):
        colour = _COLOURS[place]
        if kind == "bar":
            wide = 0.8 / len(series)
            for x, y in points:
                frame.bar(x - 0.4 + place * wide, x - 0.4 + (place + 1) * wide, y, colour)
        elif kind == "line":
            frame.line(sorted(points), colour)
        else:
            frame.points(points, colour)
    frame.named("" if x_name is None else str(x_name), names[0] if len(names) == 1 else "")
    frame.legend(names)
    return len(every)


def _y_names(data: Table, given: dict[str, Any], x_name: object) -> list[str]:
    asked = given.get("y")
    if asked is None:
        names = [name for name, values in data.columns.items() if name != x_name and table.numbers(values)]
        return names[:SERIES_MAX]
    names = [asked] if isinstance(asked, str) else list(asked)
    if not 1 <= len(names) <= SERIES_MAX:
        raise ValueError(f"y names 1 to {SERIES_MAX} columns")
    return names


def _name_places(frame: _Frame, across: Sequence[Cell], *, low: float) -> None:
    step = max(1, math.ceil(len(across) / 12))
    for place in range(0, len(across), step):
        x, y = frame.at(place, low)
        value = across[place]
        frame.text(x, y + 16, "" if value is None else str(value)[:12])


def _histogram(frame: _Frame, data: Table, given: dict[str, Any]) -> int:
    name = given.get("x") or next((n for n, v in data.columns.items() if table.numbers(v)), None)
    found = sorted(table.numbers(data.column(name)))
    if not found:
        raise ValueError("there are no numbers to plot")
    bins = given.get("bins", min(max(math.ceil(math.log2(len(found)) + 1), 5), 50))
    if not isinstance(bins, int) or isinstance(bins, bool) or not 1 <= bins <= 500:
        raise ValueError("bins must be 1 to 500")
    low, high = _widened(found[0], found[-1])
    width = (high - low) / bins
    counts = [0] * bins
    for value in found:
        counts[min(int((value - low) / width), bins - 1)] += 1
    frame.scale((low, high), (0.0, float(max(counts))))
    frame.grid(across=True)
    for place, count in enumerate(counts):
        frame.bar(low + place * width, low + (place + 0.95) * width, float(count), _COLOURS[0])
    frame.named(str(name), "count")
    return bins


def _widened(low: float, high: float) -> tuple[float, float]:
    """So that there is something between them."""
    return (low, high) if high > low else (low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0))


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers within [low, high]."""
    raw = (high - low) / _TICKS
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * each for each in (1, 2, 5, 10) if size * each >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:g}"
