"""What tasks leave in their folder, read by the agent as if every name in it were a trap.

The tasks' account writes there (see `agent.guard.files`), this process may have more rights: so each part of
a path is opened from the folder before it, no link is followed, nothing is opened that could block, and only
a regular file of one name that belongs to the folder's owner is read.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from agent.records import attempt_named
from bus.artifact_names import NameFault, check_name
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.values import AttemptRef

DEPTH_MAX = 16
FILES_MAX = 10_000
"""Of one attempt."""

ASK_MAX = 1_000
"""Bytes of a question."""

_NUMBER = re.compile(r"[0-9]{1,18}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Left(Struct, frozen=True):
    """A file by its name below CORRAL_ARTIFACTS; `fault` says why it cannot be taken."""

    name: str
    fault: ApiError | None = None


class Leavings:
    """`tasks`: the folder of all tasks."""

    def __init__(self, tasks: Path) -> None:
        self._tasks = tasks

    def open_notes(self, attempt: AttemptRef) -> int | None:
        """A descriptor of what the attempt told in CORRAL_RESULT; None: nothing, or no plain file."""
        folder = self.open_job(attempt)
        if folder is None:
            return None
        try:
            return open_file(f"{attempt.index}.{attempt.fence}.notes", at=folder)
        except (OSError, ApiError):
            return None
        finally:
            os.close(folder)

    def read_ask(self, attempt: AttemptRef) -> bytes:
        """What the attempt asks of its children; empty: nothing, or nothing that can be read."""
        folder = self.open_job(attempt)
        if folder is None:
            return b""
        try:
            fd = open_file(f"{attempt.index}.{attempt.fence}.children.ask", at=folder)
        except (OSError, ApiError):
            return b""
        finally:
            os.close(folder)
        try:
            return os.pread(fd, ASK_MAX, 0)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def open_artifact(self, attempt: AttemptRef, name: str) -> int:
        """A descriptor of a file that was left. Raises ApiError: E_PATH, E_NAME, E_FILETYPE, E_NOT_FOUND."""
        _check(name)
        folder = self._open_artifacts(attempt)
        if folder is None:
            raise ApiError(refusal("E_NOT_FOUND", "it has left no files", got=quote(name)))
        try:
            *folders, last = name.split("/")
            for part in folders:
                inner = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            return open_file(last, at=folder)
        except FileNotFoundError as error:
            raise ApiError(refusal("E_NOT_FOUND", "no such file was left", got=quote(name))) from error
        except OSError as error:  # a link in the place of a folder or file, a socket
            raise ApiError(refusal("E_FILETYPE", f"{name}: {error.strerror}"[:200])) from error
        finally:
            os.close(folder)

    def artifacts(self, attempt: AttemptRef) -> list[Left]:
        """Every file below CORRAL_ARTIFACTS, sorted by name; what cannot be taken with its fault."""
        folder = self._open_artifacts(attempt)
        if folder is None:
            return []
        try:
            found: list[Left] = []
            for left in walk(folder, prefix="", depth=0):
                if len(found) == FILES_MAX:
                    found.append(Left("", ApiError(refusal("E_TOO_MANY", f"more than {FILES_MAX} files"))))
                    break
                found.append(left)
            return sorted(found, key=lambda left: left.name)
        finally:
            os.close(folder)

    def remove(self, attempt: AttemptRef, name: str) -> None:
        """A file that was taken goes; and the folders that it leaves empty."""
        top = self._open_artifacts(attempt)
        if top is None:
            return
        opened = [top]
        *folders, last = name.split("/")
        try:
            for part in folders:
                opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
            os.unlink(last, dir_fd=opened[-1])
            for part, parent in zip(reversed(folders), reversed(opened[:-1]), strict=True):
                os.rmdir(part, dir_fd=parent)
        except OSError:
            pass  # somebody of the task's account moves it about, or the folder has more in it
        finally:
            for fd in opened:
                os.close(fd)

    def remove_empty(self, attempt: AttemptRef) -> None:
        """The folder goes, unless something is left in it."""
        job = self.open_job(attempt)
        if job is not None:
            try:
                os.rmdir(f"{attempt.index}.{attempt.fence}.artifacts", dir_fd=job)
            except OSError:
                pass  # what could not be taken lies there for whoever looks, until its output goes too
            finally:
                os.close(job)

    def attempts(self) -> list[AttemptRef]:
        """Every attempt that has a folder of artifacts."""
        found: list[AttemptRef] = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for job in os.listdir(self._tasks):
                if _NUMBER.fullmatch(job) is None:
                    continue
                with suppress(OSError):
                    for name in os.listdir(self._tasks / job):
                        stem, _, suffix = name.rpartition(".")
                        if suffix == "artifacts" and (attempt := attempt_named(f"{job}.{stem}")):
                            found.append(attempt)
        return found

    def open_job(self, attempt: AttemptRef) -> int | None:
        """A descriptor of the folder of its job; None: there is none, or it cannot be read."""
        try:
            tasks = os.open(self._tasks, _FOLDER)
        except OSError:
            return None
        try:
            return os.open(str(attempt.job), _FOLDER, dir_fd=tasks)
        except OSError:
            return None
        finally:
            os.close(tasks)

    def _open_artifacts(self, attempt: AttemptRef) -> int | None:
        job = self.open_job(attempt)
        if job is None:
            return None
        try:
            return os.open(f"{attempt.index}.{attempt.fence}.artifacts", _FOLDER, dir_fd=job)
        except OSError:
            return None
        finally:
            os.close(job)


def open_file(name: str, *, at: int) -> int:
    """Raises OSError, or ApiError (E_FILETYPE) for what is no regular file of one name and its folder's
    owner.
    """
    fd = os.open(name, _FILE, dir_fd=at)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.fstat(at).st_uid:
        return fd
    os.close(fd)
    kind = "has a second name" if status.st_nlink > 1 else "is no regular file of the task's account"
    raise ApiError(refusal("E_FILETYPE", f"{name} {kind}"))


def walk(folder: int, *, prefix: str, depth: int) -> Iterator[Left]:
    """Every file below an open folder, its name after `prefix`; what cannot be taken with its fault."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            try:
                _check(name)
            except ApiError as error:
                yield Left(name, error)
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield Left(name)
            elif depth == DEPTH_MAX:
                yield Left(name, ApiError(refusal("E_PATH", f"folders nest at most {DEPTH_MAX} deep")))
            else:
                yield from _walk_into(folder, entry.name, prefix=name + "/", depth=depth + 1)


def _walk_into(folder: int, name: str, *, prefix: str, depth: int) -> Iterator[Left]:
    try:
        inner = os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        yield Left(prefix[:-1], ApiError(refusal("E_FILETYPE", f"{name}: {error.strerror}"[:200])))
        return
    try:
        yield from walk(inner, prefix=prefix, depth=depth)
    finally:
        os.close(inner)


def _check(name: str) -> None:
    try:
        check_name(name)
    except NameFault as fault:
        raise ApiError(refusal(fault.code, str(fault), got=quote(name))) from fault
