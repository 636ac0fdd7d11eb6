"""Keeps the copies of volumes in replicated pools, and moves a volume whose node is lost to one of them.

A node is lost when its leases have run out by our clock and no brake is on: what ran there has ended, and a
task that starts there later finds that the volume is elsewhere. Before another node becomes the primary, no
node has the volume for the scheduler: whoever comes back in between is given no task that would write to what
does not count any more. None takes over by itself where a task that completed may have written what no copy
has; people may have it so (`force`).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from bus.errors import ApiError
from bus.refusal import refusal
from bus.values import NodeAdmin, NodeHealth, NodeName, TaskRef
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.core.intake import derive
from coordinator.core.volume_copies import Copied, Disk, next_primary, plan_places
from coordinator.loop import Loop
from coordinator.store.volumes import PoolRow, VolumeRow, VolumeStore, Wrote
from coordinator.volumes import VolumeBook

BY_ITSELF = "coordinator"
"""Who moved a volume, where nobody asked for it."""

_NAMED = 3


class VolumeCopies:
    """`look` after each time that the nodes were asked. `place` tells the core where volumes are now."""

    def __init__(
        self,
        book: VolumeBook,
        store: VolumeStore,
        loop: Loop,
        clock: Clock,
        *,
        epoch: int,
        place: Callable[[], object],
        record: Callable[[Sequence[Record]], object],
    ) -> None:
        self._book = book
        self._store = store
        self._loop = loop
        self._clock = clock
        self._epoch = epoch
        self._place = place
        self._record = record

    async def look(self) -> bool:
        """Whether anything changed in the database. Raises StoreUnavailable, Overloaded."""
        if self._book.moving:  # whose moves were cut short: what is written was read since
            self._book.moving.clear()
            self._place()
        changed = False
        for row in list(self._book.volumes.values()):
            if not self._book.is_copied(row):
                continue
            changed = await self._forget(row) or changed
            if row.removing:
                continue
            changed = await self._settle(row) or changed
            if self.is_lost(row.node):
                changed = await self._move_by_itself(row) or changed
            else:
                self._book.stuck.pop(row.id, None)
        return changed

    async def _forget(self, row: VolumeRow) -> bool:
        """What nodes have let go of."""
        changed = False
        for place in list(self._book.copies.get(row.id, {}).values()):
            if (place.removing or row.removing) and self._book.is_gone(row, place.node):
                await self._store.forget_copy(row.id, place.node)
                self._book.found.pop((row.id, place.node), None)
                del self._book.copies[row.id][place.node]
                changed = True
        return changed

    async def _settle(self, row: VolumeRow) -> bool:
        pool = self._book.pools[row.pool]
        planned = plan_places(self._copied(row, pool), self.disks(pool))
        known = self._book.copies.get(row.id, {})
        changed = False
        for name, place in planned.items():
            if known.get(name) != place:
                await self._store.put_copy(row.id, place)
                self._book.copies.setdefault(row.id, {})[name] = place
                changed = True
        return changed

    def _copied(self, row: VolumeRow, pool: PoolRow) -> Copied:
        """As its nodes said last, or as it is written where they have not said anything."""
        places = []
        for place in self._book.copies.get(row.id, {}).values():
            found = self._book.found.get((row.id, place.node))
            if found is not None and place.node not in self._book.silent:
                has = (found.sha256, found.generation) if found.ready else ("", 0)
                place = replace(place, sha256=has[0], generation=has[1], fault=found.fault)
            places.append(place)
        return Copied(
            primary=row.node,
            sha256=row.sha256,
            size_mib=row.size_mib,
            copies=pool.replicas - 1,
            places=tuple(places),
        )

    def disks(self, pool: PoolRow) -> dict[str, Disk]:
        """The nodes of a pool as they are now, and what is left on each."""
        disks = {}
        for name in pool.nodes:
            node = self._loop.cluster.nodes.get(NodeName(name))
            part = self._book.pools_found.get((pool.id, name))
            disks[name] = Disk(
                lost=self.is_lost(name),
                there=name not in self._book.silent and part is not None,
                takes=(
                    part is not None
                    and not part.fault
                    and node is not None
                    and node.health is NodeHealth.HEALTHY
                    and node.admin is NodeAdmin.ACTIVE
                ),
                left_mib=pool.node_mib - self._book.given_mib(pool, name),
            )
        return disks

    def is_lost(self, name: str) -> bool:
        """Dead, and not merely silent: nothing that was begun there goes on."""
        cluster = self._loop.cluster
        node = cluster.nodes.get(NodeName(name))
        if node is None:
            return True
        unrenewed_s = self._clock.now_s() - node.lease_from_s
        return (
            node.health is NodeHealth.UNREACHABLE
            and cluster.brake is None
            and unrenewed_s >= cluster.limits.lease_s
        )

    def away_s(self, name: str) -> float:
        """For how long a node that is lost has not been heard of, in seconds; 0: it is not lost."""
        if not self.is_lost(name):
            return 0.0
        node = self._loop.cluster.nodes.get(NodeName(name))
        return math.inf if node is None else self._clock.now_s() - node.lease_from_s

    async def _move_by_itself(self, row: VolumeRow) -> bool:
        try:
            await self.move(row, by=BY_ITSELF)
        except ApiError as error:
            self._tell_stuck(row, error.error.message)
            return False
        return True

    def _tell_stuck(self, row: VolumeRow, why: str) -> None:
        """Once for each reason."""
        if self._book.stuck.get(row.id) != why:
            self._book.stuck[row.id] = why
            self._event(
                "volume_stuck", "error", f"volume {row.name} stays on lost node {row.node}: {why}", row
            )

    async def move(self, row: VolumeRow, *, by: str, force: bool = False) -> str:
        """The node that tasks have it on from now on. `force`: also where that loses what was written.

        Raises ApiError (E_CONFLICT) with why it stays, StoreUnavailable, Overloaded.
        """
        pool = self._book.pools[row.pool]
        await self._check_lost(row)
        place = next_primary(self._copied(row, pool), self.disks(pool), newest=not force)
        found = None if place is None else self._book.found.get((row.id, place.node))
        if place is None or found is None:
            what = "it" if force else "what was sealed last"
            raise _conflict(f"no node that answers has a copy of {what}")
        if not force:
            await self._check_whole(row)

        async def write() -> bool:
            done = await self._store.promote(row, place.node, found, epoch=self._epoch, by=by)
            if done:
                self._book.move(row, found, to=place.node)
            return done

        await self.rehome(row, write, to=place.node)
        return place.node

    async def rehome(self, row: VolumeRow, write: Callable[[], Awaitable[bool]], *, to: str) -> None:
        """`write` that it is on another node from now on, while tasks can have it nowhere.

        Raises ApiError (E_CONFLICT) where its node is not lost, StoreUnavailable, Overloaded.
        """
        self._book.moving.add(row.id)
        self._place()
        try:
            await self._check_lost(row)  # whoever was given a task meanwhile, was so before this
            if not await write():
                raise _conflict("another coordinator leads, or it was moved already")
        finally:  # also where the database is away: tasks would wait for it for ever
            self._book.moving.discard(row.id)
            self._place()
        text = f"volume {row.name} is on {to} from now on: {row.node} is lost"
        self._event("volume_moved", "warning", text, row)

    async def _check_lost(self, row: VolumeRow) -> None:
        await self._loop.barrier()
        if not self.is_lost(row.node):
            raise _conflict(f"its node {row.node} is not lost")
        tasks = [
            str(attempt.ref.task.whole)
            for attempt in self._loop.cluster.attempts()
            if attempt.node == row.node
            and any(mount.volume == row.id for mount in attempt.task.group.settings.volumes)
        ]
        if tasks:
            raise _conflict(f"tasks may still run there: {_some(tasks)}")

    async def _check_whole(self, row: VolumeRow) -> None:
        """Raises ApiError where more may have been written than its newest sealed file has."""
        if row.fill_number != row.sealed_fill:
            raise _conflict("it was being filled with a snapshot")
        wrote = [task for each in await self._store.wrote(row) for task in writers(each, row.id)]
        if wrote:
            raise _conflict(f"what completed tasks wrote may not be in any copy: {_some(wrote)}")

    def _event(self, kind: str, severity: str, text: str, row: VolumeRow) -> None:
        event = EventRecord(
            at=self._clock.now_s(),
            event_type=kind,
            severity=severity,
            message=text,
            details={"volume": row.name, "id": row.id},
        )
        self._record([event])


def writers(wrote: Wrote, volume: str) -> list[str]:
    """Those of the completed tasks of a job that may have written to a volume."""
    derived = derive(wrote.spec, wrote.owner)
    found = []
    for index in wrote.indices:
        mounts = None if isinstance(derived, tuple) else derived.settings_of(index).volumes
        if mounts is None or any(each.volume == volume and not each.read_only for each in mounts):
            found.append(str(TaskRef(wrote.job, index)))
    return found


def _some(tasks: Sequence[str]) -> str:
    more = f" and {len(tasks) - _NAMED} more" if len(tasks) > _NAMED else ""
    return ", ".join(tasks[:_NAMED]) + more


def _conflict(why: str) -> ApiError:
    return ApiError(refusal("E_CONFLICT", why, field="/volume"))
