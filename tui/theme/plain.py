"""For terminals that have no colours or know no Unicode: the same console without them."""

from __future__ import annotations

import os
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from tui.view.states import JOB_BADGES, NODE_BADGES, SEVERITY_BADGES, TASK_BADGES

_TWINS = {
    **{badge.glyph: badge.ascii for badges in (SEVERITY_BADGES, NODE_BADGES, JOB_BADGES, TASK_BADGES)
       for badge in badges.values()},
    "›": ">", "…": "~", "–": "-", "×": "x", "▴": "^", "▾": "v", "▌": ">", "●": "*", "○": "o", "◐": "!",
    "◆": "+",
    "→": ">", "■": "#", "█": "#", "▏": "#", "▎": "#", "▍": "#", "▋": "#", "▊": "#", "▉": "#", "░": ".",
    "▒": ":", "▓": "#", "━": "=", "╸": "=", "┄": "-", "╷": "|", "╎": ":", "◇": "+", "▸": ">",
    "▁": "_", "▂": "_", "▃": "-", "▄": "-", "▅": "=", "▆": "=", "▇": "#", "▀": "#", "▔": "-", "▕": "|",
    "─": "-", "│": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+", "┐": "+", "└": "+", "┘": "+",
    "◀": "<", "▶": ">", "↑": "^", "↓": "v", "←": "<", "⏎": "E", "·": ".",
    "┤": "|", "┬": "+", "┊": "|", "−": "-", "ε": "e",
}  # fmt: skip
"""Each of our own signs in ASCII, one cell for one cell."""

UNKNOWN = "?"
_BRAILLE = range(0x2800, 0x2900)
_UPPER_DOTS = 0x01 | 0x02 | 0x08 | 0x10


class AsciiOnly(LineFilter):
    """The last step before the terminal: what it cannot write is written with the signs it has."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same line, cell for cell."""
        return [
            segment
            if segment.control or segment.text.isascii()
            else segment._replace(text=ascii_twin(segment.text))
            for segment in segments
        ]


@lru_cache(4096)
def ascii_twin(text: str) -> str:
    """`text` in ASCII, as many cells wide as before."""
    return "".join(sign if sign.isascii() else _twin(sign) for sign in text)


def _twin(sign: str) -> str:
    """Of braille, whether its dots are above, below, or both."""
    if (dots := ord(sign) - _BRAILLE.start) in range(len(_BRAILLE)):
        above, below = dots & _UPPER_DOTS, dots & ~_UPPER_DOTS
        return (":" if below else "'") if above else "." if below else " "
    return _TWINS.get(sign, UNKNOWN * cell_len(sign))


def is_monochrome() -> bool:
    """Whether colours are unwanted (NO_COLOR) or the terminal says that it can do nothing (dumb)."""
    return "NO_COLOR" in os.environ or os.environ.get("TERM", "") in ("", "dumb", "unknown")
