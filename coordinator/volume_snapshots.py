"""Has snapshots of volumes taken by the clock, and lets go of those that newer ones replace.

What is due is written before a node is told of it, with the next instant in the same statement: whoever leads
next neither forgets one nor takes it twice. A volume that is away or not whole waits, and has one then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from bus.instants import format_instant
from bus.snapshot_policy import parse_policy
from bus.units import UnitError
from bus.values import UserName
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.core.volume_snapshots import Due, Taken, due, surplus
from coordinator.store.volumes import VolumeRow, VolumeStore
from coordinator.volumes import VolumeBook

log = logging.getLogger(__name__)

BY_CLOCK = "clock"
"""Who asked for a snapshot, where nobody did."""


class VolumeSnapshots:
    """`look` after each time that the nodes were asked."""

    def __init__(
        self,
        book: VolumeBook,
        store: VolumeStore,
        clock: Clock,
        *,
        record: Callable[[Sequence[Record]], object],
    ) -> None:
        self._book = book
        self._store = store
        self._clock = clock
        self._record = record

    async def look(self) -> bool:
        """Whether anything changed in the database. Raises StoreUnavailable."""
        changed = False
        for row in list(self._book.volumes.values()):
            if not row.policy or row.deleted_at is not None:
                continue
            try:
                policy = parse_policy(row.policy)
            except UnitError as error:  # this machine's time zones are not those of whoever took it
                log.warning("snapshots of volume %s: %s", row.name, error)
                continue
            taken = self._taken(row)
            gone = surplus(taken, keep=policy.keep)
            if gone:
                await self._store.outlive(gone)
                changed = True
            if not row.ready or row.node in self._book.silent or row.next_snapshot_at is None:
                continue
            found = due(policy, row.next_snapshot_at, now_s=self._clock.now_s(), taken=taken)
            if found is not None:
                await self._store.snapshot_by_clock(row, found, by=BY_CLOCK)
                self._tell(row, found)
                changed = True
        return changed

    def _taken(self, row: VolumeRow) -> list[Taken]:
        used = {each.fill_snapshot for each in self._book.volumes.values() if not each.ready}
        used |= {each.snapshot for each in self._book.backups_of(row.id) if self._book.is_first(each)}
        return [
            Taken(id=each.id, asked_at_s=each.created_at, ready=each.ready, used=each.id in used)
            for each in self._book.of_volume(row.id)
            if each.automatic
        ]

    def _tell(self, row: VolumeRow, found: Due) -> None:
        if found.name:
            missed = found.at_s > (row.next_snapshot_at or 0.0)
            late = (
                f", for what was missed since {format_instant(row.next_snapshot_at or 0.0)}" if missed else ""
            )
            kind, severity = "volume_snapshot", "info"
            text = f"snapshot {found.name} of volume {row.name} is asked for by its clock{late}"
        else:
            kind, severity = "volume_snapshot_late", "warning"
            when = format_instant(found.at_s)
            text = (
                f"no snapshot of volume {row.name} at {when}: the one before still waits for a writer to end"
            )
        event = EventRecord(
            at=self._clock.now_s(),
            event_type=kind,
            severity=severity,
            message=text,
            user=UserName(row.owner),
            details={"volume": row.name, "id": row.id, "snapshot": found.name},
        )
        self._record([event])
