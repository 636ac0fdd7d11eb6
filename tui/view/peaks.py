"""The peak of a chart: where a curve is highest, and from when to when it stands out.

out at t  ⇔  v(t) > (v(peak) + median(v)) / 2        the width at half of the height above the usual
"""

from __future__ import annotations

import math
from statistics import median

from tui.view.series import Curve, Panel

SHARE_MOST = 0.25
"""Of a chart's span: what is wider is no peak, and leaves no time before it to compare with."""

POINTS_LEAST = 3
"""The highest point and its neighbours: a mean hides in which half of its bucket something happened."""


def highest(panel: Panel) -> int | None:
    """The moment of the highest value of all curves; None where nothing was measured."""
    found = [
        (value, -index)
        for curve in panel.curves
        for index, value in enumerate(curve.values)
        if _is_true(curve, index)
    ]
    return -max(found)[1] if found else None


def extent(panel: Panel, index: int) -> tuple[float, float]:
    """From when to when what stands at `index` stands out, of the curve that does so most there."""
    most = max(POINTS_LEAST, int(panel.count * SHARE_MOST))
    first, last = index, index
    curve = _standing_out(panel, index)
    if curve is not None:
        limit = (curve.values[index] or 0.0) / 2 + _usual(curve) / 2
        while last - first + 1 < most and _above(curve, first - 1, limit):
            first -= 1
        while last - first + 1 < most and _above(curve, last + 1, limit):
            last += 1
    if last - first + 1 < POINTS_LEAST:
        first, last = max(0, index - 1), min(panel.count - 1, index + 1)
    return panel.at(first), panel.at(last + 1)


def _standing_out(panel: Panel, index: int) -> Curve | None:
    known = [curve for curve in panel.curves if _is_true(curve, index)]
    return max(known, key=lambda curve: (curve.values[index] or 0.0) - _usual(curve), default=None)


def _usual(curve: Curve) -> float:
    values = (value for index, value in enumerate(curve.values) if _is_true(curve, index))
    return median([value for value in values if value is not None])


def _above(curve: Curve, index: int, limit: float) -> bool:
    return _is_true(curve, index) and (curve.values[index] or 0.0) > limit


def _is_true(curve: Curve, index: int) -> bool:
    """Whether something was measured there that can be so."""
    if not 0 <= index < len(curve.values) or index in curve.anomalies:
        return False
    value = curve.values[index]
    return value is not None and math.isfinite(value)
