"""What the orders would have cost over the last hour: the newest work replayed by each, every ten minutes.

The gate judges on windows of all the history that is kept, which may be weeks; this tells of now, decides
nothing, and says so where the hour held too little to compare.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from bus.scheduling import Hour
from coordinator.clock import Clock
from coordinator.core.scheduler.asking import UNITS
from coordinator.core.scheduler.policies import POLICIES, Backfill, Kind, Mode
from coordinator.loop import Loop
from coordinator.replayer import Refused, replayed
from coordinator.store.errors import StoreError
from coordinator.store.learned import Learned

log = logging.getLogger(__name__)

EVERY_S = 600.0
HOUR_S = 3600.0
JOBS_MIN, JOBS_MAX = 32, 1024
"""Fewer say nothing; of more, the newest are replayed."""

LIMIT_S = 300.0


class LastHour:
    """`look` where it is due; `shown` is what it came to."""

    def __init__(self, loop: Loop, learned: Learned, clock: Clock, *, command: Sequence[str]) -> None:
        self._loop = loop
        self._learned = learned
        self._clock = clock
        self._command = command
        self._looked_s = -EVERY_S
        self.shown: Hour | None = None

    def is_due(self, now_s: float) -> bool:
        """Whether the last look is old, and anything learned could act."""
        return self._loop.cluster.mode is not Mode.OFF and now_s - self._looked_s >= EVERY_S

    async def look(self) -> None:
        """Replay the hour; what fails is logged, and what was shown before stays."""
        until_s = self._looked_s = self._clock.now_s()
        try:
            async with asyncio.timeout(LIMIT_S):
                self.shown = await self._hour(until_s)
        except TimeoutError:
            log.warning("the replay of the last hour is given up after %.0f s", LIMIT_S)
        except (Refused, StoreError, OSError) as error:
            log.warning("the last hour is not replayed: %s", error)

    async def _hour(self, until_s: float) -> Hour:
        """Raises Refused, StoreError, OSError."""
        cluster = self._loop.cluster
        ran = await self._learned.history(2 * JOBS_MAX)
        since_s = until_s - HOUR_S
        jobs = min(sum(each.submitted_s >= since_s for each in ran), JOBS_MAX)
        acts = (cluster.policy if cluster.mode is Mode.ON else "") or cluster.order
        hour = Hour(until=until_s, jobs=jobs, needed=JOBS_MIN, acts=acts, policy=cluster.policy)
        if jobs < JOBS_MIN:
            return hour
        static = [name for name, policy in POLICIES.items() if policy.kind is Kind.STATIC]
        asked: dict[str, Any] = {
            "jobs": [(*msgspec.structs.astuple(each),) for each in ran],
            "nodes": UNITS,
            "backfill": cluster.backfill is not Backfill.OFF,
            "policies": sorted({*static, acts, cluster.policy} & POLICIES.keys()),
            "newest": jobs,
            "table": msgspec.to_builtins(cluster.planner.table),
        }
        found = await replayed(self._command, asked, heard=lambda done, most: None)
        hour.costs = found["costs"]
        hour.static = min(static, key=lambda name: hour.costs[name])
        return hour
