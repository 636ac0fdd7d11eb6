"""Pages of the audit: who did what, and what was refused to whom."""

from __future__ import annotations

import msgspec
from asyncpg.protocol import Record

from bus.bulk import Audited, Audits
from bus.fields import AUDIT_FIELDS
from coordinator.store.conditions import Statement, order_by
from coordinator.store.connection import LIST_SESSION, Session
from coordinator.store.listing import Listing
from sql import queries

_SQL = queries("audit")


class AuditList:
    """The query behind `audit.list`; raises StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, settings=LIST_SESSION)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def page(self, listing: Listing, *, ident: str, actor: str | None) -> Audits:
        """A page of what `actor` did, of all there is for None; `ident`: only the row that is named so."""
        statement = Statement(_SQL["entries"])
        if actor is not None:
            statement.require(f'"actor" = {statement.argument(actor, "text")}')
        if ident.isascii() and ident.isdigit() and len(ident) <= 18:
            statement.require(f'"number" = {statement.argument(int(ident), "bigint")}')
        elif ident:
            statement.require(f'"reference" = {statement.argument(ident, "text")}')
        statement.require_all(listing.conditions, AUDIT_FIELDS)
        statement.require_after(listing.after, listing.order, AUDIT_FIELDS, tie="number")
        order = order_by(listing.order, AUDIT_FIELDS, tie="number")
        text = statement.text(order=order, limit=listing.limit + 1)
        rows = await self._session.fetch(text, *statement.arguments)
        following = ""
        if len(rows) > listing.limit:
            last = rows[listing.limit - 1]
            following = listing.cursor(last["at"].timestamp(), last["number"])
        return Audits(audits=[_audited(row) for row in rows[: listing.limit]], next=following)


def _audited(row: Record) -> Audited:
    return Audited(
        id=row["id"],
        at=row["at"].timestamp(),
        actor=row["actor"],
        action=row["action"],
        object=row["object"],
        outcome=row["outcome"],
        details=msgspec.json.decode(row["details"]),
    )
