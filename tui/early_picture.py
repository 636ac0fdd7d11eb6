"""The first picture: the heading alone, before Textual is read, which takes most of a start.

It stands on the terminal's other screen. `tui.early_driver` goes on there, so nothing blinks between the two
pictures; where the console does not come that far, the terminal is put back as it was.
"""

from __future__ import annotations

import contextlib
import locale
import os
import sys
import termios
from collections.abc import Iterator

OTHER_SCREEN, OWN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
_BEGIN = OTHER_SCREEN + "\x1b[?25l\x1b[2J\x1b[H"
_END = OWN_SCREEN + "\x1b[?25h"


def encoding_is_unicode() -> bool:
    """Whether this process's locale can write more than its own alphabet."""
    return locale.getpreferredencoding(False).lower().replace("-", "").startswith("utf")


class EarlyPicture:
    """Whether it stands, and who owns the terminal by now."""

    def __init__(self, fileno: int | None) -> None:
        """`fileno`: of the terminal; None where there is none to paint on."""
        self._fileno = fileno
        self._echo: list[object] | None = None
        self.stands = False

    def paint(self) -> None:
        """Put it up. What is typed meanwhile is kept for the console, and not echoed into the picture."""
        if self._fileno is None:
            return
        with contextlib.suppress(termios.error):  # a terminal without such attributes echoes
            attributes = termios.tcgetattr(self._fileno)
            self._echo = list(attributes)
            attributes[3] &= ~termios.ECHO
            termios.tcsetattr(self._fileno, termios.TCSANOW, attributes)
        said = "○ starting …" if encoding_is_unicode() else "o starting ..."
        self._write(f"{_BEGIN}\x1b[1m corral \x1b[22m{said}\x1b[0m")
        self.stands = True

    def hand_over(self) -> bool:
        """The console goes on from here, with the terminal's attributes as they were. Whether it stands."""
        self._restore_echo()
        stood, self.stands = self.stands, False
        return stood

    def take_down(self) -> None:
        """The terminal as it was before; nothing where the console has taken over."""
        self._restore_echo()
        if self.stands:
            self._write(_END)
            self.stands = False

    def _restore_echo(self) -> None:
        if self._echo is not None and self._fileno is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fileno, termios.TCSANOW, self._echo)  # type: ignore[arg-type]
        self._echo = None

    def _write(self, text: str) -> None:
        assert self._fileno is not None
        with contextlib.suppress(OSError):  # a terminal that went away is found out by the console
            os.write(self._fileno, text.encode(errors="replace"))


@contextlib.contextmanager
def early_picture() -> Iterator[EarlyPicture]:
    """On the terminal that Textual paints on: that of stderr."""
    stream = sys.__stderr__
    picture = EarlyPicture(stream.fileno() if stream is not None and stream.isatty() else None)
    try:
        picture.paint()
        yield picture
    finally:
        picture.take_down()
