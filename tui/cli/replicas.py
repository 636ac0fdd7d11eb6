"""`replica`: copies of content on other nodes, what lacks some, and a look at all content again."""

from __future__ import annotations

import time
from argparse import Namespace

from bus.copies import Replica, Replicas, Under
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.view.amounts import NONE
from tui.view.instants import local_short
from tui.view.log_facts import byte_text
from tui.view.table import Column

_COLUMNS = (
    Column("CONTENT"),
    Column("SIZE", right=True),
    Column("TASK"),
    Column("PRIMARY", flexible=True),
    Column("COPY", flexible=True),
    Column("STATE"),
    Column("VERIFIED"),
    Column("WHY"),
)
_UNDER = (
    Column("CONTENT"),
    Column("SIZE", right=True),
    Column("TASK"),
    Column("WANTED", right=True),
    Column("GOOD", right=True),
    Column("NODES", flexible=True),
)
_SHORT_HASH = 12


async def replica(arguments: Namespace) -> int:
    """One of the two."""
    if arguments.action == "scrub":
        return await _scrub(arguments)
    async with client(arguments) as corral:
        found = await corral.replicas(
            arguments.target or "",
            node=arguments.node or "",
            state=arguments.state or "",
            under=arguments.under,
            limit=arguments.limit,
        )
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines([*found.replicas, *found.under])
        case "name":
            output.lines([*(one.sha256 for one in found.replicas), *(one.sha256 for one in found.under)])
        case _:
            _show(found, under=arguments.under)
    if found.next:
        note("there are more: --limit shows them")
    return Exit.OK


def _show(found: Replicas, *, under: bool) -> None:
    if under:
        output.table(_UNDER, [_lacking(one) for one in found.under])
    else:
        output.table(_COLUMNS, [_row(one) for one in found.replicas])
    lost = f", {found.lost} on no node that is there" if found.lost else ""
    note(f"{counted(found.total, 'piece')} of content should have copies: {found.lacking} lack some{lost}")


async def _scrub(arguments: Namespace) -> int:
    if arguments.target or arguments.under or arguments.state:
        raise CommandError("E_USAGE", "scrub takes --node alone", exit=Exit.USAGE)
    async with client(arguments) as corral:
        asked = await corral.scrub_replicas(arguments.node or "")
    lines = [f"{node} reads its content again" for node in asked.nodes]
    lines += [f"{node} does not: {why}" for node, why in asked.unanswered.items()]
    output.each(arguments.output, [asked], name=lambda one: "\n".join(one.nodes), text=lambda _: lines)
    return Exit.OK if not asked.unanswered else Exit.UNAVAILABLE


def _row(one: Replica) -> list[str]:
    return [
        one.sha256[:_SHORT_HASH],
        byte_text(one.size),
        one.task,
        one.primary,
        one.node,
        one.state,
        local_short(one.verified_at, now_s=time.time()),
        one.fault or NONE,
    ]


def _lacking(one: Under) -> list[str]:
    good = ", ".join(one.nodes) or NONE
    return [
        one.sha256[:_SHORT_HASH],
        byte_text(one.size),
        one.task,
        str(one.copies + 1),
        str(len(one.nodes)),
        good,
    ]
