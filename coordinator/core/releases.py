"""What agents of earlier releases cannot do, by their version: they say nothing of what came after them."""

from __future__ import annotations

import re
from functools import lru_cache

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})(?:[.+-].*)?")

RANKS = "ranks"
"""Feature of a node: its agent holds a rank of a gang until all may start. Before, it started it at once."""

RANKS_SINCE = (0, 2)


@lru_cache(maxsize=1024)
def minor_of(version: str) -> tuple[int, int] | None:
    """Its first two numbers; None where it has none (an agent that was not installed, but built)."""
    found = _VERSION.fullmatch(version)
    return None if found is None else (int(found[1]), int(found[2]))


def features_by(version: str) -> tuple[str, ...]:
    """What an agent can by its version. Of an unknown one the newest is believed."""
    minor = minor_of(version)
    return () if minor is not None and minor < RANKS_SINCE else (RANKS,)
