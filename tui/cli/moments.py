"""Instants as people type them: how long ago, a day, or a date and time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_AGO = re.compile(r"[0-9][0-9a-zA-Z.:-]{0,20}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
EXPECTED = "a time ago (10m, 1h30m, 2d), today, yesterday, 2026-11-22 or 2026-11-22T10:00Z"


def parse_moment(text: str, *, now: datetime) -> float:
    """Seconds of the Unix epoch. `now` carries the zone that days and times without one are meant in.

    Raises ValueError.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "now":
        return now.timestamp()
    if text == "today":
        return midnight.timestamp()
    if text == "yesterday":
        return (midnight - timedelta(days=1)).timestamp()
    if _DAY.fullmatch(text) or _INSTANT.fullmatch(text):
        at = datetime.fromisoformat(text.upper())
        return (at if at.tzinfo is not None else at.replace(tzinfo=now.tzinfo)).timestamp()
    if _AGO.fullmatch(text):
        from bus.units import parse_duration_s

        return now.timestamp() - parse_duration_s(text)
    raise ValueError(text)
