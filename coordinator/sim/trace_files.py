"""Files of recorded workloads, plain or compressed with gzip, whatever they are called."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

LINE_MAX = 1 << 16
"""Characters: no format has lines that long, and what has none at all must not fill the memory."""

NUMBER_MAX = 10**12
"""Of anything that is counted or measured in a trace; seconds: 30,000 years."""


class TraceError(Exception):
    """The file is no such trace; the text names file, line, and what would be right."""


def lines(path: Path, *, errors: str = "strict") -> Iterator[str]:
    """Its text; `errors`: what becomes of bytes that are not UTF-8. Raises OSError, TraceError."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise TraceError(f"{path} is no plain file")  # a pipe would be waited for, a device never ends
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with TextIOWrapper(
                gzip.open(raw) if packed else raw, encoding="utf-8-sig", errors=errors
            ) as file:
                number = 0
                while line := file.readline(LINE_MAX):
                    number += 1
                    if len(line) == LINE_MAX:
                        raise TraceError(f"{path}, line {number}: longer than {LINE_MAX:,} characters")
                    yield line
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: not whole, or no text: {error}") from error
