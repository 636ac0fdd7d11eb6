"""Who asked for a change just before the database went away hears so in time, not after its return."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from bus.errors import BusError
from bus.refusal import refusal
from bus.transport import Bus
from coordinator.tell import RETRY_AFTER_S, Replies, send

log = logging.getLogger(__name__)

LOOK_S = 0.2
WAITED_S = 1.4
LAST_WORDS_S = 1.0


class Overdue:
    """`run` looks for people and their programs who wait too long; agents ask again by themselves."""

    def __init__(self, bus: Bus, replies: Replies, *, away: Callable[[], bool]) -> None:
        self._bus = bus
        self._replies = replies
        self._away = away

    async def run(self) -> None:
        """Until cancelled; then whoever still waits hears that nobody will answer."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._away():
                    await self._excuse(WAITED_S, "the database is away")
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._excuse(0.0, "this coordinator ends")

    async def _excuse(self, waited_s: float, why: str) -> None:
        for asker in self._replies.take_overdue(waited_s):
            error = refusal(
                "E_UNAVAILABLE",
                f"{why}; what was asked may be done yet, or not",
                hint="look, or ask again with the same dedupe_key",
                retry_after_s=RETRY_AFTER_S,
            )
            try:
                await send(self._bus, asker, error)
            except BusError as lost:
                log.warning("answer to %s lost: %s", asker.subject, lost)
