"""Volumes as people name them: whose they are, who may see and change them, who has them just now."""

from __future__ import annotations

import re

from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.values import Role
from coordinator.loop import Loop
from coordinator.store.backups import BackupRow
from coordinator.store.rows import UserRow
from coordinator.store.volumes import SnapshotRow, VolumeRow
from coordinator.volumes import VolumeBook, may_have

_SNAPSHOT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class VolumeFinder:
    """All raise ApiError."""

    def __init__(self, loop: Loop, book: VolumeBook) -> None:
        self._loop = loop
        self._book = book

    def find(self, user: UserRow, name: str, *, field: str = "/volume") -> VolumeRow:
        """Who may not see it is told what they would be of one that is not there."""
        row = self._book.volume(name)
        if row is None or not sees(user, row):
            hint = "corral volume ls shows what there is"
            raise ApiError(refusal("E_NOT_FOUND", f"no volume {name[:80]!r}", field=field, hint=hint))
        return row

    def own(self, user: UserRow, name: str) -> VolumeRow:
        """One's own; of operators all."""
        row = self.find(user, name)
        if row.owner != user.name and user.role.rank < Role.OPERATOR.rank:
            raise ApiError(refusal("E_FORBIDDEN", f"volume {name} is {row.owner}'s", field="/volume"))
        return row

    def snapshot(self, row: VolumeRow, name: str, *, field: str) -> SnapshotRow:
        """One that is there."""
        for each in self._book.of_volume(row.id):
            if each.name == name:
                found = self._book.found_of(row)
                there = found is None or any(seen.id == each.id for seen in found.snapshots)
                if not each.ready or not there:
                    message = f"snapshot {name} is not there yet"
                    if each.ready:
                        message = f"snapshot {name} is not on {row.node}, where the volume is now"
                    raise ApiError(refusal("E_UNAVAILABLE", message, field=field, retry_after_s=2.0))
                return each
        raise ApiError(
            refusal("E_NOT_FOUND", f"volume {row.name} has no snapshot {name[:80]!r}", field=field)
        )

    def backup(self, user: UserRow, volume: str, name: str) -> BackupRow | None:
        """One that is there, also of a volume that is gone; of several of that name, the newest.

        Of its copies, one on a node that answers.
        """
        row = self._book.volume(volume)
        current = row.id if row is not None and sees(user, row) else ""
        found = [
            each
            for each in self._book.backups.values()
            if (each.volume_name, each.name) == (volume, name) and each.ready and not each.dropping
            if not self._book.is_damaged(each)
            if is_theirs(user, each) or each.volume == current
        ]
        return max(
            found,
            key=lambda each: (each.volume == current, each.created_at, self._book.is_whole(each)),
            default=None,
        )

    def check_idle(self, row: VolumeRow, *, writers_only: bool = False) -> None:
        """E_VOLUME_IN_USE where tasks have it, or are about to."""
        tasks = [
            str(attempt.ref.task.whole)
            for attempt in self._loop.cluster.attempts()
            for mount in attempt.task.group.settings.volumes
            if mount.volume == row.id and not (writers_only and mount.read_only)
        ]
        if tasks:
            message = f"tasks have volume {row.name}: {', '.join(tasks[:5])}"
            raise ApiError(refusal("E_VOLUME_IN_USE", message, field="/volume"))


def check_snapshot_name(name: str) -> None:
    """Raises ApiError (E_NAME)."""
    if _SNAPSHOT.fullmatch(name) is None:
        expected = "1–63 of a–z, 0–9, _, . and -, the first a letter or digit"
        raise ApiError(refusal("E_NAME", field="/snapshot", got=quote(name), expected=expected))


def sees(user: UserRow, row: VolumeRow) -> bool:
    """Whether `user` is told of it."""
    return may_have(row, user.name) or user.role.rank >= Role.OPERATOR.rank


def is_theirs(user: UserRow, backup: BackupRow) -> bool:
    """Whether `user` may restore and remove a backup."""
    return backup.owner == user.name or user.role.rank >= Role.OPERATOR.rank
