"""`nodelogs` (`corral node logs N`): what the agent of a node complained of."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.node_log import NodeLine, NodeLogQuery
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit, note
from tui.view.instants import local_short
from tui.view.safe import safe_line
from tui.view.table import Column

COLUMNS = (Column("WHEN"), Column("SEVERITY", tinted=True), Column("LINE", flexible=True))

_TONES = {"error": "bad", "warning": "warn"}


async def node_log(arguments: Namespace) -> int:
    """Oldest first, the newest that --limit lets through."""
    asked = NodeLogQuery(
        node=arguments.node,
        since=arguments.since,
        until=arguments.until,
        severity="error" if arguments.errors else "warning",
        limit=arguments.limit,
    )
    async with client(arguments) as corral:
        found = await corral.node_log(asked)
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.lines)
        case _:
            now_s = time.time()
            rows = [_row(line, now_s=now_s) for line in found.lines]
            output.table(COLUMNS, rows, tones=[_TONES.get(each.severity, "") for each in found.lines])
    if found.more:
        note("there are older ones: --limit or --until shows them")
    return Exit.OK


def _row(line: NodeLine, *, now_s: float) -> tuple[str, ...]:
    return local_short(line.at, now_s=now_s), safe_line(line.severity), safe_line(line.text)
