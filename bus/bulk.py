"""Steering beyond one thing at a time: all that a filter matches; priorities, labels, and the audit of all.

A `revision` names exactly the set that a filter let through: how many, and a digest of who. "All matching"
sends the filter and that number instead of names, so that nothing is steered that nobody had seen.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from bus.requests import Page, Request

VERBS: dict[str, tuple[str, ...]] = {
    "job": ("cancel", "retry", "hold", "release", "pause", "resume", "requeue", "priority"),
    "task": ("cancel", "retry", "requeue"),
    "node": ("cordon", "drain", "maintenance", "undrain", "label"),
}
"""What can be done to all that match. Who may is who may do it to one of them."""

_COUNT_BITS = 22
_DIGEST_BITS = 31


class JobPriority(Request):
    """Move what waits of `job` in the line; 1 to 10, higher first. What is placed keeps its place."""

    job: str
    priority: int


class NodeLabel(Request):
    """Set labels of a node; None takes a label away again.

    They win over what the node's agent says of itself, and stay when it registers again.
    """

    node: str
    labels: dict[str, str | None]


class EventResolve(Request):
    """Say that something noticed is dealt with. `event`: its id, as `event.list` shows it."""

    event: str
    note: str = ""


class AuditList(Page, kw_only=True):
    """Who did what, newest first; `id`: only that one."""

    id: str = ""


class BulkSteer(Request):
    """Do `verb` (see VERBS) to every `noun` that `filter` lets through and the asker may steer.

    `revision`: of the list as it was seen; where it is another set now, nothing is done (E_STALE).
    0: whatever it lets through now. `dry_run`: only say what would be done. `priority`, `labels`, `reason`
    and `deadline_s` are those of the verb.
    """

    noun: Literal["job", "task", "node"]
    verb: str
    filter: str
    revision: int = 0
    priority: int | None = None
    labels: dict[str, str | None] = field(default_factory=dict)
    reason: str = ""
    deadline_s: float | None = None
    dry_run: bool = False


class Undo(Struct, kw_only=True):
    """`verb`, with its `priority` or `labels`, done to `targets` leads back to what they were before."""

    verb: str
    targets: list[str]
    priority: int | None = None
    labels: dict[str, str | None] = {}


class BulkSteered(Struct, kw_only=True):
    """`matched` = `changed` + all of `skipped` + `left`.

    `skipped` says how many stay as they are, by why: "over", "already", or the code of a refusal. `left`:
    not reached in the time of one request; ask again. `running` and `waiting` count the tasks of the changed
    that ran and that waited (of a node: that ran there); `tasks` those that the change is about.
    """

    matched: int
    changed: int
    skipped: dict[str, int] = {}
    left: int = 0
    tasks: int = 0
    running: int = 0
    waiting: int = 0
    revision: int = 0
    dry_run: bool = False
    audit: str = ""
    undo: list[Undo] = []


class Audited(Struct, kw_only=True):
    """Somebody did `action` (an operation) to `object`, or was refused it (`outcome`)."""

    id: str
    at: float
    actor: str
    action: str
    object: str
    outcome: str = "done"
    details: dict[str, Any] = {}


class Audits(Struct, kw_only=True):
    audits: list[Audited]
    next: str = ""


def revision_of(*, total: int, digest: int) -> int:
    """The number of a set of `total` members; `digest` tells sets of one size apart. Never 0."""
    known = min(total, (1 << _COUNT_BITS) - 2) + 1
    return ((digest & ((1 << _DIGEST_BITS) - 1)) << _COUNT_BITS) | known


def total_of(revision: int) -> int:
    """How many the set had that `revision` names."""
    return (revision & ((1 << _COUNT_BITS) - 1)) - 1
