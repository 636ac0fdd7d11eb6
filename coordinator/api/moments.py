"""Moments of the past as requests give them, and questions about them that may take too long."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import TypeVar

from bus.errors import ApiError
from bus.refusal import quote, refusal
from coordinator.store.past import TooMuch

T = TypeVar("T")


def moment(at_s: float, field: str, *, now_s: float) -> float:
    """`at_s`, in seconds of the Unix epoch. Raises ApiError where it is none, or lies ahead."""
    if not (math.isfinite(at_s) and 0 <= at_s <= now_s + 1.0):
        expected = "seconds of the Unix epoch, not in the future"
        raise ApiError(refusal("E_TIME", field=field, got=quote(at_s), expected=expected))
    return at_s


async def bounded(work: Awaitable[T]) -> T:
    """Raises ApiError where it is too much."""
    try:
        return await work
    except TooMuch as fault:
        raise ApiError(
            refusal(
                "E_TOO_LARGE",
                f"so much happened around that moment that it takes {fault}",
                field="/at",
                hint="ask for a later moment, or for less with /filter",
            )
        ) from fault
