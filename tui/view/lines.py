"""Bytes that a task prints into lines that a screen can hold: safe, bounded, each with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from tui.view.inks import TAB_CELLS, Ink, Inker
from tui.view.safe import safe_text

LINE_CHARS_MAX = 4_000
"""A longer line goes on in the next one: nobody reads it, and a screen must not choke on 100 MB of it."""

LINES_MAX = 100_000

_LONE_RETURN = re.compile(rb"\r(?!\n)")


class Line(Struct, frozen=True):
    """`tone` paints the text; `mark` is one cell in front of it, so that colour never stands alone.

    The first `label_chars` of the text name what the rest says, and are painted as labels. `inks` are the
    colours that the text brought along. Of output, `offset` and `end` are its bytes in the stream with its
    end of line, and `at` is when it was seen to be there, if that is known.
    """

    text: str
    tone: str = ""
    mark: str = ""
    label_chars: int = 0
    inks: tuple[Ink, ...] = ()
    offset: int = -1
    end: int = -1
    at: float | None = None


class LineCutter:
    """Cuts one stream into lines. A lone carriage return ends a line too: so progress bars can be read.

    `offset`: where in the stream what is fed first stands.
    """

    def __init__(self, *, tone: str = "", mark: str = "", offset: int = 0) -> None:
        self._tone = tone
        self._mark = mark
        self._inker = Inker()
        self._rest = b""
        self._offset = offset

    def feed(self, data: bytes, *, came: Sequence[tuple[int, float]] = (), final: bool = False) -> list[Line]:
        """The lines that `data` completes; `final` gives out the last one even without its end.

        `came`: pairs (size, at): so much of the stream was there at `at`.
        """
        data = self._rest + data
        # its line feed may come with the next piece
        held = b"\r" if data.endswith(b"\r") and not final else b""
        if b"\r" in data:
            data = _LONE_RETURN.sub(b"\n", data[: len(data) - len(held)])
        *whole, rest = data.split(b"\n")
        lines: list[Line] = []
        stretched = [*whole, rest] if final and rest else whole
        texts = self._texts(stretched)
        dates = _dates(came)
        for raw, (text, inks) in zip(stretched, texts, strict=True):
            end = self._offset + len(raw) + 1
            if len(raw) <= LINE_CHARS_MAX:
                self._say(lines, text, inks, end=end, at=dates(end))
            else:
                self._say_long(lines, raw, at=dates(end))
                self._offset = end
        if final:
            if rest:  # it had no end of line
                self._offset -= 1
                lines[-1] = _ending(lines[-1], self._offset)
            rest = b""
        while len(rest) > LINE_CHARS_MAX:
            cut = _boundary(rest)
            text, inks = self._inker.line(rest[:cut].decode("utf-8", "replace"))
            end = self._offset + cut
            self._say(lines, text, inks, end=end, at=dates(end))
            rest = rest[cut:]
        self._rest = rest + held
        return lines

    @property
    def rest(self) -> Line | None:
        """The beginning of a line whose end has not come yet: a prompt, say."""
        raw = self._rest.removesuffix(b"\r")
        if not raw:
            return None
        text = safe_text(raw.decode("utf-8", "replace")).expandtabs(TAB_CELLS)
        return Line(text, self._tone, self._mark, 0, (), self._offset, self._offset + len(self._rest))

    def _texts(self, raws: list[bytes]) -> list[tuple[str, tuple[Ink, ...]]]:
        """All at once where no line brings colours along: that is ten times as fast."""
        joined = b"\n".join(raws)
        if self._inker.is_plain and b"\x1b" not in joined:
            joined = joined.replace(b"\r\n", b"\n").removesuffix(b"\r")
            texts = safe_text(joined.decode("utf-8", "replace")).split("\n") if raws else []
            if b"\t" in joined:
                return [(text.expandtabs(TAB_CELLS), ()) for text in texts]
            return [(text, ()) for text in texts]
        return [
            self._inker.line(raw.removesuffix(b"\r").decode("utf-8", "replace"))
            if len(raw) <= LINE_CHARS_MAX
            else ("", ())
            for raw in raws
        ]

    def _say(
        self, lines: list[Line], text: str, inks: tuple[Ink, ...], *, end: int, at: float | None
    ) -> None:
        lines.append(Line(text, self._tone, self._mark, 0, inks, self._offset, end, at))
        self._offset = end

    def _say_long(self, lines: list[Line], raw: bytes, *, at: float | None) -> None:
        raw = raw.removesuffix(b"\r")
        while raw:
            cut = _boundary(raw) if len(raw) > LINE_CHARS_MAX else len(raw)
            text, inks = self._inker.line(raw[:cut].decode("utf-8", "replace"))
            self._say(lines, text, inks, end=self._offset + cut, at=at)
            raw = raw[cut:]


def _ending(line: Line, end: int) -> Line:
    return Line(line.text, line.tone, line.mark, 0, line.inks, line.offset, end, line.at)


def _boundary(raw: bytes) -> int:
    """Where a line that is too long is cut: not within a character."""
    for cut in range(LINE_CHARS_MAX, LINE_CHARS_MAX - 4, -1):
        if raw[cut] & 0xC0 != 0x80:
            return cut
    return LINE_CHARS_MAX


def _dates(came: Sequence[tuple[int, float]]) -> Callable[[int], float | None]:
    """When the byte before an offset was seen, asked in ascending order."""
    marks = iter(came)
    mark = next(marks, None)

    def date(end: int) -> float | None:
        nonlocal mark
        while mark is not None and mark[0] < end:
            mark = next(marks, None)
        return None if mark is None else mark[1]

    return date


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
