"""Questions about the past: the cluster as it was at a moment, what changed between two, what stands out.

A moment is in seconds of the Unix epoch. Lists of the past take the filters, orders and cursors of those of
now; `age` and `runtime` are counted from the moment.
"""

from __future__ import annotations

from msgspec import Struct

from bus.requests import JobList, NodeList, Request, TaskList


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


class PastChanges(Request):
    """What became different from `since` to `until` (None: now)."""

    since: float
    until: float | None = None


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
    """Between two moments. `happened`: how many events of each kind; `exact` False: more jobs moved."""

    since: float
    until: float
    jobs: list[Moved] = []
    nodes: list[Moved] = []
    happened: dict[str, int] = {}
    exact: bool = True


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
