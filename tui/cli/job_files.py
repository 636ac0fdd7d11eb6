"""Job files: TOML and YAML by their names, scripts with `#CORRAL` lines, else JSON.

What a file says of files is meant where the file is: a pattern or a list in `for_each` is expanded here, on
the machine of whoever submits, relative to the job file.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
import tomllib
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bus.codec import load
from bus.contents import Scheme
from bus.errors import DecodeError
from bus.item_lists import BYTES_MAX as LIST_BYTES_MAX
from bus.limits import BYTES_MAX
from bus.refusal import quote
from bus.spec import JobSpec
from tui.cli.diagnostics import CommandError, Exit, describe

if TYPE_CHECKING:
    from yaml import MarkedYAMLError

_POINTER = f"{Scheme.CORRAL}://"
_YAML = (".yaml", ".yml")
_MARK = re.compile(r"#CORRAL(?=\s|$)(.*)")
_TOML_PLACE = re.compile(r"(.*?) \(at line ([0-9]+), column ([0-9]+)\)", re.DOTALL)
_HEADER_ONLY = (
    "file", "shell", "command", "wait", "quiet", "plan", "output", "data", "url", "credentials",
)  # fmt: skip
"""Options of `submit` that say nothing of a job, or name what the script itself is."""

_RUN = 'printf %s "$1" >"$TMPDIR/$0" && shift && exec {interpreter} "$TMPDIR/$0" "$@"'
"""Puts the script into the task's own folder and runs it there, with the words that follow it."""


class JobFile(NamedTuple):
    """`fields` as of a job in JSON; `is_script`: words behind the file are for its command."""

    fields: dict[str, Any]
    is_script: bool = False


JobOf = Callable[[Namespace, dict[str, Any]], JobSpec]
"""Reads the options of one line; the second argument is what they do not say."""


def read_job(name: str, *, job_of: JobOf) -> JobFile:
    """The job that a file describes; "-" reads JSON, YAML or a script from stdin.

    Raises CommandError where the file cannot be read, DecodeError where it is no object of JSON.
    """
    data = read_bytes(name, option="--file")
    folder = Path(name).absolute().parent if name != "-" else Path.cwd()
    if data.startswith(b"#!"):
        return JobFile(_script(name, _text(name, data, option="--file"), job_of), is_script=True)
    if name.endswith(".toml"):
        fields = _toml(name, _text(name, data, option="--file"))
    elif name.endswith(_YAML):
        fields = _yaml(name, _text(name, data, option="--file"))
    else:
        fields = load(data)
    _expand_lists(fields, folder)
    return JobFile(fields)


def read_fields(name: str, *, option: str) -> dict[str, Any]:
    """The object in a TOML, YAML or JSON file. Raises as `read_job` does."""
    data = read_bytes(name, option=option)
    if name.endswith(".toml"):
        return _toml(name, _text(name, data, option=option))
    if name.endswith(_YAML):
        return _yaml(name, _text(name, data, option=option))
    fields = load(data)
    if not isinstance(fields, dict):
        raise CommandError("E_TYPE", "not an object", exit=Exit.USAGE, field=option, got=name)
    return fields


def items_of(patterns: Sequence[str]) -> list[str] | str:
    """What `--for-each` means: items, or a pointer to a list of them in the cluster. Raises CommandError."""
    pointers = [each for each in patterns if each.startswith(_POINTER)]
    if pointers and len(patterns) > 1:
        message, hint = "a list in the cluster stands alone", "one --for-each, or all items in one list"
        raise CommandError(
            "E_FIELD", message, exit=Exit.USAGE, field="--for-each", got=quote(pointers[0]), hint=hint
        )
    return pointers[0] if pointers else expand(patterns)


def expand(patterns: Sequence[str], *, folder: Path | None = None) -> list[str]:
    """The files that match, absolute, each once, sorted; of `@list.txt` its lines, as they stand.

    `folder` is what relative names are relative to; None: where the command runs. Raises CommandError.
    """
    base = folder or Path.cwd()
    items: list[str] = []
    found: set[str] = set()
    for pattern in patterns:
        if pattern.startswith("@"):
            items += read_list(base / pattern[1:])
            continue
        matches = [
            path for path in glob.glob(os.path.join(base, pattern), recursive=True) if Path(path).is_file()
        ]
        if not matches:
            raise CommandError(
                "E_PATH",
                f"no file matches {pattern!r}",
                exit=Exit.USAGE,
                field="--for-each" if folder is None else "/for_each",
                hint="quote the pattern, so that Corral and not the shell expands it"
                if folder is None
                else f"patterns are relative to the job file, in {base}",
            )
        found.update(os.path.abspath(path) for path in matches)
    return sorted(found) + items


def read_list(path: Path) -> list[str]:
    """The lines of a list, without empty ones. Raises CommandError."""
    data = read_bytes(str(path), option="--for-each", limit=LIST_BYTES_MAX)
    text = _text(str(path), data, option="--for-each")
    items = [line for line in text.splitlines() if line.strip()]
    if not items:
        message = f"{path}: no item in it"
        raise CommandError("E_ARRAY", message, exit=Exit.USAGE, field="--for-each")
    return items


def read_text(name: str, *, option: str) -> str:
    """A text in UTF-8, as `read_bytes` reads it. Raises CommandError."""
    return _text(name, read_bytes(name, option=option), option=option)


def read_bytes(name: str, *, option: str, limit: int = BYTES_MAX) -> bytes:
    """At most `limit`, by default what a message may hold: a device or a huge file is refused, not read.

    "-": stdin.

    Raises CommandError.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(limit + 1) if sys.stdin is not None else b""
        else:
            with open(name, "rb") as file:
                data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        hint = "name a file that you can read, or - for standard input"
        raise CommandError("E_PATH", f"{name}: {said}", exit=Exit.USAGE, field=option, hint=hint) from None
    if len(data) > limit:
        raise CommandError(
            "E_TOO_LARGE",
            f"{name}: more than {limit} bytes",
            exit=Exit.USAGE,
            field=option,
            hint="an array or --for-each stays one short message; let tasks open large files themselves",
        )
    return data


def _text(name: str, data: bytes, *, option: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"{name}: not UTF-8 at byte {error.start}"
        raise CommandError("E_ENCODING", message, exit=Exit.USAGE, field=option) from None


def _expand_lists(fields: dict[str, Any], folder: Path) -> None:
    """Patterns and lists become items, in the job and in each of its tasks; what is no list stays wrong."""
    tasks = fields.get("tasks")
    for entry in (fields, *(tasks if isinstance(tasks, list) else ())):
        given = entry.get("for_each") if isinstance(entry, dict) else None
        if isinstance(given, str) and given.startswith(_POINTER):
            continue
        patterns = [given] if isinstance(given, str) else given
        if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
            continue
        items: list[str] = []
        for each in patterns:
            is_pattern = each.startswith("@") or any(mark in each for mark in "*?[")
            items += expand([each], folder=folder) if is_pattern else [each]
        entry["for_each"] = items


def _toml(name: str, text: str) -> dict[str, Any]:
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said, placed = str(error), _TOML_PLACE.fullmatch(str(error))
        where = f"{placed[2]}:{placed[3]}" if placed else f"{len(text.splitlines())}"  # "at end of document"
        raise _unreadable(f"{name}:{where}", "TOML", placed[1] if placed else said) from None
    told: dict[str, Any] = msgspec.to_builtins(fields)  # its dates as text
    return told


def _yaml(name: str, text: str) -> dict[str, Any]:
    from yaml import MarkedYAMLError, YAMLError

    from tui.cli.strict_yaml import load_yaml

    try:
        fields = load_yaml(text)
    except MarkedYAMLError as error:
        raise _unreadable(_place(name, error), "YAML", error.problem or "it cannot be read") from None
    except (YAMLError, RecursionError) as error:
        raise _unreadable(name, "YAML", str(error).splitlines()[0] or "it cannot be read") from None
    if not isinstance(fields, dict):
        raise CommandError("E_TYPE", f"{name}: no mapping of a job's fields", exit=Exit.USAGE, field="--file")
    return fields


def _place(name: str, error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return name if mark is None else f"{name}:{mark.line + 1}:{mark.column + 1}"


def _unreadable(where: str, kind: str, said: str) -> CommandError:
    return CommandError("E_JSON", f"{where}: not {kind}: {said}", exit=Exit.USAGE, field="--file")


def _script(name: str, text: str, job_of: JobOf) -> dict[str, Any]:
    """The job of a script: its `#CORRAL` lines are options of `submit`, up to the first line of code."""
    from tui.cli.dispatch import parse

    interpreter = text.splitlines()[0][2:].strip()
    if not interpreter:
        raise CommandError("E_COMMAND", f"{name}:1: no program behind #!", exit=Exit.USAGE, field="--file")
    own = Path(name).name if name != "-" else "script"
    quoted = " ".join(shlex.quote(word) for word in interpreter.split(maxsplit=1))
    job: dict[str, Any] = {
        "name": own,
        "command": ["/bin/sh", "-c", _RUN.format(interpreter=quoted), own, text],
    }
    for number, line in _marked(text):
        where = f"{name}:{number}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            message = f"{where}: {str(error).lower()}"
            raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--file") from None
        try:
            arguments, blank = parse(["submit", *words]), parse(["submit"])
            if arguments is None or blank is None:
                raise CommandError("E_USAGE", "help is no option of a job", exit=Exit.USAGE)
            _check_says_a_job(arguments, blank)
            job = msgspec.to_builtins(job_of(arguments, job))
        except (CommandError, DecodeError) as error:
            told, code = describe(error)
            raise CommandError(
                told.code,
                f"{where}: {told.message}",
                exit=Exit(code),
                field=told.field,
                got=told.got,
                expected=told.expected,
                hint=told.hint,
            ) from None
    return job


def _marked(text: str) -> Iterator[tuple[int, str]]:
    """The numbered `#CORRAL` lines before the first line that is neither empty nor a comment."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            return
        if marked := _MARK.fullmatch(line.rstrip()):
            yield number, marked[1]


def _check_says_a_job(arguments: Namespace, blank: Namespace) -> None:
    """Raises CommandError where a line, other than a `blank` one, names something that is not of the job."""
    for option in _HEADER_ONLY:
        if getattr(arguments, option) != getattr(blank, option):
            flag = "-- COMMAND" if option == "command" else f"--{option}"
            hint = "say it on the command line of corral submit"
            raise CommandError("E_USAGE", "not an option of a script", exit=Exit.USAGE, field=flag, hint=hint)
