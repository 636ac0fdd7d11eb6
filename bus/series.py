"""Gauges over time: what may be asked of the time-series, and the columns that come back.

One bucket of time is one value: what lies in it is joined by `aggregate`, and a bucket in which nothing was
measured is null, never guessed from its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from bus.operation import Operation
from bus.requests import Request
from bus.values import Role

POINTS_MAX = 2_000
VALUES_MAX = 50_000
"""Of one answer, all series together: it stays one message."""

IDS_MAX = 1_000


class SeriesKind(StrEnum):
    NODE = "node"
    TASK = "task"
    GPU = "gpu"  # each of a node by itself
    CLUSTER = "cluster"


class Aggregate(StrEnum):
    """How the samples of a bucket become one. `AUTO`: the mean of a level, the rate of a count."""

    AUTO = "auto"
    MEAN = "mean"
    MAX = "max"
    MIN = "min"
    P95 = "p95"  # of what is kept at the resolution used: samples, or the means of minutes or hours
    RATE = "rate"  # counts only: so many a second


class Metric(Struct, frozen=True):
    """`counted`: each sample says how many since the one before, not how much there is."""

    unit: str
    counted: bool = False


_LEVELS = {
    "cpu": Metric("millicores"),
    "memory": Metric("MiB"),
    "gpu": Metric("GPUs"),
    "gpu_memory": Metric("MiB"),
    "storage": Metric("MiB"),
    "network": Metric("Mbit/s"),
    "net_rx": Metric("Mbit/s"),
    "net_tx": Metric("Mbit/s"),
    "disk": Metric("Mbit/s"),
    "disk_read": Metric("Mbit/s"),
    "disk_write": Metric("Mbit/s"),
}

METRICS: Mapping[SeriesKind, Mapping[str, Metric]] = {
    SeriesKind.NODE: _LEVELS
    | {"temperature": Metric("°C"), "gpu_temperature": Metric("°C"), "load": Metric("runnable")},
    SeriesKind.TASK: _LEVELS,
    SeriesKind.GPU: {
        "gpu": Metric("%"),
        "gpu_memory": Metric("MiB"),
        "gpu_temperature": Metric("°C"),
        "gpu_power": Metric("W"),
    },
    SeriesKind.CLUSTER: {
        "queue_depth": Metric("tasks"),
        "wait": Metric("s"),  # mean age of what is queued
        "wait_max": Metric("s"),
        "running": Metric("tasks"),
        "nodes_healthy": Metric("nodes"),
        "nodes_degraded": Metric("nodes"),
        "nodes_unreachable": Metric("nodes"),
        "replicated": Metric("blobs"),  # content that should have copies on other nodes
        "under_replicated": Metric("blobs"),  # of it, what lacks some
        "unheld": Metric("blobs"),  # of it, what no node has that is there
        "cpu_held": Metric("%"),
        "memory_held": Metric("%"),
        "gpu_held": Metric("%"),
        "cpu_used": Metric("%"),
        "memory_used": Metric("%"),
        "gpu_used": Metric("%"),
        "submitted": Metric("tasks/s", counted=True),
        "completed": Metric("tasks/s", counted=True),
        "failed": Metric("tasks/s", counted=True),
        "reward": Metric("reward"),  # of tasks that ended; −1: none of them waited
        "reward_mean": Metric("reward"),  # of the newest 1,000
        "td_error": Metric("reward"),  # |r − V|, V that mean: a task is an episode of one step
        "epsilon": Metric("% of placements"),  # that may be explored
        "forecasts_right": Metric("%"),  # of the newest
        "policy_cost": Metric("% of static"),  # of the learned order's slowdown, as the gate saw it last
        "policy_cost_low": Metric("% of static"),  # two standard errors below
        "policy_cost_high": Metric("% of static"),
    },
}


class SeriesQuery(Request):
    """Some metrics of nodes, tasks or the cluster, from `since` until `until` (Unix epoch; None: now).

    `ids`: names of nodes, or tasks ("1042.7"); of GPUs "n1:0", or "n1" for all that n1 has, in the order in
    which its inventory names them. Nodes may be chosen by `filter` instead, also where it is their GPUs that
    are meant. `step_s`: the width of a bucket; None: a round one that makes at most `points` of them.
    """

    kind: SeriesKind
    metrics: list[str]
    since: float
    until: float | None = None
    ids: list[str] = field(default_factory=list)
    filter: str = ""
    step_s: float | None = None
    points: int = 240  # 1 to 2,000
    aggregate: Aggregate = Aggregate.AUTO


class StatesQuery(Request):
    """In which states the jobs are that were submitted in the last `window_s` seconds, and their tasks."""

    window_s: float = 86_400.0  # 1 minute to 30 days


class Series(Struct, kw_only=True):
    """One metric of one thing. `anomalies`: the buckets with samples that cannot be true.

    `lacks`: of what it has none ("GPU"), so that there is nothing to be measured.
    """

    id: str  # a node, a task, a GPU ("n1:0"); "" for the cluster
    metric: str
    unit: str
    aggregate: Aggregate
    values: list[float | None]
    anomalies: list[int] = []
    lacks: str = ""


class Measured(Struct, kw_only=True):
    """Every series has a value for each of `times`, the begin of its bucket.

    `resolution_s`: of what the buckets were made: 60 or 3600 for the means kept of minutes and hours, 0 for
    the samples themselves.
    """

    times: list[float]
    step_s: float
    resolution_s: float
    series: list[Series]


class States(Struct, kw_only=True):
    """How many are in each state."""

    since: float
    jobs: dict[str, int]
    tasks: dict[str, int]


SERIES_OPERATIONS: dict[str, Operation] = {
    "series.query": Operation(SeriesQuery, Measured, Role.READONLY),
    "series.states": Operation(StatesQuery, States, Role.READONLY),
}
