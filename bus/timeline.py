"""What ran where and when: `timeline.attempts`, the answer that a Gantt chart is drawn from.

Besides the attempts it tells what else kept nodes from work: what they were told to be, when nobody heard of
them, what room was kept free on them, when nothing waited, and what that which waited asked for.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

from bus.requests import Request
from bus.values import Resources

ATTEMPTS_MAX = 10_000
NODES_MAX = 1_000
SHAPES_MAX = 32
"""Amounts that waiting work asked for, of which each is told with its times; of more, only that they are."""

SPAN_MAX_S = 366 * 86_400.0


class TimelineQuery(Request, kw_only=True):
    """Attempts that touch [`since`, `until`) (seconds of the Unix epoch), oldest first.

    `nodes` names some, `filter` chooses by the conditions of `node.list`, "" and none: all. `job` keeps only
    what is of one job. At most `limit` attempts, 1 to 10,000.
    """

    since: float
    until: float
    nodes: list[str] = field(default_factory=list)
    filter: str = ""
    job: str | None = None
    limit: int = 2000


class PlacedAttempt(Struct, kw_only=True):
    """One attempt. Of somebody else's, whoever may not see it hears when and how much, not what and how.

    From `start` it held its place, from `started_at` it ran; `end` None: it is live.
    """

    node: str
    start: float
    end: float | None = None
    started_at: float | None = None
    resources: Resources
    task: str = ""  # "1042.7"; "" where it is another user's
    job: int | None = None
    name: str = ""  # of the job
    user: str = ""
    fence: int = 0
    state: str = ""  # of the attempt: running, completed, failed, timeout, cancelled, lost, returned …
    waiting: bool = False  # it lies at the node, holds nothing yet, and starts when another one ends
    exit_code: int | None = None
    message: str = ""


class SpanKind(StrEnum):
    """Why a node took no work, or less of it."""

    ABSENT = "absent"  # it had not joined yet
    UNREACHABLE = "unreachable"
    DEGRADED = "degraded"
    CORDONED = "cordoned"
    DRAINING = "draining"
    DRAINED = "drained"
    MAINTENANCE = "maintenance"
    QUARANTINED = "quarantined"
    RESERVED = "reserved"  # room was kept there for a task, and others only ran ahead of it


class NodeSpan(Struct, kw_only=True):
    """`end` None: it is still so. `message` says why, and who said so; of a reservation, for which task."""

    node: str
    kind: SpanKind
    start: float
    end: float | None = None
    message: str = ""


class Stretch(Struct, kw_only=True):
    """A time of the cluster as a whole; None: it goes on."""

    start: float
    end: float | None = None
    message: str = ""


class WaitingShape(Struct, kw_only=True):
    """Times at which at least one task waited that asked for just so much."""

    resources: Resources
    stretches: list[Stretch]


class PlannedStart(Struct, kw_only=True):
    """A reservation that the last round made: `task` starts there at `start` at the latest."""

    node: str
    start: float
    resources: Resources
    task: str = ""  # "" where it is another user's


class Timeline(Struct, kw_only=True):
    """`truncated`: there were more attempts than `limit`: these are the oldest of them.

    `all_shapes` False: more kinds of work waited than `shapes` tells of.
    """

    since: float
    until: float
    attempts: list[PlacedAttempt]
    spans: list[NodeSpan] = []
    shapes: list[WaitingShape] = []  # tasks that could have been placed
    needing: list[Stretch] = []  # tasks that waited for what other tasks leave
    brakes: list[Stretch] = []
    planned: list[PlannedStart] = []
    capacity: dict[str, Resources] = {}  # of the nodes that are there now
    all_shapes: bool = True
    truncated: bool = False
