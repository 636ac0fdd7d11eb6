"""The only writer of stdout: tables for people, JSON for scripts, bytes of logs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence

from tui.view.document import document
from tui.view.safe import SafeStream, safe_text
from tui.view.table import Column, render


def lines(items: Sequence[str]) -> None:
    """Text lines, made safe."""
    sys.stdout.write("".join(f"{safe_text(item)}\n" for item in items))


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """A table as wide as the terminal; into a pipe or file, nothing is cut."""
    width = shutil.get_terminal_size().columns if is_terminal() else None
    lines(render(columns, rows, width=width))


def as_json(value: object) -> None:
    """One JSON document and a newline."""
    sys.stdout.write(
        json.dumps(document(value), indent=2 if is_terminal() else None, ensure_ascii=True) + "\n"
    )


class LogWriter:
    """Writes a job's output to stdout: byte for byte, or made safe where a terminal would act on it."""

    def __init__(self, *, raw: bool) -> None:
        self._safe = None if raw or not is_terminal() else SafeStream()

    def write(self, data: bytes) -> None:
        """The next piece."""
        if self._safe is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            sys.stdout.write(self._safe.feed(data))
            sys.stdout.flush()


def is_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


def finish() -> None:
    """Write out what is buffered, while a closed pipe can still be told apart from success."""
    sys.stdout.flush()


def abandon() -> None:
    """The reader is gone: keep the interpreter from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
