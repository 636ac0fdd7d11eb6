"""Snapshots by the clock: which one is due, and which of the older ones go. Pure.

What was due while its node was away, or while nobody led, is made up for by one snapshot, as of the newest of
those instants. While the last one waits for a writer to end, no further one is begun.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

from bus.snapshot_policy import SnapshotPolicy


class Due(Struct, frozen=True):
    """A snapshot `name` is to be taken, as of `at_s`; "": left out. The next instant is `next_at_s`."""

    name: str
    at_s: float
    next_at_s: float


class Taken(Struct, frozen=True, kw_only=True):
    """A snapshot that the clock had taken, or is to have been once it is `ready`. `used`: it must stay."""

    id: str
    asked_at_s: float
    ready: bool
    used: bool = False


def due(policy: SnapshotPolicy, next_at_s: float, *, now_s: float, taken: Iterable[Taken]) -> Due | None:
    """None: not yet. Names are of the instant, in UTC: whoever asks twice asks for the same one."""
    if now_s < next_at_s:
        return None
    at_s = max(policy.cron.newest_until(now_s), next_at_s)
    waits = any(not each.ready for each in taken)
    name = "" if waits else f"auto-{datetime.fromtimestamp(at_s, UTC):%Y%m%d-%H%M}"
    return Due(name, at_s, policy.cron.next_after(now_s))


def surplus(taken: Iterable[Taken], *, keep: int) -> list[str]:
    """Those that go, the oldest first: what is not there yet pushes nothing out."""
    ready = sorted((each for each in taken if each.ready), key=lambda each: (each.asked_at_s, each.id))
    return [each.id for each in ready[: max(0, len(ready) - keep)] if not each.used]
