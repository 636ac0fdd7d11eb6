"""The fields that lists can be filtered and sorted by, for each kind of thing that is listed.

A field's name is the same in conditions (`bus.filter`), in orders, and as a column of the coordinator's
queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto

from msgspec import Struct

from bus.values import JobKind, JobState, NodeAdmin, NodeHealth, NodeKind, TaskState

SEVERITIES = ("debug", "info", "warning", "error", "critical")
"""Of events, the least first."""


class Kind(StrEnum):
    """What a field holds, and so how its values are written and compared."""

    TEXT = auto()
    CHOICE = auto()
    INTEGER = auto()
    NUMBER = auto()
    CPU = auto()  # millicores
    GPU = auto()  # thousandths of one
    SIZE = auto()  # MiB
    RATE = auto()  # Mbit/s
    DURATION = auto()  # seconds
    INSTANT = auto()  # seconds of the Unix epoch
    FLAG = auto()


class Field(Struct, frozen=True, kw_only=True):
    """`about`: what it says, for people."""

    kind: Kind
    about: str
    choices: tuple[str, ...] = ()
    ranked: bool = False  # the order of the choices means something: they can be compared
    optional: bool = False  # may be absent, and then is neither less nor more than anything
    since: str = ""  # a duration that has lasted since the instant of this name
    person: bool = False  # a user's name: "me" is who asks
    keyed: bool = False  # written with a key of its own: "label.zone"


def _text(about: str, *, person: bool = False, keyed: bool = False) -> Field:
    return Field(kind=Kind.TEXT, about=about, person=person, keyed=keyed)


def _choice(about: str, values: type[StrEnum]) -> Field:
    return Field(kind=Kind.CHOICE, about=about, choices=tuple(map(str, values)))


def _count(about: str, *, optional: bool = False) -> Field:
    return Field(kind=Kind.INTEGER, about=about, optional=optional)


def _amount(kind: Kind, about: str, *, optional: bool = False) -> Field:
    return Field(kind=kind, about=about, optional=optional)


def _since(instant: str, about: str) -> Field:
    return Field(kind=Kind.DURATION, about=about, since=instant)


_TIMES: dict[str, Field] = {
    "submitted": _amount(Kind.INSTANT, "when it was submitted"),
    "started": _amount(Kind.INSTANT, "when it started", optional=True),
    "ended": _amount(Kind.INSTANT, "when it ended", optional=True),
    "age": _since("submitted", "time since it was submitted"),
    "runtime": _amount(Kind.DURATION, "time from its start to its end, or until now", optional=True),
}

JOB_FIELDS: Mapping[str, Field] = {
    "number": _count("its number"),
    "id": _text("its id"),
    "name": _text("its name"),
    "user": _text("who submitted it", person=True),
    "kind": _choice("what kind of job it is", JobKind),
    "priority": _count("1 to 10, higher first"),
    "state": _choice("where it stands", JobState),
    "held": Field(kind=Kind.FLAG, about="whether it is held back"),
    "tasks": _count("how many tasks it has"),
    "pending": _count("tasks that wait for other tasks"),
    "queued": _count("tasks that wait for a node"),
    "assigned": _count("tasks given to a node, not yet started"),
    "running": _count("tasks that run"),
    "completed": _count("tasks that completed"),
    "failed": _count("tasks that failed or ran out of time"),
    "cancelled": _count("tasks that were cancelled"),
    **_TIMES,
    "exit": _count("its exit code", optional=True),
    "reason": _text("why it is as it is"),
    "parent": _text("the task that submitted it: 1042.7"),
    "parent_job": _count("the number of that task's job", optional=True),
}

TASK_FIELDS: Mapping[str, Field] = {
    "index": _count("its number within the job"),
    "name": _text("the group of the job that it belongs to"),
    "state": _choice("where it stands", TaskState),
    "node": _text("the node it is on, or was on last"),
    "attempt": _count("how many times it was given to a node"),
    "retries": _count("how many of its failures were retried"),
    "priority": _count("1 to 10, higher first"),
    "cpu": _amount(Kind.CPU, "cores it asks for"),
    "memory": _amount(Kind.SIZE, "memory it asks for"),
    "gpus": _amount(Kind.GPU, "GPUs it asks for"),
    "storage": _amount(Kind.SIZE, "scratch storage it asks for"),
    "net": _amount(Kind.RATE, "network it asks for"),
    **_TIMES,
    "exit": _count("its exit code", optional=True),
    "signal": _count("the signal that ended it", optional=True),
    "message": _text("what was said about its end"),
}

NODE_STATES = (*map(str, NodeHealth), *(str(admin) for admin in NodeAdmin if admin is not NodeAdmin.ACTIVE))

NODE_FIELDS: Mapping[str, Field] = {
    "name": _text("its name"),
    "id": _text("its id"),
    "state": Field(kind=Kind.CHOICE, about="health and steering in one word", choices=NODE_STATES),
    "health": _choice("whether it answers", NodeHealth),
    "admin": _choice("what it was told to be", NodeAdmin),
    "kind": _choice("what kind of node it is", NodeKind),
    "cpu": _amount(Kind.CPU, "its cores"),
    "memory": _amount(Kind.SIZE, "its memory"),
    "gpus": _amount(Kind.GPU, "its GPUs"),
    "storage": _amount(Kind.SIZE, "its scratch storage"),
    "net": _amount(Kind.RATE, "its network"),
    "free_cpu": _amount(Kind.CPU, "cores that nobody holds"),
    "free_memory": _amount(Kind.SIZE, "memory that nobody holds"),
    "free_gpus": _amount(Kind.GPU, "GPUs that nobody holds, parts of them included"),
    "running": _count("tasks that it holds"),
    "waiting": _count("tasks that wait there for their turn"),
    "load": _amount(Kind.NUMBER, "its load"),
    "heartbeat": _amount(Kind.DURATION, "time since it was last heard of"),
    "version": _text("the version of its agent"),
    "reason": _text("why it is cordoned or draining"),
    "label": _text("a label, by its key: label.zone=a", keyed=True),
}

EVENT_FIELDS: Mapping[str, Field] = {
    "at": _amount(Kind.INSTANT, "when it happened"),
    "age": _since("at", "time since it happened"),
    "kind": _text("what happened: task_failed, node_unreachable …"),
    "severity": Field(kind=Kind.CHOICE, about="how bad it is", choices=SEVERITIES, ranked=True),
    "user": _text("whose job it was, or who did it", person=True),
    "job": _count("the job's number", optional=True),
    "task": _text("the task: 1042.7"),
    "node": _text("the node"),
    "message": _text("what was said"),
    "resolved": Field(kind=Kind.FLAG, about="whether somebody said that it is dealt with"),
}

ALL_TASK_FIELDS: Mapping[str, Field] = {
    "job": _count("the number of its job"),
    "user": _text("whose job it is", person=True),
    **TASK_FIELDS,
}
"""Of lists of the tasks of all jobs."""

AUDIT_FIELDS: Mapping[str, Field] = {
    "at": _amount(Kind.INSTANT, "when it was done"),
    "age": _since("at", "time since it was done"),
    "id": _text("what answers name it by"),
    "actor": _text("who did it", person=True),
    "action": _text("what was done: job.cancel, node.drain …"),
    "object": _text("to what"),
    "outcome": Field(kind=Kind.CHOICE, about="done, or refused", choices=("done", "refused")),
}
