"""Files of ours that are there as a whole or not at all, for their owner alone, on the disk once they are
there; and the reading of what a rotting disk, or somebody else, may have made of them.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from bus.values import AttemptRef

R = TypeVar("R")

_log = logging.getLogger(__name__)

_ATTEMPT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18}){2}")
_PIECE = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
UNREADABLE = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EISDIR, errno.ELOOP})
"""What a disk says of bytes that it has lost; other errors are of this moment."""

PART = ".part"
"""What is being written has this behind its name, or was when power went."""


class Damaged(Exception):
    """A file of ours cannot be read, or holds what we never wrote; the message names it."""


def name_of(attempt: AttemptRef) -> str:
    """As files are named after it: "1042.7.1"."""
    return f"{attempt.job}.{attempt.index}.{attempt.fence}"


def attempt_named(name: str) -> AttemptRef | None:
    """The other way; None: no name of ours, such as one that a task made up."""
    return AttemptRef(*map(int, name.split("."))) if _ATTEMPT.fullmatch(name) else None


def read_record(path: Path, kind: type[R]) -> R:
    """What a JSON file of ours holds. Raises FileNotFoundError, Damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of msgspec, and of bytes that are no text
        raise Damaged(f"{path} is damaged: {error}") from error


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


def sweep(parts: Iterable[Path]) -> None:
    """Files that were being written when power went, or we were killed, go. Nobody may write there now."""
    for part in parts:
        try:
            part.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:  # a folder that somebody made, or a disk that takes nothing
            _log.warning("%s is left over and cannot be removed: %s", part, error.strerror)
        else:
            _log.info("%s was left half written, and is gone", part)


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _show(part: Path, path: Path) -> None:
    try:
        os.rename(part, path)
    except IsADirectoryError:  # none of ours has that name: it is out of the way
        os.rename(path, path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
        os.rename(part, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
