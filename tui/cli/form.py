"""A job filled in line by line: the words of `corral submit` it comes to, and the spec these mean.

The lines are options of the command, so what is wrong with one is found by the code that reads the command; a
form that is in order and the command line it shows give the same job.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from msgspec import Struct

from bus.errors import CorralError, Error
from bus.spec import JobSpec
from tui.cli.diagnostics import CommandError, Exit, describe
from tui.cli.parser import Parser, build
from tui.cli.specification import job_spec
from tui.view.safe import safe_line


class Line(Struct, frozen=True, kw_only=True):
    """One line of the form. `option` "" : words that stand as they are; `many`: one option for each word."""

    name: str
    option: str = ""
    example: str = ""
    many: bool = False


LINES = (
    Line(name="command", example="python3 train.py --epochs 3   (words; no shell)"),
    Line(name="shell", option="--shell", example="make && ./run > out   (for /bin/sh, instead of command)"),
    Line(name="tool", option="--tool", example="wordcount   (instead of a command)"),
    Line(name="file", option="--file", example="job.toml or job.json; the lines below win over it"),
    Line(name="name", option="--name", example="train"),
    Line(name="array", option="--array", example="0-99, 0-99%10, 1,5,9-20:2"),
    Line(name="cpu", option="--cpu", example="2, 0.5, 500m   (1)"),
    Line(name="memory", option="--memory", example="4GiB, 512M   (64M)"),
    Line(name="gpu", option="--gpu", example="1, 0.5, a100:2   (none)"),
    Line(name="timeout", option="--timeout", example="walltime of a task: 90, 1h30m, 1-02:00:00"),
    Line(name="priority", option="--priority", example="1 to 10, low, normal, high   (5)"),
    Line(name="retries", option="--retries", example="tries after a failure   (3)"),
    Line(name="env", option="--env", example="NAME=VALUE OTHER=VALUE", many=True),
    Line(name="after", option="--after", example="1041 1042:any", many=True),
    Line(name="label", option="--label", example="zone=a   (that the node must carry)", many=True),
    Line(name="more", example="--preemptible --spread --retry-on timeout …"),
)

_FIELDS = {
    "/command": "command", "/tool": "tool", "/name": "name", "/array": "array", "/timeout": "timeout",
    "/priority": "priority", "/retries": "retries", "/env": "env", "/after": "after", "--retry-on": "more",
    "/resources/cpu": "cpu", "/resources/memory": "memory", "/resources/gpu": "gpu",
    "/constraints/labels": "label", "/file": "file",
}  # fmt: skip
"""Where the parts of a spec stand in the form; others belong to "more", or to the file."""

TEXT_MAX = 4096
"""Of a line of the form."""

_UNITS = {"cpu": "{}m", "memory": "{}MiB", "gpu": "{}"}
"""Numbers of a spec are in Corral's own units; options read text."""

_NEVER_AGAIN = ("v", "dedupe_key")
"""A key that was used gives the job that it was used for."""


class Checked(Struct, frozen=True):
    """What a form comes to: the spec, or what is wrong, by line ("" where it belongs to none)."""

    command: str
    spec: JobSpec | None = None
    faults: dict[str, str] = {}


class Form(Struct, frozen=True, kw_only=True):
    """`texts` by line; `base`: the parts of a former spec that have no line."""

    texts: dict[str, str] = {}
    base: dict[str, Any] = {}


def check(form: Form) -> Checked:
    """Read the form as the command would be read."""
    faults: dict[str, str] = {}
    head = ["submit"]
    tail: list[str] = []
    for line in LINES:
        text = form.texts.get(line.name, "").strip()
        if not text:
            continue
        try:
            words = [text] if line.option and not line.many else shlex.split(text)
        except ValueError as error:
            faults[line.name] = str(error).lower()
            continue
        if line.name == "command":
            tail = words
        else:
            head += _worded(line, words)
    command = shlex.join(["corral", *head, *(["--", *tail] if tail else [])])
    if faults:
        return Checked(command, None, faults)
    try:
        return Checked(command, _read(head, tail, form.base), {})
    except CorralError as error:
        refused, _ = describe(error)
        return Checked(command, None, told(refused))


def told(error: Error) -> dict[str, str]:
    """What is wrong, by line of the form."""
    faults: dict[str, str] = {}
    for fault in (error, *error.more):
        name = line_of(fault.field)
        got = f": {fault.got}" if fault.got else ""
        expected = f"; expected {fault.expected}" if fault.expected else ""
        hint = f" ({fault.hint})" if fault.hint and not expected else ""
        faults.setdefault(name, f"{fault.message}{got}{expected}{hint}")
    return faults


def line_of(field: str) -> str:
    """The line to which a part of a spec, or an option, belongs; "" for none."""
    option = next((line.name for line in LINES if line.option and line.option == field), "")
    return option or next((name for part, name in _FIELDS.items() if field.startswith(part)), "")


def form_of(spec: Mapping[str, Any]) -> Form:
    """A form that gives a former spec again; what has no line, or fits into none, stays as it is."""
    base = {name: value for name, value in spec.items() if name not in _NEVER_AGAIN}
    texts: dict[str, str] = {}
    match base.pop("command", None):
        case ["/bin/sh", "-c", str(script)]:
            texts["shell"] = script
        case [*words]:
            texts["command"] = shlex.join(words)
        case _:
            pass
    for name in ("tool", "name", "array", "timeout", "priority", "retries"):
        if (value := base.pop(name, None)) is not None:
            texts[name] = str(value)
    if env := base.pop("env", None):
        texts["env"] = shlex.join(f"{name}={value}" for name, value in env.items())
    if after := base.pop("after", None):
        texts["after"] = " ".join(map(str, after))
    resources = dict(base.pop("resources", None) or {})
    for name, unit in _UNITS.items():
        if (value := resources.pop(name, None)) is not None:
            texts[name] = value if isinstance(value, str) else unit.format(value)
    constraints = dict(base.pop("constraints", None) or {})
    if labels := constraints.pop("labels", None):
        texts["label"] = shlex.join(f"{name}={value}" for name, value in labels.items())
    for name in [name for name, text in texts.items() if not is_typable(text)]:
        del texts[name]
        if name == "label":
            constraints["labels"] = labels
        elif name in _UNITS:
            resources[name] = spec["resources"][name]
        else:
            part = "command" if name == "shell" else name
            base[part] = spec[part]
    rest = {"resources": resources, "constraints": constraints}
    return Form(texts=texts, base=base | {name: value for name, value in rest.items() if value})


def is_typable(text: str) -> bool:
    """Whether it can stand in a line: what could drive a terminal, or is cut off, is not edited there."""
    return len(text) <= TEXT_MAX and safe_line(text) == text


def _worded(line: Line, words: list[str]) -> list[str]:
    if not line.option:
        return words
    return [f"{line.option}={word}" for word in words]


def _read(head: list[str], tail: list[str], base: Mapping[str, Any]) -> JobSpec:
    """Raises CommandError, DecodeError."""
    if not {"-h", "--help", "--"}.isdisjoint(head):
        message = "no place for help or a command"
        raise CommandError("E_USAGE", message, exit=Exit.USAGE, field="--retry-on")
    arguments, unknown = _parser().parse_known_args(head)
    if unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    arguments.command = tail
    return job_spec(arguments, base=base)


@cache
def _parser() -> Parser:
    return build("submit")
