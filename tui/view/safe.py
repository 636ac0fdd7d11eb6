"""The one door through which text from elsewhere reaches a terminal.

A job's name, a log line or a node's label may hold escape sequences that clear the screen, write the
clipboard or turn text around. `safe_text` keeps what is plain to see and spells the rest out.
"""

from __future__ import annotations

import codecs
import re

from rich.cells import cell_len, set_cell_size

_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f"  # C0 without tab and newline; DEL
    "\x80-\x9f"  # C1: U+009B alone starts a control sequence
    "\xad\u061c\u180e"  # soft hyphen, Arabic letter mark, Mongolian vowel separator
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # zero width, separators, bidirectional controls
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations, tags
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u3164\uffa0"  # letters that are nothing to see
    "\ufe00-\ufe0f\U000e0100-\U000e01ef"  # variation selectors
    "\ud800-\udfff"  # lone surrogates cannot be written out
    "]"
)

_EMOJI = "[\u203c-\u3299\U0001f000-\U0001faff]"
_LOOKS = "[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]"
_GLUE = re.compile(f"(?<={_EMOJI})(?:{_LOOKS}*\u200d(?={_EMOJI})|{_LOOKS}+)")
"""What makes one picture of several, or another one, where a terminal knows how: the next one draws it wider
or narrower, and the rest of the line is elsewhere. Without it all draw the same."""

MARKS_MOST = 8
"""Characters that one cell may take: a letter and the marks above and below it. What has more of them is cut,
so that a name of a megabyte costs no more than what is seen of it."""

_JOINABLE = re.compile(f"{_EMOJI}{_LOOKS}*\u200d?\\Z")


def safe_text(text: str) -> str:
    """`text` with everything that could drive a terminal or deceive the eye spelled out.

    Newline and tab stay. C0 controls become their pictures (␛), the rest `\\xNN` or `\\uNNNN`. Emoji that
    are joined stand side by side.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_spell, _GLUE.sub("", text))


def safe_line(text: str) -> str:
    """Like `safe_text`, for one cell of a table: newline and tab are spelled out too."""
    return safe_text(text).replace("\n", "␊").replace("\t", "␉")


def fit(text: str, width: int) -> str:
    """A safe line cut or padded to exactly `width` terminal cells."""
    if width <= 0:
        return ""
    if text.isascii():
        return (text if len(text) <= width else text[: width - 1].rstrip() + "…").ljust(width)
    seen = text[: width * MARKS_MOST]
    if len(seen) < len(text) or cell_len(seen) > width:
        return set_cell_size(set_cell_size(seen, width - 1).rstrip() + "…", width)
    return set_cell_size(text, width)


def text_width(text: str) -> int:
    """Terminal cells that a safe line takes. ASCII, also a megabyte of it, in an instant."""
    return len(text) if text.isascii() else cell_len(text)


class SafeStream:
    """Makes a stream of bytes safe piece by piece; a character cut between two pieces survives.

    An emoji at the end of a piece waits for the next one, which may begin with what is joined to it.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The safe text of the next piece."""
        text = self._held + self._decoder.decode(data, final)
        end = None if final else _JOINABLE.search(text)
        ready, self._held = (text, "") if end is None else (text[: end.start()], end[0])
        return safe_text(ready)


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
