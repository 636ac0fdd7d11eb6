"""When somebody last looked at the console: a line in a file beside its settings."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path


def read_seen(path: Path) -> float | None:
    """Seconds of the Unix epoch; None where nobody looked yet, or the file says nothing sensible."""
    try:
        seen_s = float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return seen_s if math.isfinite(seen_s) and seen_s > 0 else None


def keep_seen(path: Path, seen_s: float) -> None:
    """Whole or not at all; where nothing can be written, nothing is remembered."""
    fresh = path.with_name(f"{path.name}.new")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(f"{seen_s:.3f}\n", encoding="utf-8")
        fresh.replace(path)
