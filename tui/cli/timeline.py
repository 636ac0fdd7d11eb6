"""`timeline`: what ran where and when, and what else kept nodes from work; the Gantt chart as a list."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.timeline import NodeSpan, PlacedAttempt, Timeline, TimelineQuery
from bus.units import format_cpu_millis, format_size_mib
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit, note
from tui.cli.ids import job_id
from tui.view.amounts import NONE, duration
from tui.view.gantt import GLYPHS, OTHERS
from tui.view.instants import local
from tui.view.table import Column

HOUR_S = 3_600.0
COLUMNS = (
    Column("NODE"),
    Column("FROM"),
    Column("FOR", right=True),
    Column("S", tinted=True),
    Column("WHAT", tinted=True),
    Column("TASK"),
    Column("USER"),
    Column("CPU", right=True),
    Column("MEMORY", right=True),
    Column("ABOUT", flexible=True),
)


async def timeline(arguments: Namespace) -> int:
    """By node, each from the oldest attempt on; what a node was told to be stands among them."""
    until = time.time() if arguments.until is None else arguments.until
    since = until - HOUR_S if arguments.since is None else arguments.since
    asked = TimelineQuery(
        since=since,
        until=until,
        nodes=arguments.nodes,
        filter=arguments.filter,
        job=None if arguments.job is None else job_id(arguments.job),
        limit=arguments.limit,
    )
    async with client(arguments) as corral:
        found = await corral.timeline(asked)
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.attempts)
        case _:
            _table(found)
    if found.truncated:
        note("more than are told: another --since, or --limit")
    return Exit.OK


def _table(found: Timeline) -> None:
    rows: list[PlacedAttempt | NodeSpan] = [*found.attempts, *found.spans]
    rows.sort(key=lambda each: (each.node, each.start))
    now_s = min(time.time(), found.until)
    tones = [GLYPHS.get(row.state, OTHERS)[1] if isinstance(row, PlacedAttempt) else "warn" for row in rows]
    output.table(COLUMNS, [_cells(row, now_s=now_s) for row in rows], tones=tones)


def _cells(row: PlacedAttempt | NodeSpan, *, now_s: float) -> tuple[str, ...]:
    held = duration((now_s if row.end is None else row.end) - row.start)
    if isinstance(row, NodeSpan):
        return (row.node, local(row.start), held, "▲", str(row.kind), NONE, NONE, "", "", row.message)
    exit_word = f"exit {row.exit_code} " if row.exit_code else ""
    return (
        row.node,
        local(row.start),
        held,
        GLYPHS.get(row.state, OTHERS)[0],
        row.state,
        row.task or "another's",
        row.user or NONE,
        format_cpu_millis(row.resources.cpu_millis),
        format_size_mib(row.resources.mem_mib),
        f"{row.name} {exit_word}{row.message}".strip(),
    )
