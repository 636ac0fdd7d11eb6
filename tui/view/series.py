"""Series as charts of characters: axes with round ticks in people's units, lines, marks, exact values."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence

from msgspec import Struct

from tui.view.amounts import NONE, duration
from tui.view.braille import line_cells, place, row_of, sign
from tui.view.safe import fit, safe_line, text_width

Part = tuple[str, str]
"""A text and its tone; those of lines are "line0" to "line5"."""

LABEL_CELLS = 7
CURVES_MAX, COLOURS = 8, 6
"""So many lines, told apart by letters: the GPUs of a large node; and so many colours, taken in turns."""

LEAST_ROWS = 5
LETTERS = "abcdefgh"
LETTER_EVERY = 24
_TICK_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS_S = (60, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000)
_AROUND: dict[str, tuple[float, ...]] = {"°C": (), "% of static": (100.0,)}
"""Units whose zero says nothing: their axes go around the values, and what these are measured by."""

TICK, POLICY = "╎", -2
"""What stands down the plot for another policy, and whose cells they are."""

WORD_CELLS = 14
_MARK_SIGNS = {"event": "▴", "policy": "◆"}


class Curve(Struct, frozen=True):
    """`values`: one for each time of its panel; None: nothing was measured."""

    name: str
    values: tuple[float | None, ...]
    anomalies: tuple[int, ...] = ()
    lacks: str = ""  # of what the thing has none, so that there is nothing to be measured


class Mark(Struct, frozen=True):
    """Something that happened at an instant: an event, or another policy acts, which `word` names."""

    at: float
    kind: str
    text: str = ""
    word: str = ""


class Panel(Struct, frozen=True, kw_only=True):
    """One chart: some curves over the same times, in one unit."""

    title: str
    unit: str
    since_s: float
    step_s: float
    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...] = ()

    @property
    def count(self) -> int:
        """How many moments there are."""
        return max((len(curve.values) for curve in self.curves), default=0)

    def at(self, index: int) -> float:
        """When a moment begins."""
        return self.since_s + index * self.step_s


class Unit(Struct, frozen=True):
    """A value divided by `size` is in `label`s."""

    size: float
    label: str


_LADDERS: dict[str, tuple[Unit, ...]] = {
    "millicores": (Unit(1_000.0, "cores"),),
    "MiB": (Unit(1.0, "MiB"), Unit(1024.0, "GiB"), Unit(1024.0**2, "TiB")),
    "Mbit/s": (Unit(1.0, "Mbit/s"), Unit(1_000.0, "Gbit/s")),
    "s": (Unit(1.0, "s"), Unit(60.0, "min"), Unit(3_600.0, "h"), Unit(86_400.0, "days")),
}


def unit_for(unit: str, most: float) -> Unit:
    """The unit in which `most` is a handy number."""
    ladder = _LADDERS.get(unit, (Unit(1.0, unit),))
    return next((each for each in reversed(ladder) if abs(most) >= 2 * each.size), ladder[0])


def number(value: float) -> str:
    """Three or four figures, and as short as it goes: "0.25", "12.5", "1,234", "100k"."""
    if abs(value) >= 99_999.5:
        return f"{value / 1_000_000:.3g}M" if abs(value) >= 999_500 else f"{value / 1_000:.3g}k"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or not value else f"{value:.1e}"


def exact(value: float | None, unit: str) -> str:
    """One value with its unit. Of what is counted in thousandths, none is smaller than one."""
    if value is None or not math.isfinite(value):
        return NONE
    shown = unit_for(unit, value)
    if shown.size > 1 and 0 < value < 1:
        return f"<{number(1 / shown.size)} {shown.label}"
    return f"{number(value / shown.size)} {shown.label}" if shown.label != "%" else f"{number(value)} %"


def bounds(panel: Panel) -> tuple[float, float]:
    """Least and most of the axis: from 0 or up to it, shares to 100, and never nothing."""
    values = [
        value
        for curve in panel.curves
        for value in curve.values
        if value is not None and math.isfinite(value)
    ]
    low, most = min(values, default=0.0), max(values, default=0.0)
    if panel.unit == "%":
        return 0.0, max(100.0, most)
    if panel.unit in _AROUND and values:
        low, most = min([low, *_AROUND[panel.unit]]), max([most, *_AROUND[panel.unit]])
        margin = max(1.0, (most - low) * 0.1)
        return low - margin, most + margin
    if low < 0.0 and most <= 0.0:
        return low, 0.0
    return min(0.0, low), most if most > 0.0 else 1.0


def ticks(low: float, high: float, *, most: int) -> list[float]:
    """Round numbers between `low` and `high`, `most` of them at most."""
    if most < 1 or not (rough := (high - low) / most) > sys.float_info.min:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (*_TICK_STEPS, 20.0) if each * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)][: most + 1]


def panel_lines(panel: Panel, *, width: int, height: int, cursor: int | None = None) -> list[list[Part]]:
    """The chart in so many lines of so many cells: title, plot, axis, times."""
    plot_width, plot_height = width - LABEL_CELLS - 2, height - 3
    head = _head(panel, width=width, cursor=cursor)
    if plot_height < 2 or plot_width < 8:
        return [head, *([] for _ in range(height - 1))][:height]
    low, high = bounds(panel)
    unit = unit_for(panel.unit, high)
    labels = {
        row_of(tick * unit.size, rows=plot_height, low=low, high=high): number(tick)
        for tick in ticks(low / unit.size, high / unit.size, most=max(2, plot_height // 3))
    }
    rows = _plot(panel, width=plot_width, height=plot_height, low=low, high=high, cursor=cursor)
    lines = [head]
    for place_, row in enumerate(rows):
        label = fit(labels.get(place_, ""), LABEL_CELLS).rstrip().rjust(LABEL_CELLS)
        lines.append([(f"{label} {'┤' if place_ in labels else '│'}", "label"), *row])
    lines += _foot(panel, width=plot_width, cursor=cursor)
    return lines


def index_at(panel: Panel, column: int, *, width: int) -> int | None:
    """Which moment lies under a column of a chart so wide."""
    plot_width, at = width - LABEL_CELLS - 2, column - LABEL_CELLS - 2
    if not (0 <= at < plot_width) or panel.count == 0:
        return None
    return min(panel.count - 1, round((2 * at + 0.5) * (panel.count - 1) / max(1, 2 * plot_width - 1)))


def reading(panel: Panel, index: int) -> str:
    """The exact values of one moment, in words."""
    at = time.strftime("%a %H:%M:%S", time.localtime(panel.at(index)))
    values = ", ".join(
        f"{safe_line(curve.name)} {exact(curve.values[index], panel.unit)}".strip()
        + (" (cannot be true)" if index in curve.anomalies else "")
        for curve in panel.curves
    )
    near = [mark.text or mark.kind for mark in panel.marks if 0 <= mark.at - panel.at(index) < panel.step_s]
    return f"{at}  {panel.title}: {values}" + (f"  · {safe_line('; '.join(near))}" if near else "")


def _head(panel: Panel, *, width: int, cursor: int | None) -> list[Part]:
    """Title and legend: each curve's letter, name and value at the cursor, or its newest."""
    _, high = bounds(panel)
    unit = unit_for(panel.unit, high)
    label = "" if unit.label == panel.title else f"{unit.label} "
    parts: list[Part] = [(f" {panel.title} ", "title"), (f"{label} ", "label")]
    for place_, curve in enumerate(panel.curves[:CURVES_MAX]):
        index = _newest(curve) if cursor is None else cursor
        value = curve.values[index] if index is not None and index < len(curve.values) else None
        letter = f"{LETTERS[place_]} " if len(panel.curves) > 1 else ""
        name = f"{safe_line(curve.name)} " if curve.name else ""
        flag = "! " if index in curve.anomalies else ""
        absent = f"has no {curve.lacks}" if curve.lacks else NONE
        figure = absent if value is None or not math.isfinite(value) else number(value / unit.size)
        parts.append((f"{letter}{name}{flag}{figure}  ", f"line{place_ % COLOURS}"))
    if (left := len(panel.curves) - CURVES_MAX) > 0:
        parts.append((f"and {left} more", "label"))
    if not any(curve.lacks or value is not None for curve in panel.curves for value in curve.values):
        parts.append(("nothing was measured", "label"))
    return _cut(parts, width)


def _newest(curve: Curve) -> int | None:
    return next((at for at in reversed(range(len(curve.values))) if curve.values[at] is not None), None)


def _cut(parts: Sequence[Part], width: int) -> list[Part]:
    """What fits into a line."""
    found: list[Part] = []
    for text, tone in parts:
        if width <= 0:
            break
        shown = fit(text, min(width, text_width(text)))
        found.append((shown, tone))
        width -= text_width(shown)
    return found


def _plot(
    panel: Panel, *, width: int, height: int, low: float, high: float, cursor: int | None
) -> list[list[Part]]:
    """Rows of parts. Where lines cross, the dots of both are drawn, in the colour of the first."""
    dots = [[0] * width for _ in range(height)]
    owners = [[-1] * width for _ in range(height)]
    signs: dict[tuple[int, int], str] = {}
    for place_, curve in enumerate(panel.curves[:CURVES_MAX]):
        cells = line_cells(curve.values, width=width, height=height, low=low, high=high)
        for row, line in enumerate(cells):
            for column, mask in enumerate(line):
                if mask:
                    dots[row][column] |= mask
                    if owners[row][column] < 0:
                        owners[row][column] = place_
        if len(panel.curves) > 1:
            for spot in _letters(curve, place_, width=width, height=height, low=low, high=high):
                if owners[spot[0]][spot[1]] in (-1, place_):
                    signs.setdefault(spot, LETTERS[place_])
                    owners[spot[0]][spot[1]] = place_
    _tick_policies(panel, signs, dots, owners)
    at = None if cursor is None else place(cursor, panel.count, 2 * width) // 2
    return [
        _row(
            [signs.get((row, column), sign(dots[row][column])) for column in range(width)],
            owners[row],
            cursor=at,
        )
        for row in range(height)
    ]


def _tick_policies(
    panel: Panel, signs: dict[tuple[int, int], str], dots: Sequence[Sequence[int]], owners: list[list[int]]
) -> None:
    """A line down the plot where another policy began to act, with its name, wherever nothing is drawn."""
    width = len(dots[0])
    for mark in panel.marks:
        column = _column_of(panel, mark, width=width)
        if mark.kind != "policy" or column is None:
            continue
        name = fit(safe_line(mark.word), WORD_CELLS).rstrip()
        fits = text_width(name) == len(name) and not any(dots[0][column : column + 1 + len(name)])
        texts = [(row, column, TICK) for row in range(len(dots))]
        if fits and column + len(name) < width:
            texts += [(0, column + 1 + offset, letter) for offset, letter in enumerate(name)]
        for row, at, text in texts:
            if not dots[row][at] and (row, at) not in signs:
                signs[row, at], owners[row][at] = text, POLICY


def _column_of(panel: Panel, mark: Mark, *, width: int) -> int | None:
    """Where an instant lies on the axis of times; None: it is not shown."""
    span_s = panel.step_s * max(1, panel.count - 1)
    since_s = mark.at - panel.since_s
    return int(since_s / span_s * (width - 1) + 0.5) if 0 <= since_s <= span_s else None


def _letters(
    curve: Curve, number_: int, *, width: int, height: int, low: float, high: float
) -> list[tuple[int, int]]:
    """Where a curve bears its letter: so that lines can be told apart without colours."""
    count = len(curve.values)
    found = []
    for column in range(4 + 3 * number_, width, LETTER_EVERY):
        index = min(count - 1, round(column * (count - 1) / max(1, width - 1)))
        value = curve.values[index] if count else None
        if value is not None and math.isfinite(value):
            found.append((row_of(value, rows=height, low=low, high=high), column))
    return found


def _row(signs: Sequence[str], owners: Sequence[int], *, cursor: int | None) -> list[Part]:
    parts: list[Part] = []
    for column, (text, owner) in enumerate(zip(signs, owners, strict=True)):
        tone = "mark-policy" if owner == POLICY else f"line{owner % COLOURS}" if owner >= 0 else ""
        if column == cursor:
            text, tone = (text if tone else "┊"), f"{tone or 'label'} cursor"
        if parts and parts[-1][1] == tone:
            parts[-1] = (parts[-1][0] + text, tone)
        else:
            parts.append((text, tone))
    return parts


def _foot(panel: Panel, *, width: int, cursor: int | None) -> list[list[Part]]:
    """The axis with its marks, and the times below it."""
    axis, labels = ["─"] * width, [" "] * width
    span_s = panel.step_s * max(1, panel.count - 1)
    for at, text in time_ticks(panel.since_s, span_s, most=max(1, width // 12)):
        column = min(width - 1, int((at - panel.since_s) / span_s * (width - 1) + 0.5))
        axis[column] = "┬"
        begin = min(max(0, column - len(text) // 2), width - len(text))
        if begin >= 0 and all(sign_ == " " for sign_ in labels[max(0, begin - 1) : begin + len(text) + 1]):
            labels[begin : begin + len(text)] = text
    marked: dict[int, str] = {}
    for mark in panel.marks:
        if (spot := _column_of(panel, mark, width=width)) is not None:
            marked[spot] = "policy" if "policy" in (mark.kind, marked.get(spot)) else "event"
    margin = " " * (LABEL_CELLS + 1)
    parts: list[Part] = [(f"{margin}└", "label")]
    at_cursor = None if cursor is None else place(cursor, panel.count, 2 * width) // 2
    for column, text in enumerate(axis):
        kind = marked.get(column)
        tone = f"mark-{kind}" if kind else "label"
        shown = _MARK_SIGNS[kind] if kind else text
        if column == at_cursor:
            tone += " cursor"
        if parts[-1][1] == tone:
            parts[-1] = (parts[-1][0] + shown, tone)
        else:
            parts.append((shown, tone))
    return [parts, [(f"{margin} {''.join(labels).rstrip()}", "label")]]


def time_ticks(since_s: float, span_s: float, *, most: int) -> list[tuple[float, str]]:
    """Round moments of local time, and how they are written: the time of day, or the day over days."""
    rough = span_s / most
    step_s = next((each for each in _TIME_STEPS_S if each >= rough), _TIME_STEPS_S[-1])
    offset_s = time.localtime(since_s).tm_gmtoff
    first = math.ceil((since_s + offset_s) / step_s) * step_s - offset_s
    shape = "%H:%M" if step_s < 43_200 else "%d %b"
    count = int((since_s + span_s - first) // step_s) + 1
    moments = [first + place_ * step_s for place_ in range(max(0, count))]
    return [(at, time.strftime(shape, time.localtime(at))) for at in moments]


def span_text(span_s: float) -> str:
    """ "15 m", "24 h", "7 d"."""
    if span_s >= 2 * 86_400:
        return f"{span_s / 86_400:.3g} d"
    return f"{span_s / 3_600:.3g} h" if span_s >= 3_600 else f"{span_s / 60:.3g} m"


def summary(panel: Panel) -> list[str]:
    """A line a curve: newest, least, mean and most, for whoever sees no lines."""
    lines = []
    for curve in panel.curves:
        values = [value for value in curve.values if value is not None and math.isfinite(value)]
        missing = len(curve.values) - len(values)
        name = safe_line(curve.name) or panel.title
        if not values:
            lines.append(f"{name}: {f'has no {curve.lacks}' if curve.lacks else 'nothing was measured'}")
            continue
        figures = (
            ("now", values[-1]), ("least", min(values)), ("mean", sum(values) / len(values)),
            ("most", max(values)),
        )  # fmt: skip
        said = ", ".join(f"{word} {exact(value, panel.unit)}" for word, value in figures)
        gap = f"; nothing for {duration(missing * panel.step_s)}" if missing else ""
        lines.append(f"{name}: {said}{gap}")
    return lines
