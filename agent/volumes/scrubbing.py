"""Sealed files of volumes, snapshots and backups are read again, at a pace, and compared by their hashes.

What is damaged is out of the way before it is told: nobody unpacks it, and nobody is sent it. Where another
node has the same, it is brought anew. What lies as folders (pools that neither pack nor copy) has no hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from agent.core.pacing import Pace
from agent.records import UNREADABLE
from agent.scrubbing import Scrubs
from agent.volumes.store import VolumeStore
from agent.volumes.volume import Volume, set_aside
from bus.errors import ApiError

_log = logging.getLogger(__name__)

_PIECE = 1024 * 1024
_RETRY_S = 60.0

Alone = Callable[[str], AbstractAsyncContextManager[object]]
"""For as long as it is open nobody else works on a volume."""


class VolumeScrubber:
    """`run` for ever; `ask` for a round now. `rounds` counts those that ended."""

    def __init__(self, store: VolumeStore, scrubs: Scrubs, *, alone: Alone) -> None:
        self._store = store
        self._every_s = scrubs.every_s or math.inf
        self._pace = Pace(scrubs.bytes_per_s)
        self._alone = alone
        self._asked = asyncio.Event()
        self.rounds = 0

    def ask(self) -> None:
        """A whole round as soon as the one that runs has ended."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        wait_s = self._every_s
        while True:
            try:
                async with asyncio.timeout(None if math.isinf(wait_s) else wait_s):
                    await self._asked.wait()
            except TimeoutError:
                pass
            self._asked.clear()
            try:
                await self._round()
                wait_s = self._every_s
            except (ApiError, OSError) as error:
                _log.error("volumes cannot be read again: %s", error)
                wait_s = min(_RETRY_S, self._every_s)

    async def _round(self) -> None:
        """All of it; what cannot be read now keeps nothing else from being read. Raises OSError."""
        unread = 0
        for volume in list(self._store.volumes.values()):
            try:
                for sha256, path in await asyncio.to_thread(volume.all_sealed_files):
                    if not await asyncio.to_thread(self._is_whole, path, sha256, paced=True):
                        await self._condemn(volume, path)
            except (ApiError, OSError) as error:
                unread += 1
                _log.error("volume %s cannot be read again: %s", volume.id, error)
        for path, sha256 in await asyncio.to_thread(self._store.backups.all):
            try:
                if not await asyncio.to_thread(self._is_whole, path, sha256, paced=True):
                    _log.error("backup %s is damaged: it is out of the way", path.name)
                    await asyncio.to_thread(set_aside, path)
            except OSError as error:
                unread += 1
                _log.error("backup %s cannot be read again: %s", path.name, error)
        self.rounds += 1
        if unread:
            raise OSError(f"{unread} volumes and backups wait for the next round")

    async def _condemn(self, volume: Volume, path: Path) -> None:
        """Looked at once more, now that nobody replaces it."""
        async with self._alone(volume.id):
            found = await asyncio.to_thread(volume.all_sealed_files)
            current = {path: sha256 for sha256, path in found}
            if path not in current or await asyncio.to_thread(self._is_whole, path, current[path]):
                return
            _log.error("%s is damaged: it is out of the way", path)
            await asyncio.to_thread(self._store.condemn, volume, path)

    def _is_whole(self, path: Path, sha256: str, *, paced: bool = False) -> bool:
        """What is gone meanwhile was let go of."""
        digest = hashlib.sha256()
        try:
            with open(path, "rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    if paced:
                        time.sleep(self._pace.take(len(piece), time.monotonic()))
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            return False
        return digest.hexdigest() == sha256
