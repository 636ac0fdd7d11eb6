"""The only writer of stdout: tables for people, JSON for scripts, bytes of logs."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from tui.view.document import document
from tui.view.safe import SafeStream, safe_text
from tui.view.table import Column, render

T = TypeVar("T")


def lines(items: Iterable[str]) -> None:
    """Text lines, made safe."""
    _write("".join(f"{safe_text(item)}\n" for item in items))


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, tones: Sequence[str] = (), heads: bool = True
) -> None:
    """A table as wide as the terminal and in its colours; into a pipe or file, nothing is cut or coloured."""
    shown = render(columns, rows, width=width(), tones=tones if is_coloured() else ())
    # its cells are safe already; the colours must stay
    _write("".join(f"{line}\n" for line in (shown if heads else shown[1:])))


def width() -> int | None:
    """Of the terminal; None where nobody reads there."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def as_json(value: object) -> None:
    """One JSON document and a newline."""
    _write(json.dumps(document(value), indent=2 if is_terminal() else None, ensure_ascii=True) + "\n")


def as_json_lines(values: Iterable[object]) -> None:
    """One JSON object a line, at once."""
    _write("".join(json.dumps(document(value), ensure_ascii=True) + "\n" for value in values))
    finish()


def one(form: str, value: object, *, name: str, text: Callable[[], Iterable[str]]) -> None:
    """One thing in the form that was asked for: a document, its name, or `text` for people."""
    match form:
        case "json":
            as_json(value)
        case "jsonl":
            as_json_lines([value])
        case "name":
            lines([name])
        case _:
            lines(text())


def each(
    form: str,
    values: Sequence[T],
    *,
    name: Callable[[T], str],
    text: Callable[[T], list[str]],
    apart: bool = True,
) -> None:
    """Like `one` for several things that were named: in JSON an array, unless it is only one.

    `apart`: their texts have an empty line between them.
    """
    match form:
        case "json":
            as_json(values[0] if len(values) == 1 else list(values))
        case "jsonl":
            as_json_lines(values)
        case "name":
            lines(map(name, values))
        case _:
            for place, value in enumerate(values):
                lines([*([""] if place and apart else []), *text(value)])


class LogWriter:
    """Writes a job's output to stdout: byte for byte, or made safe where a terminal would act on it."""

    def __init__(self, *, raw: bool) -> None:
        self._safe = None if raw or not is_terminal() else SafeStream()

    def write(self, data: bytes) -> None:
        """The next piece."""
        if self._safe is None:
            raw(data)
        else:
            _write(self._safe.feed(data))
            finish()

    def finish(self) -> None:
        """Nothing more comes: show what a cut character left."""
        if self._safe is not None:
            _write(self._safe.feed(b"", final=True))


def raw(data: bytes) -> None:
    """Bytes as they are."""
    if sys.stdout is not None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def is_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def is_coloured() -> bool:
    """Colours are for terminals that have them, unless NO_COLOR (no-color.org) says otherwise."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def prepare() -> None:
    """A terminal or file that is not UTF-8 gets question marks instead of a failure."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def finish() -> None:
    """Write out what is buffered, while a closed pipe can still be told apart from success."""
    if sys.stdout is not None:
        sys.stdout.flush()


def abandon() -> None:
    """The reader is gone: keep the interpreter from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _write(text: str) -> None:
    # None: started with stdout closed; there is nobody to write for
    if sys.stdout is not None:
        sys.stdout.write(text)
