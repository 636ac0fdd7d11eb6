"""`gc`: jobs that are over and old go into the archive."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from bus.housekeeping import Collected
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit


async def gc(arguments: Namespace) -> int:
    """Move them, or with --dry-run only count them."""
    async with client(arguments) as corral:
        found = await corral.collect(older_than_s=arguments.older_than, dry_run=arguments.dry_run)
    output.one(arguments.output, found, name=str(found.jobs), text=lambda: _text(found))
    return Exit.OK


def _text(found: Collected) -> Iterator[str]:
    verb = "would go" if found.dry_run else "went"
    ends = ", ".join(f"{jobs:,} {state}" for state, jobs in sorted(found.states.items()))
    tasks = counted(found.tasks, "task")
    yield f"{counted(found.jobs, 'job')} with {tasks} {verb} into the archive" + (f": {ends}" if ends else "")
    if found.left:
        yield f"{counted(found.left, 'job')} more are old enough: corral gc again goes on with them"
