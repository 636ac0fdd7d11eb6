"""Tells nodes again and again how their volumes should be, and writes down how they are.

What a node says is written where it differs from what is known; where tasks may run follows from what is
written, and is told to the core. A new leader begins with what is written, and asks anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from bus.errors import BusError, DecodeError
from bus.snapshot_policy import SnapshotPolicy
from bus.values import NodeHealth, NodeName
from bus.volume_wire import VolumeFound
from coordinator.answers import heard_of
from coordinator.clock import Clock
from coordinator.core.effects import Record
from coordinator.core.events import VolumesPlaced
from coordinator.loop import Loop, Overloaded
from coordinator.pool_drivers import MakeKey, make_key
from coordinator.pool_keys import PoolKeys
from coordinator.store.backups import BackupRow, BackupStore
from coordinator.store.errors import Disagreement, NotLeader, StoreUnavailable
from coordinator.store.leftovers import LeftoverStore
from coordinator.store.volumes import PoolRow, VolumeRow, VolumeStore
from coordinator.tell import Teller
from coordinator.volume_announced import AnnouncedPools
from coordinator.volume_backups import BACKUP_AGAIN_AFTER_S, VolumeBackups
from coordinator.volume_copies import VolumeCopies
from coordinator.volume_damage import VolumeDamage
from coordinator.volume_leavings import VolumeLeavings
from coordinator.volume_snapshots import VolumeSnapshots
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
        leftovers: LeftoverStore,
        backups: BackupStore,
        teller: Teller,
        loop: Loop,
        *,
        clock: Clock,
        epoch: int,
        record: Callable[[Sequence[Record]], object],
        backup_again_after_s: float = BACKUP_AGAIN_AFTER_S,
        make_key: MakeKey = make_key,
    ) -> None:
        self._clock = clock
        self._copies = VolumeCopies(book, store, loop, clock, epoch=epoch, place=self._place, record=record)
        self._announced = AnnouncedPools(book, store, loop, clock, record=record)
        self._keys = PoolKeys(book, make_key)
        self._damage = VolumeDamage(book, clock, record=record)
        self._leftovers, self._backup_store, self._epoch = leftovers, backups, epoch
        self._backups = VolumeBackups(
            book, backups, clock, nodes=self._copies, again_after_s=backup_again_after_s, record=record
        )
        self._leavings = VolumeLeavings(book, leftovers, clock, is_lost=self._copies.is_lost, record=record)
        self._snapshots = VolumeSnapshots(book, store, clock, record=record)
        self._book = book
        self._store = store
        self._teller = teller
        self._loop = loop
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._placed: VolumesPlaced | None = None

    async def read(self) -> None:
        """The book as the database has it. Raises StoreUnavailable."""
        store = self._store
        self._book.put(
            await store.pools(),
            await store.volumes(),
            await store.snapshots(),
            await store.copies(),
            await self._leftovers.all(),
            await self._backup_store.all(),
        )
        self._place()

    def announcers(self, pool: str) -> list[str]:
        """Nodes that announce a pool of that name."""
        return self._announced.of(pool)

    @property
    def now_s(self) -> float:
        """Seconds of the Unix epoch."""
        return self._clock.now_s()

    def next_snapshot_at(self, policy: SnapshotPolicy | None) -> float | None:
        """When the first of them is due that is asked for now; seconds of the Unix epoch."""
        return None if policy is None else policy.cron.next_after(self._clock.now_s())

    def hasten(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            try:
                if self._book.nodes or self._announced.any():
                    await self.round()
            except (StoreUnavailable, Overloaded, Disagreement) as error:
                log.warning("volumes: %s; again in %.0f s", error, EVERY_S)
            except NotLeader:
                raise
            except Exception:  # whatever nodes said, nobody shall be without a coordinator for it
                log.exception("volumes are looked at again in %.0f s", EVERY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._woken.wait()
            self._woken.clear()

    async def round(self) -> None:
        """Raises StoreUnavailable, Overloaded."""
        async with self._turn:
            await self._store.expire(grace_s=GRACE_S)
            await self.read()
            if await self._apart(self._announced.look(), "pools that nodes announce"):
                await self.read()
                self._woken.set()
            asked_s = self._clock.now_s()
            await asyncio.gather(*(self.ask(node) for node in self._book.nodes))
            rows = list(self._book.volumes.values())
            changed = [await self._apart(self._write(row, asked_s), f"volume {row.name}") for row in rows]
            if any(changed):
                await self.read()
            if self._keys.look():
                self._woken.set()
            if await self._apart(self._snapshots.look(), "snapshots"):
                await self.read()
                self._woken.set()
            self._damage.look()
            if await self._apart(self._backups.look(), "backups"):
                await self.read()
                self._woken.set()
            if await self._apart(self._leavings.look(), "what was left over"):
                await self.read()
            if await self._apart(self._copies.look(), "copies"):
                await self.read()
                self._woken.set()  # nodes should know at once

    async def _apart(self, work: Awaitable[bool], what: str) -> bool:
        """What the database does not take of one keeps no other waiting. Raises StoreUnavailable."""
        try:
            return await work
        except Disagreement as error:
            log.warning("%s: %s; looked at again in %.0f s", what, error, EVERY_S)
            return False

    async def move(self, volume: str, *, by: str) -> None:
        """To the best copy there is, although that loses what only the lost node has.

        Raises ApiError with why it stays where it is, StoreUnavailable, Overloaded.
        """
        async with self._turn:
            await self.read()
            await self._copies.move(self._book.volumes[volume], by=by, force=True)
        self._woken.set()

    def is_lost(self, node: str) -> bool:
        """Whether nothing goes on there that was begun."""
        return self._copies.is_lost(node)

    async def rehome(self, volume: str, backup: BackupRow, *, node: str, pool: str, by: str) -> None:
        """A volume of a lost node begins anew on another with the content of a backup.

        Raises ApiError with why it stays where it is, StoreUnavailable, Overloaded.
        """
        async with self._turn:
            await self.read()
            row = self._book.volumes[volume]

            async def write() -> bool:
                done = await self._backup_store.rehome(
                    row, backup, node=node, pool=pool, epoch=self._epoch, by=by
                )
                if done:  # before tasks may have it again
                    self._book.volumes[row.id] = replace(row, node=node, pool=pool, ready=False)
                return done

            await self._copies.rehome(row, write, to=node)
            await self.read()

    async def give_up(self, volume: str, *, by: str) -> None:
        """What of it lies on lost nodes. Raises ApiError (E_CONFLICT) where none is, StoreUnavailable."""
        async with self._turn:
            await self._leavings.give_up(self._book.volumes[volume], by=by)

    async def leave(self, pool: PoolRow, *, by: str) -> None:
        """What nodes that do not answer have of a pool that is removed. Raises StoreUnavailable."""
        await self._leavings.leave(pool, by=by)

    async def ask(self, name: str) -> None:
        """One node, if it is there."""
        node = self._loop.cluster.nodes.get(NodeName(name))
        if node is None or node.health is NodeHealth.UNREACHABLE:
            self._book.silent.add(name)
            return
        wanted = self._book.wanted(name)
        try:
            found = await self._teller.keep_volumes(node.name, wanted)
        except (BusError, DecodeError) as error:
            self._book.silent.add(name)
            log.warning("volumes of %s: %s", name, error)
        else:
            self._book.hear(name, heard_of(found, wanted))

    async def _write(self, row: VolumeRow, asked_s: float) -> bool:
        """What its node says of a volume, where that is news; it was asked at `asked_s`."""
        found = self._book.found_of(row)
        if row.removing:
            if not self._book.is_gone(row, row.node) or self._book.copies.get(row.id):
                return False
            await self._store.forget(row.id)
            self._book.found.pop((row.id, row.node), None)
            return True
        if found is None or row.node in self._book.silent:
            return False
        known = as_found(row, found)
        changed = known != row
        if changed:
            await self._store.found(replace(known, sealed_at=asked_s))
        return await self._write_snapshots(row, found) or changed

    async def _write_snapshots(self, row: VolumeRow, found: VolumeFound) -> bool:
        there = {each.id: each for each in found.snapshots}
        changed = False
        for each in list(self._book.snapshots.values()):
            if each.volume != row.id:
                continue
            if each.dropping and found.ready and self._is_dropped(row, each.id):
                await self._store.forget_snapshot(each.id)
                changed = True
            elif each.id in there and not each.ready and not each.dropping:
                seen = there[each.id]
                await self._store.found_snapshot(each.id, size=seen.size, sha256=seen.sha256)
                changed = True
        return changed

    def _is_dropped(self, row: VolumeRow, snapshot: str) -> bool:
        """Whether all nodes that have the volume have said that the snapshot is gone."""
        for node in self._book.nodes_of(row):
            found = self._book.found.get((row.id, node))
            if found is None or node in self._book.silent:
                return False
            if any(each.id == snapshot for each in found.snapshots):
                return False
        return True

    def _place(self) -> None:
        placed = VolumesPlaced(features=self._book.features())
        if placed != self._placed:
            self._loop.post(placed)
            self._placed = placed


def as_found(row: VolumeRow, found: VolumeFound) -> VolumeRow:
    """A volume as its node says. Of one that is gone there, a copy may have what was sealed."""
    if not found.ready:
        return replace(row, ready=False)
    return replace(
        row,
        ready=found.filled >= row.fill_number,
        used=found.used,
        sha256=found.sha256,
        generation=found.generation,
        sealed_bytes=found.size,
        sealed_fill=found.sealed_fill,
        unsealed=tuple(f"{each.job}.{each.task.whole.index}.{each.fence}" for each in found.unsealed),
    )
