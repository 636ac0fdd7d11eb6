"""Pages of jobs and tasks: chosen, ordered and counted by the database.

On a connection of their own: a filter that fits nothing reads everything, and nobody's answer waits for that.
All methods raise StoreUnavailable when the database is away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from asyncpg.protocol import Record
from msgspec import Struct

from bus import api
from bus.fields import JOB_FIELDS, TASK_FIELDS
from bus.filter import Condition, Operator, Value
from coordinator.store.conditions import Statement, order_by
from coordinator.store.connection import LIST_SESSION, Session
from coordinator.store.listing import Counted, Listing
from coordinator.store.ranges import Ranges, joined, place_of
from coordinator.store.shown import instant_s, shown_job, shown_task
from sql import queries

_SQL = queries("lists")

COUNT_MAX = 10_000
"""Rows that are counted; of more, the answer says only that there are more (measured: 2 ms for 10,000 jobs,
25 ms for 100,000, and 1.3 ms for a page)."""

MEMBERS_MAX = 200_000
"""That are steered by one request."""


class JobMember(Struct, frozen=True):
    """A job that a filter lets through: how many of its tasks failed, and its part of the digest."""

    number: int
    failed: int
    digest: int


class Lists:
    """The queries behind `job.list` and `task.list`; `SOURCES`: what jobs are chosen from."""

    SOURCES = _SQL

    def __init__(self, dsn: str, *, session: Session | None = None) -> None:
        self._session = session or Session(dsn, settings=LIST_SESSION)
        self._ranges = Ranges(self._session)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def jobs(self, listing: Listing, *, viewer: str | None) -> api.Jobs:
        """A page of the jobs that `viewer` may see; None sees everybody's."""
        counted = listing.after.counted if listing.after else None
        if counted is None:
            statement = await self._jobs(listing, viewer)
            counted = await self._count(statement, "number", digest='hashint8extended("number", 0)')
        statement = await self._jobs(listing, viewer)
        statement.require_after(listing.after, listing.order, JOB_FIELDS, tie="number")
        order = order_by(listing.order, JOB_FIELDS, tie="number")
        rows = await self._fetch(statement, order=order, limit=listing.limit + 1)
        jobs = [shown_job(row) for row in rows[: listing.limit]]
        following = ""
        if len(rows) > listing.limit:
            last = rows[listing.limit - 1]
            following = listing.cursor(sort_key(last, listing.order.field), last["number"], counted)
        return api.Jobs(
            jobs=jobs, next=following, total=counted.total, states=counted.states, exact=counted.exact,
            revision=counted.revision,
        )  # fmt: skip

    async def members(self, listing: Listing, *, viewer: str | None) -> list[JobMember]:
        """All jobs that the conditions let through; one more than MEMBERS_MAX at most."""
        statement = await self._jobs(listing, viewer)
        columns = '"number", "failed", hashint8extended("number", 0) as digest'
        text = statement.text(columns, order='"number"', limit=MEMBERS_MAX + 1)
        rows = await self._session.fetch(text, *statement.arguments)
        return [JobMember(row["number"], row["failed"], row["digest"]) for row in rows]

    async def tasks(self, job: int, listing: Listing) -> api.Tasks:
        """A page of the tasks of `job`, which the asker may see; each gap left in a range is one row."""
        counted = listing.after.counted if listing.after else None
        if counted is None:
            counted = await self._count_tasks(job, listing)
        singles = Statement(_SQL["tasks"], listing.now_s, job)
        singles.require('"count" = 1')
        singles.require_all(listing.conditions, TASK_FIELDS)
        singles.require_after(listing.after, listing.order, TASK_FIELDS, tie="index")
        order = order_by(listing.order, TASK_FIELDS, tie="index")
        rows = await self._fetch(singles, order=order, limit=listing.limit + 1)
        found = [(sort_key(row, listing.order.field), shown_task(row, job)) for row in rows]
        async for row, first, count in self._ranges.stretches(job, listing):
            stretch = shown_task(row, job)
            stretch.index, stretch.count = first, count
            key = first if listing.order.field == "index" else sort_key(row, listing.order.field)
            found.append((key, stretch))
        found = _sorted(found, descending=listing.order.descending)
        page = found[: listing.limit]
        following = ""
        if len(found) > listing.limit:
            key, last = page[-1]
            end = last.index if listing.order.descending else last.index + last.count - 1
            following = listing.cursor(end if listing.order.field == "index" else key, end, counted)
        return api.Tasks(
            tasks=[task for _, task in page], next=following, total=counted.total, states=counted.states,
            exact=counted.exact, revision=counted.revision,
        )  # fmt: skip

    async def _jobs(self, listing: Listing, viewer: str | None) -> Statement:
        statement = Statement(self.SOURCES["jobs"], listing.now_s)
        others: list[Condition] = []
        owners = [] if viewer is None else [viewer]
        for condition in listing.conditions:
            if condition.field == "user" and condition.operator is Operator.EQUAL and not condition.negated:
                owners_wanted = [str(value) for value in condition.values]
                if len(owners_wanted) == 1:
                    owners.extend(owners_wanted)
                    continue
            others.append(condition)
            if condition.field == "parent" and condition.operator is Operator.EQUAL and not condition.negated:
                # their index is by the job of the parent alone
                jobs = [parent_job(str(value)) for value in condition.values]
                if None not in jobs:
                    statement.require(f'"parent_job" = any ({statement.argument(jobs, "bigint[]")})')
        for owner in owners:
            # by the id, known beforehand: only so the index that has a user's jobs in their order is used
            row = await self._session.fetchrow(_SQL["owner"], owner)
            statement.require(f'"owner_id" = {statement.argument(row and row["id"], "uuid")}')
        statement.require_all(others, JOB_FIELDS)
        return statement

    async def _fetch(self, statement: Statement, *, order: str, limit: int) -> Sequence[Record]:
        text = statement.text(order=order, limit=limit)
        return await self._session.fetch(text, *statement.arguments)

    async def _count(self, statement: Statement, column: str, *, digest: str = "0::bigint") -> Counted:
        """By state, up to COUNT_MAX rows; `digest`: what a row adds to the digest of all."""
        inner = Statement(statement.text(f'"state", "{column}"', limit=COUNT_MAX + 1), *statement.arguments)
        text = inner.text(f'"state", count(*) as count, bit_xor({digest}) as digest', group='"state"')
        rows = await self._session.fetch(text, *inner.arguments)
        total = sum(row["count"] for row in rows)
        return Counted(
            total,
            {row["state"]: row["count"] for row in rows},
            exact=total <= COUNT_MAX,
            digest=joined(row["digest"] for row in rows),
        )

    async def _count_tasks(self, job: int, listing: Listing) -> Counted:
        singles = Statement(_SQL["tasks"], listing.now_s, job)
        singles.require('"count" = 1')
        singles.require_all(listing.conditions, TASK_FIELDS)
        counted = await self._count(singles, "index", digest=f"hashint8extended({place_of(job)}, 1)")
        states = Counter(counted.states)
        untouched, digest = await self._ranges.count(job, listing)
        states.update(untouched)
        return Counted(
            states.total(), dict(states), exact=counted.exact, digest=joined((counted.digest, digest))
        )


def parent_job(parent: str) -> int | None:
    """The job of the task of that name; None: it is no name of a task."""
    job, _, index = parent.partition(".")
    named = all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (job, index))
    return int(job) if named else None


def sort_key(row: Record, field: str) -> Value:
    """A row's value in its order, as a cursor keeps it."""
    value = row[field]
    return instant_s(value) if hasattr(value, "timestamp") else value


def _sorted(found: list[tuple[Value, api.Task]], *, descending: bool) -> list[tuple[Value, api.Task]]:
    """As the database sorts: by key and index, what is absent last."""

    def place(pair: tuple[Value, api.Task]) -> tuple[Value, int]:
        return pair[0], pair[1].index

    present = sorted((pair for pair in found if pair[0] is not None), key=place, reverse=descending)
    absent = sorted((pair for pair in found if pair[0] is None), key=lambda pair: pair[1].index)
    return present + (absent[::-1] if descending else absent)
