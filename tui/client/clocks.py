"""The coordinator's clock, which all instants are told by, and how far the one here is from it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from bus.errors import CorralError

if TYPE_CHECKING:
    from bus.api import Whoami


SKEWED_S = 5.0
"""Ours so much off is said, and ages are set right; less, the way of an answer could explain."""


class Asked(Protocol):
    """Whoever tells the time besides who one is."""

    async def whoami(self) -> Whoami: ...


def skew_of(before_s: float, told_s: float, after_s: float) -> float:
    """How far the clock here is ahead: asked at `before_s`, answered at `after_s`.

    `told_s`: theirs; 0: nobody says.
    """
    return (before_s + after_s) / 2 - told_s if told_s else 0.0


def ahead_of(skew_s: float) -> float:
    """What instants are to be set right by; 0 where the clock here is right."""
    return skew_s if abs(skew_s) >= SKEWED_S else 0.0


async def cluster_now_s(corral: Asked) -> float:
    """Now by the coordinator's clock, in seconds of the Unix epoch; where nobody tells it, by the one here.

    It costs a request: for what people read, not for scripts.
    """
    before_s = time.time()
    try:
        told_s = (await corral.whoami()).now
    except CorralError:
        return time.time()
    after_s = time.time()
    return after_s - ahead_of(skew_of(before_s, told_s, after_s))
