"""Each state as a glyph, a twin in ASCII, and a colour name: never colour alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from bus.supervision import ProcessHealth
from bus.values import JobState, NodeAdmin, NodeHealth, TaskState

if TYPE_CHECKING:
    from bus.api import Job


class Badge(Struct, frozen=True):
    """`tone`: ok, busy, wait, warn, bad or idle; the theme gives each its colour."""

    glyph: str
    ascii: str
    tone: str


TASK_BADGES: dict[TaskState, Badge] = {
    TaskState.PENDING: Badge("◌", ".", "idle"),
    TaskState.QUEUED: Badge("○", "o", "wait"),
    TaskState.ASSIGNED: Badge("◔", "a", "wait"),
    TaskState.RUNNING: Badge("▶", ">", "busy"),
    TaskState.COMPLETED: Badge("✔", "+", "ok"),
    TaskState.FAILED: Badge("✖", "x", "bad"),
    TaskState.TIMEOUT: Badge("◷", "t", "bad"),
    TaskState.CANCELLED: Badge("⊘", "-", "idle"),
    TaskState.RETRYING: Badge("↻", "r", "warn"),
    TaskState.REASSIGNED: Badge("⇄", "m", "warn"),
}

JOB_BADGES: dict[JobState, Badge] = {
    JobState.PENDING: Badge("○", "o", "wait"),
    JobState.SCHEDULED: Badge("◔", "a", "wait"),
    JobState.RUNNING: Badge("▶", ">", "busy"),
    JobState.PAUSED: Badge("‖", "p", "warn"),
    JobState.COMPLETED: Badge("✔", "+", "ok"),
    JobState.FAILED: Badge("✖", "x", "bad"),
    JobState.CANCELLED: Badge("⊘", "-", "idle"),
}

NODE_BADGES: dict[NodeHealth, Badge] = {
    NodeHealth.HEALTHY: Badge("●", "+", "ok"),
    NodeHealth.DEGRADED: Badge("◐", "!", "warn"),
    NodeHealth.UNREACHABLE: Badge("✖", "x", "bad"),
}

PROCESS_BADGES: dict[ProcessHealth, Badge] = {
    ProcessHealth.WAITING: Badge("◌", ".", "idle"),
    ProcessHealth.STARTING: Badge("○", "o", "wait"),
    ProcessHealth.HEALTHY: Badge("✔", "+", "ok"),
    ProcessHealth.UNHEALTHY: Badge("◐", "!", "warn"),
    ProcessHealth.BACKOFF: Badge("↻", "r", "bad"),
    ProcessHealth.STOPPED: Badge("⊘", "-", "idle"),
}

SEVERITY_BADGES: dict[str, Badge] = {
    "debug": Badge("·", ".", "idle"),
    "info": Badge("•", "i", "plain"),
    "warning": Badge("▲", "!", "warn"),
    "error": Badge("✖", "x", "bad"),
    "critical": Badge("✖", "X", "bad"),
}


HELD = JOB_BADGES[JobState.PAUSED]


def job_badge(job: Job) -> Badge:
    """Of its state; a held one that is not over looks like a paused one: its own word says which it is."""
    return HELD if job.held and not job.state.is_terminal else JOB_BADGES[job.state]


def node_tone(health: NodeHealth, admin: NodeAdmin) -> str:
    """Of a node: its health's, but a steered one that is well is a warning."""
    tone = NODE_BADGES[health].tone
    return tone if admin is NodeAdmin.ACTIVE or tone != "ok" else "warn"


def node_word(health: NodeHealth, admin: NodeAdmin) -> str:
    """Health and, where somebody steers the node, how: "healthy", "healthy, draining"."""
    return str(health) if admin is NodeAdmin.ACTIVE else f"{health}, {admin}"
