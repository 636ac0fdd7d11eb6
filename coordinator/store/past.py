"""The cluster as it was at a moment, out of rows and of the changes that are kept of them.

On a connection of its own, whose statements may take PATIENCE_S: what was live at a moment is looked at task
by task, and of a very busy time that may be more than anybody waits for.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from asyncpg.protocol import Record
from msgspec import Struct

from bus import api
from bus.fields import TASK_FIELDS
from bus.filter import Condition, Order
from bus.values import JobState, NodeAdmin, NodeHealth, Resources, Usage
from coordinator.store.composites import of_ledger
from coordinator.store.conditions import Statement, order_by
from coordinator.store.connection import LIST_SESSION, Session
from coordinator.store.errors import StoreError
from coordinator.store.learned import Kept, kept_of
from coordinator.store.listing import Listing
from coordinator.store.lists import Lists, sort_key
from coordinator.store.shown import instant_s, shown_job, shown_task
from coordinator.store.task_lists import TaskLists
from sql import queries

_SQL = queries("past")

PATIENCE_S = 4.0
"""Clients wait five seconds for an answer."""

USAGE_S = 90.0
"""A sample of a node's use older than this says nothing of the moment any more."""

MOVED_MAX, MOVED_TASKS = 1_000, 5_000
"""Jobs of a page of changes, and the tasks they have: of one job there may be more."""

_AMOUNTS = ("cpu", "memory", "gpus", "storage", "net")
BUSY_JOBS = 20
_NEWEST = Order("number", descending=True)
OVER = tuple(str(state) for state in JobState if state.is_terminal)


class TooMuch(StoreError):
    """More happened around that moment than is looked through in PATIENCE_S."""


class NodeThen(Struct, frozen=True):
    """A node at a moment. `heard_s`: when its newest sample of use was taken; None: none is near."""

    name: str
    health: NodeHealth
    admin: NodeAdmin
    reason: str
    running: int = 0
    waiting: int = 0
    allocated: Resources = Resources()
    usage: Usage | None = None
    load: float = 0.0
    heard_s: float | None = None


class JobThen(Struct, frozen=True):
    """A job at a moment, in a few words."""

    number: int
    name: str
    user: str
    state: str


class Load(Struct, frozen=True):
    """What a node used on average, before that, and the deviation of the samples then."""

    node: str
    resource: str  # cpu, memory, gpus, net
    value: float
    before: float
    deviation: float


class Busy(Struct, frozen=True):
    """A job, how many times its tasks changed, and how often in the time before."""

    number: int
    name: str
    user: str
    times: int
    before: int
    first_s: float


class PatientSession(Session):
    """Whose statements are ended after PATIENCE_S, which is no fault of the database."""

    def __init__(self, dsn: str) -> None:
        settings = LIST_SESSION | {"statement_timeout": f"{PATIENCE_S * 1000:.0f}", "jit": "off"}
        super().__init__(dsn, settings=settings)

    async def fetch(self, query: str, *arguments: object) -> Sequence[Record]:
        """Raises TooMuch, and what a session raises."""
        async with self.use() as connection:
            try:
                rows: Sequence[Record] = await connection.fetch(query, *arguments)
            except asyncpg.QueryCanceledError as fault:
                raise TooMuch(f"more than {PATIENCE_S:.0f} s") from fault
            return rows


class PastTasks(TaskLists):
    """The tasks of all jobs, as `TaskLists` pages them."""

    SOURCES = _SQL


class Past(Lists):
    """Jobs, as `Lists` pages them, tasks, nodes and sums; all raise TooMuch and StoreUnavailable.

    Measured with 100,000 tasks of 1,000 arrays, of which half had run by then, on two busy cores: a page of
    all tasks 60 ms, of those in a state or in another order 0.5 s, of jobs 0.5 s, all nodes 70 ms.
    """

    SOURCES = _SQL

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, session=PatientSession(dsn))
        self._every_task = PastTasks(dsn, session=self._session)

    async def every_task(self, listing: Listing, *, viewer: str | None) -> api.Tasks:
        """A page of the tasks of all jobs that `viewer` may see; None sees everybody's."""
        return await self._every_task.page(listing, viewer=viewer)

    async def tasks_then(self, job: int, listing: Listing) -> api.Tasks:
        """A page of the tasks of `job`, which the asker may see, each with a row of its own."""
        counted = listing.after.counted if listing.after else None
        if counted is None:
            counted = await self._count(self._tasks(job, listing), "index")
        statement = self._tasks(job, listing)
        statement.require_after(listing.after, listing.order, TASK_FIELDS, tie="index")
        order = order_by(listing.order, TASK_FIELDS, tie="index")
        rows = await self._fetch(statement, order=order, limit=listing.limit + 1)
        page = rows[: listing.limit]
        following = ""
        if len(rows) > len(page):
            following = listing.cursor(sort_key(page[-1], listing.order.field), page[-1]["index"], counted)
        return api.Tasks(
            tasks=[shown_task(row, job) for row in page], next=following, total=counted.total,
            states=counted.states, exact=counted.exact,
        )  # fmt: skip

    async def task_then(
        self, job: int, at_s: float, *conditions: Condition, newest: bool = False
    ) -> api.Task | None:
        """The first task of `job` that fulfils these, or the one that started last; None: there was none."""
        order = Order("started", descending=True) if newest else Order("index")
        listing = Listing(scope="", conditions=conditions, order=order, limit=1, now_s=at_s, after=None)
        ordered = order_by(order, TASK_FIELDS, tie="index")
        rows = await self._fetch(self._tasks(job, listing), order=ordered, limit=1)
        return shown_task(rows[0], job) if rows else None

    async def states_then(self, job: int, at_s: float, *conditions: Condition) -> dict[str, int]:
        """How many tasks of `job` that fulfil these were in each state."""
        listing = Listing(scope="", conditions=conditions, order=_NEWEST, limit=1, now_s=at_s, after=None)
        statement = self._tasks(job, listing)
        text = statement.text('"state", count(*) as tasks', group='"state"')
        rows = await self._session.fetch(text, *statement.arguments)
        return {row["state"]: int(row["tasks"]) for row in rows}

    async def job_then(self, number: int, at_s: float) -> api.Job | None:
        """A job of anybody's; None: it was not there yet."""
        statement = Statement(_SQL["jobs"], at_s)
        statement.require(f'"number" = {statement.argument(number, "bigint")}')
        rows = await self._fetch(statement, order='"number"', limit=1)
        return shown_job(rows[0]) if rows else None

    async def queued_before(
        self, at_s: float, place: int, submitted_s: float, job: int, *, ageing_s: float
    ) -> int:
        """How many queued tasks of other jobs were of an earlier class than `place`, or as early and older.

        A class is `scheduler.order.aged`: age in steps of `ageing_s`, less the priority.
        """
        statement = Statement(_SQL["jobs"], at_s)
        statement.require("""not "held" and "state" <> 'paused' and "queued" > 0""")
        statement.require(f'"number" <> {statement.argument(job, "bigint")}')
        step = statement.argument(ageing_s, "float8")
        own, since = statement.argument(place, "float8"), statement.argument(submitted_s, "float8")
        submitted = 'extract(epoch from "submitted")::float8'
        statement.require(f'(floor({submitted} / {step}) - "priority", {submitted}) < ({own}, {since})')
        text = statement.text('coalesce(sum("queued"), 0)::bigint as tasks')
        (row,) = await self._session.fetch(text, *statement.arguments)
        return int(row["tasks"])

    async def nodes_then(self, at_s: float) -> list[NodeThen]:
        """Every node that there was, by name."""
        held = {row["name"]: row for row in await self._session.fetch(_SQL["held"], at_s)}
        used = {row["name"]: row for row in await self._session.fetch(_SQL["usage"], at_s, USAGE_S)}
        rows = await self._session.fetch(_SQL["nodes"], at_s)
        return [_node(row, held.get(row["name"]), used.get(row["name"])) for row in rows]

    async def live_then(self, at_s: float) -> tuple[dict[str, int], dict[str, int]]:
        """Of the jobs that were not over: how many were in each state, and their tasks in each."""
        names = ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled")
        statement = Statement(_SQL["jobs"], at_s)
        statement.require(f'"state" <> all ({statement.argument(list(OVER), "text[]")})')
        sums = ", ".join(f'sum("{name}")::bigint as "{name}"' for name in names)
        text = statement.text(f'"state", count(*) as jobs, {sums}', group='"state"')
        rows = await self._session.fetch(text, *statement.arguments)
        jobs = {row["state"]: int(row["jobs"]) for row in rows}
        return jobs, {name: sum(int(row[name]) for row in rows) for name in names if rows}

    async def live_by_user(self, at_s: float, over: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        """Of whom has jobs in no state of `over`: how many, and how many of their tasks ran and waited."""
        statement = Statement(_SQL["jobs"], at_s)
        statement.require(f'"state" <> all ({statement.argument(list(over), "text[]")})')
        sums = 'count(*) as jobs, sum("running")::bigint as running, sum("queued")::bigint as queued'
        rows = await self.fetch(statement.text(f'"user", {sums}', group='"user"'), *statement.arguments)
        return {row["user"]: (int(row["jobs"]), int(row["running"]), int(row["queued"])) for row in rows}

    async def fetch(self, query: str, *arguments: object) -> Sequence[Record]:
        """What other modules ask of the past on its connection."""
        return await self._session.fetch(query, *arguments)

    async def snapshots(self, at_s: float, limit: int) -> list[Kept]:
        """Of what was learned by then, the newest first."""
        return [kept_of(row) for row in await self._session.fetch(_SQL["snapshots"], at_s, limit)]

    async def changed_jobs(
        self, since_s: float, until_s: float, *, before: int, viewer: str | None
    ) -> tuple[list[int], int]:
        """A page of the jobs that changed since, newest first, and where the next one begins; 0: nowhere."""
        rows = await self._session.fetch(
            _SQL["changed_jobs"], since_s, until_s, before, await self._owner(viewer), MOVED_TASKS, MOVED_MAX
        )
        numbers = [int(row["number"]) for row in rows]
        return numbers, numbers[-1] if rows and rows[-1]["more"] else 0

    async def jobs_then(self, numbers: Sequence[int], at_s: float) -> list[JobThen]:
        """Those of these that there were, newest first."""
        statement = Statement(_SQL["jobs"], at_s)
        statement.require(f'"number" = any ({statement.argument(list(numbers), "bigint[]")})')
        rows = await self._fetch(statement, order='"number" desc', limit=MOVED_MAX)
        return [JobThen(row["number"], row["name"], row["user"], row["state"]) for row in rows]

    async def happened(
        self, since_s: float, until_s: float, *, viewer: str | None
    ) -> dict[str, tuple[int, float]]:
        """How many events of each kind there were, and when the first was."""
        rows = await self._session.fetch(_SQL["happened"], since_s, until_s, await self._owner(viewer))
        return {row["kind"]: (int(row["times"]), instant_s(row["first"]) or since_s) for row in rows}

    async def busy_jobs(
        self, since_s: float, until_s: float, *, before_s: float, viewer: str | None
    ) -> list[Busy]:
        """Whose tasks changed most; what they did in the time from `before_s` on is the measure."""
        owner = await self._owner(viewer)
        rows = await self._session.fetch(_SQL["busy_jobs"], since_s, until_s, before_s, owner, BUSY_JOBS)
        return [
            Busy(row["number"], row["name"], row["user"], row["times"], row["before"],
                 instant_s(row["first"]) or since_s)
            for row in rows
        ]  # fmt: skip

    async def loads(self, since_s: float, until_s: float, *, before_s: float) -> list[Load]:
        """Of every node and resource of which there are samples in both times."""
        rows = await self._session.fetch(_SQL["loads"], since_s, until_s, before_s)
        return [
            Load(row["name"], name, row[name], row[f"{name}_before"], row[f"{name}_deviation"] or 0.0)
            for row in rows
            for name in ("cpu", "memory", "gpus", "net")
            if row["name"] is not None and row[name] is not None and row[f"{name}_before"] is not None
        ]

    async def _owner(self, viewer: str | None) -> UUID | None:
        if viewer is None:
            return None
        row = await self._session.fetchrow(queries("lists")["owner"], viewer)
        return row["id"] if row is not None else UUID(int=0)

    @staticmethod
    def _tasks(job: int, listing: Listing) -> Statement:
        statement = Statement(_SQL["tasks"], listing.now_s, job)
        statement.require_all(listing.conditions, TASK_FIELDS)
        return statement


def _node(row: Record, held: Record | None, used: Record | None) -> NodeThen:
    health, admin, reason = NodeHealth(row["health"]), NodeAdmin(row["admin"]), row["reason"]
    found = NodeThen(row["name"], health, admin, reason)
    if held is None and used is None:
        return found
    amounts = (
        (0,) * 5 if held is None else [held[name] for name in ("cpu", "memory", "gpus", "storage", "net")]
    )
    return NodeThen(
        row["name"], health, admin, reason,
        running=0 if held is None else held["running"],
        waiting=0 if held is None else held["waiting"],
        allocated=of_ledger(amounts),
        usage=None if used is None else Usage(**{name: used[name] for name in Usage.__struct_fields__}),
        load=0.0 if used is None else used["load"],
        heard_s=None if used is None else used["at"],
    )  # fmt: skip
