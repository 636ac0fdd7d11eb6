"""The live feed on `corral.feed.>`: what changed, after each commit."""

from __future__ import annotations

from msgspec import Struct

from bus.values import JobState, NodeAdmin, NodeHealth, TaskState


class TaskCounts(Struct, kw_only=True):
    """How many tasks of a job are in each state (retrying and reassigned count as queued)."""

    total: int = 0
    pending: int = 0
    queued: int = 0
    assigned: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0  # timeouts included
    cancelled: int = 0


class JobChanged(Struct, kw_only=True):
    """On `corral.feed.<user>.job.<number>`, after every commit that changed the job."""

    number: int
    state: JobState
    counts: TaskCounts
    exit_code: int | None = None
    at: float
    held: bool = False


class TaskChanged(Struct, kw_only=True):
    """On `corral.feed.<user>.task.<job>-<index>`. `progress`: what the task told just now, in per cent."""

    job: int
    index: int
    state: TaskState
    node: str | None
    fence: int
    exit_code: int | None = None
    at: float
    progress: float | None = None


class NodeChanged(Struct, kw_only=True):
    """On `corral.feed._.node.<node>`; `_` is everybody's."""

    node: str
    health: NodeHealth
    admin: NodeAdmin
    at: float


Change = JobChanged | TaskChanged | NodeChanged
