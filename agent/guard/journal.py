"""Exits that the agent does not have yet, kept in files so that even the guard's death loses none.

Two files take turns: one is written until it is long, and is emptied once all its exits were acknowledged.
On a full disk memory has them, and the next exit tries again to write them all.
They are opened while the guard may still open files of the agent's folder. Nothing is flushed to the disk:
what ran at a power failure is lost with the machine and reported as such.
"""

from __future__ import annotations

import os

import msgpack

from agent.guard.wire import Exit, Key

_TURN_SIZE = 1024 * 1024


class Journal:
    """`exits` holds what was not acknowledged, oldest first; it starts with what the files hold."""

    def __init__(self, folder: str) -> None:
        self._fds = [
            os.open(f"{folder}/journal.{n}", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            for n in (0, 1)
        ]
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
        unpacker = msgpack.Unpacker(use_list=False, max_buffer_size=0)
        unpacker.feed(os.pread(fd, size, 0))
        whole = 0
        try:
            for record in unpacker:
                exit_ = Exit._make(record)
                whole = unpacker.tell()
                if exit_.key not in self.exits:
                    self._note(number, exit_)
        except (ValueError, TypeError, msgpack.UnpackException):
            pass
        self._sizes[number] = whole
        if whole < size:  # cut short by the end of the machine or of a guard: it would hide all that follow
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
