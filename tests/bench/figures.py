"""What a bench hands back: named figures with their units, and the sizes it was run with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True):
    """One measured value. `of_limit`, of a rate of tasks: its ratio to the pidfd limit measured beside it."""

    name: str
    value: float
    unit: str
    note: str = ""
    samples: tuple[float, ...] = ()
    of_limit: float | None = None


class Sizes(Struct, frozen=True, kw_only=True):
    """How much each bench does. `rest_s`: how long a cluster is left alone until it counts as at rest."""

    limit_tasks: int = 3_000
    paired_limit_tasks: int = 1_000
    throughput_tasks: tuple[int, ...] = (1_000, 10_000)
    repeats: int = 3
    latency_tasks: int = 100
    array_tasks: int = 100_000
    distinct_jobs: int = 10
    distinct_tasks_a_job: int = 10_000
    published_jobs: int = 10_000
    rest_s: float = 3.0
    idle_s: float = 30.0
    simulated_nodes: int = 1_000
    ingest_s: float = 20.0
    command_runs: int = 9
    console_rows: int = 50_000
    console_keys: int = 100
    console_s: float = 10.0
    log_bytes: int = 100_000_000
    log_lines_a_second: int = 50_000
    history_tasks: int = 100_000
    history_asks: int = 100
    recoveries: int = 3
    acknowledged: int = 2_000
    round_nodes: int = 5_000
    round_tasks: int = 150_000
    rounds: int = 100
    swf: tuple[str, ...] = ()  # recorded workloads, for the benches that take some
    foresight_jobs: int = 2_000
    foresight_every: int = 5
    copy_bytes: int = 128 * 1024 * 1024
    copied_files: int = 500
    hooked_jobs: int = 200
    typed_keys: int = 200
    forwarded_bytes: int = 200_000_000


FULL = Sizes()
QUICK = Sizes(
    limit_tasks=200,
    paired_limit_tasks=100,
    throughput_tasks=(100,),
    repeats=1,
    latency_tasks=10,
    array_tasks=10_000,
    distinct_jobs=2,
    distinct_tasks_a_job=500,
    published_jobs=200,
    rest_s=0.3,
    idle_s=1.0,
    simulated_nodes=20,
    ingest_s=1.5,
    copy_bytes=8 * 1024 * 1024,
    copied_files=50,
    hooked_jobs=5,
    typed_keys=10,
    forwarded_bytes=4_000_000,
    command_runs=1,
    console_rows=1_000,
    console_keys=5,
    console_s=0.5,
    log_bytes=1_000_000,
    log_lines_a_second=5_000,
    history_tasks=200,
    history_asks=3,
    recoveries=1,
    acknowledged=50,
    round_nodes=50,
    round_tasks=3_000,
    rounds=5,
    foresight_jobs=200,
    foresight_every=20,
)


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was really measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
