"""Whether the bus answers us, and what must be there on it: looked at each second.

A connection that stands proves nothing: the server may be stopped, or the network may eat every packet.
So the server is asked. After a reconnect, and now and then anyway, the streams and buckets are made that are
missing: JetStream may have come back without its data. A connection that is closed for good comes back with
another process only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from bus import jetstream
from bus.connection import ConnectionState, NatsBus
from bus.errors import BusError, Disconnected, Forbidden
from bus.trust import Refused

log = logging.getLogger(__name__)

LOOK_S = 0.75
ANSWER_S = 1.0
STORAGE_S = 30.0
"""So often the streams and buckets are looked at though nothing happened."""

AWAY_MISSES = 2
AWAY_AFTER_S = 2.5
"""Both must be over: a process that stood still itself has missed no answer."""


class BusWatch:
    """`run` looks; `on_state` is told by the connection."""

    def __init__(self) -> None:
        self._misses = 0
        self._answered_s = time.monotonic()
        self._storage_due_s = self._answered_s
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def answers(self) -> bool:
        """Whether the last look was answered."""
        return self._misses == 0

    @property
    def away(self) -> bool:
        """Whether we have been unheard for so long that another one should lead."""
        return self._misses >= AWAY_MISSES and time.monotonic() - self._answered_s >= AWAY_AFTER_S

    def on_state(self, state: ConnectionState) -> None:
        """A lost connection is a look without an answer; the next server may know nothing."""
        if state is ConnectionState.CONNECTED:
            self._storage_due_s = time.monotonic()
        else:
            self._misses = max(self._misses, 1)
        self._closed = state is ConnectionState.CLOSED
        self._changed.set()

    async def run(self, bus: NatsBus) -> None:
        """Until cancelled. Raises BusError when the connection will never be there again."""
        while not self._closed:
            begun_s = time.monotonic()
            self._changed.clear()
            if await _is_answered(bus):
                if self._misses:
                    log.info("the bus answers again")
                self._misses, self._answered_s = 0, begun_s
                if begun_s >= self._storage_due_s:
                    await self.store(bus)
            else:
                self._misses += 1
                if self._misses == AWAY_MISSES:
                    log.warning("the bus does not answer")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S - (time.monotonic() - begun_s)):
                    await self._changed.wait()
        raise bus.refusal or Disconnected("the connection to the bus is closed")

    async def store(self, bus: NatsBus) -> None:
        """Make what is missing of streams and buckets; where that fails, the next look tries again."""
        due_s = self._storage_due_s
        try:
            await jetstream.ensure_streams(bus)
            await jetstream.ensure_buckets(bus)
        except BusError as error:
            log.warning("streams and buckets not looked at: %s", error)
            return
        if self._storage_due_s == due_s:  # no reconnect meanwhile
            self._storage_due_s = time.monotonic() + STORAGE_S


async def _is_answered(bus: NatsBus) -> bool:
    try:
        async with asyncio.timeout(ANSWER_S):
            await bus.flush()
    except Refused:
        return False
    except Forbidden:  # of something published before: an answer all the same
        return True
    except (BusError, TimeoutError):
        return False
    return True
