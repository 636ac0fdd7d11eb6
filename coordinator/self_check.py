"""Whether we may believe what we see: where many nodes seem dead, the fault is looked for in ourselves first.

The core is told every CHECK_S; its brake lifts only after our bus, our database and our clock were well. The
clock is when it went on evenly: a process that was stopped, or a machine that slept, has heard of no node.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from coordinator.core.events import Event, SelfChecked
from coordinator.leader import boottime_s
from coordinator.loop import Overloaded

log = logging.getLogger(__name__)

CHECK_S = 2.0
LATE_S = 2.0
"""So much later than it wanted to be awake: a process that is merely busy is not."""


class SelfCheck:
    """`run` posts what it finds."""

    def __init__(
        self,
        post: Callable[[Event], None],
        *,
        bus: Callable[[], bool],
        database: Callable[[], bool],
        now_s: Callable[[], float] = boottime_s,
    ) -> None:
        self._post = post
        self._bus = bus
        self._database = database
        self._now_s = now_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            asleep_s = self._now_s()
            await asyncio.sleep(CHECK_S)
            steady = self._now_s() - asleep_s < CHECK_S + LATE_S
            found = SelfChecked(bus=self._bus(), database=self._database(), clock=steady)
            if found != SelfChecked(bus=True, database=True, clock=True):
                log.warning("not well: %s", found)
            try:
                self._post(found)
            except Overloaded as error:
                log.warning("%s", error)
