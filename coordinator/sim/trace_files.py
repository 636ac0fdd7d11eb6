"""Files of recorded workloads, plain or compressed with gzip, whatever they are called."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast


class TraceError(Exception):
    """The file is no such trace; the text names file, line, and what would be right."""


@contextmanager
def opened(path: Path, *, errors: str = "strict") -> Iterator[TextIO]:
    """Its text; `errors`: what becomes of bytes that are not UTF-8. Raises OSError, TraceError."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    unpack = gzip.open if packed else open
    try:
        with unpack(path, "rt", encoding="utf-8", errors=errors) as file:
            yield cast(TextIO, file)
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: not whole, or no text: {error}") from error
