"""Types of pools beyond those that Corral has itself: registered as entry points of the group `corral.pools`.

The name of the entry point is the type of pool, and what it names is called without arguments and answers a
`PoolDriver`. A driver stands for storage that its operator has put under the pool's path on every node (a
mounted file system that spreads or codes what is written); Corral itself only uses that path as a disk's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

from bus.volumes import PoolCreate

GROUP = "corral.pools"
OWN = ("local", "replicated")

MakeKey = Callable[[], bytes]


class PoolDriver(Protocol):
    """Judges pools of its type."""

    def fault(self, pool: PoolCreate) -> str:
        """What keeps this pool from being made; "" if nothing does."""


def make_key() -> bytes:
    """The key of an encrypted pool."""
    return secrets.token_bytes(32)


@cache
def driver_of(kind: str) -> PoolDriver | None:
    """The driver of a type of pool; None where none is registered."""
    for point in entry_points(group=GROUP, name=kind):
        made: PoolDriver = point.load()()
        return made
    return None
