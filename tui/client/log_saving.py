"""A task's output into a file: its exact bytes, piece by piece, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bus.values import Stream
from tui.client.source import LogSource

PIECE_BYTES = 512 * 1024
SUFFIXES = {Stream.STDOUT: "out", Stream.STDERR: "err"}


def saving_path(words: str, *, task: str, stream: Stream) -> Path:
    """What somebody typed as a path; in a folder, the file is named after the task: `1042.7.out`."""
    path = Path(words).expanduser()
    if path.is_dir():
        return path / f"{task}.{SUFFIXES[stream]}"
    return path if stream is Stream.STDOUT else path.with_name(f"{path.name}.{SUFFIXES[stream]}")


async def save_log(
    source: LogSource,
    task: str,
    *,
    stream: Stream,
    attempt: int,
    path: Path,
    told: Callable[[int, int], None],
) -> int:
    """All that was printed by now; `told` hears (bytes written, bytes there are). Returns the bytes written.

    Raises FileExistsError where the file is there already, and OSError, CorralError.
    """
    written = 0
    with _new_file(path) as file:
        while True:
            log = await source.logs(task, stream=stream, attempt=attempt, offset=written, limit=PIECE_BYTES)
            attempt = attempt or log.attempt
            file.write(log.data)
            written += len(log.data)
            told(written, log.size)
            if not log.data or written >= log.size:
                return written


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """It has its name only once all is written; never that of a file that is there already."""
    if path.exists():
        raise FileExistsError(f"{path} is there already: choose another name")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            yield file
        os.link(part, path)  # unlike a rename, it never takes the place of another's file
    finally:
        part.unlink(missing_ok=True)
