"""The node reads its content again, at a pace, and tells what is damaged or gone; caches nobody uses go.

A round takes as long as the pace says, and begins at most every so often. What was sent wrongly is read at
once. What is damaged is out of the way before it is told; what is gone is told in every round until it is
back, or until the cluster does not count on it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time

from msgspec import Struct

from agent.blobs import BlobStore
from agent.copies import Copies
from agent.core.pacing import Pace
from agent.taking import CLUSTER
from bus.errors import ApiError
from bus.replication import HELD_AT_ONCE, HeldBlob

_log = logging.getLogger(__name__)

CACHE_S = 24 * 3600.0
"""What nobody needs and nobody used for so long goes, also where there is room."""

_WORKED_S = 3600.0
_RETRY_S = 60.0


class Scrubs(Struct, frozen=True, kw_only=True):
    """How often a round begins (0: when asked), and how fast it reads (0: as fast as it can)."""

    every_s: float = 24 * 3600.0
    bytes_per_s: float = 20.0 * 1024 * 1024


class Scrubber:
    """`run` for ever. `ask` for a round now, `suspect` one blob. `rounds` counts those that ended."""

    def __init__(self, store: BlobStore, copies: Copies, scrubs: Scrubs | None = None) -> None:
        self._store = store
        self._copies = copies
        self._scrubs = scrubs or Scrubs()
        self._pace = Pace(self._scrubs.bytes_per_s)
        self._suspects: dict[str, None] = {}
        self._asked = False
        self._due = asyncio.Event()
        self._fine: list[HeldBlob] = []
        self.rounds = 0

    def ask(self) -> None:
        """A whole round as soon as the one that runs has ended."""
        self._asked = True
        self._due.set()

    def suspect(self, sha256: str) -> None:
        """Read this one next. From the event loop's thread only."""
        self._suspects[sha256] = None
        self._due.set()

    async def run(self) -> None:
        every_s = self._scrubs.every_s or math.inf
        next_s = time.monotonic() + every_s
        collected_s = time.monotonic()
        while True:
            try:
                await self._look_at_suspects()
                if self._asked or time.monotonic() >= next_s:
                    self._asked = False
                    next_s = time.monotonic() + every_s
                    await self._round()
                if time.monotonic() >= collected_s + _WORKED_S:
                    collected_s = time.monotonic()
                    gone = await asyncio.to_thread(self._store.collect, unused_s=CACHE_S)
                    _log.info("%d caches that nobody used are gone", len(gone))
            except OSError as error:
                _log.error("content cannot be read again: %s", error)
                await asyncio.sleep(_RETRY_S)
            wait_s = min(next_s, collected_s + _WORKED_S) - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, wait_s)):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()

    async def _round(self) -> None:
        missing = await asyncio.to_thread(self._store.missing)
        await self._tell_gone([sha256 for sha256, pins in missing.items() if CLUSTER in pins])
        for sha256 in sorted(self._store.names):
            await self._look_at_suspects()
            await self._look_at(sha256)
        await self._tell_fine()
        self.rounds += 1

    async def _look_at_suspects(self) -> None:
        while self._suspects:
            sha256 = next(iter(self._suspects))
            del self._suspects[sha256]
            if self._store.has(sha256):
                await self._look_at(sha256)
            else:
                await self._tell_gone([sha256])

    async def _look_at(self, sha256: str) -> None:
        try:
            size = self._store.size(sha256)
            is_fine = await asyncio.to_thread(self._store.scrub, sha256, pause=self._pause)
        except ApiError:
            return  # it was let go meanwhile
        except OSError as error:  # of this moment: the next round reads it
            _log.error("content %s cannot be read again: %s", sha256, error)
            return
        if is_fine:
            self._fine.append(HeldBlob(sha256, size))
            if len(self._fine) >= HELD_AT_ONCE:
                await self._tell_fine()
            return
        _log.error("content %s is damaged: %d bytes are out of the way", sha256, size)
        await self._copies.tell([HeldBlob(sha256, size, "E_HASH")])

    async def _tell_fine(self) -> None:
        fine, self._fine = self._fine, []
        kept = [each for each in fine if CLUSTER in self._store.pins(each.sha256)]
        await self._copies.tell(kept)

    async def _tell_gone(self, hashes: list[str]) -> None:
        counted = await self._copies.tell([HeldBlob(sha256, 0, "E_NOT_FOUND") for sha256 in hashes])
        for sha256, counts in zip(hashes, counted, strict=True):
            if not counts:
                await asyncio.to_thread(self._store.unpin, sha256, CLUSTER)

    def _pause(self, size: int) -> None:
        """In the thread that reads."""
        time.sleep(self._pace.take(size, time.monotonic()))
