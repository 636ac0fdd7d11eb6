"""What a spec may not say, one check a rule; codes and bounds from the bad-input catalogue.

Every check appends to `faults` and goes on, so that a user sees all mistakes at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from bus.spec import Constraints, JobSpec, TaskSpec
from bus.values import is_name
from coordinator.core.effects import Fault

NAME_MAX = 128
ARGUMENTS_MAX_BYTES = 128 * 1024
_GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}")
_DEDUPE_KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_DENIED_ENV = ("LD_", "CORRAL_", "NATS_", "PG")
_DENIED_ENV_NAMES = frozenset({"PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV", "ENV", "IFS"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_RETRY_ON = ("failed", "timeout")


def check_job(spec: JobSpec, faults: list[Fault]) -> None:
    """The fields that belong to the job as a whole."""
    if spec.v != 1:
        faults.append(Fault(code="E_VERSION", message=f"version {spec.v}; this server speaks 1", field="/v"))
    check_range(spec.priority, 1, 10, field="/priority", faults=faults)
    if spec.name is not None:
        _check_name(spec.name, faults)
    if spec.dedupe_key is not None and not _DEDUPE_KEY.fullmatch(spec.dedupe_key):
        faults.append(Fault(code="E_KEY", message="1–128 of [A-Za-z0-9._:-]", field="/dedupe_key"))
    for position, word in enumerate(spec.retry_on):
        if word not in _RETRY_ON:
            faults.append(
                Fault(
                    code="E_ENUM",
                    message=f"got {word!r}; expected one of {', '.join(_RETRY_ON)}",
                    field=f"/retry_on/{position}",
                )
            )


def _check_name(name: str, faults: list[Fault]) -> None:
    if not name.strip():
        message = "empty name"
    elif len(name) > NAME_MAX:
        message = f"{len(name)} characters; at most {NAME_MAX}"
    elif any(unicodedata.category(character) in _INVISIBLE for character in name):
        message = "control or invisible characters"
    else:
        return
    faults.append(Fault(code="E_NAME", message=message, field="/name", hint="letters of any script are fine"))


def check_range(value: int, low: int, high: int, *, field: str, faults: list[Fault]) -> None:
    """`low` ≤ value ≤ `high`."""
    if not low <= value <= high:
        faults.append(Fault(code="E_RANGE", message=f"got {value}; expected {low}–{high}", field=field))


def check_what(task: TaskSpec, path: str, *, tools: Mapping[str, str | None], faults: list[Fault]) -> None:
    """Exactly one of command and tool, and each of them sound."""
    if (task.command is None) == (task.tool is None):
        missing = task.command is None
        faults.append(
            Fault(
                code="E_REQUIRED" if missing else "E_FIELD",
                message="neither command nor tool" if missing else "command and tool exclude each other",
                field=f"{path}/command",
                hint='for example "command": ["sh", "-c", "echo hello"]' if missing else "",
            )
        )
    if task.command is not None:
        _check_command(task.command, f"{path}/command", faults)
    if task.tool is not None and task.tool not in tools:
        near = get_close_matches(task.tool, tools, 1)
        faults.append(
            Fault(
                code="E_TYPE_UNKNOWN",
                message=f"no tool {task.tool!r}; there are {', '.join(sorted(tools))}",
                field=f"{path}/tool",
                hint=f"did you mean {near[0]}?" if near else "",
            )
        )
    if task.name is not None and not _GROUP_NAME.fullmatch(task.name):
        faults.append(Fault(code="E_NAME", message="1–63 of [A-Za-z0-9_.-]", field=f"{path}/name"))


def _check_command(command: Sequence[str], field: str, faults: list[Fault]) -> None:
    if not command or not command[0]:
        faults.append(Fault(code="E_COMMAND", message="an empty command", field=field))
    elif any("\0" in word for word in command):
        faults.append(Fault(code="E_CHAR", message="NUL not allowed", field=field))
    elif sum(len(word) + 1 for word in command) > ARGUMENTS_MAX_BYTES:
        faults.append(
            Fault(
                code="E_TOO_LARGE",
                message=f"arguments over {ARGUMENTS_MAX_BYTES} bytes",
                field=field,
                hint="give long input as stdin or in a file",
            )
        )


def check_env(env: Mapping[str, str], path: str, faults: list[Fault]) -> None:
    """Names a task may set: no loader or shell hooks, nothing that we set ourselves."""
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name):
            message = f"{name!r} is no name; expected [A-Za-z_][A-Za-z0-9_]*"
        elif name.startswith(_DENIED_ENV) or name in _DENIED_ENV_NAMES:
            message = f"{name} may not be set by a job"
        elif "\0" in value:
            message = f"NUL in {name}"
        else:
            continue
        faults.append(Fault(code="E_ENV", message=message, field=path))


def check_workdir(workdir: str | None, field: str, faults: list[Fault]) -> None:
    """Absolute, and without `..`."""
    if workdir is None:
        return
    if not workdir.startswith("/") or ".." in workdir.split("/") or "\0" in workdir:
        faults.append(
            Fault(
                code="E_PATH",
                message=f"got {workdir[:80]!r}; expected an absolute path without ..",
                field=field,
            )
        )


def check_constraints(constraints: Constraints, faults: list[Fault]) -> None:
    """Label keys and node names that could exist."""
    for key in constraints.labels:
        if not _LABEL_KEY.fullmatch(key):
            faults.append(
                Fault(code="E_LABEL", message=f"{key[:80]!r} is no label", field="/constraints/labels")
            )
    for node in constraints.nodes:
        if not is_name(node):
            faults.append(
                Fault(
                    code="E_CONSTRAINT", message=f"{node[:80]!r} is no node name", field="/constraints/nodes"
                )
            )


def check_needs(tasks: Sequence[TaskSpec], faults: list[Fault]) -> None:
    """Names are unique, every need names an entry, and nothing waits for itself."""
    needs: dict[str, list[str]] = {}
    for position, task in enumerate(tasks):
        if task.name is None:
            continue
        if task.name in needs:
            faults.append(
                Fault(code="E_NAME_CLASH", message=f"{task.name!r} twice", field=f"/tasks/{position}/name")
            )
        needs[task.name] = task.needs
    known = set(needs)
    for position, task in enumerate(tasks):
        for name in task.needs:
            if name not in known:
                near = get_close_matches(name, known, 1)
                faults.append(
                    Fault(
                        code="E_NOT_FOUND",
                        message=f"no task named {name!r} in this job",
                        field=f"/tasks/{position}/needs",
                        hint=f"did you mean {near[0]}?" if near else "",
                    )
                )
    cycle = find_cycle(needs)
    if cycle:
        faults.append(Fault(code="E_CYCLE", message=" -> ".join(cycle), field="/tasks"))


def find_cycle(needs: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A cycle as the names along it, the first repeated at the end; None if there is none.

    Depth-first with an explicit stack: a chain of 10,000 tasks must not exhaust the interpreter's.
    """
    done: set[str] = set()
    for root in needs:
        if root in done:
            continue
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(root, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(name)
                done.add(name)
                continue
            if name in on_path:
                return [*path[path.index(name) :], name]
            if name in done:
                continue
            path.append(name)
            on_path.add(name)
            stack.append((name, True))
            stack.extend((need, False) for need in needs.get(name, ()))
    return None
