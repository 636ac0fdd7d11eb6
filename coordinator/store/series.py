"""Gauges over time, out of the samples or the means kept of minutes and hours; on a connection of its own.

A bucket is `floor((at - since) / step)`. Hours serve steps of whole hours, minutes those of whole minutes, as
far as they are rolled up; what came since then, and finer steps, come out of the samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never
from uuid import UUID

import asyncpg
from asyncpg.protocol import Record
from msgspec import Struct

from bus.node_log import NodeLine
from bus.series import METRICS, Aggregate, Measured, Series, SeriesKind, States
from bus.training import RankUsage
from bus.values import TaskRef
from coordinator.store.connection import LIST_SESSION, Session
from coordinator.store.errors import TooMuchAsked
from sql import queries

STATEMENT_TIMEOUT_S = 4.0
"""Whoever asks waits 5 s."""

MINUTE_S, HOUR_S = 60.0, 3600.0

_SQL = queries("series")
_SESSION = LIST_SESSION | {"statement_timeout": f"{STATEMENT_TIMEOUT_S:.0f}s", "jit": "off"}
_ROLLUPS = {
    SeriesKind.NODE: ("node_usage_hours", "node_usage_minutes"),
    SeriesKind.GPU: ("gpu_usage_hours", "gpu_usage_minutes"),
    SeriesKind.CLUSTER: ("cluster_metrics_hours", "cluster_metrics_minutes"),
}
_TASK_STATES = ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled")
_DIGITS = 6
"""Significant ones of a value: what a chart shows, and half the bytes."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What is asked for, checked: `count` buckets of `step_s` from `since_s` on.

    `things`: their ids in the database, with the names that people know them by; of GPUs the UUIDs that
    their makers gave them, and `owners` are the nodes that have these. Of tasks `owners` are their rows,
    and things are those in text; of a rank with its number behind a colon.
    """

    kind: SeriesKind
    things: Mapping[UUID, str] | Mapping[str, str]
    metrics: tuple[str, ...]
    since_s: float
    step_s: float
    count: int
    aggregate: Aggregate
    owners: tuple[UUID, ...] = ()

    @property
    def until_s(self) -> float:
        return self.since_s + self.count * self.step_s


class Leg(Struct, frozen=True):
    """A stretch of time and the source that serves it; `rolled`: with the least and most of each metric."""

    source: str
    since_s: float
    until_s: float
    rolled: bool


class SeriesStore:
    """The queries; all raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, settings=_SESSION)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def measured(self, wanted: Wanted) -> Measured:
        """Every series that was asked for, in the order asked. Raises TooMuchAsked."""
        rolled: Sequence[Record] = []
        if wanted.kind in _ROLLUPS:
            rolled = await self._session.fetch(_SQL["rolled"])
        legs = legs_of(wanted, {row["table_name"]: row["until_s"] for row in rolled})
        query, arguments = _query(wanted, legs)
        rows = await self._fetch(query, arguments)
        return Measured(
            times=[wanted.since_s + place * wanted.step_s for place in range(wanted.count)],
            step_s=wanted.step_s,
            resolution_s=resolution_of(legs[0]),
            series=_series(wanted, rows),
        )

    async def task_ids(self, refs: Sequence[TaskRef]) -> dict[UUID, TaskRef]:
        """The rows of those tasks that have one: what never ran has none, and no usage."""
        numbers, indices = [ref.job for ref in refs], [ref.index for ref in refs]
        rows = await self._session.fetch(_SQL["task_ids"], numbers, indices)
        return {row["id"]: TaskRef(row["number"], row["index"]) for row in rows}

    async def usage_of_ranks(self, task: UUID, fence: int, *, since_s: float) -> dict[int, RankUsage]:
        """The newest sample of each rank of a try, from `since_s` (Unix epoch) on."""
        rows = await self._session.fetch(_SQL["newest_of_ranks"], task, fence, since_s)
        return {
            row["rank"]: RankUsage(
                at=row["at"],
                cpu_millis=row["cpu_millis"],
                mem_mib=row["mem_mib"],
                gpus=row["gpus"],
                gpu_mem_mib=row["gpu_mem_mib"],
            )
            for row in rows
        }

    async def node_lines(
        self, node: UUID, *, since_s: float, until_s: float, severities: Sequence[str], limit: int
    ) -> list[NodeLine]:
        """The newest `limit` lines of an agent's log from `since_s` until before `until_s`, oldest first."""
        rows = await self._session.fetch(_SQL["node_lines"], node, since_s, until_s, list(severities), limit)
        return [
            NodeLine(at=row["at_s"], severity=row["severity"], text=row["message"]) for row in reversed(rows)
        ]

    async def states(self, since_s: float, *, viewer: str | None) -> States:
        """What became of the jobs that were submitted since."""
        rows = await self._session.fetch(_SQL["states"], since_s, viewer)
        return States(
            since=since_s,
            jobs={row["state"]: int(row["jobs"]) for row in rows},
            tasks={name: sum(int(row[name]) for row in rows) for name in _TASK_STATES},
        )

    async def _fetch(self, query: str, arguments: Sequence[object]) -> Sequence[Record]:
        async with self._session.use() as connection:
            try:
                rows: Sequence[Record] = await connection.fetch(query, *arguments)
                return rows
            except asyncpg.QueryCanceledError as error:
                raise TooMuchAsked(f"it takes longer than {STATEMENT_TIMEOUT_S:.0f} s") from error


def resolution_of(leg: Leg) -> float:
    """Seconds that one row of a leg's source stands for; 0: a sample."""
    if not leg.rolled:
        return 0.0
    return HOUR_S if leg.source.endswith("_hours") else MINUTE_S


def legs_of(wanted: Wanted, rolled: Mapping[str, float]) -> list[Leg]:
    """Which source serves which stretch of time, from old to new."""
    legs: list[Leg] = []
    at_s = wanted.since_s
    for table, width_s in zip(_ROLLUPS.get(wanted.kind, ()), (HOUR_S, MINUTE_S), strict=False):
        end_s = min(wanted.until_s, rolled[table])
        if wanted.step_s % width_s == 0 and wanted.since_s % width_s == 0 and end_s > at_s:
            legs.append(Leg(f"{wanted.kind}_{table.rpartition('_')[2]}", at_s, end_s, rolled=True))
            at_s = end_s
    if at_s < wanted.until_s:
        legs.append(Leg(f"{wanted.kind}_samples", at_s, wanted.until_s, rolled=False))
    return legs


def _columns(wanted: Wanted) -> tuple[str, ...]:
    """Of the sources: one a metric, but the cluster's gauges lie below each other."""
    return ("value",) if wanted.kind is SeriesKind.CLUSTER else wanted.metrics


class _Arguments:
    """Of a query in the making."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def add(self, value: object, kind: str) -> str:
        """The place of one, of a type of PostgreSQL's."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


def _query(wanted: Wanted, legs: Sequence[Leg]) -> tuple[str, list[object]]:
    """The legs one below the other, their rows joined: one a thing and bucket."""
    arguments = _Arguments()
    match wanted.kind:
        case SeriesKind.CLUSTER:
            whose = f"entity = any ({arguments.add(list(wanted.metrics), 'text[]')})"
        case SeriesKind.GPU:
            nodes, gpus = (
                arguments.add(list(wanted.owners), "uuid[]"),
                arguments.add(list(wanted.things), "text[]"),
            )
            whose = f"node_id = any ({nodes}) and entity = any ({gpus})"
        case SeriesKind.TASK:
            tasks, named = (
                arguments.add(list(wanted.owners), "uuid[]"),
                arguments.add(list(wanted.things), "text[]"),
            )
            whose = f"task_id = any ({tasks}) and entity = any ({named})"
        case SeriesKind.NODE:
            whose = f"entity = any ({arguments.add(list(wanted.things), 'uuid[]')})"
        case _:
            assert_never(wanted.kind)
    since = arguments.add(wanted.since_s, "double precision")
    step = arguments.add(wanted.step_s, "double precision")
    bucket = f"floor((extract(epoch from at) - {since}) / {step})::integer"
    rows = "\nunion all\n".join(_leg(wanted, leg, arguments, bucket=bucket, whose=whose) for leg in legs)
    places = range(len(_columns(wanted)))
    values = ", ".join(f'{_joined(wanted.aggregate, f"v{place}", step)} as "m{place}"' for place in places)
    query = (
        f"select entity, bucket, bool_or(anomaly) as anomaly, {values}\n"
        f"from (\n{rows}\n) legs\ngroup by entity, bucket"
    )
    return query, arguments.values


def _leg(wanted: Wanted, leg: Leg, arguments: _Arguments, *, bucket: str, whose: str) -> str:
    suffix = {Aggregate.MAX: "_most", Aggregate.MIN: "_least"}.get(wanted.aggregate, "")
    suffix = suffix if leg.rolled else ""
    values = ", ".join(
        f'"{name}{suffix}"::double precision as v{place}' for place, name in enumerate(_columns(wanted))
    )
    since, until = (arguments.add(at, "double precision") for at in (leg.since_s, leg.until_s))
    source = _SQL[leg.source].rstrip().rstrip(";")
    return (
        f"select entity, {bucket} as bucket, samples, anomaly, {values}\nfrom (\n{source}\n) source\n"
        f"where {whose} and at >= to_timestamp({since}) and at < to_timestamp({until})"
    )


def _joined(aggregate: Aggregate, value: str, step: str) -> str:
    match aggregate:
        case Aggregate.MAX:
            return f"max({value})"
        case Aggregate.MIN:
            return f"min({value})"
        case Aggregate.P95:
            return f"percentile_cont(0.95) within group (order by {value})"
        case Aggregate.RATE:
            return f"sum({value} * samples) / {step}"
        case Aggregate.MEAN:
            return f"sum({value} * samples) / sum(samples) filter (where {value} is not null)"
        case Aggregate.AUTO:
            raise AssertionError("whoever asks says which it is of this metric")
        case _:
            assert_never(aggregate)


def _series(wanted: Wanted, rows: Sequence[Record]) -> list[Series]:
    """Every thing has every metric, also where nothing was measured."""
    of_cluster = wanted.kind is SeriesKind.CLUSTER
    names = [""] if of_cluster else list(wanted.things.values())
    made = {
        (name, metric): Series(
            id=name,
            metric=metric,
            unit=METRICS[wanted.kind][metric].unit,
            aggregate=wanted.aggregate,
            values=[None] * wanted.count,
        )
        for name in names
        for metric in wanted.metrics
    }
    for row in rows:
        bucket = row["bucket"]
        found = (
            [("", row["entity"])]
            if of_cluster
            else [(wanted.things[row["entity"]], metric) for metric in wanted.metrics]
        )
        for place, key in enumerate(found):
            value = row[f"m{place}"]
            if value is not None:
                made[key].values[bucket] = float(f"{value:.{_DIGITS}g}")
            if row["anomaly"]:
                made[key].anomalies.append(bucket)
    for series in made.values():
        series.anomalies.sort()
    return list(made.values())
