"""Bytes that a task prints into lines that a screen can hold: safe, bounded, each with its stream."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tui.view.safe import SafeStream

LINE_CHARS_MAX = 4_000
"""A longer line goes on in the next one: nobody reads it, and a screen must not choke on 100 MB of it."""

LINES_MAX = 100_000
TAB_CELLS = 8


class Line(Struct, frozen=True):
    """`tone` paints the text; `mark` is one cell in front of it, so that colour never stands alone.

    The first `label_chars` of the text name what the rest says, and are painted as labels.
    """

    text: str
    tone: str = ""
    mark: str = ""
    label_chars: int = 0


class LineCutter:
    """Cuts one stream into lines. A lone carriage return ends a line too: so progress bars can be read."""

    def __init__(self, *, tone: str = "", mark: str = "") -> None:
        self._safe = SafeStream()
        self._tone = tone
        self._mark = mark
        self._rest = ""

    def feed(self, data: bytes, *, final: bool = False) -> list[Line]:
        """The lines that `data` completes; `final` gives out the last one even without its end."""
        text = self._rest + self._safe.feed(data, final=final)
        held = "␍" if text.endswith("␍") and not final else ""  # its line feed may come with the next piece
        text = text.removesuffix(held).replace("␍\n", "\n").replace("␍", "\n")
        *whole, self._rest = text.split("\n")
        if final and self._rest:
            whole.append(self._rest)
            self._rest = ""
        while len(self._rest) > LINE_CHARS_MAX:
            whole.append(self._rest[:LINE_CHARS_MAX])
            self._rest = self._rest[LINE_CHARS_MAX:]
        self._rest += held
        return [Line(piece, self._tone, self._mark) for line in whole for piece in _pieces(line)]

    @property
    def rest(self) -> str:
        """The beginning of a line whose end has not come yet: a prompt, say."""
        return self._rest


def _pieces(line: str) -> Sequence[str]:
    line = line.expandtabs(TAB_CELLS)
    if len(line) <= LINE_CHARS_MAX:
        return (line,)
    return [line[start : start + LINE_CHARS_MAX] for start in range(0, len(line), LINE_CHARS_MAX)]


def find_line(lines: Sequence[Line], needle: str, start: int, *, forward: bool) -> int | None:
    """The next line from `start` (not itself) that holds `needle` in any case, going round at the end."""
    if not needle or not lines:
        return None
    folded, count, step = needle.casefold(), len(lines), 1 if forward else -1
    for distance in range(1, count + 1):
        position = (start + step * distance) % count
        if folded in lines[position].text.casefold():
            return position
    return None
