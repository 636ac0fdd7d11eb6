"""`checkpoint`: what tasks saved to go on from: listed, shown, fetched, compared, chosen, removed."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from pathlib import Path, PurePosixPath

from bus.artifact_names import NameFault, check_name
from bus.checkpoints import Checkpoint, CheckpointDetails
from bus.transfers import fetch_saved
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.extracting import beside
from tui.view.amounts import NONE
from tui.view.checkpoints import copies_text, kind_text, metrics_text, state_text
from tui.view.descriptions import facts_text
from tui.view.instants import local, local_short
from tui.view.log_facts import byte_text
from tui.view.table import Column

_COLUMNS = (
    Column("ID"),
    Column("TASK"),
    Column("STEP", right=True),
    Column("KIND"),
    Column("SIZE", right=True),
    Column("COPIES"),
    Column("DURABLE"),
    Column("METRICS", flexible=True),
    Column("SAVED"),
    Column("NODES", flexible=True),
)
_SHORT_ID = 18


async def checkpoint(arguments: Namespace) -> int:
    """One of the six."""
    match arguments.action:
        case "ls" | "list":
            return await _list(arguments)
        case "show":
            return await _show(arguments)
        case "best":
            return await _best(arguments)
        case "use":
            return await _use(arguments)
        case "rm":
            return await _remove(arguments)
        case _:
            return await _get(arguments)


async def _list(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.checkpoints(arguments.what or "", limit=arguments.limit)
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.checkpoints)
        case "name":
            output.lines(one.id for one in found.checkpoints)
        case _:
            output.table(_COLUMNS, [_row(one) for one in found.checkpoints])
    if found.next:
        note("there are more: --limit shows them")
    return Exit.OK


async def _show(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.checkpoint(_named(arguments))
    output.each(arguments.output, [found], name=lambda one: one.checkpoint.id, text=_described)
    return Exit.OK


async def _best(arguments: Namespace) -> int:
    target = _named(arguments)
    if arguments.metric is None:
        raise CommandError("E_REQUIRED", "by which metric?", exit=Exit.USAGE, expected="--metric NAME")
    async with client(arguments) as corral:
        found = await corral.best_checkpoint(target, arguments.metric, most=arguments.max)
    _say(
        arguments, found, f"{found.task}@{found.step}  {arguments.metric}={found.metrics[arguments.metric]:g}"
    )
    return Exit.OK


async def _use(arguments: Namespace) -> int:
    chosen = _named(arguments)
    task = arguments.task or chosen.partition("@")[0]
    async with client(arguments) as corral:
        found = await corral.use_checkpoint(task, chosen)
    _say(arguments, found, f"the next attempt of {found.task} goes on from step {found.step}")
    return Exit.OK


async def _remove(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        gone = await corral.remove_checkpoint(_named(arguments))
    _say(arguments, gone, f"{gone.task}@{gone.step} removed")
    return Exit.OK


async def _get(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.checkpoint(_named(arguments))
        one = found.checkpoint
        target = _target(arguments.to or f"{one.task}@{one.step}")
        with beside(target) as folder:
            for file in found.files:
                path = folder / _inside(file.name, rank=file.rank if one.ranks > 1 else None)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as made:
                    await fetch_saved(corral, one, file, made)
                    os.fsync(made.fileno())
    _say(arguments, one, f"{counted(len(found.files), 'file')} in {target}")
    return Exit.OK


def _target(name: str) -> Path:
    target = Path(name)
    if target.exists():
        hint = "--to names another place"
        raise CommandError("E_CONFLICT", f"{target} is there already", exit=Exit.CONFLICT, hint=hint)
    return target


def _inside(name: str, *, rank: int | None) -> PurePosixPath:
    """Where a file goes below the target: of shards, each rank's into a folder of its own."""
    try:
        check_name(name)
    except NameFault as fault:
        raise CommandError(fault.code, str(fault), exit=Exit.UNAVAILABLE) from fault
    return PurePosixPath(name) if rank is None else PurePosixPath(f"rank-{rank}") / name


def _say(arguments: Namespace, one: Checkpoint, text: str) -> None:
    output.each(arguments.output, [one], name=lambda one: one.id, text=lambda _: [text])


def _named(arguments: Namespace) -> str:
    name: str | None = arguments.what
    if name is None:
        expected = "a job or task" if arguments.action == "best" else "an id, 1042.7 or 1042.7@1200"
        raise CommandError("E_REQUIRED", "which one?", exit=Exit.USAGE, expected=expected)
    return name


def _row(one: Checkpoint) -> tuple[str, ...]:
    return (
        one.id[:_SHORT_ID],
        f"{one.task}#{one.attempt}",
        f"{one.step}" + (" *" if one.chosen else ""),
        kind_text(one),
        byte_text(one.size),
        copies_text(one),
        "yes" if one.durable else "no",
        metrics_text(one) or NONE,
        local_short(one.at, now_s=time.time()),
        ",".join(one.nodes) or NONE,
    )


def _described(found: CheckpointDetails) -> list[str]:
    one = found.checkpoint
    facts = facts_text(
        [
            ("checkpoint", one.id),
            ("task", f"{one.task}, attempt {one.attempt}" + ("; chosen" if one.chosen else "")),
            ("step", f"{one.step:,}"),
            ("kind", kind_text(one)),
            ("state", state_text(one)),
            ("metrics", metrics_text(one, most=100) or NONE),
            ("size", f"{byte_text(one.size)}  ({one.size:,} bytes)"),
            ("digest", one.digest or NONE),
            ("saved", local(one.at)),
            ("nodes", ", ".join(one.nodes) or "none: its content is nowhere"),
        ]
    )
    files = [
        f"{_inside(file.name, rank=file.rank if one.ranks > 1 else None)}  {byte_text(file.size)}  "
        f"{','.join(file.nodes) or NONE}"
        for file in found.files
    ]
    return [*facts, "", *files]
