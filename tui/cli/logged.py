"""`logs --rows`: what tasks logged as rows, with level and time; also of jobs and nodes that are gone."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.results import LOGGED_MAX, Logged, LoggedLine, LoggedQuery
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.view.instants import local_short
from tui.view.safe import safe_line
from tui.view.table import Column

COLUMNS = (
    Column("WHEN"),
    Column("TASK"),
    Column("LEVEL", tinted=True),
    Column("NODE"),
    Column("LINE", flexible=True),
)
TONES = {"error": "bad", "warning": "warn"}
LIMIT = 100

_OF_BYTES = ("follow", "stderr", "both", "grep", "context", "timestamps", "at", "raw")


async def logged(arguments: Namespace) -> int:
    """Oldest first, the newest that --tail lets through."""
    for name in _OF_BYTES:
        if getattr(arguments, name):
            message = "it is about what tasks printed, --rows about what they logged"
            raise CommandError("E_USAGE", message, exit=Exit.USAGE, field=f"--{name}")
    limit = LIMIT if arguments.tail is None else arguments.tail
    if not 1 <= limit <= LOGGED_MAX:
        message, expected = f"--tail is {limit}", f"1 to {LOGGED_MAX:,} rows"
        raise CommandError("E_RANGE", message, exit=Exit.USAGE, field="--tail", expected=expected)
    attempt = "" if arguments.attempt is None else f"#{arguments.attempt}"
    async with client(arguments) as corral:
        found = [
            await corral.logged(
                LoggedQuery(
                    target=f"{task}{attempt}",
                    since=arguments.since,
                    until=arguments.until,
                    severity=arguments.level or "info",
                    limit=limit,
                )
            )
            for task in arguments.tasks
        ]
    _print(arguments.output, found)
    if any(one.more for one in found):
        note("there are older ones: --tail or --until shows them")
    return Exit.OK


def _print(form: str, found: list[Logged]) -> None:
    lines = [(one.job, line) for one in found for line in one.lines]
    match form:
        case "json":
            output.as_json(found if len(found) > 1 else found[0])
        case "jsonl":
            output.as_json_lines([line for _, line in lines])
        case _:
            now_s = time.time()
            rows = [_row(job, line, now_s=now_s) for job, line in lines]
            output.table(COLUMNS, rows, tones=[TONES.get(line.severity, "") for _, line in lines])


def _row(job: int, line: LoggedLine, *, now_s: float) -> tuple[str, ...]:
    return (
        local_short(line.at, now_s=now_s),
        f"{job}.{line.index}{f':{line.rank}' if line.rank else ''}#{line.fence}",
        line.severity,
        safe_line(line.node),
        safe_line(line.text),
    )
