"""Exits that the agent does not have yet, kept in files so that even the guard's death loses none.

Two files take turns: one is written until it is long, and is emptied once all its exits were acknowledged.
On a full disk memory has them, and the next exit tries again to write them all.
What is no exit of ours, because power went or the disk rots, is cut off and said so: of what it hid the agent
hears that it is gone, as of all that ended with a guard.
They are opened while the guard may still open files of the agent's folder. Nothing is flushed to the disk:
what ran at a power failure is lost with the machine and reported as such.
"""

from __future__ import annotations

import os
import sys
import time

import msgpack

from agent.guard import wire
from agent.guard.wire import Exit, Key

_TURN_SIZE = 1024 * 1024
_LONGEST = 64
"""Of what rot may make of the head of an array or a map: nothing of ours is longer."""

_OUTCOMES = frozenset(
    {
        wire.EXITED, wire.SIGNALED, wire.TIMEOUT, wire.CANCELLED, wire.NOT_FOUND, wire.NOT_EXECUTABLE,
        wire.NOT_STARTED, wire.LEASE_EXPIRED, wire.RETURNED,
    }
)  # fmt: skip
_COUNT, _TEXT, _BYTES, _SECONDS = (int,), (str,), (bytes,), (float, int)
_NO = type(None)
_KINDS: tuple[tuple[type, ...], ...] = (
    (tuple,), _TEXT, _SECONDS, (float, int, _NO), (int, _NO), (int, _NO), _TEXT, (bytes, _NO), _BYTES,
    _COUNT, _COUNT, _SECONDS, _SECONDS,
)  # fmt: skip
"""Of the fields of an exit."""


class Journal:
    """`exits` holds what was not acknowledged, oldest first; it starts with what the files hold."""

    def __init__(self, folder: str) -> None:
        self._fds = [_open(f"{folder}/journal.{n}") for n in (0, 1)]
        self._current = 0
        self._file_of: dict[Key, int] = {}
        self._counts = [0, 0]
        self._sizes = [0, 0]
        self._unwritten = bytearray()
        self.exits: dict[Key, Exit] = {}
        for number, fd in enumerate(self._fds):
            self._load(number, fd)
        self._empty_acknowledged()

    def _load(self, number: int, fd: int) -> None:
        size = os.fstat(fd).st_size
        limit = max(size, 1)
        unpacker = msgpack.Unpacker(
            use_list=False,
            max_buffer_size=0,
            max_str_len=limit,
            max_bin_len=limit,
            max_ext_len=limit,
            max_array_len=_LONGEST,
            max_map_len=_LONGEST,
        )
        unpacker.feed(os.pread(fd, size, 0))
        whole = 0
        try:
            for record in unpacker:
                exit_ = _checked(record)
                whole = unpacker.tell()
                if exit_.outcome not in _OUTCOMES:
                    _say(f"journal.{number}: {exit_.key} ended in a way that this guard does not know")
                elif exit_.key not in self.exits:
                    self._note(number, exit_)
        except (ValueError, TypeError, msgpack.UnpackException):
            pass
        self._sizes[number] = whole
        if whole < size:  # cut short by the end of the machine or of a guard: it would hide all that follow
            _say(f"journal.{number}: {size - whole} bytes are no exits of ours, and are cut off")
            os.ftruncate(fd, whole)

    def _note(self, number: int, exit_: Exit) -> None:
        self.exits[exit_.key] = exit_
        self._file_of[exit_.key] = number
        self._counts[number] += 1

    def append(self, exits: list[Exit]) -> None:
        """Keep these until they are acknowledged."""
        other = 1 - self._current
        if self._sizes[self._current] > _TURN_SIZE and self._counts[other] == 0 and not self._unwritten:
            self._current = other
        for exit_ in exits:
            self._note(self._current, exit_)
            self._unwritten += msgpack.packb(exit_)
        fd, size = self._fds[self._current], self._sizes[self._current]
        try:
            written = os.write(fd, self._unwritten)
        except OSError:
            written = 0
        if written == len(self._unwritten):
            self._sizes[self._current] += written
            self._unwritten.clear()
        elif written:
            os.ftruncate(fd, size)  # half a record would hide all that follow it

    def acknowledge(self, keys: list[Key]) -> None:
        """The agent has these on its disk."""
        for key in keys:
            if self.exits.pop(key, None) is not None:
                self._counts[self._file_of.pop(key)] -= 1
        if not self.exits:
            self._unwritten.clear()
        self._empty_acknowledged()

    def _empty_acknowledged(self) -> None:
        for number, fd in enumerate(self._fds):
            idle = number != self._current or self._sizes[number] > _TURN_SIZE
            if self._counts[number] == 0 and self._sizes[number] and (idle or not self.exits):
                os.ftruncate(fd, 0)
                self._sizes[number] = 0

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)


def _open(path: str) -> int:
    """A journal that can be read; whatever else is there is put aside. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o600)
        try:
            os.pread(fd, os.fstat(fd).st_size, 0)
        except OSError:
            os.close(fd)
            raise
    except OSError as error:
        if not os.path.lexists(path):
            raise
        aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        _say(f"{path} cannot be read ({error.strerror}): it is kept as {aside}, and a new one begins")
        os.rename(path, aside)
        return os.open(path, flags, 0o600)
    return fd


def _checked(record: object) -> Exit:
    """Raises ValueError, TypeError for what no guard wrote: the agent would not understand it."""
    exit_ = Exit._make(record)  # type: ignore[arg-type]
    is_sound = all(
        isinstance(value, kinds) and not isinstance(value, bool)
        for value, kinds in zip(exit_, _KINDS, strict=True)
    )
    if not is_sound:
        raise ValueError("no exit")
    if [type(part) for part in exit_.key] != [int] * 3 or min(exit_.key) < 0:
        raise ValueError("no attempt")
    return exit_


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
