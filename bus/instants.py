"""Instants ahead, as a job names them: RFC 3339 with a zone, or seconds of the Unix epoch."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from bus.units import UnitError

AHEAD_MAX_S = 10 * 366 * 86_400.0
"""How far ahead anything may be planned."""

EXPECTED = 'an instant with its zone, such as "2026-11-24T08:00:00Z" or "2026-11-24T08:00+01:00"'
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)


def parse_instant(value: float | str) -> float:
    """Seconds of the Unix epoch. Raises UnitError (E_TIME): also where no zone is given."""
    if isinstance(value, str):
        match = _INSTANT.fullmatch(value)
        if match is None or match[3] is None:
            raise UnitError(value, EXPECTED, "E_TIME")
        try:
            return datetime.fromisoformat(value.upper()).timestamp()
        except ValueError:  # the 30th of February
            raise UnitError(value, EXPECTED, "E_TIME") from None
    if isinstance(value, bool) or not math.isfinite(value) or not 0 <= value < 2**40:
        raise UnitError(value, EXPECTED, "E_TIME")
    return float(value)


def format_instant(at_s: float) -> str:
    """In UTC, to the second: "2026-11-24T08:00:00Z"."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
