"""What a spec may not say, one check a rule; codes and bounds from the bad-input catalogue.

Every check appends to `faults` and goes on, so that a user sees all mistakes at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice

from bus.refusal import quote
from bus.spec import Constraints, JobSpec, OnFailure, TaskSpec
from bus.units import ARRAY_COUNT_MAX
from bus.values import GPU_MILLI, Gang, JobKind, Resources, TaskRef, is_name
from coordinator.core.conditions import Condition, Need, split_condition
from coordinator.core.effects import Fault
from coordinator.core.scheduler.feasible import model_words
from coordinator.core.task_types import REQUIRED_INPUT

NAME_MAX = 128
ARGUMENTS_MAX_BYTES = 128 * 1024
LABELS_MAX = 64
LABEL_VALUE_MAX = 256
AFTER_MAX = 1_000
REPLICAS_MAX = 10
GPU_TYPES_MAX = 16
FAULTS_MAX = 20
"""Faults told of one spec; enough to mend it, and an answer of bounded size."""

_NEAR_MAX = 1000  # names compared for a suggestion: comparing is slow, and a spec may hold 10,000
_GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_TYPE_NAME = re.compile(r"[a-z0-9_]{3,50}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}")
_DEDUPE_KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TASK = re.compile(r"([1-9][0-9]{0,17})\.([0-9]{1,7})", re.ASCII)
_JOB_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_GPU_UUID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,127}")
_DENIED_ENV = ("LD_", "CORRAL_", "NATS_", "PG")
_DENIED_ENV_NAMES = frozenset({"PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV", "ENV", "IFS"})
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")  # within words of some scripts, and within emoji
_CYCLE_SHOWN = 10


def check_job(spec: JobSpec, faults: list[Fault]) -> None:
    """The fields that belong to the job as a whole."""
    if spec.v != 1:
        faults.append(
            Fault(code="E_VERSION", message=f"version {quote(spec.v)}; this server speaks 1", field="/v")
        )
    parse_parent(spec.parent, faults)
    check_failures(spec.max_failures, "/max_failures", faults)
    check_range(spec.replicas, 0, REPLICAS_MAX, field="/replicas", faults=faults)
    if spec.max_failures is not None and spec.on_failure == OnFailure.CONTINUE:
        message, hint = "nothing comes of it", 'say what then: "on_failure": "cancel" or "stop_new"'
        faults.append(Fault(code="E_FIELD", message=message, field="/max_failures", hint=hint))
    for field in ("cron", "zone", "overlap"):
        if getattr(spec, field) is not None:
            message = "only a schedule repeats" if field == "cron" else f"{field} without cron"
            faults.append(Fault(code="E_FIELD", message=message, field=f"/{field}"))
    if spec.name is not None:
        _check_name(spec.name, faults)
    if spec.dedupe_key is not None and not _DEDUPE_KEY.fullmatch(spec.dedupe_key):
        got, expected = quote(spec.dedupe_key), "1–128 of [A-Za-z0-9._:-]"
        faults.append(Fault(code="E_KEY", field="/dedupe_key", got=got, expected=expected))


def parse_parent(parent: str | None, faults: list[Fault]) -> TaskRef | None:
    """The task of that name; whether it lives is not known here."""
    match = _TASK.fullmatch(parent) if parent is not None else None
    if parent is not None and match is None:
        expected = "a task, as CORRAL_TASK_ID names it: 1042.7"
        faults.append(Fault(code="E_ID", field="/parent", got=quote(parent), expected=expected))
    return None if match is None else TaskRef(int(match[1]), int(match[2]))


def check_failures(most: int | None, field: str, faults: list[Fault]) -> None:
    """How many failures are borne."""
    if most is not None:
        check_range(most, 0, ARRAY_COUNT_MAX, field=field, faults=faults)


def is_plain(text: str) -> bool:
    """Whether nothing in `text` is invisible, or would turn it around on a terminal."""
    return not any(
        unicodedata.category(character) in _INVISIBLE and character not in _JOINERS for character in text
    )


def _check_name(name: str, faults: list[Fault]) -> None:
    if not name.strip():
        message = "an empty name"
    elif len(name) > NAME_MAX:
        message = f"a name of {len(name)} characters"
    elif not is_plain(name):
        message = "control or invisible characters in a name"
    else:
        return
    expected = f"1–{NAME_MAX} characters of any script, none of them invisible"
    faults.append(Fault(code="E_NAME", message=message, field="/name", got=quote(name), expected=expected))


def check_range(value: int, low: int, high: int, *, field: str, faults: list[Fault]) -> None:
    """`low` ≤ value ≤ `high`."""
    if not low <= value <= high:
        faults.append(Fault(code="E_RANGE", field=field, got=quote(value), expected=f"{low}–{high}"))


def check_kind(spec: JobSpec, faults: list[Fault]) -> None:
    """Fields that only some types of jobs have."""
    if spec.frames is not None:
        if spec.type is not JobKind.RENDERING:
            got, expected = str(spec.type), str(JobKind.RENDERING)
            message = "frames are of jobs of type rendering"
            faults.append(Fault(code="E_FIELD", message=message, field="/frames", got=got, expected=expected))
        for name in ("array", "tasks"):
            if getattr(spec, name) is not None:
                message = f"{name} and frames exclude each other"
                faults.append(Fault(code="E_FIELD", message=message, field=f"/{name}"))
    timeouts = ["/timeout"] if spec.timeout is not None else []
    timeouts += [f"/tasks/{n}/timeout" for n, task in enumerate(spec.tasks or ()) if task.timeout is not None]
    if spec.type is JobKind.STREAMING:
        message = "a streaming job runs until it is cancelled: it has no timeout"
        faults += [Fault(code="E_FIELD", message=message, field=field) for field in timeouts]
        gangs = ["/gang"] if spec.gang is not None else []
        gangs += [f"/tasks/{n}/gang" for n, task in enumerate(spec.tasks or ()) if task.gang is not None]
        message = "ranks that start together end together: they are no stream"
        faults += [Fault(code="E_FIELD", message=message, field=field) for field in gangs]


def check_what(
    task: TaskSpec, path: str, *, tools: Collection[str], required: Iterable[str], faults: list[Fault]
) -> None:
    """Exactly one of command and tool, and each of them sound; `required` are keys of the tool's input."""
    if task.command is None and task.tool is None:
        hint = 'for example "command": ["sh", "-c", "echo hello"]'
        faults.append(
            Fault(code="E_REQUIRED", message="neither command nor tool", field=f"{path}/command", hint=hint)
        )
    if task.command is not None:
        if task.tool is not None:
            message = "command and tool exclude each other"
            faults.append(Fault(code="E_FIELD", message=message, field=f"{path}/command"))
        _check_command(task.command, f"{path}/command", faults)
    if task.input == {}:
        faults.append(
            Fault(code="E_INPUT", message="an empty input", field=f"{path}/input", hint="leave it out")
        )
    if task.tool is not None:
        check_required(task, path, keys=required, faults=faults)
    if task.tool is not None and task.tool not in tools:
        _check_type(task, path, tools, faults)
    if task.name is not None and not _GROUP_NAME.fullmatch(task.name):
        got, expected = quote(task.name), "1–63 of [A-Za-z0-9_.-]"
        faults.append(Fault(code="E_NAME", field=f"{path}/name", got=got, expected=expected))


def check_elements(task: TaskSpec, path: str, faults: list[Fault]) -> None:
    """At most one of array, list and matrix, and a bound only where there is something to bound."""
    if path:
        check_failures(task.max_failures, f"{path}/max_failures", faults)
    given = [name for name in ("array", "for_each", "matrix") if getattr(task, name) is not None]
    for name in given[1:]:
        message = f"{given[0]} and {name} exclude each other"
        faults.append(Fault(code="E_FIELD", message=message, field=f"{path}/{name}"))
    if task.max_parallel is None:
        return
    field = f"{path}/max_parallel"
    check_range(task.max_parallel, 1, ARRAY_COUNT_MAX, field=field, faults=faults)
    if not given:
        hint = "it bounds an array, a list or a matrix"
        faults.append(Fault(code="E_FIELD", message="nothing to bound", field=field, hint=hint))
    elif "%" in (task.array or ""):
        faults.append(Fault(code="E_FIELD", message="the array says % already", field=field))


def check_required(task: TaskSpec, path: str, *, keys: Iterable[str], faults: list[Fault]) -> None:
    """The keys that the task type asks for; the database refuses the row without them."""
    for key in keys:
        if key not in (task.input or {}):
            message = f'Missing required input key "{key}" for task type "{task.tool}"'
            faults.append(Fault(code="E_INPUT", message=message, field=f"{path}/input/{key}"))


def _check_type(task: TaskSpec, path: str, tools: Iterable[str], faults: list[Fault]) -> None:
    """Why `task.tool`, which no node has, cannot be run."""
    tool = task.tool or ""
    field = f"{path}/tool"
    if not _TYPE_NAME.fullmatch(tool):
        expected = "3–50 of [a-z0-9_]"
        faults.append(Fault(code="E_TYPE_NAME", field=field, got=quote(tool), expected=expected))
        return
    known = sorted(tools)
    message = "no node has a tool for this task type" if tool in REQUIRED_INPUT else ""
    expected = f"one of {', '.join(known)}"
    faults.append(
        Fault(
            code="E_TYPE_UNKNOWN",
            message=message,
            field=field,
            got=quote(tool),
            expected=expected,
            hint=_suggestion(tool, known, faults),
        )
    )


def _suggestion(word: str, known: Iterable[str], faults: Sequence[Fault]) -> str:
    """The known name that was probably meant; "" where none is near, or nobody will read it."""
    if len(faults) >= FAULTS_MAX:
        return ""
    near = get_close_matches(word[:80], list(islice(known, _NEAR_MAX)), 1)
    return f"did you mean {near[0]}?" if near else ""


def _check_command(command: Sequence[str], field: str, faults: list[Fault]) -> None:
    if not command or not command[0]:
        hint = 'for example ["sh", "-c", "echo hello"]'
        faults.append(Fault(code="E_COMMAND", field=field, expected="a program and its words", hint=hint))
    elif any("\0" in word for word in command):
        faults.append(Fault(code="E_CHAR", message="NUL not allowed", field=field))
    elif (size := sum(len(word.encode()) + 1 for word in command)) > ARGUMENTS_MAX_BYTES:
        faults.append(
            Fault(
                code="E_TOO_LARGE",
                message="arguments too long",
                field=field,
                got=f"{size} bytes",
                expected=f"at most {ARGUMENTS_MAX_BYTES}",
                hint="give long input as stdin or in a file",
            )
        )


def check_env(env: Mapping[str, str], path: str, faults: list[Fault]) -> None:
    """Names a task may set: no loader or shell hooks, nothing that we set ourselves."""
    for name, value in env.items():
        got, expected = quote(name), ""
        if not _ENV_NAME.fullmatch(name):
            message, expected = "not a variable's name", "[A-Za-z_][A-Za-z0-9_]*"
        elif name.startswith(_DENIED_ENV) or name in _DENIED_ENV_NAMES:
            message, expected = "", "a name that neither loader, shell nor Corral reads"
        elif "\0" in value:
            message, got = f"NUL in the value of {name[:80]}", ""
        else:
            continue
        faults.append(Fault(code="E_ENV", message=message, field=path, got=got, expected=expected))


def check_workdir(workdir: str | None, field: str, faults: list[Fault]) -> None:
    """Absolute, and without `..`."""
    if workdir is None:
        return
    if not workdir.startswith("/") or ".." in workdir.split("/") or "\0" in workdir:
        faults.append(
            Fault(
                code="E_PATH",
                field=field,
                got=quote(workdir),
                expected="an absolute path without ..",
            )
        )


def parse_gpu_types(asked: str | list[str], field: str, faults: list[Fault]) -> tuple[str, ...]:
    """Models in lower case, their words parted by single blanks, sorted: one way to write each wish."""
    types = [asked] if isinstance(asked, str) else asked
    if len(types) > GPU_TYPES_MAX:
        got, expected = f"{len(types)} models", f"at most {GPU_TYPES_MAX}"
        faults.append(Fault(code="E_TOO_MANY", field=field, got=got, expected=expected))
        return ()
    found = set()
    for each in types:
        words = model_words(each)
        if not words or len(each) > NAME_MAX:
            expected = f'words of a model\'s name, such as "a100" or "rtx 4090", at most {NAME_MAX} long'
            faults.append(Fault(code="E_VALUE", field=field, got=quote(each), expected=expected))
        found.add(words)
    return tuple(sorted(found))


def parse_gpu_uuid(
    asked: str, resources: Resources, gang: Gang | None, field: str, faults: list[Fault]
) -> str:
    """The UUID of the one GPU that a task names, as its driver says it; "" where it names none."""
    if not asked:
        return ""
    if _GPU_UUID.fullmatch(asked) is None:
        expected = "the UUID that corral gpu ls shows, such as GPU-4f1c0a77-…"
        faults.append(Fault(code="E_VALUE", field=field, got=quote(asked), expected=expected))
        return ""
    if gang is not None or resources.gpu_millis > GPU_MILLI:
        message = "one GPU is named" + (", and the ranks of a gang need one each" if gang is not None else "")
        hint = "ask for gpu 1, or a share of it; or leave gpu_uuid out"
        faults.append(Fault(code="E_FIELD", message=message, field=field, hint=hint))
        return ""
    return asked


def check_constraints(constraints: Constraints, faults: list[Fault]) -> None:
    """Labels and node names that could exist."""
    check_labels(constraints.labels, faults, field="/constraints/labels")
    for position, node in enumerate(constraints.nodes):
        if not is_name(node):
            where, expected = f"/constraints/nodes/{position}", "a node's name: 1–63 of [a-z0-9_-]"
            faults.append(Fault(code="E_CONSTRAINT", field=where, got=quote(node), expected=expected))


def check_labels(labels: Mapping[str, str], faults: list[Fault], *, field: str) -> None:
    """Keys and values that a node could have."""
    if len(labels) > LABELS_MAX:
        got, expected = f"{len(labels)} labels", f"at most {LABELS_MAX}"
        faults.append(
            Fault(code="E_LABEL", message="too many labels", field=field, got=got, expected=expected)
        )
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            expected = "1–63 of [A-Za-z0-9_./-]"
            faults.append(Fault(code="E_LABEL", field=field, got=quote(key), expected=expected))
        elif len(value) > LABEL_VALUE_MAX or not is_plain(value):
            message, expected = f"the value of label {key}", f"at most {LABEL_VALUE_MAX} visible characters"
            faults.append(
                Fault(code="E_LABEL", message=message, field=field, got=quote(value), expected=expected)
            )


def check_needs(tasks: Sequence[TaskSpec], faults: list[Fault]) -> None:
    """Names are unique, every need names an entry, and nothing waits for itself."""
    needs: dict[str, list[str]] = {}
    for position, task in enumerate(tasks):
        if task.name is None:
            continue
        if task.name in needs:
            where = f"/tasks/{position}/name"
            faults.append(Fault(code="E_NAME_CLASH", field=where, got=quote(task.name)))
        needs[task.name] = [split_condition(need)[0] for need in task.needs]
    for position, task in enumerate(tasks):
        for need in task.needs:
            name, condition = split_condition(need)
            if condition is None:
                faults.append(_no_condition(need, f"/tasks/{position}/needs", faults))
            if name not in needs:
                faults.append(
                    Fault(
                        code="E_NOT_FOUND",
                        message="no such task in this job",
                        field=f"/tasks/{position}/needs",
                        got=quote(name),
                        hint=_suggestion(name, needs, faults),
                    )
                )
    cycle = find_cycle(needs)
    if cycle:
        shown = cycle if len(cycle) <= _CYCLE_SHOWN else [*cycle[:_CYCLE_SHOWN], "…", cycle[-1]]
        faults.append(Fault(code="E_CYCLE", field="/tasks", got=" -> ".join(shown)))


def parse_needs(needs: Sequence[str]) -> tuple[Need, ...]:
    """What `check_needs` finds no fault with."""
    split = (split_condition(need) for need in needs)
    return tuple(Need(name, condition or Condition.OK) for name, condition in split)


def parse_after(after: Sequence[int | str], faults: list[Fault]) -> tuple[tuple[int, Condition], ...]:
    """Jobs by their numbers, each named once. Whether they exist is not known here."""
    found: dict[int, Condition] = {}
    if len(after) > AFTER_MAX:
        got, expected = f"{len(after)} jobs", f"at most {AFTER_MAX}"
        hint = "let one job run after these, and this one after it"
        faults.append(Fault(code="E_TOO_MANY", field="/after", got=got, expected=expected, hint=hint))
        return ()
    for position, entry in enumerate(after):
        field = f"/after/{position}"
        name, condition = split_condition(str(entry))
        if not _JOB_NUMBER.fullmatch(name):
            expected = 'a job\'s number, as 1041, "1041:ok", "1041:any" or "1041:failed"'
            faults.append(Fault(code="E_ID", field=field, got=quote(entry), expected=expected))
        elif condition is None:
            faults.append(_no_condition(str(entry), field, faults))
        elif int(name) in found:
            message = f"job {name} is named twice"
            faults.append(Fault(code="E_FIELD", message=message, field=field, got=quote(entry)))
        else:
            found[int(name)] = condition
    return tuple(found.items())


def check_corresponding(spec: JobSpec, after: Sequence[tuple[int, Condition]], faults: list[Fault]) -> None:
    """A job that runs task by task after another waits for nothing else.

    So each of its tasks is decided in the very step in which the other's is, and nothing need be kept of it.
    """
    if all(condition is not Condition.CORRESPONDING for _, condition in after):
        return
    needs = any(task.needs for task in spec.tasks or ())
    if len(after) > 1 or needs or spec.start_at is not None:
        beside = "another job" if len(after) > 1 else "needs" if needs else "start_at"
        message = f"corresponding and {beside} exclude each other"
        faults.append(Fault(code="E_FIELD", message=message, field="/after"))


def _no_condition(text: str, field: str, faults: Sequence[Fault]) -> Fault:
    known = [str(condition) for condition in Condition]
    return Fault(
        code="E_ENUM",
        message="no such condition",
        field=field,
        got=quote(text),
        expected=f"one of {', '.join(known)} after the colon",
        hint=_suggestion(text.partition(":")[2], known, faults),
    )


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
