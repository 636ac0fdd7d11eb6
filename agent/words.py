"""Words of this machine's making, for messages: what others wrote may be in them, such as names of files."""

from __future__ import annotations

WORDS_MAX = 4_096
"""Of the end of an attempt; the coordinator takes twice as much."""


def plain(text: str, most: int) -> str:
    """`text` as every message takes it: no NUL, no half of a character, at most so many characters."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
