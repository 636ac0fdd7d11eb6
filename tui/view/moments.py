"""The time cursor in words: how far it moves, what people type for a moment, where it stands on its bar."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from bus.units import parse_duration_s
from tui.view.amounts import duration
from tui.view.instants import local

STEPS_S = (10.0, 60.0, 300.0, 900.0, 3600.0, 6 * 3600.0, 86_400.0)
"""How far the cursor goes at once, from the finest to the coarsest."""

STEP_FIRST = 2
STEPS_SHOWN = 24
"""So many steps back are on the bar at least; a moment further back makes it longer."""

LEVELS = "▁▂▃▄"  # half as high as the cursor
EXPECTED = "a time ago (-2h, 90m), a time of day (14:05), yesterday, 2026-11-22 or 2026-11-22T10:00Z"

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_AGO = re.compile(r"-?[0-9][0-9a-zA-Z.]{0,20}", re.ASCII)


def parse_moment(text: str, *, now: datetime) -> float | None:
    """Seconds of the Unix epoch; None is now. A time of day that is still to come today was yesterday's.

    Raises ValueError for what is no moment, and for one in the future.
    """
    word = text.strip()
    if word in ("", "now"):
        return None
    at_s = _parsed(word, now=now)
    if not 0 <= at_s <= now.timestamp():
        raise ValueError(f"{word} is not in the past")
    return at_s


def _parsed(word: str, *, now: datetime) -> float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if word == "today":
        return midnight.timestamp()
    if word == "yesterday":
        return (midnight - timedelta(days=1)).timestamp()
    if (found := _CLOCK.fullmatch(word)) is not None:
        hour, minute, second = (int(part or 0) for part in found.groups())
        at = midnight.replace(hour=hour, minute=minute, second=second)
        return (at if at <= now else at - timedelta(days=1)).timestamp()
    if _AGO.fullmatch(word):
        return now.timestamp() - parse_duration_s(word.removeprefix("-"))
    at = datetime.fromisoformat(word.upper())
    return (at if at.tzinfo is not None else at.replace(tzinfo=now.tzinfo)).timestamp()


def stepped(moment: float | None, step_s: float, *, now_s: float) -> float | None:
    """One step on, or back where `step_s` is negative; half a step before the present is now.

    For the present went on meanwhile: as many steps forward as back lead to it again.
    """
    at_s = (now_s if moment is None else moment) + step_s
    return None if at_s >= now_s - max(step_s, 0.0) / 2 else max(at_s, 0.0)


def banner(moment: float, *, now_s: float) -> str:
    """ "PAST 2026-11-22 14:05:00, 2h10m ago"."""
    return f"PAST {local(moment)}, {duration(max(now_s - moment, 0.0))} ago"


class Density(Struct, frozen=True):
    """How much happened: `values` of stretches of `step_s` from `since_s` on; None: nothing is kept of it."""

    since_s: float
    step_s: float
    values: Sequence[float | None]

    @property
    def begins_s(self) -> float | None:
        """Where what is kept begins, if that is inside."""
        known = (place for place, value in enumerate(self.values) if value is not None)
        first = next(known, 0)
        return self.since_s + first * self.step_s if first else None

    def at(self, at_s: float) -> float | None:
        """How much happened then; None where nobody knows."""
        place = math.floor((at_s - self.since_s) / self.step_s)
        return self.values[min(place, len(self.values) - 1)] if place >= 0 and self.values else None


def bar_span_s(moment: float | None, *, step_s: float, now_s: float) -> float:
    """How much time is on the bar."""
    back_s = 0.0 if moment is None else max(now_s - moment, 0.0)
    return max(step_s * STEPS_SHOWN, back_s * 1.05)


def bar(
    moment: float | None, *, step_s: float, now_s: float, width: int, density: Density | None = None
) -> str:
    """ "◀··▁▁▃─●▂▂▄▶": the present at its right end, as high as much happened; dots before what is kept."""
    inner = width - 2
    if inner < 3:
        return ""
    back_s = 0.0 if moment is None else max(now_s - moment, 0.0)
    span_s = bar_span_s(moment, step_s=step_s, now_s=now_s)
    place = inner - 1 - min(round(back_s / span_s * (inner - 1)), inner - 1)
    drawn = [_cell(density, now_s - span_s * (1 - each / (inner - 1))) for each in range(inner)]
    drawn[place] = "●"
    return f"◀{''.join(drawn)}▶"


def then_text(moment: float, density: Density | None) -> str:
    """ "2.5 tasks ended a second", or that nothing is kept of that moment."""
    if density is None:
        return ""
    if density.begins_s is not None and moment < density.begins_s:
        return f"figures are kept from {local(density.begins_s)} on"
    value = density.at(moment)
    return "" if value is None else f"{value:.3g} tasks/s ended"


def _cell(density: Density | None, at_s: float) -> str:
    if density is None:
        return "─"
    if density.begins_s is not None and at_s < density.begins_s:
        return "·"
    value = density.at(at_s)
    most = max((each for each in density.values if each is not None), default=0.0)
    return LEVELS[round(value / most * (len(LEVELS) - 1))] if value and most else "─"
