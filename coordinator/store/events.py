"""What happened, out of the tables that remember it: jobs, the changes of tasks, and what was noticed.

Four sources are asked for the same page and merged. On a connection of their own, like lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
from asyncpg.protocol import Record
from msgspec import Struct

from bus import api
from bus.fields import EVENT_FIELDS
from bus.filter import Operator
from bus.values import TaskRef
from coordinator.store.conditions import Statement, order_by
from coordinator.store.connection import LIST_SESSION, Session
from coordinator.store.listing import Listing
from coordinator.store.shown import instant_s
from sql import queries

_SQL = queries("events")

_KINDS = {"task_changes": "task_", "job_submissions": "job_submitted", "job_ends": "job_", "notices": ""}
"""The sources, and how the kinds that each has begin."""

_OF_JOBS = ("job_submissions", "job_ends")


class Scope(Struct, frozen=True, kw_only=True):
    """What the events are to be about; None: anything."""

    job: int | None = None
    task: TaskRef | None = None
    node: str | None = None
    since: float | None = None
    until: float | None = None


class Notice(Struct, frozen=True):
    """Something that was noticed, and whose it is: a user's, or everybody's, being about a node alone."""

    told: api.Happened
    owner: UUID | None
    is_everybodys: bool


class Events:
    """The queries behind `event.list`; all raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, settings=LIST_SESSION)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def page(self, listing: Listing, scope: Scope, *, viewer: str | None) -> api.Events:
        """What `viewer` may see: of their own jobs, and of nodes. None sees everything."""
        found: list[Record] = []
        for source in _sources(listing, scope):
            found += await self._rows(source, listing, scope, viewer)
        found.sort(key=lambda row: (row["at"], row["id"]), reverse=listing.order.descending)
        page = found[: listing.limit]
        following = ""
        if len(found) > listing.limit:
            following = listing.cursor(page[-1]["at"].timestamp(), page[-1]["id"])
        return api.Events(events=[_happened(row) for row in page], next=following)

    async def notice(self, ident: UUID) -> Notice | None:
        """Something that was noticed."""
        statement = Statement(_SQL["notices"])
        statement.require(f'"notice_id" = {statement.argument(ident, "uuid")}')
        row = await self._session.fetchrow(statement.text(), *statement.arguments)
        return None if row is None else Notice(_happened(row), row["owner_id"], row["is_everybodys"])

    async def resolve(self, ident: UUID, *, by: str, note: str) -> str:
        """Keep that `by` said that it is dealt with; answers the id of the audit's row, "": somebody had."""
        row = await self._session.fetchrow(_SQL["resolve"], ident, by, note)
        return "" if row is None else str(row["id"])

    async def _narrow_to_node(self, statement: Statement, node: str, source: str) -> None:
        """By the node's id: its name stands in another table. One that never registered has but a name."""
        row = await self._session.fetchrow(_SQL["node_id"], node)
        if row is not None:
            statement.require(f'"node_id" = {statement.argument(row["id"], "uuid")}')
        elif source == "notices":
            statement.require(f'"node" = {statement.argument(node, "text")}')
        else:
            statement.require("false")

    async def _rows(
        self, source: str, listing: Listing, scope: Scope, viewer: str | None
    ) -> Sequence[Record]:
        statement = Statement(_SQL[source])
        _narrow(statement, scope, source)
        if scope.node is not None:
            await self._narrow_to_node(statement, scope.node, source)
        if viewer is not None:
            owner = await self._session.fetchrow(queries("lists")["owner"], viewer)
            own = f'"owner_id" = {statement.argument(owner and owner["id"], "uuid")}'
            statement.require(f"({own} or is_everybodys)" if source == "notices" else own)
        statement.require_all(listing.conditions, EVENT_FIELDS)
        statement.require_after(listing.after, listing.order, EVENT_FIELDS, tie="id")
        order = order_by(listing.order, EVENT_FIELDS, tie="id")
        text = statement.text(order=order, limit=listing.limit + 1)
        return await self._session.fetch(text, *statement.arguments)


def _sources(listing: Listing, scope: Scope) -> list[str]:
    """Those that can have anything of what is asked for."""
    sources = list(_KINDS)
    if scope.task is not None or scope.node is not None:
        sources = [source for source in sources if source not in _OF_JOBS]
    for condition in listing.conditions:
        if condition.field == "kind" and condition.operator is Operator.EQUAL and not condition.negated:
            kinds = [str(value) for value in condition.values]
            sources = [source for source in sources if any(kind.startswith(_KINDS[source]) for kind in kinds)]
    return sources


def _narrow(statement: Statement, scope: Scope, source: str) -> None:
    if scope.job is not None:
        statement.require(f'"job" = {statement.argument(scope.job, "bigint")}')
    if scope.task is not None:
        statement.require(f'"job" = {statement.argument(scope.task.job, "bigint")}')
        if source == "task_changes":
            statement.require(f'"task_index" = {statement.argument(scope.task.index, "integer")}')
        else:
            statement.require(f'"task" = {statement.argument(str(scope.task), "text")}')
    if scope.since is not None:
        statement.require(f'"at" >= to_timestamp({statement.argument(scope.since, "double precision")})')
    if scope.until is not None:
        statement.require(f'"at" < to_timestamp({statement.argument(scope.until, "double precision")})')


def _happened(row: Record) -> api.Happened:
    return api.Happened(
        id=row["id"],
        at=row["at"].timestamp(),
        kind=row["kind"],
        severity=row["severity"],
        message=row["message"],
        user=row["user"] or None,
        job=row["job"],
        task=row["task"] or None,
        node=row["node"] or None,
        details=msgspec.json.decode(row["details"]),
        resolved_at=instant_s(row["resolved_at"]),
        resolved_by=row["resolved_by"],
        resolution=row["resolution"] or "",
    )
