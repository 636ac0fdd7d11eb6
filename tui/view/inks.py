"""The colours a job gives its own output, as tones of ours: SGR sequences and nothing else.

`ESC [ … m` changes how text looks and nothing beyond it, so it may become a style; every other sequence is
left for `safe_text` to spell out. A colour becomes the tone that comes nearest, which every theme can show;
backgrounds are left out: the theme's own is what contrast is judged against.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from tui.view.safe import safe_text

TAB_CELLS = 8
_SGR = re.compile(r"\x1b\[([0-9;:]{0,64})m")
_TONES = ("idle", "bad", "ok", "warn", "busy", "wait", "busy", "")
"""Black, red, green, yellow, blue, magenta, cyan, white."""

_GREY_SPREAD = 48
_DARK = 128


class Ink(Struct, frozen=True):
    """How the characters [begin, end) of a line look."""

    begin: int
    end: int
    tone: str = ""
    bold: bool = False
    underline: bool = False
    reverse: bool = False


class Inker:
    """What was switched on holds until it is switched off, over the ends of lines too."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._tone, self._bold, self._underline, self._reverse = "", False, False, False

    @property
    def is_plain(self) -> bool:
        """Whether text without sequences needs no ink."""
        return not (self._tone or self._bold or self._underline or self._reverse)

    def line(self, raw: str) -> tuple[str, tuple[Ink, ...]]:
        """A line as decoded: its safe text, and the inks of those parts that are not plain."""
        text, inks = "", []
        for part in self._parts(raw):
            begin, column = len(text), len(text) % TAB_CELLS
            safe = safe_text(part)
            text += (" " * column + safe).expandtabs(TAB_CELLS)[column:] if "\t" in safe else safe
            if not self.is_plain and len(text) > begin:
                ink = Ink(begin, len(text), self._tone, self._bold, self._underline, self._reverse)
                inks.append(ink)
        return text, tuple(inks)

    def _parts(self, raw: str) -> Iterator[str]:
        """The text between the sequences; each sequence is obeyed before what follows is given out."""
        begin = 0
        for match in _SGR.finditer(raw):
            yield raw[begin : match.start()]
            self._obey(match[1])
            begin = match.end()
        yield raw[begin:]

    def _obey(self, parameters: str) -> None:
        numbers = [int(word) if word else 0 for word in re.split("[;:]", parameters)[:16]]
        while numbers:
            number = numbers.pop(0)
            match number:
                case 0:
                    self._reset()
                case 1 | 22:
                    self._bold = number == 1
                case 4 | 24:
                    self._underline = number == 4
                case 7 | 27:
                    self._reverse = number == 7
                case 39:
                    self._tone = ""
                case 38 | 48:
                    tone = _extended(numbers)
                    if number == 38:
                        self._tone = tone
                case _ if 30 <= number <= 37 or 90 <= number <= 97:
                    self._tone = _TONES[number % 10]
                case _:
                    pass


def _extended(numbers: list[int]) -> str:
    """The tone of "5;N" or "2;R;G;B", which are taken off."""
    match numbers:
        case [5, index, *rest]:
            numbers[:] = rest
            if index < 16:
                return _TONES[index % 8]
            if index >= 232:
                return "idle" if index < 244 else ""
            cube = index - 16
            return _nearest(*(51 * (cube // step % 6) for step in (36, 6, 1)))
        case [2, red, green, blue, *rest]:
            numbers[:] = rest
            return _nearest(red, green, blue)
        case _:
            numbers.clear()
            return ""


def _nearest(red: int, green: int, blue: int) -> str:
    high, low = max(red, green, blue), min(red, green, blue)
    if high - low < _GREY_SPREAD:
        return "idle" if high < _DARK else ""
    middle = (high + low) // 2
    bits = (red > middle) + 2 * (green > middle) + 4 * (blue > middle)
    return _TONES[bits]
