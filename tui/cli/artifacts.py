"""`artifact`: what tasks and people left: listed, fetched, brought, removed, and let go."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bus.artifacts import Artifact
from bus.transfers import fetch, store
from bus.units import counted
from tui.cli import output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.extracting import beside, extract
from tui.view.amounts import NONE
from tui.view.descriptions import facts_text
from tui.view.instants import local, local_short
from tui.view.log_facts import byte_text
from tui.view.table import Column

if TYPE_CHECKING:
    from bus.client import Client

_COLUMNS = (
    Column("ID"),
    Column("NAME", flexible=True),
    Column("TYPE"),
    Column("SIZE", right=True),
    Column("TASK"),
    Column("USER"),
    Column("LEFT"),
    Column("NODES", flexible=True),
)
_SHORT_ID = 18


async def artifact(arguments: Namespace) -> int:
    """One of the six."""
    match arguments.action:
        case "ls" | "list":
            return await _list(arguments)
        case "gc":
            return await _collect(arguments)
        case "show":
            return await _show(arguments)
        case "rm":
            return await _remove(arguments)
        case "put":
            return await _put(arguments)
        case _:
            return await _get(arguments)


async def _list(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.artifacts(_named(arguments, required=False), limit=arguments.limit)
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.artifacts)
        case "name":
            output.lines(one.id for one in found.artifacts)
        case _:
            output.table(_COLUMNS, [_row(one) for one in found.artifacts])
    if found.next:
        note("there are more: --limit shows them")
    return Exit.OK


async def _show(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.artifact(_named(arguments))
    output.each(arguments.output, [found], name=lambda one: one.id, text=_described)
    return Exit.OK


async def _remove(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        gone = await corral.remove_artifact(_named(arguments))
    output.each(arguments.output, [gone], name=lambda one: one.id, text=lambda one: [f"{one.name} removed"])
    return Exit.OK


async def _collect(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        done = await corral.collect_artifacts(dry_run=arguments.dry_run)
    would = "would go" if arguments.dry_run else "gone"
    said = (
        f"{counted(done.artifacts, 'artifact')} of jobs that are gone, and {counted(done.blobs, 'blob')} "
        f"({byte_text(done.bytes)}) that nothing names: {would}"
    )
    later = [f"{counted(done.waiting, 'blob')} on nodes that do not answer: another time"]
    lines = [said, *(later if done.waiting else [])]
    output.each(arguments.output, [done], name=lambda done: str(done.blobs), text=lambda _: lines)
    return Exit.OK


async def _put(arguments: Namespace) -> int:
    path = Path(_named(arguments))
    async with client(arguments) as corral:
        kept = await bring(corral, path, arguments.name or path.name, node=arguments.node or "")
    output.each(arguments.output, [kept], name=lambda one: one.id, text=_described)
    return Exit.OK


async def bring(corral: Client, path: Path, name: str, *, node: str) -> Artifact:
    """The file at `path` becomes the artifact `name`. Raises CommandError, ApiError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CommandError("E_IO", f"{path}: {error.strerror}", exit=Exit.UNAVAILABLE) from error
    with os.fdopen(fd, "rb") as source:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise CommandError("E_FILETYPE", f"{path} is no regular file", exit=Exit.USAGE)
        return await store(corral, source, name, node=node)


async def _get(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.artifact(_named(arguments))
        target = target_of(arguments, Path(found.name).name, extract=arguments.extract)
        with part_of(target) as part:
            with part.open("wb") as file:
                await fetch(corral, found, file)
            if arguments.extract:
                with beside(target) as folder:
                    files = extract(part, folder)
                note(f"{counted(len(files), 'file')} in {target}")
            else:
                part.replace(target)
    said = [f"{target}  {found.sha256}"]
    output.each(arguments.output, [found], name=lambda _: str(target), text=lambda _: said)
    return Exit.OK


def target_of(arguments: Namespace, name: str, *, extract: bool = False) -> Path:
    """Where it goes, by `--to` and `--force`. Raises CommandError where something is there."""
    target = Path(arguments.to or name)
    if target.is_dir() and not extract:
        target /= name
    if target.exists() and not arguments.force:
        hint = "--to names another place, --force writes over it"
        raise CommandError("E_CONFLICT", f"{target} is there already", exit=Exit.CONFLICT, hint=hint)
    return target


@contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """A new file beside `target`, which is gone at the end unless it has become something."""
    try:
        fd, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    except OSError as error:
        raise CommandError("E_IO", f"{target.parent}: {error.strerror}", exit=Exit.UNAVAILABLE) from error
    os.fchmod(fd, 0o644)
    os.close(fd)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _named(arguments: Namespace, *, required: bool = True) -> str:
    name: str | None = arguments.what
    if name is None and required:
        expected = "FILE" if arguments.action == "put" else "an id, or a name such as 1042.7/model.bin"
        raise CommandError("E_REQUIRED", "which one?", exit=Exit.USAGE, expected=expected)
    return name or ""


def _row(one: Artifact) -> tuple[str, ...]:
    return (
        one.id[:_SHORT_ID],
        one.name,
        one.media_type,
        byte_text(one.size),
        f"{one.task}#{one.attempt}" if one.task else NONE,
        one.user,
        local_short(one.at, now_s=time.time()),
        ",".join(one.nodes) or NONE,
    )


def _described(one: Artifact) -> list[str]:
    return facts_text(
        [
            ("artifact", one.id),
            ("name", one.name),
            ("type", one.media_type),
            ("size", f"{byte_text(one.size)}  ({one.size:,} bytes)"),
            ("sha256", one.sha256),
            ("pointer", one.pointer),
            ("task", f"{one.task}, attempt {one.attempt}" if one.task else NONE),
            ("user", one.user),
            ("left", local(one.at)),
            ("nodes", ", ".join(one.nodes) or "none: its content is nowhere"),
        ]
    )
