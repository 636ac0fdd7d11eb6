"""How windows share a screen."""

from __future__ import annotations

COLUMN_CELLS = 56
"""Lines of output are hard to read in less."""

COLUMNS_MAX = 3
ROWS_MIN = 5
FRAME_ROWS = 3
"""Heading, crumbs and keys."""


def tiled(windows: int, *, width: int, height: int) -> tuple[int, int]:
    """(columns, rows) for so many windows; no rows where each would have too few lines to be read."""
    fit = max(1, min(COLUMNS_MAX, width // COLUMN_CELLS))
    wanted = 1 if windows < 2 or (windows == 2 and fit < COLUMNS_MAX) else 2 if windows <= 4 else COLUMNS_MAX
    columns = min(fit, wanted)
    rows = -(-windows // columns) or 1
    return columns, rows if (height - FRAME_ROWS) // rows >= ROWS_MIN or windows < 2 else 0
