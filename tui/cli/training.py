"""`train`: how far gangs are, and each of their ranks."""

from __future__ import annotations

from argparse import Namespace

from tui.cli import clock, output
from tui.cli.connect import client
from tui.cli.diagnostics import Exit, note
from tui.view.training import (
    GANG_COLUMNS,
    RANK_COLUMNS,
    available_text,
    gang_row,
    rank_rows,
    tone,
)


async def train(arguments: Namespace) -> int:
    """One of the two."""
    return await (_status(arguments) if arguments.action == "status" else _ranks(arguments))


async def _status(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.training(arguments.target, limit=arguments.limit)
        now_s = await clock.now_s(corral, arguments)
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.gangs)
        case "name":
            output.lines(each.task for each in found.gangs)
        case _:
            rows = [gang_row(each, now_s=now_s) for each in found.gangs]
            output.table(GANG_COLUMNS, rows, tones=[tone(each.state) for each in found.gangs])
    if found.next:
        note("there are more: --limit shows them")
    return Exit.OK


async def _ranks(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.ranks(arguments.target)
        now_s = await clock.now_s(corral, arguments)
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.ranks)
        case "name":
            output.lines(f"{found.gang.task}:{each.rank}" for each in found.ranks)
        case _:
            output.table(
                RANK_COLUMNS,
                rank_rows(found, now_s=now_s),
                tones=[tone(each.state) for each in found.ranks] or [""] * len(found.available),
            )
            if available := available_text(found):
                note(available)
    return Exit.OK
