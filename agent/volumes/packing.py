"""A folder as one sealed file, and back; copies of folders; how much is in one.

`tar` and `cp` do it under the tasks' account: whatever tasks put into a volume (links, strange names, folders
that change meanwhile), nothing is read or written that a task could not reach by itself.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from msgspec import Struct

from agent.guard.account import Account
from agent.volumes.sealing import PIECE, Sealer, opened
from bus.errors import ApiError
from bus.refusal import refusal

ENTRIES_MAX = 5_000_000
"""More files than that are not counted: such a volume counts as over its size."""

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_ERROR_MAX = 300
_ERRORS_READ = 16 * 1024
_FULL = ("No space left", "Disk quota exceeded")


class Packed(Struct, frozen=True):
    """A sealed file as it lies on the disk."""

    sha256: str
    size: int


class _Hashed:
    """A file that knows what was written into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)


class Packer:
    """`account`: the tasks'."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def pack(self, folder: Path, target: Path, *, key: bytes | None, compress: bool, of: str) -> Packed:
        """All of `folder` into `target`, which appears when it is whole; pipes and sockets are left out.

        Raises ApiError (E_CHANGED, E_SPACE, E_FILETYPE), OSError.
        """
        part = target.with_name(target.name + ".part")
        with open(part, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            hashed = _Hashed(file)
            sealer = Sealer(hashed, key=key, compress=compress, of=of)
            argv = ("tar", "--create", "--file=-", "--sparse", "--directory", str(folder), ".")
            with self._running(argv, "packed", stdout=subprocess.PIPE) as tar:
                assert tar.stdout is not None
                while piece := tar.stdout.read(PIECE):
                    sealer.write(piece)
            sealer.close()
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, target)
        _sync(target.parent)
        return Packed(hashed.digest.hexdigest(), hashed.size)

    def unpack(self, source: Path | BinaryIO, folder: Path, *, key: bytes | None, of: str) -> None:
        """The content of `source` becomes `folder`, which appears when it is whole.

        Raises ApiError (E_SEALED, E_SPACE, E_FILETYPE), OSError.
        """
        part = folder.with_name(folder.name + ".part")
        self.remove(part)
        self.make(part)
        argv = ("tar", "--extract", "--file=-", "--preserve-permissions", "--directory", str(part))
        with (
            open(source, "rb") if isinstance(source, Path) else nullcontext(source) as file,
            self._running(argv, "unpacked", stdin=subprocess.PIPE) as tar,
            suppress(BrokenPipeError),  # it says why itself
        ):
            assert tar.stdin is not None
            for piece in opened(file, key=key, of=of):
                tar.stdin.write(piece)
            tar.stdin.close()
        os.rename(part, folder)
        _sync(folder.parent)

    def copy(self, folder: Path, target: Path) -> None:
        """A copy of a folder, which appears when it is whole; blocks are shared where the file system can.

        Raises ApiError (E_SPACE, E_FILETYPE), OSError.
        """
        part = target.with_name(target.name + ".part")
        self.remove(part)
        self.make(part)
        argv = ("cp", "--archive", "--reflink=auto", "--no-target-directory", f"{folder}/.", str(part))
        with self._running(argv, "copied"):
            pass
        os.rename(part, target)
        _sync(target.parent)

    def make(self, folder: Path) -> None:
        """An empty folder of the tasks' account."""
        folder.mkdir(0o700)
        if os.geteuid() == 0:
            os.chown(folder, self._account.uid, self._account.gid)

    def remove(self, folder: Path) -> None:
        """Away with a folder, also where its owner may not enter some of it. Twice is fine.

        Raises ApiError (E_FILETYPE).
        """
        if not os.path.lexists(folder):
            return
        if os.geteuid() != 0:  # what cannot be changed, removing will name
            with suppress(ApiError), self._running(("chmod", "-R", "u+rwX", "--", str(folder)), "changed"):
                pass
        argv = ("rm", "--recursive", "--force", "--one-file-system", "--", str(folder))
        with self._running(argv, "removed", drops=False):
            pass

    @contextmanager
    def _running(
        self,
        argv: Sequence[str],
        done: str,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        drops: bool = True,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A program that has ended well when this is left; ended where it is left by an exception."""
        dropped = drops and os.geteuid() == 0
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=errors,
                env=_ENVIRONMENT,
                cwd="/",
                user=self._account.uid if dropped else None,
                group=self._account.gid if dropped else None,
                extra_groups=[] if dropped else None,
                umask=0o077,
                start_new_session=True,
            )
            with process:
                try:
                    yield process
                except BaseException:
                    process.kill()
                    raise
            if process.returncode != 0:
                errors.seek(0)
                raise _failed(done, errors.read(_ERRORS_READ), process.returncode)


def _failed(done: str, errors: bytes, code: int) -> ApiError:
    said = errors.decode(errors="replace").strip()
    first = said.splitlines()[0][:_ERROR_MAX] if said else f"exit code {code}"
    if any(word in said for word in _FULL):
        known = "E_SPACE"
    else:
        known = "E_CHANGED" if "file changed as we read it" in said else "E_FILETYPE"
    return ApiError(refusal(known, f"it cannot be {done}: {first}"))


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Filled(NamedTuple):
    """What is in a folder. `bytes`: of the blocks it has on the disk, links to one file counted once."""

    bytes: int
    entries: int


def filled(folder: Path, *, most: int) -> Filled:
    """How much is in `folder`; counting stops beyond `most` bytes. What goes away meanwhile is left out."""
    total, entries, linked = 0, 0, set[tuple[int, int]]()
    for status in _walk(folder):
        entries += 1
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            known = status.st_dev, status.st_ino
            if known in linked:
                continue
            linked.add(known)
        total += status.st_blocks * 512
        if entries > ENTRIES_MAX:
            return Filled(max(total, most + 1), entries)
        if total > most:
            break
    return Filled(total, entries)


def _walk(folder: Path) -> Iterator[os.stat_result]:
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        folders.append(entry.path)
                    yield status
        except (FileNotFoundError, NotADirectoryError):
            continue
