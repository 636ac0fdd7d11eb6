"""What tasks tell while they run: how far they are, their metrics, and what they leave. Pure.

A task appends lines of JSON to the file that CORRAL_RESULT names; its agent reads them and sends them on.
The place in that file is the number of what was told: the coordinator takes what follows the place that it
has, and answers with the place that it has then. So each line counts once, whatever is repeated, lost or
restarted.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from bus.requests import Request
from bus.values import AttemptRef

POINTS_MAX = 1000
"""Values of metrics in what is told of one attempt at once."""

CHILDREN_AT_ONCE_MAX = 100
"""Jobs in what is told of one attempt at once."""

METRIC_NAMES_MAX = 100
"""Different metrics of one task."""

TEXT_MAX = 200

LOGGED_AT_ONCE_MAX = 500
"""Lines for the log in what is told of one attempt at once."""

LOGGED_TEXT_MAX = 2_000
"""Characters of such a line."""

LOGGED_MAX = 1_000
"""Lines that one answer has."""

Severity = Literal["info", "warning", "error"]


class Point(Struct, frozen=True, array_like=True):
    """A value of a metric. `at` by the agent's clock; `step` is the task's own count (None: it has none)."""

    name: str
    value: float
    at: float
    step: int | None = None


class Child(Struct, frozen=True, array_like=True):
    """A job, as JSON, that a task submits; `place`: where its line ends in the file."""

    place: int
    job: bytes


class Line(Struct, frozen=True, array_like=True):
    """What a task logged; `at` by the agent's clock."""

    severity: Severity
    text: str
    at: float


class Told(Struct, kw_only=True):
    """What one attempt told between two places of its file (bytes). None: nothing about that.

    `progress` is a percentage. `faults` counts lines that could not be used, `fault` says why the first one.
    """

    attempt: AttemptRef
    start: int
    end: int
    progress: float | None = None
    message: str | None = None
    points: tuple[Point, ...] = ()
    faults: int = 0
    fault: str = ""
    children: tuple[Child, ...] = ()
    lines: tuple[Line, ...] = ()


class Progress(Struct, kw_only=True, tag="progress"):
    """What the attempts of a node told lately, each at most once."""

    node: str
    told: tuple[Told, ...]


class Place(Struct, frozen=True, array_like=True):
    """Up to where an attempt was heard; -1: it is stale, and nothing it says is heard any more."""

    attempt: AttemptRef
    end: int


class ProgressReply(Struct, kw_only=True, tag="progress_ok"):
    """Sent after the commit."""

    places: tuple[Place, ...]


class TaskResult(Struct, kw_only=True):
    """How far a task is, or a rank of a gang: by the attempt that counts. A gang is as far as its rank 0.

    `metrics` has the newest value of each; `step`: that the newest with one belongs to.
    """

    fence: int
    progress: float | None = None
    step: int | None = None
    message: str = ""
    metrics: dict[str, float] = {}
    faults: int = 0  # lines that could not be used …
    fault: str = ""  # … and why the first of them
    at: float = 0.0


class MetricsQuery(Request, kw_only=True):
    """Values of a task's own metrics over time: of `names`, or of all; the newest `points` of each.

    `task` may be a rank of a gang: 1042.0:3. Of the gang itself, its rank 0 is meant.
    """

    task: str
    names: list[str] = field(default_factory=list)
    points: int = 500  # 1 to 5,000


class MetricSeries(Struct, kw_only=True):
    """One metric of a task, oldest first. `steps` are the task's own counts, null where it told none."""

    name: str
    times: list[float]
    values: list[float]
    steps: list[int | None]


class TaskMetrics(Struct, kw_only=True):
    task: str  # with its rank, where another than 0 was asked for
    series: list[MetricSeries]


class LoggedQuery(Request, kw_only=True):
    """The newest `limit` lines of a job's tasks, or of one task, rank or attempt: 1042, 1042.7, 1042.7:3,
    1042.7#2. Of a gang without a rank, those of all its ranks.

    `since` and `until` are seconds of the Unix epoch. `severity`: the least that is asked for.
    """

    target: str
    since: float | None = None
    until: float | None = None
    severity: Severity = "info"
    limit: int = 100


class LoggedLine(Struct, kw_only=True):
    """`at`: seconds of the Unix epoch. `fence`: the attempt; `node`: where it was, which may be gone."""

    at: float
    severity: str
    text: str
    index: int
    fence: int
    node: str
    rank: int = 0  # of a gang


class Logged(Struct, kw_only=True):
    """Oldest first. `more`: there are older ones in that time."""

    job: int
    lines: list[LoggedLine]
    more: bool = False
