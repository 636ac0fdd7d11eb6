"""The coordinator's clock and its ids: the two things that the core must be given."""

from __future__ import annotations

import math
import secrets
import time
from uuid import UUID


class Clock:
    """Seconds of the epoch that never jump: the wall clock once, CLOCK_BOOTTIME ever after.

    A stepped wall clock (±1 h) must neither end leases nor stretch them; a suspended machine must. Nor does
    it begin before `not_before_s`, the newest instant on record: a leader whose wall clock is behind that of
    the one before would write starts that precede their submissions, and wait an hour for what is due.
    """

    def __init__(self, *, not_before_s: float = -math.inf) -> None:
        began_s = max(time.time(), not_before_s)
        self._offset_s = began_s - time.clock_gettime(time.CLOCK_BOOTTIME)

    def now_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self._offset_s


def uuid7(now_s: float) -> UUID:
    """A version 7 UUID (RFC 9562): milliseconds, then randomness."""
    return UUID(int=_with_time(now_s, secrets.randbits(80)))


def job_id(now_s: float) -> UUID:
    """A version 7 UUID whose low 32 bits are zero: the job's tasks count in them."""
    return UUID(int=_with_time(now_s, secrets.randbits(80)) & ~0xFFFFFFFF)


def _with_time(now_s: float, random_bits: int) -> int:
    value = (int(now_s * 1000) & ((1 << 48) - 1)) << 80 | random_bits
    value = value & ~(0xF << 76) | (7 << 76)
    return value & ~(3 << 62) | (2 << 62)
