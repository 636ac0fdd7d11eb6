"""Questions about the past: the cluster as it was at a moment, what changed between two, what stands out.

A moment is in seconds of the Unix epoch. Lists of the past take the filters, orders and cursors of those of
now; `age` and `runtime` are counted from the moment.
"""

from __future__ import annotations

from msgspec import Struct

from bus.requests import JobList, NodeList, Request, TaskList, WhyQuery
from bus.values import Stream


class PastCluster(Request):
    """The summary as it was."""

    at: float


class PastJobs(JobList, kw_only=True):
    """The jobs that there were."""

    at: float


class PastTasks(TaskList, kw_only=True):
    """Tasks as they were: of a job, where each element of an array has a row, or of all jobs, as TaskList."""

    at: float


class PastNodes(NodeList, kw_only=True):
    """The nodes that there were, with what they held and used."""

    at: float


class PastScheduler(Request):
    """Who ordered the tasks, with the newest snapshots by then: to page back is to ask of earlier."""

    at: float


class PastWhy(WhyQuery, kw_only=True):
    """Why a task was where it was, or was not placed yet."""

    at: float


class PastOutput(Request):
    """How far a stream of a task's output had come; `attempt` 0 means the newest of then."""

    task: str
    at: float
    stream: Stream = Stream.STDOUT
    attempt: int = 0


class PastUsers(Request):
    """Who there was, what their work held, and what they had used by then."""

    at: float


class OutputThen(Struct, kw_only=True):
    """The first `size` bytes of the stream had been seen to be there; attempt 0: none had begun.

    `dated` False: nobody noted when any of it came, so that `size` says only whether the attempt was over.
    """

    task: str
    attempt: int
    node: str
    stream: Stream
    size: int
    dated: bool = True


class PastChanges(Request):
    """What became different from `since` to `until` (None: now).

    Jobs come in pages, newest first: `before` is the `next` of the page before. Nodes and what happened are
    told with the first.
    """

    since: float
    until: float | None = None
    before: int = 0


class PastSpike(Request):
    """What stands out from `since` to `until` against the time before, six times as long."""

    since: float
    until: float


class Moved(Struct, kw_only=True):
    """A thing that is in another state than before. `before` "": it was not there yet."""

    noun: str  # job, node
    name: str
    before: str
    after: str
    about: str = ""


class Changes(Struct, kw_only=True):
    """Between two moments. `happened`: how many events of each kind.

    `next`: jobs of lower numbers are yet to be looked at; 0: none is. `exact` False: likewise.
    """

    since: float
    until: float
    jobs: list[Moved] = []
    nodes: list[Moved] = []
    happened: dict[str, int] = {}
    exact: bool = True
    next: int = 0


class Standout(Struct, kw_only=True):
    """One thing that was otherwise than before: so many, or so much, where `expected` would have been usual.

    `score`: by how many deviations. `at`: when it first happened, where it is something that happens.
    """

    kind: str  # event, job, node
    name: str
    about: str
    value: float
    expected: float
    score: float
    unit: str = ""
    at: float | None = None


class Spike(Struct, kw_only=True):
    """What stood out, the most first."""

    since: float
    until: float
    standouts: list[Standout] = []
