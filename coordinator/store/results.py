"""What tasks tell, in the database: each line once, of the attempt that counts only."""

from __future__ import annotations

from itertools import groupby

import msgspec
from asyncpg.protocol import Record
from msgspec import Struct

from bus.children import TEXT_MAX, ChildEnd
from bus.results import LoggedLine, MetricSeries, Told
from bus.values import AttemptRef, JobState, NodeName, TaskRef, TaskState, UserName
from coordinator.core.children import LINE_KEY
from coordinator.store.connection import RETRYABLE, Session
from coordinator.store.errors import StoreUnavailable
from coordinator.store.json_text import clean
from coordinator.store.shown import logged_lines
from sql import queries

_SQL, _CHILDREN = queries("results"), queries("children")
_REFUSED_MAX = 1_000


class Heard(Struct, frozen=True):
    """`place`: up to where the attempt is heard now, -1 where it does not count.

    `owner` and `state` where what was told is new; `first_fault`: it has a line that could not be used, and
    had none before.
    """

    place: int
    owner: str | None
    state: TaskState | None
    first_fault: bool


class WantedLines(Struct, frozen=True):
    """As `logged` of the queries takes it: `viewer`, `index` and `rank` None and `fence` 0 for all."""

    viewer: str | None
    job: int
    index: int | None
    since_s: float
    until_s: float
    severities: tuple[str, ...]
    fence: int
    limit: int
    rank: int | None = None


class ResultStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._writes, self._reads = Session(dsn), Session(dsn)

    async def hear(self, node: NodeName, told: tuple[Told, ...]) -> list[Heard]:
        """Keep all of it in one transaction."""
        # By task: whoever else counts lines of several tasks locks them in the same order.
        order = sorted(range(len(told)), key=lambda place: _in_order(told[place]))
        arguments = [(node, *_arguments(told[place])) for place in order]
        try:
            async with self._writes.use() as connection, connection.transaction():
                rows = await connection.fetchmany(_SQL["hear"], arguments)
        except RETRYABLE as fault:  # the agent says it again in a second
            raise StoreUnavailable(str(fault)) from fault
        found = dict(zip(order, map(_heard, rows), strict=True))
        return [found[place] for place in range(len(told))]

    async def speaker(self, node: NodeName, attempt: AttemptRef) -> UserName | None:
        """Whose task it is; None where the attempt is not the one that counts, at that node."""
        row = await self._reads.fetchrow(_SQL["speaker"], node, *attempt)
        return None if row is None else UserName(row["owner"])

    async def refuse(self, attempt: AttemptRef, place: int, reason: str) -> None:
        """Keep that the job of a line was refused, once."""
        try:
            async with self._writes.use() as connection:
                await connection.execute(
                    _CHILDREN["refuse"],
                    attempt.job,
                    attempt.index,
                    attempt.fence,
                    place,
                    clean(reason),
                    _REFUSED_MAX,
                )
        except RETRYABLE as fault:
            raise StoreUnavailable(str(fault)) from fault

    async def children(self, attempt: AttemptRef, *, limit: int) -> list[ChildEnd]:
        """What became of the jobs that it submitted, `limit` at most; what did not complete first."""
        keys = f"{LINE_KEY}{attempt.task}."
        rows = await self._reads.fetch(
            _CHILDREN["of_attempt"], attempt.job, attempt.index, attempt.fence, keys, limit
        )
        return [
            ChildEnd(
                job=row["number"],
                name=row["name"][:TEXT_MAX],
                key=row["key"],
                state=row["state"] and JobState(row["state"]),
                tasks=row["total"],
                completed=row["completed"],
                failed=row["failed"],
                cancelled=row["cancelled"],
                exit_code=row["exit_code"],
                reason=row["reason"][:TEXT_MAX],
            )
            for row in rows
        ]

    async def metrics(
        self, task: TaskRef, *, viewer: str | None, names: list[str] | None, points: int
    ) -> list[MetricSeries]:
        """The newest values of the metrics of a task, or of a rank of it, by name."""
        rows = await self._reads.fetch(
            _SQL["metrics"], viewer, task.job, task.whole.index, points, names, task.rank
        )
        series = []
        for name, of_name in groupby(rows, key=lambda row: row["name"]):
            values = list(of_name)
            series.append(
                MetricSeries(
                    name=name,
                    times=[row["at"].timestamp() for row in values],
                    values=[row["value"] for row in values],
                    steps=[row["step"] for row in values],
                )
            )
        return series

    async def logged(self, wanted: WantedLines) -> list[LoggedLine]:
        """The newest of them, oldest first; of jobs and nodes that are gone too."""
        rows = await self._reads.fetch(_SQL["logged"], *msgspec.structs.astuple(wanted))
        return logged_lines(rows)

    async def close(self) -> None:
        """Twice is fine."""
        await self._writes.close()
        await self._reads.close()


def _in_order(told: Told) -> tuple[TaskRef, int]:
    return told.attempt.task.whole, told.attempt.rank


def _heard(row: Record) -> Heard:
    state = row["state"]
    return Heard(row["place"], row["owner"], state and TaskState(state), row["first_fault"])


def _arguments(told: Told) -> tuple[object, ...]:
    attempt, points = told.attempt, told.points
    return (
        attempt.job, attempt.task.whole.index, attempt.rank, attempt.fence, told.start, told.end,
        told.progress, None if told.message is None else clean(told.message), told.faults, clean(told.fault),
        [point.name for point in points], [point.value for point in points],
        [point.step for point in points], [point.at for point in points],
        [line.severity for line in told.lines], [clean(line.text) for line in told.lines],
        [line.at for line in told.lines],
    )  # fmt: skip
