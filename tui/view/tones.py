"""The colours of states in plain terminal output: the sixteen that every terminal's own theme defines."""

from __future__ import annotations

_CODES = {"ok": "32", "busy": "36", "wait": "34", "warn": "33", "bad": "31", "idle": "2", "strong": "1"}


def paint(text: str, tone: str) -> str:
    """`text`, already safe, in the colour of its tone; an unknown tone leaves it plain."""
    code = _CODES.get(tone)
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text
