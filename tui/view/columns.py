"""What there is to see of each kind of row, in the order of a table; the wide ones last.

Names are those of `bus.fields` where both have a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.units import format_cpu_millis
from bus.values import TaskState
from tui.view.amounts import NONE, age, count, duration, gpus, mebibytes, share
from tui.view.fields import Field
from tui.view.instants import local, local_short
from tui.view.states import NODE_BADGES, SEVERITY_BADGES, TASK_BADGES, job_badge, node_word

if TYPE_CHECKING:
    from bus.api import Happened, Job, Node, Task
    from bus.bulk import Audited


WAITING_STATES = frozenset(
    {TaskState.PENDING, TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RETRYING, TaskState.REASSIGNED}
)

JOB_FIELDS: tuple[Field[Job], ...] = (
    Field("number", "JOB", lambda job, _: str(job.number), right=True),
    Field("mark", "S", lambda job, _: job_badge(job).glyph, tinted=True),
    Field("state", "STATE", lambda job, _: job_state(job), tinted=True),
    Field("name", "NAME", lambda job, _: job.name, flexible=True),
    Field("user", "USER", lambda job, _: job.user, flexible=True),
    Field("tasks", "TASKS", lambda job, _: count(job.counts.total), right=True),
    Field("completed", "DONE", lambda job, _: count(job.counts.completed), right=True),
    Field("running", "RUN", lambda job, _: count(job.counts.running), right=True),
    Field("failed", "FAIL", lambda job, _: count(job.counts.failed), right=True),
    Field("age", "AGE", lambda job, now_s: age(now_s - job.submitted_at), right=True),
    Field(
        "runtime",
        "TIME",
        lambda job, now_s: ran(job.started_at, job.ended_at, now_s=now_s),
        right=True,
    ),
    Field("priority", "PRI", lambda job, _: str(job.priority), right=True, wide=True),
    Field("kind", "KIND", lambda job, _: str(job.kind), wide=True),
    Field("exit", "EXIT", lambda job, _: exit_word(job.exit_code, None), right=True, wide=True),
    Field("submitted", "SUBMITTED", lambda job, _: local(job.submitted_at), wide=True),
    Field("started", "STARTED", lambda job, _: local(job.started_at), wide=True),
    Field("ended", "ENDED", lambda job, _: local(job.ended_at), wide=True),
    Field("id", "ID", lambda job, _: job.id, wide=True),
    Field("parent", "PARENT", lambda job, _: job.parent or NONE, wide=True),
    Field("reason", "REASON", lambda job, _: job.reason, flexible=True, wide=True),
)

TASK_FIELDS: tuple[Field[Task], ...] = (
    Field("task", "TASK", lambda task, _: task_name(task)),
    Field("mark", "S", lambda task, _: TASK_BADGES[task.state].glyph, tinted=True),
    Field("state", "STATE", lambda task, _: task_state(task), tinted=True),
    Field("name", "NAME", lambda task, _: task.name, flexible=True),
    Field("node", "NODE", lambda task, _: task.node or NONE, flexible=True),
    Field("attempt", "TRY", lambda task, _: str(task.fence) if task.fence else NONE, right=True),
    Field("cpu", "CPU", lambda task, _: format_cpu_millis(task.resources.cpu_millis), right=True),
    Field("memory", "MEM", lambda task, _: mebibytes(task.resources.mem_mib), right=True),
    Field("exit", "EXIT", lambda task, _: exit_word(task.exit_code, task.signal), right=True),
    Field(
        "runtime",
        "TIME",
        lambda task, now_s: task_ran(task, now_s=now_s),
        right=True,
    ),
    Field("message", "MESSAGE", lambda task, _: task.message, flexible=True),
    Field("gpus", "GPU", lambda task, _: gpus(task.resources), right=True, wide=True),
    Field("priority", "PRI", lambda task, _: str(task.priority), right=True, wide=True),
    Field("retries", "RETRIES", lambda task, _: str(task.retries), right=True, wide=True),
    Field("submitted", "SUBMITTED", lambda task, _: local(task.submitted_at), wide=True),
    Field("started", "STARTED", lambda task, _: local(task.started_at), wide=True),
    Field("ended", "ENDED", lambda task, _: local(task.ended_at), wide=True),
    Field("id", "ID", lambda task, _: task.id, wide=True),
)

_USER: Field[Task] = Field("user", "USER", lambda task, _: task.user or NONE, flexible=True)
_PLACE: Field[Task] = Field(
    "task", "TASK", lambda task, _: task_name(task) if task.count == 1 else f"{task.job}.*"
)

ALL_TASK_FIELDS: tuple[Field[Task], ...] = (_PLACE, *TASK_FIELDS[1:3], _USER, *TASK_FIELDS[3:])
"""Of the tasks of all jobs, where a range of untouched ones is one row."""

_TOLD_OF_RUNNING = ("task", "user", "name", "node", "attempt", "runtime", "cpu", "memory", "gpus")
_BY_NAME = {field.name: field for field in ALL_TASK_FIELDS}
RUNNING_FIELDS: tuple[Field[Task], ...] = (
    *(replace(_BY_NAME[name], wide=False) for name in _TOLD_OF_RUNNING),
    *(replace(field, wide=True) for field in ALL_TASK_FIELDS if field.name not in _TOLD_OF_RUNNING),
)
"""Of what runs, with its duration."""

NODE_FIELDS: tuple[Field[Node], ...] = (
    Field("name", "NODE", lambda node, _: node.name, flexible=True),
    Field("mark", "S", lambda node, _: NODE_BADGES[node.health].glyph, tinted=True),
    Field("state", "STATE", lambda node, _: node_word(node.health, node.admin), tinted=True),
    Field("kind", "KIND", lambda node, _: str(node.kind)),
    Field("cpu", "CPU", lambda node, _: share(node.allocated, node.capacity)[0], right=True),
    Field("memory", "MEMORY", lambda node, _: share(node.allocated, node.capacity)[1], right=True),
    Field("gpus", "GPU", lambda node, _: share(node.allocated, node.capacity)[2], right=True),
    Field("running", "RUN", lambda node, _: count(node.running), right=True),
    Field("load", "LOAD", lambda node, _: f"{node.load:.2f}", right=True),
    Field("heartbeat", "SEEN", lambda node, _: age(node.last_heartbeat_s), right=True),
    Field("waiting", "WAIT", lambda node, _: count(node.waiting), right=True, wide=True),
    Field("version", "VERSION", lambda node, _: node.version, wide=True),
    Field("labels", "LABELS", lambda node, _: labels_text(node.labels), flexible=True, wide=True),
    Field("id", "ID", lambda node, _: node.id, wide=True),
    Field("reason", "REASON", lambda node, _: node.reason, flexible=True, wide=True),
)

EVENT_FIELDS: tuple[Field[Happened], ...] = (
    Field("at", "WHEN", lambda event, now_s: local_short(event.at, now_s=now_s), least=8),
    Field("age", "AGE", lambda event, now_s: age(now_s - event.at), right=True, least=6),
    Field("mark", "S", lambda event, _: severity_glyph(event.severity), tinted=True),
    Field("kind", "EVENT", lambda event, _: event.kind, tinted=True, least=16),
    Field("about", "ABOUT", lambda event, _: about(event), least=10),
    Field("message", "MESSAGE", lambda event, _: event.message, flexible=True),
    Field("severity", "SEVERITY", lambda event, _: event.severity, wide=True),
    Field("user", "USER", lambda event, _: event.user or NONE, wide=True),
    Field("node", "NODE", lambda event, _: event.node or NONE, wide=True),
    Field("resolved", "RESOLVED", lambda event, now_s: resolved_text(event, now_s=now_s), wide=True),
    Field("id", "ID", lambda event, _: event.id, wide=True),
)


def resolved_text(event: Happened, *, now_s: float) -> str:
    """ "ann 14:05:00: disk replaced": who dealt with it, when, and what was said of it."""
    if event.resolved_at is None:
        return NONE
    by = f"{event.resolved_by} " if event.resolved_by else ""
    said = f": {event.resolution}" if event.resolution else ""
    return f"{by}{local_short(event.resolved_at, now_s=now_s)}{said}"


AUDIT_FIELDS: tuple[Field[Audited], ...] = (
    Field("id", "ID", lambda entry, _: entry.id),
    Field("at", "WHEN", lambda entry, now_s: local_short(entry.at, now_s=now_s), least=8),
    Field("actor", "WHO", lambda entry, _: entry.actor, flexible=True),
    Field("action", "WHAT", lambda entry, _: entry.action),
    Field("object", "TO", lambda entry, _: entry.object, flexible=True),
    Field("outcome", "OUTCOME", lambda entry, _: entry.outcome),
    Field("details", "DETAILS", lambda entry, _: details_text(entry.details), flexible=True, wide=True),
)


def details_text(details: Mapping[str, object]) -> str:
    """ "tasks=3 reason=disks"."""
    return " ".join(f"{name}={value}" for name, value in details.items()) or NONE


def job_state(job: Job) -> str:
    """Its state, and that somebody holds it."""
    return f"{job.state}, held" if job.held and not job.state.is_terminal else str(job.state)


def task_state(task: Task) -> str:
    """Its state; of a range of untouched tasks also how many they are."""
    return str(task.state) if task.count == 1 else f"{task.state} ×{count(task.count)}"


def task_name(task: Task) -> str:
    """A task as people type it, "7.3"; a range of untouched ones "7.10–99"."""
    last = f"–{task.index + task.count - 1}" if task.count > 1 else ""
    return f"{task.job}.{task.index}{last}"


def labels_text(labels: dict[str, str]) -> str:
    """ "gpu=h100,zone=a", by name."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or NONE


def about(event: Happened) -> str:
    """What an event is about: the task, else the job, else the node."""
    if event.task is not None:
        return event.task
    return str(event.job) if event.job is not None else event.node or NONE


def severity_glyph(severity: str) -> str:
    """Of a severity that we do not know, the one of information."""
    return SEVERITY_BADGES.get(severity, SEVERITY_BADGES["info"]).glyph


def exit_word(exit_code: int | None, signal: int | None) -> str:
    """How something ended: an exit code, "sig 9", or nothing yet."""
    if signal is not None:
        return f"sig {signal}"
    return NONE if exit_code is None else str(exit_code)


def elapsed_s(started_at: float | None, ended_at: float | None, *, now_s: float) -> float | None:
    """How long it ran, or has been running; None where it never started."""
    if started_at is None:
        return None
    return (now_s if ended_at is None else ended_at) - started_at


def ran(started_at: float | None, ended_at: float | None, *, now_s: float) -> str:
    """How long it ran to the second, or has been running in steps an eye can rest on."""
    elapsed = elapsed_s(started_at, ended_at, now_s=now_s)
    return age(elapsed) if ended_at is None else duration(elapsed)


def task_ran(task: Task, *, now_s: float) -> str:
    """Of the attempt that runs or was the last; a task that waits for another one is not running."""
    return NONE if task.state in WAITING_STATES else ran(task.started_at, task.ended_at, now_s=now_s)
