"""The node's content store: bytes by their SHA-256, whole or not there. For artifacts, models, checkpoints.

    store = BlobStore(data / "blobs", limits=Limits())
    blob = store.take(fd, pin="artifact-1042.7.1")         # copy an open file in; E_CHANGED, E_SPACE
    with store.receive(size, sha256) as incoming:          # or piece by piece, from wherever `offset` says
        while incoming.offset < size:
            incoming.write(await next_piece(incoming.offset))
        blob = incoming.finish(pin="model-resnet")         # E_HASH where it is not what it should be
    with store.open(blob.sha256) as file: ...              # E_NOT_FOUND
    store.pin(sha256, "replica"); store.unpin(sha256, "replica")

`<folder>/ab/<sha256>` is a blob, 0400: written under another name below `incoming`, synced, renamed, and the
folder synced. So a name that is there has all its bytes, after any crash; a part announced by its hash
stays for a later `receive`, which goes on behind it. `<folder>/pins/<sha256>.<pin>`, an empty file, says who
needs it. What has no pin is a cache: it stays until room is needed (oldest use first) or `collect` is called.
`scrub` reads a blob again: a damaged one is moved to `damaged` and is gone for everybody, its pins stay, so
that `missing` tells what to fetch again from elsewhere.

Who calls decides how far to trust: everything here is relative to one open folder and follows no link. What
decides about room is `agent.core.keeping`. All methods block (a disk does) and may be called from several
threads; hashing lets others run. A blob is hashed while it is written and never read for it again. Measured
on 2 cores: SHA-256 at 1.3 GB/s, a synced copy of 512 MiB at 0.2 to 0.6 GB/s as the disk likes, 360 small
blobs a second, of which nearly all is the three syncs.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from msgspec import Struct

from agent.core.keeping import Kept, Limits, make_room, unused
from agent.core.media import HEAD_BYTES, media_type
from agent.records import UNREADABLE
from bus.errors import ApiError
from bus.refusal import quote, refusal

PIECE = 1024 * 1024
_log = logging.getLogger(__name__)
_FIRST = re.compile(r"[0-9a-f]{2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIN = re.compile(r"[a-z0-9][a-zA-Z0-9._-]{0,120}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_SHOWN = 0o444
_UNLINKABLE = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Blob(Struct, frozen=True):
    """`media_type` by its first bytes (see `agent.core.media`)."""

    sha256: str
    size: int
    media_type: str


class _Entry(Struct):
    size: int
    used_at: float
    pins: set[str]


class BlobStore:
    """Not for two processes at once. `free` tells the bytes that are left on the disk.

    Raises OSError where the folder cannot be made or read, ApiError for all that callers can be told.
    """

    def __init__(
        self, folder: Path, *, limits: Limits | None = None, free: Callable[[], int] | None = None
    ) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._free = free or (lambda: shutil.disk_usage(folder).free)
        self._lock = threading.Lock()
        self._reserved = 0
        self._open_parts: set[str] = set()
        folder.mkdir(0o700, parents=True, exist_ok=True)
        self._root = os.open(folder, _FOLDER)
        for name in ("incoming", "pins", "damaged"):
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=self._root)
        self._incoming, self._pins, self._damaged = (
            os.open(name, _FOLDER, dir_fd=self._root) for name in ("incoming", "pins", "damaged")
        )
        self._entries: dict[str, _Entry] = {}
        self._load()

    def close(self) -> None:
        for fd in (self._root, self._incoming, self._pins, self._damaged):
            os.close(fd)

    # what is here

    def has(self, sha256: str) -> bool:
        return sha256 in self._entries

    def size(self, sha256: str) -> int:
        """Raises ApiError (E_NOT_FOUND)."""
        return self._entry(sha256).size

    def pins(self, sha256: str) -> frozenset[str]:
        """Who needs it; nobody, where it is not here."""
        entry = self._entries.get(sha256)
        return frozenset(entry.pins) if entry is not None else frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """All blobs."""
        with self._lock:
            return tuple(self._entries)

    @property
    def used(self) -> int:
        """Bytes of all blobs."""
        with self._lock:
            return sum(entry.size for entry in self._entries.values())

    def missing(self) -> dict[str, frozenset[str]]:
        """What is pinned and not here: it was damaged, or the pin came before the bytes."""
        found: dict[str, set[str]] = {}
        for sha256, pin in self._listed_pins():
            if not self.has(sha256):
                found.setdefault(sha256, set()).add(pin)
        return {sha256: frozenset(pins) for sha256, pins in found.items()}

    @contextmanager
    def open(self, sha256: str) -> Iterator[BinaryIO]:
        """Its bytes, from the start. Raises ApiError (E_NOT_FOUND), OSError where it cannot be read now."""
        entry = self._entry(sha256)
        try:
            fd = os.open(_path(sha256), _READ, dir_fd=self._root)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, *UNREADABLE):
                raise _gone(sha256) from error
            raise
        entry.used_at = time.time()
        with os.fdopen(fd, "rb", buffering=0) as file:
            yield file

    def show(self, sha256: str, name: str, *, at: int) -> None:
        """A new file `name` in the folder `at` with its bytes, that nobody may write to: where that can be,
        another name of the same file. Raises ApiError (E_NOT_FOUND, E_SPACE), OSError.
        """
        self._entry(sha256).used_at = time.time()
        try:
            os.link(_path(sha256), name, src_dir_fd=self._root, dst_dir_fd=at, follow_symlinks=False)
            os.chmod(_path(sha256), _SHOWN, dir_fd=self._root)  # the store's folder keeps others out
            return
        except FileNotFoundError as error:
            raise _gone(sha256) from error
        except OSError as error:
            if error.errno not in _UNLINKABLE:
                raise
        fd = os.open(name, _WRITE | os.O_EXCL, 0o600, dir_fd=at)
        try:
            with self.open(sha256) as source, os.fdopen(os.dup(fd), "wb") as target:
                shutil.copyfileobj(source, target, PIECE)
            os.fchmod(fd, _SHOWN)
        except OSError as error:
            os.unlink(name, dir_fd=at)
            if error.errno in _FULL:
                raise ApiError(refusal("E_SPACE", f"the disk is full: {error.strerror}")) from error
            raise
        finally:
            os.close(fd)

    # bringing in

    def take(self, source: int, *, pin: str) -> Blob:
        """A copy of the open regular file `source`, whatever happens to it later.

        Raises ApiError: E_FILETYPE; E_CHANGED where it was written to meanwhile (try again); E_SPACE.
        """
        before = os.fstat(source)
        if not stat.S_ISREG(before.st_mode):
            raise ApiError(refusal("E_FILETYPE"))
        with self.receive(before.st_size) as incoming:
            offset = 0
            while piece := os.pread(source, PIECE, offset):
                if offset + len(piece) > before.st_size:
                    raise ApiError(refusal("E_CHANGED"))
                incoming.write(piece)
                offset += len(piece)
            if _stamp(os.fstat(source)) != _stamp(before) or offset != before.st_size:
                raise ApiError(refusal("E_CHANGED"))
            return incoming.finish(pin=pin)

    def receive(self, size: int, sha256: str | None = None) -> Incoming:
        """Room for `size` bytes. With `sha256` an earlier part of the same content is gone on with.

        Raises ApiError: E_SPACE; E_CONFLICT where somebody else receives it just now; E_VALUE.
        """
        if sha256 is not None:
            _check(sha256)
        part = f"{sha256}.{size}" if sha256 is not None else uuid.uuid4().hex
        with self._lock:
            if part in self._open_parts:
                raise ApiError(
                    refusal("E_CONFLICT", "this content is being received already", retry_after_s=1.0)
                )
            self._make_room(size)
            self._reserved += size
            self._open_parts.add(part)
        try:
            return Incoming(self, os.open(part, _WRITE, 0o600, dir_fd=self._incoming), part, size, sha256)
        except BaseException:
            self._release(part, size)
            raise

    # keeping and letting go

    def pin(self, sha256: str, pin: str) -> None:
        """Keep it while the pin is there. Raises ApiError (E_NOT_FOUND)."""
        with self._lock:
            self._pin(sha256, pin)

    def unpin(self, sha256: str, pin: str) -> None:
        """Twice is fine. The blob stays as a cache."""
        _check(sha256, pin)
        with self._lock:
            with suppress(FileNotFoundError):
                os.unlink(f"{sha256}.{pin}", dir_fd=self._pins)
            entry = self._entries.get(sha256)
            if entry is not None:
                entry.pins.discard(pin)

    def remove(self, sha256: str) -> bool:
        """Away with it, unless it is pinned: False."""
        with self._lock:
            entry = self._entries.get(sha256)
            if entry is None:
                return True
            if entry.pins:
                return False
            self._evict(sha256)
            return True

    def collect(self, *, unused_s: float = 0.0) -> tuple[str, ...]:
        """Remove what nobody pins and nobody used for so long, and parts and damaged ones so old.

        Names of blobs.
        """
        before = time.time() - unused_s
        with self._lock:
            gone = unused(self._kept(), before=before)
            for sha256 in gone:
                self._evict(sha256)
            for folder in (self._incoming, self._damaged):
                for part in os.listdir(folder):
                    if part in self._open_parts:
                        continue
                    with suppress(OSError):
                        if os.stat(part, dir_fd=folder, follow_symlinks=False).st_ctime < before:
                            os.unlink(part, dir_fd=folder)
        return gone

    def scrub(self, sha256: str, *, pause: Callable[[int], object] = lambda size: None) -> bool:
        """Read it again. False: it was damaged, and is not here any more.

        Raises ApiError (E_NOT_FOUND); OSError where it cannot be read just now.

        `pause` is called with the size of each piece that was read. That it was read is no use of it.
        """
        used_at = self._entry(sha256).used_at
        digest = hashlib.sha256()
        try:
            with self.open(sha256) as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
                    pause(len(piece))
            fine = digest.hexdigest() == sha256
        except (OSError, ApiError) as error:  # a disk that cannot read it, or somebody removed it under us
            if isinstance(error, OSError) and error.errno not in UNREADABLE:
                raise
            fine = False
        with self._lock:
            if fine:
                if (entry := self._entries.get(sha256)) is not None:
                    entry.used_at = used_at
                return True
            if self._entries.pop(sha256, None) is None:  # it was let go meanwhile
                raise _gone(sha256)
            with suppress(FileNotFoundError):
                os.rename(_path(sha256), sha256, src_dir_fd=self._root, dst_dir_fd=self._damaged)
        return False

    # inside

    def _load(self) -> None:
        """What is no blob of ours is left alone; what cannot be read is not here: where pinned, `missing`."""
        for folder in os.listdir(self._root):
            if _FIRST.fullmatch(folder) is None:
                continue
            try:
                for name in _listed(folder, at=self._root):
                    if _SHA256.fullmatch(name) and name.startswith(folder):
                        status = os.stat(f"{folder}/{name}", dir_fd=self._root, follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            self._entries[name] = _Entry(status.st_size, status.st_mtime, set())
            except OSError as error:
                _log.error("content in %s/%s cannot be read: %s", self._folder, folder, error.strerror)
        for sha256, pin in self._listed_pins():
            if sha256 in self._entries:
                self._entries[sha256].pins.add(pin)

    def _listed_pins(self) -> Iterator[tuple[str, str]]:
        for name in os.listdir(self._pins):
            sha256, _, pin = name.partition(".")
            if _SHA256.fullmatch(sha256) and _PIN.fullmatch(pin):
                yield sha256, pin

    def _kept(self) -> list[Kept]:
        return [
            Kept(sha256=sha256, size=entry.size, used_at=entry.used_at, pinned=bool(entry.pins))
            for sha256, entry in self._entries.items()
        ]

    def _make_room(self, size: int) -> None:
        room = make_room(size, self._kept(), reserved=self._reserved, free=self._free(), limits=self._limits)
        if room.lacking:
            raise ApiError(refusal("E_SPACE", f"{room.lacking} bytes are lacking for one of {size} bytes"))
        for sha256 in room.evict:
            self._evict(sha256)

    def _evict(self, sha256: str) -> None:
        del self._entries[sha256]
        with suppress(FileNotFoundError):
            os.unlink(_path(sha256), dir_fd=self._root)

    def _pin(self, sha256: str, pin: str) -> None:
        _check(sha256, pin)
        entry = self._entry(sha256)
        os.close(os.open(f"{sha256}.{pin}", _WRITE, 0o600, dir_fd=self._pins))
        os.fsync(self._pins)
        entry.pins.add(pin)

    def _entry(self, sha256: str) -> _Entry:
        entry = self._entries.get(sha256)
        if entry is None:
            raise _gone(sha256)
        return entry

    def _keep(self, part: str, sha256: str, size: int, *, pin: str) -> None:
        """The part that `Incoming` has written and synced becomes the blob, and is never seen unpinned."""
        with self._lock:
            if sha256 in self._entries:
                os.unlink(part, dir_fd=self._incoming)
                self._entries[sha256].used_at = time.time()
            else:
                with suppress(FileExistsError):
                    os.mkdir(sha256[:2], 0o700, dir_fd=self._root)
                os.rename(part, _path(sha256), src_dir_fd=self._incoming, dst_dir_fd=self._root)
                folder = os.open(sha256[:2], _FOLDER, dir_fd=self._root)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
                os.fsync(self._root)
                self._entries[sha256] = _Entry(size, time.time(), set())
            self._pin(sha256, pin)

    def _release(self, part: str, size: int, *, discard: bool = False) -> None:
        with self._lock:
            self._reserved -= size
            self._open_parts.discard(part)
            if discard:
                with suppress(FileNotFoundError):
                    os.unlink(part, dir_fd=self._incoming)


class Incoming:
    """Content on its way in, written in order. Left without `finish`, an announced part stays for later."""

    def __init__(self, store: BlobStore, fd: int, part: str, size: int, sha256: str | None) -> None:
        self._store = store
        self._fd = fd
        self._part = part
        self._size = size
        self._meant = sha256
        self._digest = hashlib.sha256()
        self._head = b""
        self._is_worthless = sha256 is None
        self.offset = 0
        self._read_earlier()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return self._size - self.offset

    def close(self) -> None:
        """Twice is fine."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
            self._store._release(self._part, self._size, discard=self._is_worthless)

    def discard(self) -> None:
        """What came so far may be wrong: nothing of it stays for later."""
        self._is_worthless = True

    def write(self, piece: bytes | memoryview) -> None:
        """The bytes from `offset` on. Raises ApiError: E_HASH for more than was announced, E_SPACE."""
        if self.offset + len(piece) > self._size:
            self._is_worthless = True
            raise ApiError(refusal("E_HASH", f"more than the {self._size} bytes that were announced"))
        view = memoryview(piece)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            if error.errno in _FULL:
                raise ApiError(refusal("E_SPACE", f"the disk is full: {error.strerror}")) from error
            raise
        self._note(piece)

    def finish(self, *, pin: str) -> Blob:
        """All of it is there, and what it should be: now it is a blob. Raises ApiError (E_HASH)."""
        if self.offset != self._size:
            raise ApiError(
                refusal("E_HASH", "it ended early", got=f"{self.offset} bytes", expected=str(self._size))
            )
        found = self._digest.hexdigest()
        if self._meant is not None and found != self._meant:
            self._is_worthless = True
            raise ApiError(refusal("E_HASH", got=found, expected=self._meant))
        os.fchmod(self._fd, 0o400)
        os.fsync(self._fd)
        self._store._keep(self._part, found, self._size, pin=pin)
        self._is_worthless = False
        self.close()
        return Blob(found, self._size, media_type(self._head))

    def _read_earlier(self) -> None:
        """Hash what an earlier try left; what follows is written behind it."""
        while piece := os.read(self._fd, PIECE):
            if self.offset + len(piece) > self._size:
                os.ftruncate(self._fd, 0)
                os.lseek(self._fd, 0, os.SEEK_SET)
                self._digest, self._head, self.offset = hashlib.sha256(), b"", 0
                return
            self._note(piece)

    def _note(self, piece: bytes | memoryview) -> None:
        self._digest.update(piece)
        if len(self._head) < HEAD_BYTES:
            self._head += bytes(piece[: HEAD_BYTES - len(self._head)])
        self.offset += len(piece)


def _listed(folder: str, *, at: int) -> list[str]:
    fd = os.open(folder, _FOLDER, dir_fd=at)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


def _path(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def _check(sha256: str, pin: str | None = None) -> None:
    if _SHA256.fullmatch(sha256) is None:
        raise ApiError(refusal("E_VALUE", "not a SHA-256", got=quote(sha256), expected="64 of 0-9 and a-f"))
    if pin is not None and _PIN.fullmatch(pin) is None:
        raise ApiError(refusal("E_VALUE", "not the name of a pin", got=quote(pin)))


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _gone(sha256: str) -> ApiError:
    return ApiError(refusal("E_NOT_FOUND", f"no content {sha256[:12]}… here"))
