"""Logs of a bounded size: what is full is copied aside and emptied, while its process goes on writing.

Our programs and the servers write to their standard output, which is the file: opened to append, they go on
at its new end. What is written between the copy and the emptying is lost: microseconds, once in 16 MiB.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LOG_LIMIT_BYTES = 16 * 1024 * 1024
LOGS_KEPT = 3
"""Beside the current one: 64 MiB for each process at most, and what it writes between two looks."""


def rotate(log: Path, *, limit_bytes: int = LOG_LIMIT_BYTES, kept: int = LOGS_KEPT) -> bool:
    """Put a longer log aside as `<name>.log.1`, the older ones further; whether it was.

    Raises OSError where it cannot be copied: then everything is as it was.
    """
    try:
        if log.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    copy = log.with_name(f"{log.name}.new")
    try:
        shutil.copyfile(log, copy)
        copy.chmod(log.stat().st_mode & 0o777)
        for number in range(kept - 1, 0, -1):
            older = _numbered(log, number)
            if older.exists():
                older.replace(_numbered(log, number + 1))
        copy.replace(_numbered(log, 1))
    finally:
        copy.unlink(missing_ok=True)  # of a disk that is full
    os.truncate(log, 0)
    return True


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
