"""Results of benches in files: read again, and drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bus.setting_kinds import expanded
from tui.cli import diagnostics
from tui.cli.diagnostics import CommandError, Exit
from tui.view.charts import draw
from tui.view.plots import Result, charts

BYTES_MAX = 64 << 20
"""Of one file with results."""


def read_results(files: Iterable[str]) -> list[dict[str, Any]]:
    """What `corral bench scheduler -o json` or `-o jsonl` once wrote there. Raises CommandError."""
    found = [result for file in files for result in _of_file(expanded(file))]
    if not found:
        raise CommandError("E_EMPTY", "no result in these files", exit=Exit.USAGE, field="--results")
    return found


def draw_into(folder: str, results: Sequence[dict[str, Any]]) -> None:
    """An SVG file for each chart, and a line on stderr that names it. Raises OSError."""
    into = expanded(folder)
    into.mkdir(parents=True, exist_ok=True)
    for name, chart in charts(msgspec.convert(results, list[Result])).items():
        path = into / f"{name}.svg"
        path.write_text(draw(chart), encoding="utf-8")
        diagnostics.note(f"wrote {path}")


def _of_file(path: Path) -> list[dict[str, Any]]:
    try:
        if not path.is_file() and path.exists():
            raise _unusable("E_PATH", f"{path} is no plain file")
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise _unusable("E_PATH", f"cannot read {path}: {error.strerror}") from error
    if len(data) > BYTES_MAX:
        raise _unusable("E_TOO_LARGE", f"{path} has more than {BYTES_MAX >> 20} MiB")
    try:
        documents = _documents(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unusable("E_JSON", f"{path}: {error}") from error
    found: list[dict[str, Any]] = []
    for each in documents:
        found += (
            each["results"] if isinstance(each, dict) and isinstance(each.get("results"), list) else [each]
        )
    try:
        msgspec.convert(found, list[Result])
    except msgspec.ValidationError as error:
        raise _unusable("E_FIELD", f"{path}: no results of a bench: {error}") from error
    return found


def _documents(data: bytes) -> list[Any]:
    """One, or one in each line."""
    try:
        return [msgspec.json.decode(data)]
    except msgspec.DecodeError:
        if data.count(b"\n") < 2:
            raise
    return [msgspec.json.decode(line) for line in data.splitlines() if line.strip()]


def _unusable(code: str, message: str) -> CommandError:
    return CommandError(code, message, exit=Exit.USAGE, field="--results")
