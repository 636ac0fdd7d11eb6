"""A job specification out of options, a file, or both (options win)."""

from __future__ import annotations

import re
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bus.codec import from_fields
from bus.errors import Error
from bus.instants import EXPECTED, format_instant, parse_instant
from bus.matrix import parse_matrix
from bus.refusal import quote, refused_amount
from bus.spec import Constraints, JobSpec
from bus.units import (
    UnitError,
    parse_array,
    parse_cpu_millis,
    parse_duration_s,
    parse_gpu_millis,
    parse_mbps,
    parse_priority,
    parse_size_mib,
)
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.job_files import JobFile, items_of, read_job, read_text

_AMOUNTS: dict[str, Callable[[str], object]] = {
    "priority": lambda text: parse_priority(_number_or_word(text)),
    "cpu": parse_cpu_millis,
    "memory": parse_size_mib,
    "gpu": parse_gpu_millis,
    "gpu_memory": parse_size_mib,
    "storage": parse_size_mib,
    "net": parse_mbps,
    "timeout": parse_duration_s,
    "start_timeout": parse_duration_s,
    "grace": parse_duration_s,
    "array": parse_array,
}
_RESOURCE_OPTIONS = ("cpu", "memory", "gpu", "gpu_type", "gpu_memory", "gpu_uuid", "storage", "net")
_GANG_OPTIONS = {
    "gang": "size",
    "gang_topology": "topology",
    "ranks_per_node": "ranks_per_node",
    "start_timeout": "start_timeout",
    "gang_restart": "restart",
}
_CHECKPOINT_OPTIONS = {
    "checkpoint_dir": "dir",
    "checkpoint_keep": "keep",
    "checkpoint_keep_best": "keep_best",
    "checkpoint_replicas": "replicas",
    "checkpoint_interval": "interval",
}
_CONTAINER_OPTIONS = {"mount": "mounts", "read_only": "read_only", "pull": "pull"}
_WISH_OPTIONS = ("prefer", "avoid", "placement", "topology")
_CONSTRAINT_OPTIONS = ("label", "node", *_WISH_OPTIONS)
_PLAIN_OPTIONS = (
    "name", "priority", "tool", "array", "frames", "max_parallel", "workdir", "timeout", "grace", "retries",
    "image", "network_policy", "dedupe_key", "cron", "zone", "overlap", "on_failure", "max_failures",
    "replicas",
)  # fmt: skip


def job_spec(arguments: Namespace, *, base: Mapping[str, Any] | None = None) -> JobSpec:
    """The job that the options of `submit` and `run` describe; `base` is what they do not say.

    Raises CommandError, naming the option, or DecodeError, naming the place in the file.
    """
    fields: dict[str, Any] = dict(base or {})
    file = getattr(arguments, "file", None)
    read = JobFile({}) if file is None else read_job(file, job_of=_of_line)
    fields |= read.fields
    _part_gpu_type(arguments)
    _check_amounts(arguments)
    fields |= {
        name: value for name in _PLAIN_OPTIONS if (value := getattr(arguments, name, None)) is not None
    }
    if "priority" in fields:
        fields["priority"] = _number_or_word(fields["priority"])
    if command := _command(arguments):
        fields["command"] = [*fields["command"], *command] if read.is_script else command
    if patterns := getattr(arguments, "for_each", None):
        fields["for_each"] = items_of(patterns)
    if grid := getattr(arguments, "matrix", None):
        fields["matrix"] = parameters(grid)
    _say_tables(fields, arguments)
    if arguments.start_at is not None:
        fields["start_at"] = _instant(arguments.start_at)
    if kind := getattr(arguments, "kind", None):
        fields["type"] = kind
    elif "frames" in fields:
        fields.setdefault("type", "rendering")
    if arguments.idempotent:
        fields["idempotent"] = True
    if arguments.preemptible:
        fields["preemptible"] = True
    for name in ("after", "retry_on", "volumes"):
        if given := getattr(arguments, name):
            fields[name] = given
    if arguments.stdin is not None:
        fields["stdin"] = read_text(arguments.stdin, option="--stdin")
    if arguments.env:
        fields["env"] = _mapping(fields, "env") | pairs(arguments.env, option="--env")
    resources = {name: value for name in _RESOURCE_OPTIONS if (value := getattr(arguments, name)) is not None}
    if resources:
        fields["resources"] = _mapping(fields, "resources") | resources
    if any(getattr(arguments, name) for name in _CONSTRAINT_OPTIONS):
        fields["constraints"] = _constraints(_mapping(fields, "constraints"), arguments)
    spec = from_fields(fields, JobSpec)  # first: a mistyped "comand" is what is wrong, not a missing command
    if not (spec.command or spec.tool or spec.tasks):
        raise CommandError(
            "E_REQUIRED",
            "no command, tool or tasks: nothing to run",
            exit=Exit.USAGE,
            hint="corral submit -- COMMAND ARGUMENTS, or --shell TEXT, --tool NAME, --file FILE",
        )
    return spec


def _say_tables(fields: dict[str, Any], arguments: Namespace) -> None:
    """Gang, checkpoints, container, models and files, over what a file says of them."""
    gang = {
        field: value
        for option, field in _GANG_OPTIONS.items()
        if (value := getattr(arguments, option)) is not None
    }
    if gang:
        fields["gang"] = _mapping(fields, "gang") | gang
    checkpoint = {
        field: value
        for option, field in _CHECKPOINT_OPTIONS.items()
        if (value := getattr(arguments, option)) is not None
    }
    if checkpoint or arguments.checkpoint:
        fields["checkpoint"] = _mapping(fields, "checkpoint") | checkpoint
    container = {
        field: value for option, field in _CONTAINER_OPTIONS.items() if (value := getattr(arguments, option))
    }
    if container:
        fields["container"] = _mapping(fields, "container") | container
    if arguments.model:
        fields["models"] = [*(fields.get("models") or ()), *arguments.model]
    if arguments.bring:
        fields["files"] = _mapping(fields, "files") | pairs(arguments.bring, option="--bring")


def _of_line(arguments: Namespace, base: Mapping[str, Any]) -> JobSpec:
    return job_spec(arguments, base=base)


def _number_or_word(value: object) -> Any:
    """Digits of an option as the number they are; all else as it is."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII) else value


def _instant(text: str) -> str:
    """ "+2h" as the instant that it means now. Raises CommandError."""
    try:
        if text.startswith("+"):
            return format_instant(time.time() + parse_duration_s(text[1:]))
        parse_instant(text)
    except UnitError:
        expected = f"{EXPECTED}, or +2h"
        raise CommandError(
            "E_TIME",
            "not an instant",
            exit=Exit.USAGE,
            field="--start-at",
            got=quote(text),
            expected=expected,
        ) from None
    return text


def _command(arguments: Namespace) -> list[str]:
    """The words after `--`, or the text of `--shell` as one word for a shell."""
    shell = getattr(arguments, "shell", None)
    if shell is None:
        return list(arguments.command)
    if arguments.command:
        message = "a command and --shell exclude each other"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--shell")
    return ["/bin/sh", "-c", shell]


def _part_gpu_type(arguments: Namespace) -> None:
    """ "--gpu a100:2" is "--gpu 2 --gpu-type a100"."""
    model, colon, number = (arguments.gpu or "").rpartition(":")
    if not colon:
        return
    if arguments.gpu_type:
        message = "--gpu MODEL:N and --gpu-type exclude each other"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--gpu")
    arguments.gpu, arguments.gpu_type = number, [model]


def _check_amounts(arguments: Namespace) -> None:
    """Read the amounts here too, all at once: a refusal then names the option. Raises CommandError."""
    refused: list[Error] = []
    for name, parse in _AMOUNTS.items():
        value = getattr(arguments, name, None)
        if value is None:
            continue
        try:
            parse(value)
        except UnitError as error:
            refused.append(refused_amount(error, f"--{name.replace('_', '-')}"))
    if refused:
        first, *more = refused
        raised = CommandError(
            first.code,
            first.message,
            exit=Exit.USAGE,
            field=first.field,
            got=first.got,
            expected=first.expected,
            hint=first.hint,
        )
        raised.error.more = more
        raise raised


def _mapping(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """What the file says of `name`, to be added to; what is no mapping is refused with the whole spec."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        from_fields({name: value}, JobSpec)  # raises: no such field takes anything else
    return dict(value)


def _constraints(constraints: dict[str, Any], arguments: Namespace) -> dict[str, Any]:
    labels, nodes = constraints.get("labels", {}), constraints.get("nodes", [])
    added = pairs(arguments.label or [], option="--label", code="E_CONSTRAINT")
    for name, value in added.items():
        if value.startswith("="):
            text = f"{name}={value}"
            raise CommandError(
                "E_CONSTRAINT",
                f"{text[:80]!r} at column {len(name) + 2}",
                exit=Exit.USAGE,
                field="--label",
                expected="NAME=VALUE, with one equals sign",
            )
    if not isinstance(labels, dict) or not isinstance(nodes, list):
        from_fields(constraints, Constraints)
    found = constraints | {"labels": {**labels, **added}, "nodes": [*nodes, *(arguments.node or [])]}
    found |= {name: given for name in _WISH_OPTIONS if (given := getattr(arguments, name))}
    return found


def parameters(items: Sequence[str]) -> dict[str, list[Any]]:
    """NAME=VALUE,… items as a grid; numbers are numbers. Raises CommandError."""
    grid: dict[str, list[Any]] = {}
    for name, values in pairs(items, option="--matrix", code="E_ARRAY").items():
        grid[name] = [_parameter(value) for value in values.split(",")]
    try:
        parse_matrix(grid)
    except UnitError as error:
        refused = refused_amount(error, "--matrix")
        raise CommandError(
            refused.code,
            refused.message,
            exit=Exit.USAGE,
            field=refused.field,
            got=refused.got,
            expected=refused.expected,
        ) from None
    return grid


def _parameter(text: str) -> Any:
    """A number where JSON would have one, else the text."""
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][-+]?[0-9]{1,2})?", text, re.ASCII):
        return float(text) if set(text) & set(".eE") else int(text)
    return text


def pairs(items: Sequence[str], *, option: str, code: str = "E_USAGE") -> dict[str, str]:
    """NAME=VALUE items as a mapping. Raises CommandError."""
    result = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise CommandError(
                code, "not a pair", exit=Exit.USAGE, field=option, got=quote(item), expected="NAME=VALUE"
            )
        result[name] = value
    return result
