"""Where a line that is wider than the screen goes on in the next row."""

from __future__ import annotations

from tui.view.safe import text_width


def wrapped(text: str, width: int) -> list[tuple[int, int]]:
    """The rows [begin, end) of a safe line, none wider than `width` cells; what has no width stays put."""
    if width < 2:
        width = 2  # no character is wider
    if text.isascii():
        return [(begin, begin + width) for begin in range(0, max(1, len(text)), width)]
    rows, begin, cells = [], 0, 0
    for index, character in enumerate(text):
        wide = text_width(character)
        if cells + wide > width:
            rows.append((begin, index))
            begin, cells = index, 0
        cells += wide
    return [*rows, (begin, len(text))]


def row_count(text: str, width: int) -> int:
    """How many rows that is."""
    if text.isascii():
        return max(1, -(-len(text) // max(2, width)))
    return 1 if text_width(text) <= width else len(wrapped(text, width))
