"""The person's own terminal while it stands in for one elsewhere: raw, and put back whatever happens.

What a program there switched on in it (the other screen, the mouse, a hidden cursor) is switched off again
when its viewer leaves; the modes that the terminal had itself are put back as they were.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tui.cli import output
from tui.cli.diagnostics import CommandError, Exit
from tui.view.detach_keys import EXPECTED, NotAKey, bytes_of

_READ_SIZE = 4096
_MODE = re.compile(rb"\x1b\[\?([0-9;]{1,40})([hl])")
_MODE_LENGTH_MAX = 44
_USUALLY_ON = frozenset({b"25", b"7"})  # a visible cursor, lines that wrap


class Modes:
    """Which private modes of a terminal differ from what they usually are, out of what was written to it."""

    def __init__(self) -> None:
        self._changed: dict[bytes, None] = {}
        self._rest = b""

    def note(self, data: bytes) -> None:
        """The next piece of output."""
        text = self._rest + data
        for match in _MODE.finditer(text):
            for mode in match[1].split(b";"):
                if (match[2] == b"h") != (mode in _USUALLY_ON):
                    self._changed[mode] = None
                else:
                    self._changed.pop(mode, None)
        cut = text.rfind(b"\x1b", max(0, len(text) - _MODE_LENGTH_MAX))
        self._rest = b"" if cut < 0 or _MODE.match(text, cut) else text[cut:]

    def undo(self) -> bytes:
        """What puts them back, newest first, and the colours."""
        if not self._changed:
            return b""
        undone = [b"\x1b[?%b%b" % (m, b"h" if m in _USUALLY_ON else b"l") for m in reversed(self._changed)]
        return b"".join(undone) + b"\x1b[0m"


class DetachKeys:
    """Finds the keys that leave a session among what is typed; an unfinished beginning is held back."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be sent, and whether the keys were typed; what came after them is dropped."""
        if not self._keys:
            return data, False
        text = self._held + data
        at = text.find(self._keys)
        if at >= 0:
            self._held = b""
            return text[:at], True
        size = next(n for n in range(len(self._keys) - 1, -1, -1) if text.endswith(self._keys[:n]))
        self._held = text[len(text) - size :]
        return text[: len(text) - size], False


def parse_keys(text: str) -> bytes:
    """ "ctrl-p,ctrl-q" as the bytes that they type; "": none. Raises CommandError."""
    try:
        return bytes_of(text)
    except NotAKey as error:
        raise CommandError(
            "E_USAGE",
            "not a key",
            exit=Exit.USAGE,
            field="--detach-keys",
            got=str(error),
            expected=EXPECTED,
        ) from error


class RawTerminal:
    """The terminal of this process, raw for the time of `taken`. `keys`: bytes that leave the session."""

    def __init__(self, keys: bytes) -> None:
        self._keys = DetachKeys(keys)
        self._input = sys.stdin.fileno()
        self._modes = Modes()

    def size(self) -> tuple[int, int]:
        """Rows and columns, one at least."""
        columns, rows = os.get_terminal_size(self._input)
        return max(1, rows), max(1, columns)

    @contextmanager
    def taken(self, *, on_size: Callable[[], None], on_end: Callable[[], None]) -> Iterator[None]:
        """Raw until the end of the block. `on_size`: the window changed; `on_end`: we are to go."""
        loop = asyncio.get_running_loop()
        before = termios.tcgetattr(self._input)
        tty.setraw(self._input, termios.TCSADRAIN)
        loop.add_signal_handler(signal.SIGWINCH, on_size)
        loop.add_signal_handler(signal.SIGCONT, lambda: tty.setraw(self._input, termios.TCSADRAIN))
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, on_end)
        try:
            yield
        finally:
            for number in (signal.SIGWINCH, signal.SIGCONT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)
            try:
                output.raw(self._modes.undo())
                termios.tcsetattr(self._input, termios.TCSADRAIN, before)
            except (OSError, termios.error):
                pass  # the terminal itself is gone

    def show(self, data: bytes) -> None:
        """Output of the terminal elsewhere, as it came: it is the person's own program that speaks."""
        self._modes.note(data)
        output.raw(data)

    def forget(self) -> None:
        """Switch off what the program there had switched on: it is there no more."""
        output.raw(self._modes.undo())
        self._modes = Modes()

    async def typed(self) -> tuple[bytes, bool]:
        """What was typed next, and whether the person leaves."""
        await self._readable()
        data = os.read(self._input, _READ_SIZE)
        return self._keys.feed(data) if data else (b"", True)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def on_input() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._input, on_input)
        try:
            await ready
        finally:
            loop.remove_reader(self._input)


def require_terminal(verb: str) -> None:
    """Raises CommandError where nobody sits at a terminal."""
    if not (sys.stdin is not None and sys.stdin.isatty() and output.is_terminal()):
        hint = "without a terminal: corral run -- COMMAND, corral logs -f TASK"
        message = f"{verb} needs a terminal for its input and its output"
        raise CommandError("E_TERMINAL", message, exit=Exit.USAGE, hint=hint)
