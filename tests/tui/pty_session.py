"""A program on a pseudo-terminal: its bytes, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

WAIT_S = 40.0
STILL_S = 0.07
_SEQUENCE = re.compile(
    rb"\x1b\[[0-9;?<=>]*[ -/]*[@-~]|\x1b[PX^_].*?\x1b\\|\x1b[()][0-9A-B]|\x1b[=>78]", re.DOTALL
)


class PtySession:
    """Every byte the program writes is kept in `written`."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.written = b""
        self._master = master
        self._mark = 0

    def resize(self, columns: int, rows: int) -> None:
        """As a terminal window would."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: bytes, *, after: bool = False) -> None:
        """Send bytes, reading meanwhile: neither side may wait for the other.

        `after`: they belong to the keys before, and what these showed counts as shown.
        """
        if not after:
            self._mark = len(self.written)
        while keys:
            _, writable, _ = select.select([], [self._master], [], 0.1)
            if writable:
                keys = keys[os.write(self._master, keys[:4096]) :]
            self._read(0)

    def wait_for(self, *words: str) -> None:
        """Until the words were written after the last keys."""
        end = time.monotonic() + WAIT_S
        while not all(word.encode() in self.shown for word in words):
            assert time.monotonic() < end, (words, self.shown[-2000:])
            assert self._read(0.1), (words, self.process.poll(), self.last)

    def shows(self, word: str, *, within_s: float) -> bool:
        """Whether it was written after the last keys, or is soon."""
        end = time.monotonic() + within_s
        while word.encode() not in self.shown and time.monotonic() < end:
            assert self._read(0.1), (word, self.process.poll(), self.last)
        return word.encode() in self.shown

    def read_for(self, duration_s: float) -> None:
        """Take what it writes meanwhile, as a terminal does."""
        end = time.monotonic() + duration_s
        while (left_s := end - time.monotonic()) > 0:
            assert self._read(left_s), self.shown[-2000:]

    def read_while(self, holds: Callable[[], bool]) -> None:
        """Take what it writes until `holds` says no."""
        end = time.monotonic() + WAIT_S
        while holds():
            assert time.monotonic() < end, self.shown[-2000:]
            assert self._read(0.1), (self.process.poll(), self.last)

    def settle(self) -> None:
        """Until it has written nothing for a moment."""
        end = time.monotonic() + WAIT_S
        seen, still_since = -1, time.monotonic()
        while time.monotonic() - still_since < STILL_S:
            assert time.monotonic() < end, self.shown[-2000:]
            if len(self.written) != seen:
                seen, still_since = len(self.written), time.monotonic()
            assert self._read(STILL_S / 2), (self.process.poll(), self.last)

    def wait_for_end(self) -> int:
        """Its exit code."""
        end = time.monotonic() + WAIT_S
        while self._read(0.1):
            assert time.monotonic() < end, self.shown[-2000:]
        return self.process.wait(timeout=WAIT_S)

    @property
    def echoes(self) -> bool:
        """Whether what is typed appears by itself."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    @property
    def shown(self) -> bytes:
        """What was written since the last keys, without the sequences."""
        return _SEQUENCE.sub(b"", self.written[self._mark :])

    @property
    def last(self) -> str:
        """The end of all it has written, also before the last keys: what one that died said of it."""
        return _SEQUENCE.sub(b"", self.written)[-20000:].decode(errors="replace")

    def _read(self, timeout_s: float) -> bool:
        """False once the program has closed its terminal."""
        readable, _, _ = select.select([self._master], [], [], timeout_s)
        if not readable:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            return False
        self.written += data
        return bool(data)


@contextmanager
def on_pty(
    command: Sequence[str], *, size: tuple[int, int] = (120, 40), environment: Mapping[str, str] | None = None
) -> Iterator[PtySession]:
    """Run `command` for the time of the block."""
    master, slave = pty.openpty()
    columns, rows = size
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={
            **known,
            "PYTHONPATH": os.getcwd(),
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            **(environment or {}),
        },
    )
    os.close(slave)
    os.set_blocking(master, False)
    try:
        yield PtySession(process, master)
    finally:
        process.kill()
        process.wait(timeout=WAIT_S)
        os.close(master)
