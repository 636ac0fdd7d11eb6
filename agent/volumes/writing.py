"""Files that are there as a whole or not at all, for their owner alone, on the disk once they are there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

_PIECE = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


def write_whole(path: Path, data: bytes) -> None:
    """`data` becomes the file."""
    part = _part(path)
    with open(os.open(part, _NEW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _show(part, path)


def copy_whole(source: BinaryIO, path: Path) -> None:
    """What is left to read of `source` becomes the file."""
    part = _part(path)
    with open(os.open(part, _NEW, 0o600), "wb") as file:
        shutil.copyfileobj(source, file, _PIECE)
        file.flush()
        os.fsync(file.fileno())
    _show(part, path)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _show(part: Path, path: Path) -> None:
    os.rename(part, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
