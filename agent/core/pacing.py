"""How fast something may go: a bucket of bytes that fills at a rate. Pure."""

from __future__ import annotations

from msgspec import Struct

BURST_S = 0.25
"""What an idle one may take at once: as much as comes in so many seconds."""


class Pace(Struct):
    """`take` as many bytes as were moved, and wait as long as it says. All times: seconds of one clock.

    `bytes_per_s` 0: there is no limit. Who takes more than is there waits for the debt, so that the mean
    holds for pieces of any size, whoever shares the pace.
    """

    bytes_per_s: float
    level: float = 0.0
    at_s: float | None = None

    def take(self, size: int, now_s: float) -> float:
        """How long to wait now, in seconds."""
        if not self.bytes_per_s:
            return 0.0
        most = self.bytes_per_s * BURST_S
        since_s = 0.0 if self.at_s is None else max(0.0, now_s - self.at_s)
        self.level = min(most, self.level + since_s * self.bytes_per_s) if self.at_s is not None else most
        self.at_s = now_s if self.at_s is None else max(now_s, self.at_s)
        self.level -= size
        return max(0.0, -self.level / self.bytes_per_s)
