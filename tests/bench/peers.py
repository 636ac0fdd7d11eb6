"""What other systems reach, and our goals, to be printed beside a figure of the same kind.

Measured elsewhere, once: a quiet 2-core, 24 GB Linux machine, two task slots, medians of three. Rates travel
between machines only as ratios to the pidfd limit measured beside them; so do the goals for rates. Times
and processor shares are that machine's; memory is comparable as it stands.
"""

from __future__ import annotations

from msgspec import Struct

SOURCE = "measured elsewhere (2 cores, 2 slots); compare ratios to the limit, not rates"

LIMIT_THERE_PER_S = 3883.0
"""The pidfd limit on the peers' machine."""


class Published(Struct, frozen=True, kw_only=True):
    """One figure of one system."""

    peer: str
    value: float
    unit: str

    @property
    def of_limit(self) -> float | None:
        """Of a rate of tasks: its ratio to the limit of the same machine."""
        return self.value / LIMIT_THERE_PER_S if self.unit == "tasks/s" else None


class Comparison(Struct, frozen=True, kw_only=True):
    """What stands beside all figures whose name starts with `figures`."""

    figures: str
    published: tuple[Published, ...]
    goal: str


def _rates(**per_s: float) -> tuple[Published, ...]:
    return tuple(Published(peer=peer, value=value, unit="tasks/s") for peer, value in per_s.items())


def _values(unit: str, **values: float) -> tuple[Published, ...]:
    return tuple(Published(peer=peer, value=value, unit=unit) for peer, value in values.items())


COMPARISONS = (
    Comparison(
        figures="throughput.",
        published=_rates(Ray=1184, Parsl=736, Celery=617, HyperQueue=615, Dask=572, procrastinate=444),
        goal="≥ 0.305 × limit (1.0 × Ray); stretch 0.45",
    ),
    Comparison(
        figures="latency.idle.p50",
        published=_values("ms", Ray=3.1, Parsl=3.7, Celery=3.7, procrastinate=7.0, Dask=11.4),
        goal="≤ 1.6 × Ray",
    ),
    Comparison(
        figures="latency.idle.p99",
        published=_values("ms", Ray=3.9, Celery=4.8, Parsl=5.1, procrastinate=10.0, Dask=12.8),
        goal="≤ 2 × own p50",
    ),
    Comparison(
        figures="backlog.array.memory_a_task",
        published=_values("B", HyperQueue=1100, Celery=1000, procrastinate=200, Dask=2700, Ray=5600),
        goal="≤ 110 B",
    ),
    Comparison(
        figures="backlog.distinct.memory_a_task",
        published=_values("B", HyperQueue=1100, Celery=1000, procrastinate=200, Dask=2700, Ray=5600),
        goal="≤ 550 B (0.5 × HyperQueue)",
    ),
    Comparison(
        figures="backlog.array.accept",
        published=_values("ms", Slurm=12),
        goal="≤ 60 ms; stretch 25",
    ),
    Comparison(
        figures="backlog.distinct.accept",
        published=_values("ms", HyperQueue=960, procrastinate=6900, Ray=7000, Dask=9200, Celery=58600),
        goal="≤ 0.3 × procrastinate; stretch 0.5 × HyperQueue",
    ),
    Comparison(
        figures="idle.coordinator_and_agent",
        published=_values(
            "%", HyperQueue=0.14, Slurm=0.2, procrastinate=0.27, Celery=0.33, Ray=3.1, Dask=4.0
        ),
        goal="≤ 0.25 × Ray; stretch 3 × HyperQueue",
    ),
    Comparison(figures="recovery.standby", published=(), goal="≤ 5 s"),
    Comparison(figures="recovery.restarted", published=(), goal="≤ 10 s"),
    Comparison(figures="recovery.bus", published=(), goal="≤ 5 s after it is up"),
    Comparison(figures="recovery.database", published=(), goal="≤ 5 s after it is up"),
    Comparison(figures="ack.200", published=(), goal="≤ 50 ms"),
    Comparison(figures="running.idle", published=(), goal="≤ 500 ms; stretch 100"),
    Comparison(figures="footprint.start", published=(), goal="≤ 10 s"),
    Comparison(figures="footprint.help", published=(), goal="≤ 150 ms"),
    Comparison(figures="footprint.jobs", published=(), goal="≤ 300 ms"),
)


def beside(figure: str) -> Comparison | None:
    """What to print beside the figure of that name."""
    return next((each for each in COMPARISONS if figure.startswith(each.figures)), None)
