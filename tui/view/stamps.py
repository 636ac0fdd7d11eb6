"""When a line came, in front of it: by the clock, or since its task began."""

from __future__ import annotations

from enum import StrEnum

from tui.view.instants import clock
from tui.view.lines import Line

STAMP_CELLS = 9
UNKNOWN = "–"


class Stamps(StrEnum):
    """What stands in front of lines; `t` goes round."""

    NONE = "no times"
    CLOCK = "times"
    ELAPSED = "since its start"

    @property
    def next(self) -> Stamps:
        """The one after it."""
        every = list(Stamps)
        return every[(every.index(self) + 1) % len(every)]


def stamp(line: Line, stamps: Stamps, *, since_s: float) -> str:
    """STAMP_CELLS wide; `since_s` (Unix epoch) is when its task began. What was not seen to come has none."""
    if stamps is Stamps.NONE:
        return ""
    if line.at is None:
        words = UNKNOWN
    elif stamps is Stamps.CLOCK:
        words = clock(line.at)
    else:
        words = elapsed(line.at - since_s)
    return words.rjust(STAMP_CELLS - 1) + " "


def elapsed(seconds: float) -> str:
    """ "+0:07", "+1:02:03", "+2d 03h"."""
    whole = max(0, int(seconds))
    minutes, hours = whole // 60 % 60, whole // 3600
    if hours >= 24:
        return f"+{hours // 24}d {hours % 24:02d}h"
    return f"+{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"+{minutes}:{whole % 60:02d}"
