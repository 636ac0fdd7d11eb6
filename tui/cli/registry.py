"""`tool`, `type` and `worker`: the registry from the command line."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.api import Job
from bus.codec import from_fields
from bus.refusal import quote
from bus.registry import (
    ToolAdd,
    ToolEntry,
    ToolSearch,
    ToolStatsQuery,
    TypeAdd,
    TypeEntry,
)
from bus.spec import JobSpec
from tui.cli import diagnostics, output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.job_files import read_fields, read_text
from tui.cli.waiting import ended_jobs, exit_code, told_to_go_on
from tui.view.registry import (
    STATS,
    TOOLS,
    TYPES,
    WORKERS,
    stats_row,
    tool_lines,
    tool_row,
    type_lines,
    type_row,
    worker_row,
)
from tui.view.table import Column

if TYPE_CHECKING:
    from bus.client import Client

CHUNK_BYTES = 1024 * 1024


async def tool(arguments: Namespace) -> int:
    """One of the actions."""
    actions: dict[str, Callable[[Namespace], Coroutine[Any, Any, int]]] = {
        "add": _add,
        "ls": _list,
        "list": _list,
        "search": _list,
        "show": _show,
        "tag": _tag,
        "untag": _tag,
        "enable": _steer,
        "disable": _steer,
        "call": _call,
        "stats": _stats,
        "rm": _remove,
    }
    return await actions[arguments.action](arguments)


async def kind(arguments: Namespace) -> int:
    """`corral type`."""
    if arguments.action == "add":
        fields = {
            "name": _named(arguments.name),
            "description": arguments.description or "",
            "agent_type": arguments.agent_type,
            "required_input": arguments.require,
        }
        if arguments.input_schema is not None:
            fields["input_schema"] = _json_file(arguments.input_schema, "--input-schema")
        async with client(arguments) as corral:
            made = await corral.add_type(from_fields(fields, TypeAdd))
        output.one(arguments.output, made, name=made.name, text=lambda: type_lines(made))
        return Exit.OK
    name = _named(arguments.name) if arguments.action == "show" else arguments.name or ""
    async with client(arguments) as corral:
        found = (await corral.task_types(name)).types
    if arguments.action == "show":
        only: TypeEntry = found[0]
        output.one(arguments.output, only, name=only.name, text=lambda: type_lines(only))
        return Exit.OK
    _print(arguments, found, names=[each.name for each in found], columns=TYPES, rows=map(type_row, found))
    return Exit.OK


async def worker(arguments: Namespace) -> int:
    """`corral worker ls`."""
    async with client(arguments) as corral:
        found = (await corral.workers()).workers
    _print(arguments, found, names=[each.id for each in found], columns=WORKERS, rows=map(worker_row, found))
    return Exit.OK


async def _add(arguments: Namespace) -> int:
    asked = from_fields(_described(arguments), ToolAdd)
    async with client(arguments) as corral:
        made = await corral.add_tool(asked)
    _one(arguments, made)
    return Exit.OK


def _described(arguments: Namespace) -> dict[str, Any]:
    """The tool as a file says it, with what was typed over it."""
    if arguments.names[1:]:
        what = "a file, or a name and -- COMMAND"
        raise _usage("more than one", "NAME", what, got=arguments.names[1])
    name = _named(arguments.names[0] if arguments.names else None, what="a file, or a name and -- COMMAND")
    fields: dict[str, Any] = {"name": name} if arguments.command else read_fields(name, option="NAME")
    typed = {
        "command": arguments.command or None,
        "version": arguments.tool_version,
        "tags": arguments.tag or None,
        **{
            field: getattr(arguments, field)
            for field in ("description", "category", "type", "node", "capability", "cpu", "memory", "timeout")
        },
    }
    fields |= {field: value for field, value in typed.items() if value is not None}
    for field in ("input_schema", "output_schema"):
        if getattr(arguments, field) is not None:
            fields[field] = _json_file(getattr(arguments, field), f"--{field.replace('_', '-')}")
    if arguments.pin is not None:
        path = Path(arguments.pin).absolute()
        fields["file"] = {"path": str(path), "sha256": _digest(path)}
    return fields


async def _list(arguments: Namespace) -> int:
    query = ToolSearch(
        tag=arguments.tag[0] if arguments.tag else "",
        category=arguments.category or "",
        input_property=arguments.property,
        output_property=arguments.output_property,
        text=" ".join(arguments.names),
        active=arguments.active,
        versions=arguments.all,
    )
    async with client(arguments) as corral:
        found = (await corral.registered_tools(query)).tools
    names = [f"{each.name}@{each.version}" for each in found]
    _print(arguments, found, names=names, columns=TOOLS, rows=map(tool_row, found))
    return Exit.OK


async def _show(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        found = [await corral.tool(name) for name in _some(arguments)]
    output.each(arguments.output, found, name=lambda each: f"{each.name}@{each.version}", text=tool_lines)
    return Exit.OK


async def _tag(arguments: Namespace) -> int:
    name, *tags = _some(arguments)
    if not tags:
        raise _usage("no tags", "TAG", "one or more tags behind the name")
    removing = arguments.action == "untag"
    async with client(arguments) as corral:
        changed = await corral.tag_tool(name, add=() if removing else tags, remove=tags if removing else ())
    _one(arguments, changed)
    return Exit.OK


async def _steer(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        for name in _some(arguments):
            if arguments.action == "enable":
                changed = await corral.enable_tool(name, reason=arguments.reason)
            else:
                changed = await corral.disable_tool(name, reason=arguments.reason)
            _one(arguments, changed)
    return Exit.OK


async def _remove(arguments: Namespace) -> int:
    async with client(arguments) as corral:
        for name in _some(arguments):
            gone = await corral.remove_tool(name)
            _one(arguments, gone, state="removed")
    return Exit.OK


async def _stats(arguments: Namespace) -> int:
    if arguments.names[1:]:
        raise _usage("more than a tool's name", "NAME", "one tool, or none", got=arguments.names[1])
    query = ToolStatsQuery(
        tool=arguments.names[0] if arguments.names else "", window_s=arguments.days * 86_400.0
    )
    async with client(arguments) as corral:
        found = (await corral.tool_stats(query)).tools
    _print(arguments, found, names=[each.tool for each in found], columns=STATS, rows=map(stats_row, found))
    return Exit.OK


async def _call(arguments: Namespace) -> int:
    """A job of one task; prints what the tool answered."""
    name, *more = _some(arguments)
    if more:
        hint = 'its input is one object: --input \'{"text": "a b"}\', or --input - to read it'
        raise _usage("more than a tool's name", "NAME", "one tool", got=more[0], hint=hint)
    given = _input(arguments.input)
    fields: dict[str, Any] = {"tool": name, "name": f"call {name}"}
    if given is not None:
        fields["input"] = given
    async with client(arguments) as corral:
        submitted = await corral.submit(from_fields(fields, JobSpec))
        number = str(submitted.number)
        if arguments.no_wait:
            output.one(arguments.output, submitted, name=number, text=lambda: [f"job {number} submitted"])
            return Exit.OK
        with told_to_go_on([number]):
            ended = await ended_jobs(corral, [number], quiet=True)
        code = await exit_code(corral, ended)
        await _answer(arguments, corral, ended[0])
    return code


async def _answer(arguments: Namespace, corral: Client, job: Job) -> None:
    task = await corral.task(f"{job.number}.0")
    if task.state == "completed":
        output.one(
            "json" if arguments.output == "table" else arguments.output,
            task.output,
            name=str(job.number),
            text=list,
        )
        return
    name = f"{job.number}.0"
    diagnostics.note(f"{name} {task.state}: {task.message or 'no word why'}; corral logs {name} --both")


def _one(arguments: Namespace, entry: ToolEntry, *, state: str = "") -> None:
    name = f"{entry.name}@{entry.version}"
    said = state or ("enabled" if entry.enabled else f"disabled by {entry.disabled_by}")
    output.one(arguments.output, entry, name=name, text=lambda: [f"{name} {said}"])


def _print(
    arguments: Namespace,
    values: Sequence[object],
    *,
    names: Sequence[str],
    columns: Sequence[Column],
    rows: Any,
) -> None:
    match arguments.output:
        case "json":
            output.as_json(values)
        case "jsonl":
            output.as_json_lines(values)
        case "name":
            output.lines(names)
        case _:
            output.table(columns, list(rows))


def _some(arguments: Namespace) -> list[str]:
    if not arguments.names:
        raise _usage("no tool", "NAME", "NAME or NAME@VERSION")
    return list(arguments.names)


def _named(name: str | None, *, what: str = "a name") -> str:
    if not name:
        raise _usage("nothing is named", "NAME", what)
    return name


def _input(text: str | None) -> dict[str, Any] | None:
    """`--input`: JSON, @FILE or - for stdin."""
    if text is None:
        return None
    if text == "-" or text.startswith("@"):
        return _json_file(text.removeprefix("@"), "--input")
    return _object(text, "--input")


def _json_file(name: str, option: str) -> dict[str, Any]:
    return _object(read_text(name, option=option), option)


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError("E_JSON", str(error), exit=Exit.USAGE, field=option, got=quote(text)) from error
    if not isinstance(value, dict):
        raise CommandError("E_TYPE", "not an object", exit=Exit.USAGE, field=option, got=quote(value))
    return value


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _usage(message: str, field: str, expected: str, *, got: str = "", hint: str = "") -> CommandError:
    return CommandError(
        "E_USAGE",
        message,
        exit=Exit.USAGE,
        field=field,
        got=quote(got) if got else "",
        expected=expected,
        hint=hint,
    )
