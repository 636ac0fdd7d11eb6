"""Backups as they lie in the pools of this node: sealed files of other nodes' volumes, with their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from agent.records import copy_whole, write_whole
from agent.volumes.volume import (
    ASIDE,
    BACKUPS,
    Pool,
    beside,
    checked,
    forget_aside,
    hash_beside,
    sealed_in,
    set_aside,
)
from bus.errors import ApiError
from bus.refusal import refusal
from bus.volume_wire import BackupWanted


class BackupFiles:
    """`check` raises ApiError where a pool cannot be used now. All of it blocks."""

    def __init__(self, pools: Mapping[str, Pool], check: Callable[[Pool], None]) -> None:
        self._pools = pools
        self._check = check

    def has(self, backup: BackupWanted) -> bool:
        """One whose hash is lost is read for it: whole it is as good. Raises ApiError, OSError."""
        path = self._path(backup)
        if not path.is_file():
            return False
        if not hash_beside(path):  # its file is damaged, or power went before it was written
            if not _is_whole(path, backup.sha256):
                set_aside(path)
                return False
            write_whole(beside(path), backup.sha256.encode())
        return hash_beside(path) == backup.sha256

    def keep(self, backup: BackupWanted, source: BinaryIO) -> None:
        """`source`, verified to be what is wanted, becomes the backup. Raises ApiError, OSError."""
        path = self._path(backup)
        path.parent.mkdir(0o700, exist_ok=True)
        beside(path).unlink(missing_ok=True)
        copy_whole(source, path)
        write_whole(beside(path), backup.sha256.encode())

    def drop(self, backup: BackupWanted) -> None:
        """Twice is fine, and so is a pool that is not here. Raises ApiError where its disk is not."""
        if backup.pool in self._pools:
            path = self._path(backup)
            beside(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            forget_aside(path)

    def is_damaged(self, backup: BackupWanted) -> bool:
        """Whether it was here, and was found to be another than what came. Raises ApiError, OSError."""
        path = self._path(backup)
        return path.with_name(path.name + ASIDE).exists()

    def all(self) -> list[tuple[Path, str]]:
        """All whose hashes can be read, with them; nothing of a pool whose disk cannot be read."""
        found: list[tuple[Path, str]] = []
        for pool in list(self._pools.values()):
            with suppress(OSError):  # told as a fault of the pool
                files = sealed_in(pool.root / BACKUPS)
                found += [(path, sha256) for path in files if (sha256 := hash_beside(path))]
        return found

    def _path(self, backup: BackupWanted) -> Path:
        pool = self._pools.get(backup.pool)
        if pool is None:
            raise ApiError(refusal("E_NOT_FOUND", "this node has no such pool"))
        self._check(pool)
        return pool.root / BACKUPS / checked(backup.id)


def _is_whole(path: Path, sha256: str) -> bool:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
