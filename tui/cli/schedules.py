"""`schedule`: the jobs that repeat, when they come next, and what came of the last time."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.schedules import Schedule
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.view.amounts import NONE, age, duration
from tui.view.table import Column

_COLUMNS = (
    Column("NAME", flexible=True),
    Column("USER"),
    Column("CRON"),
    Column("ZONE"),
    Column("STATE"),
    Column("NEXT", right=True),
    Column("LAST", right=True),
    Column("JOB", right=True),
    Column("FIRED", right=True),
    Column("LEFT OUT", right=True),
    Column("OVERLAP"),
)


async def schedule(arguments: Namespace) -> int:
    """One of its actions."""
    user, names = arguments.user or "", arguments.names
    if arguments.action not in ("ls", "show") and not names:
        hint = "corral schedule ls shows them"
        raise CommandError("E_REQUIRED", "which schedule?", exit=Exit.USAGE, field="NAME", hint=hint)
    async with client(arguments) as corral:
        if arguments.action in ("ls", "show"):
            found = (await corral.schedules(user=user)).schedules
            told = [each for each in found if each.name in names] if names else found
            if missing := sorted(set(names) - {each.name for each in found}):
                hint = "corral schedule ls shows yours"
                raise CommandError(
                    "E_NOT_FOUND", f"no schedule {missing[0]!r}", exit=Exit.NOT_FOUND, hint=hint
                )
        else:
            act = {
                "pause": corral.pause_schedule,
                "resume": corral.resume_schedule,
                "rm": corral.remove_schedule,
            }[arguments.action]
            told = [await act(name, user=user) for name in names]
    _show(arguments, told)
    return Exit.OK


def _show(arguments: Namespace, told: list[Schedule]) -> None:
    now_s = time.time()
    match arguments.output:
        case "json":
            output.as_json(told)
        case "jsonl":
            output.as_json_lines(told)
        case "name":
            output.lines(each.name for each in told)
        case _ if arguments.action == "rm":
            output.lines(f"schedule {each.name} removed" for each in told)
        case _ if arguments.action == "show":
            output.lines(line for each in told for line in _lines(each, now_s=now_s))
        case _:
            output.table(_COLUMNS, [_row(each, now_s=now_s) for each in told])


def _row(each: Schedule, *, now_s: float) -> tuple[str, ...]:
    state = "paused" if each.paused else "failing" if each.last_error else "active"
    return (
        each.name,
        each.user,
        each.cron,
        each.zone,
        state,
        NONE if each.next_at is None else f"in {duration(max(each.next_at - now_s, 0.0))}",
        NONE if each.last_at is None else f"{age(now_s - each.last_at)} ago",
        NONE if each.last_job is None else str(each.last_job),
        str(each.fired),
        str(each.skipped),
        each.overlap,
    )


def _lines(each: Schedule, *, now_s: float) -> list[str]:
    named = zip((column.title for column in _COLUMNS), _row(each, now_s=now_s), strict=True)
    lines = [f"{title.lower():9} {value}" for title, value in named]
    return [*lines, *([f"{'error':9} {each.last_error}"] if each.last_error else []), ""]
