"""What comes of a try to deliver something: done, again later, or given up.

Waits grow by a factor up to a limit, and each is drawn a little longer or shorter, so that what failed
together does not come back together. The draw is a hash of the delivery and the try: the same question, the
same answer.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

from msgspec import Struct

GONE = 410


class Standing(StrEnum):
    """Of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


class Pace(Struct, frozen=True, kw_only=True):
    """How often, and how long apart. `spread`: the part of a wait by which it may be longer or shorter."""

    tries_max: int = 8
    first_s: float = 5.0
    factor: float = 4.0
    most_s: float = 3600.0
    spread: float = 0.2


class Outcome(Struct, frozen=True, kw_only=True):
    """Of one try. `status` None: no answer, for the reason in `error`. `retry_after_s`: as answered."""

    status: int | None = None
    error: str = ""
    retry_after_s: float | None = None


class Verdict(Struct, frozen=True):
    """`wait_s`: until the next try, 0 where there is none. `gone`: the address wants nothing any more."""

    standing: Standing
    wait_s: float = 0.0
    gone: bool = False


def judge(outcome: Outcome, *, tries: int, seed: str, pace: Pace) -> Verdict:
    """What follows from try number `tries` (the first is 1) of the delivery that `seed` names."""
    if outcome.status is not None and 200 <= outcome.status <= 299:
        return Verdict(Standing.DELIVERED)
    if outcome.status == GONE:
        return Verdict(Standing.DEAD, gone=True)
    if tries >= pace.tries_max:
        return Verdict(Standing.DEAD)
    wait_s = min(pace.first_s * pace.factor ** (tries - 1), pace.most_s)
    wait_s *= 1.0 + pace.spread * (2.0 * _draw(seed, tries) - 1.0)
    asked_s = min(max(outcome.retry_after_s or 0.0, 0.0), pace.most_s)
    return Verdict(Standing.WAITING, max(wait_s, asked_s))


def _draw(seed: str, tries: int) -> float:
    """From 0 up to 1."""
    digest = hashlib.sha256(f"{seed}:{tries}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
