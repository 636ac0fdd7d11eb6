"""A job specification out of options, a file, or both (options win)."""

from __future__ import annotations

import difflib
import glob
import re
import sys
import tomllib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bus.spec import JobSpec
from tui.cli.diagnostics import CommandError, Exit

_RESOURCE_OPTIONS = ("cpu", "memory", "gpu", "storage", "net")
_PLAIN_OPTIONS = (
    "name", "priority", "tool", "array", "workdir", "timeout", "grace", "retries", "dedupe_key",
)  # fmt: skip


def job_spec(arguments: Namespace) -> JobSpec:
    """The job that the options of `submit` and `run` describe. Raises CommandError, naming the option."""
    fields: dict[str, Any] = {}
    file = getattr(arguments, "file", None)
    if file is not None:
        fields |= read_fields(file)
    fields |= {
        name: value for name in _PLAIN_OPTIONS if (value := getattr(arguments, name, None)) is not None
    }
    if arguments.command:
        fields["command"] = list(arguments.command)
    if patterns := getattr(arguments, "for_each", None):
        fields["for_each"] = expand(patterns)
    if arguments.idempotent:
        fields["idempotent"] = True
    if arguments.stdin is not None:
        fields["stdin"] = _read_text(arguments.stdin, option="--stdin")
    if arguments.env:
        fields["env"] = {**fields.get("env", {}), **pairs(arguments.env, option="--env")}
    resources = {name: value for name in _RESOURCE_OPTIONS if (value := getattr(arguments, name)) is not None}
    if resources:
        fields["resources"] = {**(fields.get("resources") or {}), **resources}
    if arguments.label or arguments.node:
        constraints = dict(fields.get("constraints") or {})
        constraints["labels"] = {
            **constraints.get("labels", {}),
            **pairs(arguments.label or [], option="--label"),
        }
        constraints["nodes"] = [*constraints.get("nodes", []), *(arguments.node or [])]
        fields["constraints"] = constraints
    if not any(fields.get(name) for name in ("command", "tool", "tasks")):
        raise CommandError(
            "E_REQUIRED",
            "no command, tool or tasks: nothing to run",
            exit=Exit.USAGE,
            hint="corral submit -- COMMAND ARGUMENTS, or --tool NAME, or --file FILE",
        )
    return convert(fields)


def convert(fields: dict[str, Any]) -> JobSpec:
    """Checked field by field; an unknown one is refused with the nearest name. Raises CommandError."""
    try:
        return msgspec.convert(fields, JobSpec)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        pointer = "/" + path.rstrip("`").removeprefix("$").strip(".").replace(".", "/") if path else ""
        hint = ""
        if unknown := re.search(r"unknown field `([^`]*)`", message):
            near = difflib.get_close_matches(unknown[1], _known_names(), n=1)
            hint = f"did you mean {near[0]}?" if near else ""
            pointer = f"{pointer.rstrip('/')}/{unknown[1]}"
        raise CommandError(
            "E_FIELD" if hint or "unknown" in message else "E_TYPE",
            message,
            exit=Exit.USAGE,
            field=pointer,
            hint=hint,
        ) from None


def read_fields(name: str) -> dict[str, Any]:
    """A job file: TOML by its name, else JSON; "-" reads JSON from stdin. Raises CommandError."""
    text = _read_text(name, option="--file")
    try:
        fields = tomllib.loads(text) if name.endswith(".toml") else msgspec.json.decode(text)
    except (tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        kind = "TOML" if name.endswith(".toml") else "JSON"
        raise CommandError(
            "E_JSON", f"{name}: not {kind}: {error}", exit=Exit.USAGE, field="--file"
        ) from None
    if not isinstance(fields, dict):
        raise CommandError("E_TYPE", f"{name}: expected an object", exit=Exit.USAGE, field="--file")
    return fields


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


def pairs(items: Sequence[str], *, option: str) -> dict[str, str]:
    """NAME=VALUE items as a mapping. Raises CommandError."""
    result = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise CommandError("E_USAGE", f"got {item!r}; expected NAME=VALUE", exit=Exit.USAGE, field=option)
        result[name] = value
    return result


def _read_text(name: str, *, option: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise CommandError("E_PATH", f"{name}: {error.strerror}", exit=Exit.USAGE, field=option) from None
    except UnicodeDecodeError as error:
        message = f"{name}: not UTF-8 at byte {error.start}"
        raise CommandError("E_ENCODING", message, exit=Exit.USAGE, field=option) from None


def _known_names() -> list[str]:
    from bus.spec import Constraints, ResourceSpec, TaskSpec

    return sorted(
        {name for kind in (JobSpec, TaskSpec, ResourceSpec, Constraints) for name in kind.__struct_fields__}
    )
