"""The lines that a task appends to CORRAL_RESULT, understood. Pure.

    {"progress": 45.5, "metrics": {"loss": 0.0023}, "step": 1200, "message": "epoch 3"}
    {"log": "the data has no labels", "level": "warning"}   a row of the log; info without a level
    {"artifact": "plots/loss.png"}                  into the store now, not only at the end
    {"submit": {"command": ["sh", "-c", "…"]}}      a job of the task's owner, which belongs to this task
    {"output": {"accuracy": 0.982}}                 the task's result, where CORRAL_OUTPUT was not written
    {"checkpoint": "step-1200", "step": 1200}       a file or folder of CORRAL_CHECKPOINT_DIR is a whole one;
                                                    with "shard": true the part of this rank

Each line is one object with any of these keys. A line that is anything else is counted, and the first one is
told with the reason; what comes after it is read on. A line ends with a newline: before that it is not there
yet.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from bus.results import LOGGED_AT_ONCE_MAX, LOGGED_TEXT_MAX, Severity

LINE_MAX = 600 * 1024
"""Bytes of a line: an output has at most 512 KiB."""

JOB_MAX = 64 * 1024
"""Bytes of a job that a task submits."""

SUBMITS_MAX = 50
"""Jobs that are handed on at once; the next ones follow when these are committed."""

NAMES_MAX = 100
MESSAGE_MAX = 200
_STEP_MAX = 2**53
_NUMBER_MAX = 1.7e308
"""As the coordinator bounds it: what it refuses of one task would be said for ever, with all of others'."""
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,49}")
_KEYS = frozenset(
    {
        *("progress", "metrics", "step", "message", "artifact", "output", "submit", "checkpoint", "shard"),
        *("log", "level"),
    }
)


class Value(Struct, frozen=True):
    """One value of a metric."""

    name: str
    value: float
    step: int | None


class Save(Struct, frozen=True, kw_only=True):
    """A checkpoint that is told: `path` below CORRAL_CHECKPOINT_DIR, `step` None where its name has it."""

    path: str
    step: int | None
    shard: bool = False
    metrics: dict[str, float] = {}


class Logged(Struct, frozen=True):
    """`level`: info, warning, error."""

    level: Severity
    text: str


class Heard(Struct, kw_only=True):
    """What whole lines said. `used`: their bytes; the newest progress and message count.

    `submits`: jobs as JSON, each with the place at which its line ends, from the start of what was read.
    """

    used: int = 0
    progress: float | None = None
    message: str | None = None
    values: list[Value] = []
    artifacts: list[str] = []
    saves: list[Save] = []
    submits: list[tuple[int, bytes]] = []
    logs: list[Logged] = []
    output: bytes | None = None
    faults: int = 0
    fault: str = ""


class _Fault(ValueError):
    pass


def hear(data: bytes, *, values_max: int) -> Heard:
    """Understand whole lines at the start of `data`, until there are `values_max` values, SUBMITS_MAX jobs or
    LOGGED_AT_ONCE_MAX lines for the log.

    Where `data` is LINE_MAX without a newline, that much is one fault, and used.
    """
    heard = Heard()
    while not _is_full(heard, values_max):
        end = data.find(b"\n", heard.used)
        if end < 0:
            break
        line = data[heard.used : end].strip()
        heard.used = end + 1
        if line:
            _hear_line(line, heard)
    if heard.used == 0 and len(data) >= LINE_MAX:
        heard.used = len(data)
        _note(heard, f"a line of more than {LINE_MAX} bytes")
    return heard


def _is_full(heard: Heard, values_max: int) -> bool:
    return (
        len(heard.values) >= values_max
        or len(heard.submits) >= SUBMITS_MAX
        or len(heard.logs) >= LOGGED_AT_ONCE_MAX
    )


def last_output(tail: bytes) -> bytes | None:
    """The output that the last bytes of a file tell: JSON, of its last such line, newline or not."""
    for line in reversed(tail.split(b"\n")):
        if b'"output"' in line:
            heard = Heard()
            _hear_line(line, heard)
            if heard.output is not None:
                return heard.output
    return None


def _hear_line(line: bytes, heard: Heard) -> None:
    try:
        said = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        unknown = said.keys() - _KEYS
        if unknown:
            raise _Fault(f"unknown key {min(unknown)[:40]!r}")
        progress, message = _progress(said.get("progress")), _message(said.get("message"))
        step = _step(said.get("step"))
        values = _values(said.get("metrics"), step)
        saves = _saves(said, step, values)
        artifact = _artifact(said.get("artifact"))
        submit = _submit(said.get("submit"))
        logs = _logs(said)
    except (msgspec.MsgspecError, _Fault, RecursionError, UnicodeDecodeError) as error:
        _note(heard, str(error))
        return
    heard.progress = heard.progress if progress is None else progress
    heard.message = heard.message if message is None else message
    heard.values += values
    heard.artifacts += artifact
    heard.saves += saves
    heard.logs += logs
    heard.submits += [(heard.used, job) for job in submit]
    if "output" in said:
        heard.output = bytes(said["output"])


def _saves(said: dict[str, msgspec.Raw], step: int | None, values: list[Value]) -> list[Save]:
    if "checkpoint" not in said:
        if "shard" in said:
            raise _Fault("shard without checkpoint")
        return []
    path = _name(said["checkpoint"])
    if step is not None and step < 0:
        raise _Fault("the step of a checkpoint is negative")
    shard = msgspec.json.decode(said["shard"], type=bool) if "shard" in said else False
    metrics = {value.name: value.value for value in values}
    return [Save(path=path, step=step, shard=shard, metrics=metrics)]


def _submit(raw: msgspec.Raw | None) -> list[bytes]:
    """A job as it stands; what it says is the coordinator's to judge."""
    if raw is None:
        return []
    job = bytes(raw)
    if not job.startswith(b"{"):
        raise _Fault("submit is no job: an object is expected")
    if len(job) > JOB_MAX:
        raise _Fault(f"a job of more than {JOB_MAX} bytes")
    return [job]


def _logs(said: dict[str, msgspec.Raw]) -> list[Logged]:
    if "log" not in said:
        if "level" in said:
            raise _Fault("level without log")
        return []
    text = _text(said["log"])
    level: Severity = msgspec.json.decode(said["level"], type=Severity) if "level" in said else "info"
    if len(text) > LOGGED_TEXT_MAX:
        text = text[: LOGGED_TEXT_MAX - 1] + "…"
    return [Logged(level, text)]


def _note(heard: Heard, fault: str) -> None:
    heard.faults += 1
    heard.fault = heard.fault or fault[:MESSAGE_MAX]


def _progress(raw: msgspec.Raw | None) -> float | None:
    if raw is None:
        return None
    value = _number(raw, "progress")
    if not 0 <= value <= 100:
        raise _Fault("progress is not within 0 to 100")
    return value


def _step(raw: msgspec.Raw | None) -> int | None:
    if raw is None:
        return None
    step = msgspec.json.decode(raw, type=int)
    if abs(step) > _STEP_MAX:
        raise _Fault("step is out of range")
    return step


def _values(raw: msgspec.Raw | None, step: int | None) -> list[Value]:
    if raw is None:
        return []
    found = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    if len(found) > NAMES_MAX:
        raise _Fault(f"more than {NAMES_MAX} metrics at once")
    for name in found:
        if _METRIC.fullmatch(name) is None:
            raise _Fault(f"not a name of a metric: {name[:60]!r}")
    return [Value(name, _number(value, name), step) for name, value in found.items()]


def _number(raw: msgspec.Raw, name: str) -> float:
    value: Any = msgspec.json.decode(raw)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Fault(f"{name} is not a finite number")
    if not -_NUMBER_MAX <= value <= _NUMBER_MAX:  # also of an integer that no float holds
        raise _Fault(f"{name} is not a finite number of at most {_NUMBER_MAX:g}")
    return float(value)


def _message(raw: msgspec.Raw | None) -> str | None:
    return None if raw is None else _text(raw)[:MESSAGE_MAX]


def _text(raw: msgspec.Raw) -> str:
    """For people; no message of ours takes a NUL."""
    return msgspec.json.decode(raw, type=str).replace("\0", "\N{REPLACEMENT CHARACTER}")


def _name(raw: msgspec.Raw) -> str:
    """Of a file."""
    name = msgspec.json.decode(raw, type=str)
    if "\0" in name:
        raise _Fault("a name with a NUL in it")
    return name


def _artifact(raw: msgspec.Raw | None) -> list[str]:
    return [] if raw is None else [_name(raw)]
