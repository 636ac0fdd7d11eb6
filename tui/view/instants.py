"""Instants: RFC 3339 in UTC for scripts, local time for people."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tui.view.amounts import NONE


def rfc3339(epoch_s: float) -> str:
    """ "2026-11-22T02:45:37.123Z"; to the millisecond."""
    try:
        at = datetime.fromtimestamp(epoch_s, UTC)
    except (OverflowError, ValueError, OSError):
        return str(epoch_s)  # nonsense from elsewhere is shown as it came
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(epoch_s: float | None) -> str:
    """ "2026-11-22 02:45:37" in this machine's time zone."""
    return _shaped(epoch_s, "%Y-%m-%d %H:%M:%S")


def local_short(epoch_s: float | None, *, now_s: float) -> str:
    """The time of day alone where it lies less than half a day back, else with its date."""
    if epoch_s is not None and abs(now_s - epoch_s) < 43_200:
        return _shaped(epoch_s, "%H:%M:%S")
    return _shaped(epoch_s, "%Y-%m-%d %H:%M")


def clock(epoch_s: float) -> str:
    """The time of day alone: "02:45:37"."""
    return _shaped(epoch_s, "%H:%M:%S")


def _shaped(epoch_s: float | None, shape: str) -> str:
    if epoch_s is None:
        return NONE
    try:
        return time.strftime(shape, time.localtime(epoch_s))
    except (OverflowError, ValueError, OSError):
        return str(epoch_s)
