"""Tells once of each sealed file that its node found damaged: of a volume, a copy, a snapshot or a backup."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bus.values import NodeName, UserName
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.volumes import VolumeBook


class VolumeDamage:
    """`look` after each time that the nodes were asked."""

    def __init__(
        self, book: VolumeBook, clock: Clock, *, record: Callable[[Sequence[Record]], object]
    ) -> None:
        self._book = book
        self._clock = clock
        self._record = record
        self._told: set[tuple[str, str, str]] = set()  # what of it is damaged, the volume, and the node

    def look(self) -> None:
        damaged = dict(self._damaged())
        for key, text in damaged.items():
            if key not in self._told:
                self._event(key[1], key[2], text)
        self._told = set(damaged)

    def _damaged(self) -> list[tuple[tuple[str, str, str], str]]:
        found: list[tuple[tuple[str, str, str], str]] = []
        for (identity, node), each in self._book.found.items():
            row = self._book.volumes.get(identity)
            if row is not None and each.damaged:
                what = "volume" if node == row.node else "the copy of volume"
                found.append((("", identity, node), f"{what} {row.name} on {node} is damaged"))
        for snapshot in self._book.snapshots.values():
            row = self._book.volumes.get(snapshot.volume)
            seen = self._book.found_of(row) if row is not None else None
            if row is None or seen is None or row.node in self._book.silent or snapshot.dropping:
                continue
            if snapshot.id in seen.broken:
                text = f"snapshot {snapshot.name} of volume {row.name} on {row.node} is damaged"
                found.append(((snapshot.id, row.id, row.node), text))
        for backup in self._book.backups.values():
            if self._book.is_damaged(backup):
                text = f"backup {backup.name} of volume {backup.volume_name} on {backup.node} is damaged"
                found.append(((backup.id, backup.volume, backup.node), text))
        return found

    def _event(self, volume: str, node: str, text: str) -> None:
        row = self._book.volumes.get(volume)
        event = EventRecord(
            at=self._clock.now_s(),
            event_type="volume_damaged",
            severity="error",
            message=text,
            node=NodeName(node),
            user=UserName(row.owner) if row is not None else None,
            details={"volume": row.name if row is not None else "", "id": volume},
        )
        self._record([event])
