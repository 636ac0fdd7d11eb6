"""`connections`: who is connected to the bus."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.housekeeping import Connection
from tui.cli import diagnostics, output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.view.amounts import NONE, age, mebibytes
from tui.view.instants import local_short
from tui.view.table import Column

_COLUMNS = (
    Column("NAME"),
    Column("PEER"),
    Column("PROGRAM", flexible=True),
    Column("ADDRESS"),
    Column("SINCE"),
    Column("IDLE", right=True),
    Column("IN", right=True),
    Column("OUT", right=True),
)
_WIDE = (Column("RTT", right=True), Column("SUBS", right=True), Column("PENDING", right=True))


async def connections(arguments: Namespace) -> int:
    """All that the server names, longest first."""
    async with client(arguments) as corral:
        found = await corral.connections()
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.connections)
        case "name":
            output.lines(connection.name for connection in found.connections)
        case form:
            wide, now_s = form == "wide", time.time()
            rows = [_row(connection, wide=wide, now_s=now_s) for connection in found.connections]
            output.table(_COLUMNS + (_WIDE if wide else ()), rows)
    if found.total > len(found.connections):
        diagnostics.note(f"{found.total:,} are connected; the others are not shown")
    return Exit.OK


def _row(connection: Connection, *, wide: bool, now_s: float) -> tuple[str, ...]:
    row = (
        connection.name,
        connection.peer or NONE,
        connection.program or NONE,
        connection.address,
        local_short(connection.since, now_s=now_s),
        age(connection.idle_s),
        _size(connection.bytes_in),
        _size(connection.bytes_out),
    )
    if not wide:
        return row
    trip = NONE if connection.round_trip_ms is None else f"{connection.round_trip_ms:.1f}ms"
    return (*row, trip, str(connection.subscriptions), _size(connection.pending_bytes))


def _size(count: int) -> str:
    """ "812B", "14.2k", then in mebibytes and above."""
    if count < 1024:
        return f"{count}B"
    return f"{count / 1024:.1f}k" if count < 1024 * 1024 else mebibytes(count / 1024 / 1024)
