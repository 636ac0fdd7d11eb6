"""A job specification out of options, a file, or both (options win)."""

from __future__ import annotations

import glob
import re
import sys
import tomllib
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bus.api import Error
from bus.codec import from_fields, load
from bus.limits import BYTES_MAX
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

_AMOUNTS: dict[str, Callable[[str], object]] = {
    "priority": lambda text: parse_priority(_number_or_word(text)),
    "cpu": parse_cpu_millis,
    "memory": parse_size_mib,
    "gpu": parse_gpu_millis,
    "gpu_memory": parse_size_mib,
    "storage": parse_size_mib,
    "net": parse_mbps,
    "timeout": parse_duration_s,
    "grace": parse_duration_s,
    "array": parse_array,
}
_RESOURCE_OPTIONS = ("cpu", "memory", "gpu", "gpu_type", "gpu_memory", "storage", "net")
_WISH_OPTIONS = ("prefer", "avoid", "placement", "topology")
_CONSTRAINT_OPTIONS = ("label", "node", *_WISH_OPTIONS)
_PLAIN_OPTIONS = (
    "name", "priority", "tool", "array", "workdir", "timeout", "grace", "retries", "dedupe_key",
)  # fmt: skip


def job_spec(arguments: Namespace, *, base: Mapping[str, Any] | None = None) -> JobSpec:
    """The job that the options of `submit` and `run` describe; `base` is what they do not say.

    Raises CommandError, naming the option, or DecodeError, naming the place in the file.
    """
    fields: dict[str, Any] = dict(base or {})
    file = getattr(arguments, "file", None)
    if file is not None:
        fields |= read_fields(file)
    _part_gpu_type(arguments)
    _check_amounts(arguments)
    fields |= {
        name: value for name in _PLAIN_OPTIONS if (value := getattr(arguments, name, None)) is not None
    }
    if "priority" in fields:
        fields["priority"] = _number_or_word(fields["priority"])
    if command := _command(arguments):
        fields["command"] = command
    if patterns := getattr(arguments, "for_each", None):
        fields["for_each"] = expand(patterns)
    if arguments.idempotent:
        fields["idempotent"] = True
    if arguments.preemptible:
        fields["preemptible"] = True
    for name in ("after", "retry_on"):
        if given := getattr(arguments, name):
            fields[name] = given
    if arguments.stdin is not None:
        fields["stdin"] = _read_text(arguments.stdin, option="--stdin")
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


def _number_or_word(value: object) -> Any:
    """Digits of an option as the number they are; all else as it is."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII) else value


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


def read_fields(name: str) -> dict[str, Any]:
    """A job file: TOML by its name, else JSON; "-" reads JSON from stdin.

    Raises CommandError where it cannot be read, DecodeError where it is no JSON object.
    """
    if not name.endswith(".toml"):
        return load(_read_bytes(name, option="--file"))
    try:
        return tomllib.loads(_read_text(name, option="--file"))
    except tomllib.TOMLDecodeError as error:
        message = f"{name}: not TOML: {error}"
        raise CommandError("E_JSON", message, exit=Exit.USAGE, field="--file") from None


def expand(patterns: Sequence[str]) -> list[str]:
    """The files that match, absolute, each once, sorted. Raises CommandError where a pattern has none."""
    found: set[str] = set()
    for pattern in patterns:
        matches = [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]
        if not matches:
            raise CommandError(
                "E_PATH",
                f"no file matches {pattern!r}",
                exit=Exit.USAGE,
                field="--for-each",
                hint="quote the pattern, so that Corral and not the shell expands it",
            )
        found.update(str(Path(path).absolute()) for path in matches)
    return sorted(found)


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


def _read_text(name: str, *, option: str) -> str:
    try:
        return _read_bytes(name, option=option).decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"{name}: not UTF-8 at byte {error.start}"
        raise CommandError("E_ENCODING", message, exit=Exit.USAGE, field=option) from None


def _read_bytes(name: str, *, option: str) -> bytes:
    """At most one byte more than any message may hold: a device or a huge file is refused, not read whole."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(BYTES_MAX + 1) if sys.stdin is not None else b""
        else:
            with open(name, "rb") as file:
                data = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        hint = "name a file that you can read, or - for standard input"
        raise CommandError("E_PATH", f"{name}: {said}", exit=Exit.USAGE, field=option, hint=hint) from None
    if len(data) > BYTES_MAX:
        raise CommandError(
            "E_TOO_LARGE",
            f"{name}: more than {BYTES_MAX} bytes",
            exit=Exit.USAGE,
            field=option,
            hint="an array or --for-each stays one short message; let tasks open large files themselves",
        )
    return data
