"""Gangs as distributed trainings: how far they are, and each of their ranks: `train.*` of the service."""

from __future__ import annotations

from msgspec import Struct

from bus.operation import Operation
from bus.requests import Request
from bus.results import TaskResult
from bus.values import Role, TaskState


class GangQuery(Request, kw_only=True):
    """The gangs of a job ("1042"), or the one that a task is ("1042.0"), by index."""

    target: str
    limit: int = 100  # 1 to 1,000
    cursor: str = ""  # the `next` of the page before


class GangProgress(Struct, kw_only=True):
    """One gang by its newest try. `nodes` are those that have ranks now, `live` the ranks with a place.

    `progress` (0 to 100), `message` and `metrics`: what rank 0 told last in this try. `step` and `saved_at`:
    of the newest complete checkpoint; `saving`: the step of a sharded one under way, of which `shards` ranks
    have saved their part.
    """

    task: str
    name: str = ""
    state: TaskState
    attempt: int  # tries so far; 0: it never had a place
    ranks: int  # that it needs
    nodes: int
    live: int
    running: int
    completed: int
    progress: float | None = None
    message: str = ""
    metrics: dict[str, float] = {}
    step: int | None = None
    saved_at: float | None = None
    saving: int | None = None
    shards: int = 0


class GangPage(Struct, kw_only=True):
    gangs: list[GangProgress]
    next: str = ""


class RankQuery(Request, kw_only=True):
    """The gang that a task is; a job that has a single task stands for it."""

    task: str


class RankUsage(Struct, kw_only=True):
    """The newest sample of a rank, at most two minutes old when it was asked for or when the gang ended."""

    at: float
    cpu_millis: float
    mem_mib: float
    gpus: float = 0.0
    gpu_mem_mib: float = 0.0


class Rank(Struct, kw_only=True):
    """One rank of the newest try. `state`: of its attempt. `checkpoint`: the name of what it saved last in
    this try, `metrics` what it told with that. `told`: what it told of itself in it, None: nothing."""

    rank: int
    node: str
    state: str
    assigned_at: float
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    checkpoint: str = ""
    metrics: dict[str, float] = {}
    usage: RankUsage | None = None
    told: TaskResult | None = None


class GangRanks(Struct, kw_only=True):
    """`ranks`: all of the newest try, none before the first. `available`: those that nobody has now.

    Where ranks have more than 20,000 metrics together, each has its first ones by name, all equally many.
    """

    gang: GangProgress
    ranks: list[Rank]
    available: list[int]


TRAINING_OPERATIONS: dict[str, Operation] = {
    "train.status": Operation(GangQuery, GangPage, Role.READONLY),
    "train.ranks": Operation(RankQuery, GangRanks, Role.READONLY),
}
