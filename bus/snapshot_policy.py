"""When snapshots of a volume are taken by the clock, and how many of them are kept: "@daily keep 7".

30 4 * * mon-fri keep 10                  five cron fields (`bus.cron`), in UTC
@daily Europe/Berlin keep 7               or a name, and a zone
"""

from __future__ import annotations

from msgspec import Struct

from bus.cron import Cron, parse_cron
from bus.units import UnitError

EXPECTED = 'WHEN [ZONE] keep N, such as "@daily keep 7" or "30 4 * * mon-fri Europe/Berlin keep 10"'
KEEP_MAX = 1000
_WORD = "keep"
_FIELDS = 5


class SnapshotPolicy(Struct, frozen=True):
    """`keep`: so many of those that the clock had taken stay."""

    cron: Cron
    keep: int


def parse_policy(text: str) -> SnapshotPolicy:
    """Raises UnitError: E_VALUE where it is none, E_RANGE, and what `parse_cron` raises."""
    *when, word, number = text.split() if len(text.split()) >= len(("when", _WORD, "n")) else ("", "", "")
    if word != _WORD or not number.isascii() or not number.isdecimal():
        raise UnitError(text, EXPECTED, "E_VALUE")
    if not 1 <= int(number[:9]) <= KEEP_MAX:
        raise UnitError(number, f"1 to {KEEP_MAX} snapshots", "E_RANGE")
    size = 1 if when[0].startswith("@") else _FIELDS
    zones = when[size:]
    if len(zones) > 1:
        raise UnitError(text, EXPECTED, "E_VALUE")
    return SnapshotPolicy(parse_cron(" ".join(when[:size]), zone="".join(zones) or "UTC"), int(number))
