"""Tells nodes again and again how their volumes should be, and writes down how they are.

What a node says is written where it differs from what is known; where tasks may run follows from what is
written, and is told to the core. A new leader begins with what is written, and asks anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from bus.errors import BusError, DecodeError
from bus.values import NodeHealth, NodeName
from bus.volume_wire import VolumeFound
from coordinator.core.events import Event, VolumesPlaced
from coordinator.loop import Loop, Overloaded
from coordinator.store.errors import StoreUnavailable
from coordinator.store.volumes import VolumeRow, VolumeStore
from coordinator.tell import Teller
from coordinator.volumes import VolumeBook

log = logging.getLogger(__name__)

EVERY_S = 2.0
"""Between two words to each node that has a part of a pool."""

GRACE_S = 3 * 86_400.0
"""How long a deleted volume can be undeleted."""


class VolumeKeeper:
    """`round` asks all nodes once; `run` goes on until cancelled; `hasten` makes it begin at once."""

    def __init__(
        self,
        book: VolumeBook,
        store: VolumeStore,
        teller: Teller,
        loop: Loop,
        *,
        post: Callable[[Event], None],
    ) -> None:
        self._book = book
        self._store = store
        self._teller = teller
        self._loop = loop
        self._post = post
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._placed: VolumesPlaced | None = None

    async def read(self) -> None:
        """The book as the database has it. Raises StoreUnavailable."""
        store = self._store
        self._book.put(await store.pools(), await store.volumes(), await store.snapshots())
        self._place()

    def hasten(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            try:
                if self._book.pools:
                    await self.round()
            except (StoreUnavailable, Overloaded) as error:
                log.warning("volumes: %s; again in %.0f s", error, EVERY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._woken.wait()
            self._woken.clear()

    async def round(self) -> None:
        """Raises StoreUnavailable, Overloaded."""
        async with self._turn:
            await self._store.expire(grace_s=GRACE_S)
            await self.read()
            await asyncio.gather(*(self.ask(node) for node in self._book.nodes))
            changed = [await self._write(row) for row in list(self._book.volumes.values())]
            if any(changed):
                await self.read()

    async def ask(self, name: str) -> None:
        """One node, if it is there."""
        node = self._loop.cluster.nodes.get(NodeName(name))
        if node is None or node.health is NodeHealth.UNREACHABLE:
            self._book.silent.add(name)
            return
        try:
            found = await self._teller.keep_volumes(node.name, self._book.wanted(name))
        except (BusError, DecodeError) as error:
            self._book.silent.add(name)
            log.warning("volumes of %s: %s", name, error)
        else:
            self._book.hear(name, found)

    async def _write(self, row: VolumeRow) -> bool:
        """What its node says of a volume, where that is news."""
        found = self._book.found.get(row.id)
        if found is None or row.node in self._book.silent:
            return False
        if row.removing:
            if found.ready:
                return False
            await self._store.forget(row.id)
            self._book.found.pop(row.id, None)
            return True
        ready = found.ready and found.filled >= row.fill_number
        changed = (ready, found.used, found.sha256) != (row.ready, row.used, row.sha256)
        if changed:
            await self._store.found(row.id, ready=ready, used=found.used, sha256=found.sha256)
        return await self._write_snapshots(row, found) or changed

    async def _write_snapshots(self, row: VolumeRow, found: VolumeFound) -> bool:
        there = {each.id: each for each in found.snapshots}
        changed = False
        for each in list(self._book.snapshots.values()):
            if each.volume != row.id:
                continue
            if each.dropping and each.id not in there and found.ready:
                await self._store.forget_snapshot(each.id)
                changed = True
            elif each.id in there and not each.ready and not each.dropping:
                await self._store.found_snapshot(each.id, size=there[each.id].size)
                changed = True
        return changed

    def _place(self) -> None:
        placed = VolumesPlaced(features=self._book.features())
        if placed != self._placed:
            self._post(placed)
            self._placed = placed
