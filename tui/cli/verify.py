"""`verify`: whether the cluster keeps its promises, looked up in its database, its memory and on its nodes.

Exit 1 where it does not. docs/reliability.md says what the invariants are.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from bus.api import Verification, Violation
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.view.table import Column

COLUMNS = (Column("RULE"), Column("OBJECT"), Column("WHAT", flexible=True))


async def verify(arguments: Namespace) -> int:
    """Look; exit 1 where anything is wrong."""
    async with client(arguments) as corral:
        found = await corral.verify()
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.violations)
        case "name":
            output.lines(violation.object for violation in found.violations)
        case _:
            _show(found)
    return Exit.JOB_FAILED if found.violations else Exit.OK


def _show(found: Verification) -> None:
    if found.violations:
        rows = [(violation.invariant, violation.object, violation.what) for violation in found.violations]
        output.table(COLUMNS, rows)
        output.lines(["", *_hints(found.violations)])
    output.lines(summary(found))


def _hints(violations: list[Violation]) -> Iterator[str]:
    """Each once, with the rules that it is for."""
    rules: dict[str, dict[str, None]] = {}
    for violation in violations:
        if violation.hint:
            rules.setdefault(violation.hint, {})[violation.invariant] = None
    for hint, named in rules.items():
        yield f"hint: {hint} ({', '.join(named)})"


def summary(found: Verification) -> Iterator[str]:
    """What was looked at, and the verdict."""
    yield "checked: " + ", ".join(f"{number:,} {kind}" for kind, number in found.checked.items())
    if found.silent:
        yield f"not asked, they are silent: {', '.join(found.silent)}"
    count = len(found.violations)
    verdict = f"{counted(count, 'violation')}" if count else "no violation"
    yield f"{verdict}; epoch {found.epoch}, in {found.took_s:.1f} s"
