"""The folders that CORRAL_CHECKPOINT_DIR names: made and filled before a task starts, read while it runs.

`<job>/<index>.<fence>.checkpoints/`, beside the other files of an attempt (`agent.guard.files`) and of the
same account, which this process may outrank: so every part of a path is opened from the folder before it, and
no link is followed, also where we write.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from agent.core.saving import is_watched
from agent.leavings import Leavings, open_file, walk
from bus.artifact_names import NameFault, check_name
from bus.checkpoints import FILES_MAX, NAMES_BYTES_MAX
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.values import AttemptRef

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1024 * 1024


class SavedFolders:
    """`tasks`: the folder of all tasks. What blocks is for a thread; all raise OSError as a disk does."""

    def __init__(self, tasks: Path) -> None:
        self._tasks = tasks
        self._leavings = Leavings(tasks)

    def path(self, attempt: AttemptRef) -> str:
        """As the task is told it."""
        return str(self._tasks / str(attempt.job) / _name(attempt))

    def make(self, attempt: AttemptRef) -> None:
        """An empty folder, 0700, of the tasks' account."""
        tasks = os.open(self._tasks, _FOLDER)
        try:
            owner = os.fstat(tasks)
            job = _enter_made(str(attempt.job), at=tasks, owner=owner)
            try:
                shutil.rmtree(_name(attempt), ignore_errors=True, dir_fd=job)
                os.close(_enter_made(_name(attempt), at=job, owner=owner))
            finally:
                os.close(job)
        finally:
            os.close(tasks)

    def remove(self, attempt: AttemptRef, path: str = "") -> None:
        """The folder with all that is in it; or of it one file or folder."""
        top = self._leavings.open_job(attempt) if not path else self._open(attempt)
        if top is None:
            return
        opened = [top]
        try:
            *folders, last = (path or _name(attempt)).split("/")
            for part in folders:
                opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
            with suppress(NotADirectoryError):
                shutil.rmtree(last, dir_fd=opened[-1])
                return
            os.unlink(last, dir_fd=opened[-1])
        except OSError:
            pass  # it is gone, or somebody of the task's account moves it about
        finally:
            for fd in opened:
                os.close(fd)

    def entries(self, attempt: AttemptRef, folder: str, told: Iterable[str]) -> dict[str, str]:
        """Stamps of what may be checkpoints in `folder`, and of what was told; of those that are there."""
        top = self._open(attempt)
        if top is None:
            return {}
        try:
            paths = set(told)
            with suppress(OSError):
                inner = _enter(folder, at=top)
                try:
                    prefix = folder + "/" if folder else ""
                    paths |= {prefix + name for name in os.listdir(inner) if is_watched(name)}
                finally:
                    os.close(inner)
            return {path: stamp for path in paths if (stamp := _stamp(path, at=top))}
        finally:
            os.close(top)

    def names(self, attempt: AttemptRef, path: str) -> list[str]:
        """The files of a checkpoint, below CORRAL_CHECKPOINT_DIR. Raises ApiError: it cannot be taken."""
        _check(path)
        top = self._open(attempt)
        if top is None:
            raise _missing(path)
        try:
            folder = _enter(path, at=top)
        except NotADirectoryError:
            return [path]
        except OSError as error:
            raise _missing(path) from error
        finally:
            os.close(top)
        try:
            return _listed(folder, path)
        finally:
            os.close(folder)

    def open(self, attempt: AttemptRef, name: str) -> int:
        """A descriptor of one of its files. Raises ApiError (E_NOT_FOUND, E_FILETYPE)."""
        _check(name)
        top = self._open(attempt)
        if top is None:
            raise _missing(name)
        try:
            above, _, last = name.rpartition("/")
            folder = _enter(above, at=top)
            try:
                return open_file(last, at=folder)
            finally:
                os.close(folder)
        except FileNotFoundError as error:
            raise _missing(name) from error
        except OSError as error:
            raise ApiError(refusal("E_FILETYPE", f"{name}: {error.strerror}"[:200])) from error
        finally:
            os.close(top)

    def write(self, attempt: AttemptRef, name: str, source: BinaryIO, *, sha256: str) -> None:
        """A file of a checkpoint is put there, read and hashed. Raises ApiError (E_HASH)."""
        _check(name)
        top = self._open(attempt)
        if top is None:
            raise _missing(name)
        opened = [top]
        try:
            owner = os.fstat(top)
            *folders, last = name.split("/")
            for part in folders:
                opened.append(_enter_made(part, at=opened[-1], owner=owner))
            fd = os.open(last, _NEW, 0o600, dir_fd=opened[-1])
            opened.append(fd)
            digest = hashlib.sha256()
            while piece := source.read(_PIECE):
                digest.update(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
            if digest.hexdigest() != sha256:
                raise ApiError(refusal("E_HASH", got=digest.hexdigest(), expected=sha256, status=503))
            _own(fd, owner)
        finally:
            for fd in opened:
                os.close(fd)

    def _open(self, attempt: AttemptRef) -> int | None:
        job = self._leavings.open_job(attempt)
        if job is None:
            return None
        try:
            return os.open(_name(attempt), _FOLDER, dir_fd=job)
        except OSError:
            return None
        finally:
            os.close(job)


def _listed(folder: int, path: str) -> list[str]:
    found: list[str] = []
    size = 0
    for left in walk(folder, prefix=path + "/", depth=0):
        if left.fault is not None:
            raise left.fault
        found.append(left.name)
        size += len(left.name.encode())
        if len(found) > FILES_MAX or size > NAMES_BYTES_MAX:
            why = f"more than {FILES_MAX:,} files, or {NAMES_BYTES_MAX:,} bytes of names: pack them"
            raise ApiError(refusal("E_TOO_MANY", why))
    if not found:
        raise ApiError(refusal("E_EMPTY", "a checkpoint without files", got=quote(path)))
    return sorted(found)


def _name(attempt: AttemptRef) -> str:
    return f"{attempt.index}.{attempt.fence}.checkpoints"


def _enter(path: str, *, at: int) -> int:
    """A descriptor of the folder `path` below an open one; of that itself where it is empty."""
    folder = os.dup(at)
    for part in path.split("/") if path else ():
        try:
            inner = os.open(part, _FOLDER, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def _enter_made(name: str, *, at: int, owner: os.stat_result) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=at)
    folder = os.open(name, _FOLDER, dir_fd=at)
    try:
        _own(folder, owner)
    except BaseException:
        os.close(folder)
        raise
    return folder


def _own(fd: int, owner: os.stat_result) -> None:
    if os.fstat(fd).st_uid != owner.st_uid:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _stamp(path: str, *, at: int) -> str:
    """Equal while nothing below `path` changes; empty: there is nothing."""
    seen: list[str] = []
    pending = [path]
    while pending:
        one = pending.pop()
        try:
            above, _, last = one.rpartition("/")
            folder = _enter(above, at=at)
            try:
                status = os.stat(last, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    inner = os.open(last, _FOLDER, dir_fd=folder)
                    try:
                        pending += [f"{one}/{name}" for name in os.listdir(inner)]
                    finally:
                        os.close(inner)
            finally:
                os.close(folder)
        except (OSError, ValueError):
            if one == path:
                return ""
            continue
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        seen.append(f"{one}\0{status.st_ino} {size} {status.st_mtime_ns}")
        if len(seen) > FILES_MAX:
            break  # it will be refused
    return hashlib.sha256("\n".join(sorted(seen)).encode(errors="surrogateescape")).hexdigest()


def _check(name: str) -> None:
    try:
        check_name(name)
    except NameFault as fault:
        raise ApiError(refusal(fault.code, str(fault), got=quote(name))) from fault


def _missing(path: str) -> ApiError:
    return ApiError(
        refusal("E_NOT_FOUND", "no such file or folder in CORRAL_CHECKPOINT_DIR", got=quote(path))
    )
