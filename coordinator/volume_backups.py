"""Has snapshots of volumes backed up: as sealed files on other nodes, which outlive volume and node.

A backup waits for its snapshot, then for its volume's node to have that as a sealed file, then it is given a
place: a node of its pool that has room and is not the volume's. Further copies are made of the first, or of
the snapshot. All of it is written before a node is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from bus.errors import ApiError
from bus.refusal import refusal
from bus.snapshot_policy import parse_policy
from bus.units import UnitError, format_size_mib
from bus.values import UserName
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.core.volume_backups import AT_ONCE, Lying, Plan, plan_backup
from coordinator.core.volume_copies import Disk, roomiest
from coordinator.core.volume_snapshots import Taken, surplus
from coordinator.store.backups import BackupRow, BackupStore, mib
from coordinator.store.volumes import PoolRow, VolumeRow
from coordinator.volumes import VolumeBook

BY_CLOCK = "clock"

BACKUP_AGAIN_AFTER_S = 600.0
"""So long is a node waited for that is lost, before what lies there is made again elsewhere; unless set."""

COPIES_MAX = 5


class Nodes(Protocol):
    """The nodes of pools as they are now (`coordinator.volume_copies`)."""

    def disks(self, pool: PoolRow) -> dict[str, Disk]: ...

    def away_s(self, name: str) -> float: ...


class Source(Struct, frozen=True):
    """A sealed file that lies somewhere: its hash, its bytes, and those of its content."""

    sha256: str
    size: int
    used: int


class VolumeBackups:
    """`look` after each time that the nodes were asked.

    What lies on a node that is lost for `again_after_s` is made again on another one.
    """

    def __init__(
        self,
        book: VolumeBook,
        store: BackupStore,
        clock: Clock,
        *,
        nodes: Nodes,
        again_after_s: float,
        record: Callable[[Sequence[Record]], object],
    ) -> None:
        self._book = book
        self._store = store
        self._clock = clock
        self._nodes = nodes
        self._again_after_s = again_after_s
        self._record = record

    async def look(self) -> bool:
        """Whether anything changed in the database. Raises StoreUnavailable."""
        changed = False
        filling = {each.fill_snapshot for each in self._book.volumes.values() if not each.ready}
        for row in list(self._book.volumes.values()):
            if row.backup and row.deleted_at is None:
                changed = await self._by_clock(row, filling) or changed
        most = AT_ONCE - sum(self._is_coming(each) for each in self._book.backups.values())
        for copies in self._copies():
            begun = await self._plan(copies, filling, most=most)
            changed, most = changed or begun is not None, most - (begun or 0)
        for each in list(self._book.backups.values()):
            changed = await self._settle(self._book.backups[each.id]) or changed
        return changed

    async def _by_clock(self, row: VolumeRow, filling: Set[str]) -> bool:
        asked = [
            each
            for each in self._book.of_volume(row.id)
            if each.automatic and each.ready and not each.backup_asked
        ]
        for each in asked:
            await self._store.add(
                each.id, row.backup_pool, by=BY_CLOCK, automatic=True, copies=row.backup_copies
            )
        gone: list[str] = []
        try:
            gone = surplus(self._taken(row, filling), keep=parse_policy(row.policy).keep)
        except UnitError:
            pass  # told of where snapshots are asked for
        if gone:
            await self._store.outlive(
                [each.id for each in self._book.backups_of(row.id) if each.automatic and each.name in gone]
            )
        return bool(asked or gone)

    def _taken(self, row: VolumeRow, filling: Set[str]) -> list[Taken]:
        """The backups, by name: all copies of one are as old."""
        taken: dict[str, Taken] = {}
        for each in self._book.backups_of(row.id):
            if each.automatic:
                known = taken.get(each.name)
                taken[each.name] = Taken(
                    id=each.name,
                    asked_at_s=each.created_at,
                    ready=each.ready or (known is not None and known.ready),
                    used=each.id in filling or (known is not None and known.used),
                )
        return list(taken.values())

    def _copies(self) -> list[list[BackupRow]]:
        """The copies of each backup that is not going."""
        found: dict[tuple[str, str], list[BackupRow]] = {}
        for row in self._book.backups.values():
            if not row.dropping:
                found.setdefault((row.volume, row.name), []).append(row)
        return list(found.values())

    def _is_coming(self, row: BackupRow) -> bool:
        """Whether a copy is being made, or will be at once, of what lies or lay elsewhere as well."""
        if row.ready or (not row.node and self._book.backup_faults.get(row.id)):
            return False
        return bool(self._book.copies_of(row))

    async def _plan(self, rows: list[BackupRow], filling: Set[str], *, most: int) -> int | None:
        """How many copies were begun; None: nothing changed."""
        lying = [
            Lying(
                id=row.id,
                ready=row.ready,
                there=row.node not in self._book.silent,
                away_s=self._nodes.away_s(row.node) if row.node else 0.0,
                damaged=self._book.is_damaged(row),
                used=row.id in filling,
            )
            for row in rows
        ]
        first = rows[0]
        has_source = any(map(self._book.is_whole, rows)) or self._has_snapshot(first)
        plan = plan_backup(
            lying, wanted=first.copies, has_source=has_source, most=most, grace_s=self._again_after_s
        )
        for row, each in zip(rows, lying, strict=True):
            self._judge(row, each, plan, has_source=has_source)
        for _ in range(plan.begin):
            await self._store.copy(first.id)
        if plan.drop:
            await self._store.drop_copies(plan.drop)
        return plan.begin if plan.begin or plan.drop else None

    def _judge(self, row: BackupRow, lying: Lying, plan: Plan, *, has_source: bool) -> None:
        """What people read of a copy that is there, and its history where that is news."""
        if not row.ready:
            return
        known, why = self._book.backup_faults.get(row.id, ""), ""
        if row.id in plan.lost:
            why = f"{row.node} is lost"
            if has_source:
                why += ": another copy is made"
            elif self._is_unsnapped(row):
                why += ", and no other copy can be made: its snapshot is gone"
            else:
                why += ": another copy is made once its volume's node answers"
            if known != why:
                self._tell(row, "volume_backup_lost", "warning", f"is away: {why}")
        elif lying.away_s > 0.0:
            left_min = math.ceil(max(self._again_after_s - lying.away_s, 0.0) / 60.0)
            why = f"{row.node} is lost: made again elsewhere in {left_min} min"
        if why:
            self._book.backup_faults[row.id] = why
        else:
            self._book.backup_faults.pop(row.id, None)

    def _is_unsnapped(self, row: BackupRow) -> bool:
        """Whether the snapshot is gone that it was made of."""
        snapshot, volume = self._book.snapshots.get(row.snapshot), self._book.volumes.get(row.volume)
        return snapshot is None or snapshot.dropping or volume is None or volume.removing

    def _has_snapshot(self, row: BackupRow) -> bool:
        """Whether the snapshot lies on a node that answers."""
        volume = self._book.volumes.get(row.volume)
        found = self._book.found_of(volume) if volume is not None else None
        if volume is None or found is None or self._is_unsnapped(row):
            return False
        return volume.node not in self._book.silent and any(
            each.id == row.snapshot for each in found.snapshots
        )

    async def _settle(self, row: BackupRow) -> bool:
        if row.dropping:
            return await self._drop(row)
        is_gone = self._is_unsnapped(row)
        if row.ready:
            if not self._book.is_damaged(row) or (is_gone and not self._sources(row)):
                return False
            await self._store.displace(row, left=True)  # it is made anew of its snapshot, or another copy
            return True
        if is_gone and not any(each.ready for each in self._book.copies_of(row)):
            self._tell(row, "volume_backup_failed", "error", "is not made: its snapshot is gone")
            await self._store.drop(row.id, by=BY_CLOCK)
            for each in (row, *self._book.copies_of(row)):
                self._book.backups[each.id] = replace(each, dropping=True)
            return True
        sources = self._sources(row)
        if not row.node:
            return bool(sources) and await self._place(row, sources[0])
        pool = self._book.pools[row.pool]
        disk = self._nodes.disks(pool).get(row.node)
        is_other = bool(sources) and all(each.sha256 != row.sha256 for each in sources)
        if disk is None or disk.lost or is_other:
            await self._store.displace(row, left=True)
            return True
        found = self._book.backups_found.get((row.id, row.node))
        if found is None or row.node in self._book.silent:
            return False
        self._book.backup_faults[row.id] = found.fault
        if not found.ready:
            return False
        await self._store.backed_up(row.id)
        self._tell(row, "volume_backed_up", "info", f"lies on {row.node}")
        return True

    def _sources(self, row: BackupRow) -> list[Source]:
        """Other copies that can be read, then the sealed file of its snapshot, if a node has it."""
        found = [
            Source(each.sha256, each.size, each.used)
            for each in self._book.copies_of(row)
            if self._book.is_whole(each)
        ]
        volume = self._book.volumes.get(row.volume)
        seen = self._book.found_of(volume) if volume is not None else None
        if volume is None or seen is None or volume.node in self._book.silent or self._is_unsnapped(row):
            return found
        packs = [each for each in (*seen.packs, *seen.snapshots) if each.id == row.snapshot and each.sha256]
        return found + [Source(each.sha256, each.size, volume.used) for each in packs]

    async def _place(self, row: BackupRow, source: Source) -> bool:
        pool = self._book.pools[row.pool]
        disks = self._nodes.disks(pool)
        size_mib = mib(source.size)
        volume = self._book.volumes.get(row.volume)
        not_on = self._left_on(row) | {each.node for each in self._book.copies_of(row) if each.node}
        own, all_of_it = (volume.node, self._book.nodes_of(volume)) if volume is not None else ("", [])
        node = roomiest(disks, size_mib, but=not_on | set(all_of_it)) or roomiest(
            disks, size_mib, but=not_on | {own}
        )
        if node is None:
            why = f"no other node of pool {pool.name} that answers has {format_size_mib(size_mib)} left"
            if self._book.backup_faults.get(row.id) != why:
                self._book.backup_faults[row.id] = why
                self._tell(row, "volume_backup_failed", "warning", f"waits: {why}")
            return False
        self._book.backup_faults.pop(row.id, None)
        await self._store.place(row.id, node, sha256=source.sha256, size=source.size, used=source.used)
        return True

    def _left_on(self, row: BackupRow) -> set[str]:
        """Nodes that are to let go of what they had of it first."""
        return {node for identity, node in self._book.leftovers if identity == row.id}

    async def _drop(self, row: BackupRow) -> bool:
        if row.node:
            disk = self._nodes.disks(self._book.pools[row.pool]).get(row.node)
            found = self._book.backups_found.get((row.id, row.node))
            is_gone = found is not None and found.removed and row.node not in self._book.silent
            is_lost = disk is None or disk.lost
            if not is_gone and not is_lost:
                return False
            await self._store.displace(row, left=not is_gone)
        await self._store.forget(row.id)
        self._book.backup_faults.pop(row.id, None)
        return True

    def _tell(self, row: BackupRow, kind: str, severity: str, what: str) -> None:
        event = EventRecord(
            at=self._clock.now_s(),
            event_type=kind,
            severity=severity,
            message=f"backup {row.name} of volume {row.volume_name} {what}",
            user=UserName(row.owner),
            details={"volume": row.volume_name, "backup": row.name},
        )
        self._record([event])


def check_backup_pool(
    pool: PoolRow, own: PoolRow, node: str, *, copies: int = 1, field: str = "/backup_copies"
) -> None:
    """Whether a volume on `node` in pool `own` can have so many copies in `pool`. Raises ApiError."""
    others = [each for each in pool.nodes if each != node]
    if others and len(others) < copies:
        message = (
            f"each copy lies on another node than its volume, and {len(others)} others have pool {pool.name}"
        )
        got, expected = str(copies), f"at most {len(others)}"
        hint = "fewer copies, or a pool on more nodes"
        raise ApiError(refusal("E_CONSTRAINT", message, field=field, got=got, expected=expected, hint=hint))
    if not others:
        message = f"a backup lies on another node than its volume, and pool {pool.name} is on {node} alone"
        hint = "another pool: --backup-pool NAME"
        raise ApiError(refusal("E_CONSTRAINT", message, field="/backup_pool", hint=hint))
    if own.encrypt and len(own.nodes) == 1:
        message = f"only {node} has the key of pool {own.name}: without it nobody could read a backup"
        hint = "an encrypted pool on two nodes or more"
        raise ApiError(refusal("E_CONSTRAINT", message, field="/backup", hint=hint))
    if pool.encrypt and pool.id != own.id:
        message = (
            f"pool {pool.name} is encrypted, and a backup is sealed with the key of the volume's own pool"
        )
        hint = "a backup pool without encryption: what is encrypted in its own pool is so there too"
        raise ApiError(refusal("E_CONSTRAINT", message, field="/backup_pool", hint=hint))
