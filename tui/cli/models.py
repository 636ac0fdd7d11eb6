"""`model`: versions of content with a name: registered, listed, shown, pulled and removed."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.artifacts import Artifact
from bus.models import Model
from bus.refusal import quote
from bus.transfers import pull
from tui.cli import output
from tui.cli.artifacts import bring, part_of, target_of
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit, note
from tui.cli.job_files import read_fields
from tui.view.amounts import NONE
from tui.view.descriptions import facts_text
from tui.view.instants import local, local_short
from tui.view.log_facts import byte_text
from tui.view.table import Column

if TYPE_CHECKING:
    from bus.client import Client

_COLUMNS = (
    Column("NAME", flexible=True),
    Column("VERSION"),
    Column("SIZE", right=True),
    Column("SHA256"),
    Column("METRICS", flexible=True),
    Column("TAGS", flexible=True),
    Column("USER"),
    Column("REGISTERED"),
    Column("NODES", flexible=True),
)
_SHORT_HASH = 12


async def model(arguments: Namespace) -> int:
    """One of the five."""
    actions: dict[str, Callable[[Namespace], Coroutine[Any, Any, int]]] = {
        "register": _register,
        "ls": _list,
        "list": _list,
        "show": _show,
        "pull": _pull,
        "rm": _remove,
    }
    return await actions[arguments.action](arguments)


async def _register(arguments: Namespace) -> int:
    name = _named(arguments, expected="the name of the model")
    if not arguments.model_version:
        raise _usage("which version?", "--version", "such as 1.0")
    if (arguments.artifact is None) == (arguments.file is None):
        raise _usage("where is its content?", "--file", "one of --file PATH and --artifact ARTIFACT")
    described = {
        "tags": arguments.tag,
        "metrics": dict(map(_metric, arguments.metric)),
        "config": {} if arguments.config is None else read_fields(arguments.config, option="--config"),
    }
    async with client(arguments) as corral:
        brought: Artifact | None = None
        try:
            if arguments.file is not None:
                brought = await _brought(arguments, corral, name)
            made = await corral.register_model(
                name,
                arguments.model_version,
                artifact=arguments.artifact if brought is None else brought.id,
                **described,
            )
        finally:
            if brought is not None:  # the version keeps its content; this was only the way there
                await corral.remove_artifact(brought.id)
    output.one(arguments.output, made, name=_reference(made), text=lambda: _described(made))
    return Exit.OK


async def _brought(arguments: Namespace, corral: Client, name: str) -> Artifact:
    path = Path(arguments.file)
    under = f"models/{name}/{arguments.model_version}/{path.name}"
    return await bring(corral, path, under, node=arguments.node or "")


async def _list(arguments: Namespace) -> int:
    tag = arguments.tag[0] if arguments.tag else ""
    async with client(arguments) as corral:
        found = await corral.models(arguments.model or "", tag=tag, limit=arguments.limit)
    match arguments.output:
        case "json":
            output.as_json(found)
        case "jsonl":
            output.as_json_lines(found.models)
        case "name":
            output.lines(map(_reference, found.models))
        case _:
            output.table(_COLUMNS, [_row(one) for one in found.models])
    if found.next:
        note("there are more: --limit shows them")
    return Exit.OK


async def _show(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.model(_named(arguments))
    output.one(arguments.output, found, name=_reference(found), text=lambda: _described(found))
    return Exit.OK


async def _pull(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = await corral.model(_named(arguments))
        target = target_of(arguments, found.file)
        with part_of(target) as part:
            with part.open("wb") as file:
                await pull(corral, found, file)
            part.replace(target)
    said = [f"{target}  {found.sha256}"]
    output.one(arguments.output, found, name=str(target), text=lambda: said)
    return Exit.OK


async def _remove(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        gone = await corral.remove_model(_named(arguments, expected="NAME@VERSION"))
    output.one(arguments.output, gone, name=_reference(gone), text=lambda: [f"{_reference(gone)} removed"])
    return Exit.OK


def _metric(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        if name and equals:
            return name, float(value)
    except ValueError:
        pass
    raise _usage("not a metric", "--metric", "NAME=NUMBER", got=text)


def _named(arguments: Namespace, *, expected: str = "NAME or NAME@VERSION") -> str:
    name: str | None = arguments.model
    if not name:
        raise _usage("which one?", "MODEL", expected)
    return name


def _usage(message: str, field: str, expected: str, *, got: str | None = None) -> CommandError:
    shown = "" if got is None else quote(got)
    return CommandError("E_USAGE", message, exit=Exit.USAGE, field=field, expected=expected, got=shown)


def _reference(one: Model) -> str:
    return f"{one.name}@{one.version}"


def _row(one: Model) -> tuple[str, ...]:
    return (
        one.name,
        one.version,
        byte_text(one.size),
        one.sha256[:_SHORT_HASH],
        _metrics(one),
        ",".join(one.tags) or NONE,
        one.user or NONE,
        local_short(one.at, now_s=time.time()),
        ",".join(one.nodes) or NONE,
    )


def _metrics(one: Model) -> str:
    return " ".join(f"{name}={value:g}" for name, value in one.metrics.items()) or NONE


def _described(one: Model) -> list[str]:
    return facts_text(
        [
            ("model", _reference(one)),
            ("file", one.file),
            ("type", one.media_type),
            ("size", f"{byte_text(one.size)}  ({one.size:,} bytes)"),
            ("sha256", one.sha256),
            ("metrics", _metrics(one)),
            ("tags", ", ".join(one.tags) or NONE),
            ("user", one.user or NONE),
            ("registered", local(one.at)),
            ("nodes", ", ".join(one.nodes) or "none: its content is nowhere"),
        ]
    )
