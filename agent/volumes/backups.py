"""Backups that lie on this node: sealed files of other nodes' volumes, in pools, brought one by one.

The coordinator says again and again which should be here; `wanted` answers how that is, `run` brings the
rest. What it has begun to bring and is wanted no more is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from agent.volumes.fetch import Fetch
from agent.volumes.store import VolumeStore
from agent.words import plain
from bus.errors import ApiError, BusError
from bus.volume_wire import BackupFound, BackupWanted

_log = logging.getLogger(__name__)

_FAULT_MAX = 300
_AGAIN_S = 5.0


class Backups:
    """`fetch` brings what another node has."""

    def __init__(self, store: VolumeStore, fetch: Fetch) -> None:
        self._store = store
        self._fetch = fetch
        self._left: dict[str, BackupWanted] = {}  # to be brought
        self._faults: dict[str, str] = {}
        self._woken = asyncio.Event()
        self._bringing: tuple[BackupWanted, asyncio.Task[None]] | None = None

    async def wanted(self, backups: Iterable[BackupWanted]) -> tuple[BackupFound, ...]:
        """How each is now. What is not here is brought from here on."""
        self._left = {}
        found = [await self._look(each) for each in backups]
        self._faults = {name: fault for name, fault in self._faults.items() if name in self._left}
        if self._bringing is not None and self._bringing[0] not in self._left.values():
            self._bringing[1].cancel()
        self._woken.set()
        return tuple(found)

    async def _look(self, backup: BackupWanted) -> BackupFound:
        try:
            if backup.removed:
                if self._bringing is not None and self._bringing[0].id == backup.id:
                    return BackupFound(id=backup.id)  # it is being stopped
                await asyncio.to_thread(self._store.backups.drop, backup)
                return BackupFound(id=backup.id, removed=True)
            if await asyncio.to_thread(self._store.backups.has, backup):
                return BackupFound(id=backup.id, ready=True)
            if await asyncio.to_thread(self._store.backups.is_damaged, backup):
                return BackupFound(id=backup.id, damaged=True)
        except (ApiError, OSError) as error:
            return BackupFound(id=backup.id, fault=plain(str(error), _FAULT_MAX))
        self._left[backup.id] = backup
        return BackupFound(id=backup.id, fault=self._faults.get(backup.id, ""))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            for each in list(self._left.values()):
                if self._left.get(each.id) == each:
                    await self._bring(each)
            try:
                async with asyncio.timeout(_AGAIN_S if self._left else None):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _bring(self, backup: BackupWanted) -> None:
        task = asyncio.create_task(self._receive(backup), name=f"backup {backup.id}")
        self._bringing = backup, task
        try:
            await asyncio.wait((task,))
        finally:
            task.cancel()  # where it is us who are to end
            self._bringing = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._left.pop(backup.id, None)
        else:  # whatever it is, the other backups are not to wait for it
            known = error if isinstance(error, ApiError | BusError | OSError) else None
            self._faults[backup.id] = plain(str(known or repr(error)), _FAULT_MAX)
            _log.warning("backup %s: %s", backup.id, error, exc_info=None if known else error)

    async def _receive(self, backup: BackupWanted) -> None:
        async with self._fetch(backup.sha256, backup.size) as source:
            await asyncio.to_thread(self._store.backups.keep, backup, source)
