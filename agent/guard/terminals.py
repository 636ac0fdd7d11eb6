"""The terminals of interactive tasks: a pty each, whose output becomes the task's stdout file.

The guard holds the master, so a terminal lives as long as its task, whatever becomes of the agent and of
those who look. Output goes into the file and is read from there: who looks slowly holds nobody up, who comes
late reads what came before. Whoever has read all asks to be told of more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import sys
import termios
from contextlib import suppress
from typing import NamedTuple

from agent.guard.wire import Key

ROWS, COLUMNS = 24, 80
"""Of a terminal that nobody has looked at."""

_READ_SIZE = 64 * 1024
_READS_MAX = 16
"""Of one terminal at a time: the others, and the deadlines, have their turn as well."""

_LAST_MAX = 64
"""Reads at the end of a task: what somebody else goes on writing to its terminal is not waited for."""

_SIZE = struct.Struct("HHHH")


class Wait(NamedTuple):
    """Somebody who has read all before `offset` and wants to hear of more."""

    number: int
    offset: int
    limit: int


class Terminal:
    """`master`, `file` and `slave` are descriptors of ours; `size`: bytes of output so far."""

    __slots__ = ("file", "is_told", "master", "size", "slave", "waits")

    def __init__(self, master: int, file: int, slave: int) -> None:
        self.master = master
        self.file = file
        self.slave: int | None = slave
        self.size = 0
        self.waits: list[Wait] = []
        self.is_told = False


def set_size(master: int, rows: int, columns: int) -> None:
    """Whoever lives there is told by SIGWINCH, also where it had that size: they draw anew."""
    wanted = _SIZE.pack(rows, columns, 0, 0)
    if fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(_SIZE.size)) == wanted:
        with suppress(OSError):  # nobody lives there
            os.killpg(os.tcgetpgrp(master), signal.SIGWINCH)
    fcntl.ioctl(master, termios.TIOCSWINSZ, wanted)


class Terminals:
    """`opened` and `silent` are masters that the loop is to begin and to stop to listen to."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Terminal] = {}
        self._by_master: dict[int, Key] = {}
        self.opened: list[int] = []
        self.silent: list[int] = []

    def open(self, key: Key, path: str) -> str:
        """A terminal for a task whose output goes to the file `path`; answers where the task finds it.

        It is listened to once somebody lives there. Raises OSError.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(path, flags, 0o600)
        try:
            master, slave = os.openpty()
        except OSError:
            os.close(file)
            raise
        name = os.ttyname(slave)
        set_size(master, ROWS, COLUMNS)
        os.set_blocking(master, False)
        self._by_key[key] = Terminal(master, file, slave)
        self._by_master[master] = key
        self.opened.append(master)
        return name

    def lived_in(self, key: Key) -> None:
        """The task has its end open: ours would keep us from hearing when it closes."""
        terminal = self._by_key.get(key)
        if terminal is not None and terminal.slave is not None:
            os.close(terminal.slave)
            terminal.slave = None

    def remove(self, key: Key) -> list[Wait]:
        """The task is over: take what it wrote last, hang up; answers who waited for more."""
        self.lived_in(key)
        terminal = self._by_key.pop(key, None)
        if terminal is None:
            return []
        self._take(terminal, reads_max=_LAST_MAX)
        master = terminal.master
        self._by_master.pop(master, None)
        self.opened = [other for other in self.opened if other != master]
        self.silent = [other for other in self.silent if other != master]
        os.close(master)  # which ends the listening as well
        os.close(terminal.file)
        return terminal.waits

    def has(self, key: Key) -> bool:
        return key in self._by_key

    def is_master(self, descriptor: int) -> bool:
        return descriptor in self._by_master

    def take(self, master: int) -> list[tuple[Key, Wait]]:
        """Output came, or everybody hung up; answers who waited for it."""
        key = self._by_master[master]
        terminal = self._by_key[key]
        if not self._take(terminal, reads_max=_READS_MAX):
            self._by_master.pop(master)
            self.silent.append(master)
        due = [wait for wait in terminal.waits if wait.offset < terminal.size]
        terminal.waits = [wait for wait in terminal.waits if wait.offset >= terminal.size]
        return [(key, wait) for wait in due]

    def wait(self, key: Key, wait: Wait) -> bool:
        """Remember that somebody waits; False: there is more already, or there will be none."""
        terminal = self._by_key.get(key)
        if terminal is None or wait.offset < terminal.size:
            return False
        terminal.waits.append(wait)
        return True

    def forget_waits(self) -> None:
        """Whoever waited is gone."""
        for terminal in self._by_key.values():
            terminal.waits.clear()

    def type(self, key: Key, data: bytes) -> int:
        """What somebody typed; returns how many bytes were taken, -1 where there is no such terminal."""
        terminal = self._by_key.get(key)
        if terminal is None:
            return -1
        try:
            return os.write(terminal.master, data)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def resize(self, key: Key, rows: int, columns: int) -> None:
        terminal = self._by_key.get(key)
        if terminal is not None:
            with suppress(OSError):  # hung up already
                set_size(terminal.master, rows, columns)

    def _take(self, terminal: Terminal, *, reads_max: int) -> bool:
        """Move output into the file; False once everybody hung up."""
        for _ in range(reads_max):
            try:
                data = os.read(terminal.master, _READ_SIZE)
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno == errno.EIO:
                    return False
                raise
            if not data:
                return False
            self._keep(terminal, data)
        return True

    def _keep(self, terminal: Terminal, data: bytes) -> None:
        try:
            terminal.size += os.write(terminal.file, data)
        except OSError as error:  # a full disk: the task goes on, as one does that writes a file itself
            if not terminal.is_told:
                terminal.is_told = True
                sys.stderr.write(f"output of a terminal is lost: {error.strerror}\n")
                sys.stderr.flush()
