"""Webhooks and their deliveries in the database; making, enabling and removing one is in the audit."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg.protocol import Record
from msgspec import Struct

from bus.values import UserName
from bus.webhooks import Delivery, Webhook
from coordinator.core.redelivery import Outcome, Standing, Verdict
from coordinator.store.connection import Session
from coordinator.store.json_text import clean
from coordinator.store.rows import UserRow
from coordinator.store.shown import instant_s
from sql import queries

ERROR_CHARACTERS_MAX = 500

_SQL = queries("webhooks")


class Due(Struct, frozen=True, kw_only=True):
    """A delivery whose time has come, and where it goes. `secret` is sealed."""

    id: UUID
    webhook: int
    owner: UserName
    event: str
    body: str
    tries: int
    url: str
    secret: bytes


class Noted(Struct, frozen=True, kw_only=True):
    """What a try changed about its webhook: it `began` to fail, it `ended` (was disabled) for `reason`."""

    began: bool = False
    ended: bool = False
    reason: str = ""


class Webhooks:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def add(
        self,
        owner: UserRow,
        *,
        url: str,
        on: Sequence[str],
        of_user: str | None,
        job: int | None,
        tag: tuple[str, str] | None,
        secret: bytes,
    ) -> int | None:
        """Its number. None: `of_user` is nobody. `secret`: sealed."""
        name, value = tag or (None, None)
        row = await self._session.fetchrow(
            _SQL["add"], owner.id, url, list(on), of_user, job, name, value, secret
        )
        return None if row is None else int(row["id"])

    async def count_of(self, owner: UserRow) -> int:
        """How many `owner` has."""
        row = await self._session.fetchrow(_SQL["count_of"], owner.id)
        assert row is not None
        return int(row["count"])

    async def every(self, owner: str | None) -> list[Webhook]:
        """By number; `owner` None: everybody's."""
        return [_webhook(row) for row in await self._session.fetch(_SQL["find"], owner, None)]

    async def find(self, ident: int) -> Webhook | None:
        """One of them."""
        row = await self._session.fetchrow(_SQL["find"], None, ident)
        return None if row is None else _webhook(row)

    async def remove(self, ident: int, *, by: UserName) -> None:
        """With its deliveries."""
        await self._session.execute(_SQL["remove"], ident, by)

    async def enable(self, ident: int, *, by: UserName) -> None:
        """What waits goes out from here on."""
        await self._session.execute(_SQL["enable"], ident, by)

    async def test(self, ident: int) -> Delivery | None:
        """A delivery for the sake of it. None: there is no such webhook."""
        row = await self._session.fetchrow(_SQL["test"], ident)
        return None if row is None else _delivery(row)

    async def deliveries(self, ident: int, *, limit: int) -> list[Delivery]:
        """Newest first."""
        return [_delivery(row) for row in await self._session.fetch(_SQL["deliveries"], ident, limit)]

    async def delivery(self, ident: UUID) -> tuple[Delivery, UserName] | None:
        """One, and whose it is."""
        row = await self._session.fetchrow(_SQL["delivery"], ident)
        return None if row is None else (_delivery(row), UserName(row["username"]))

    async def redeliver(self, ident: UUID) -> Delivery | None:
        """From the first try on; None: it is no longer kept."""
        row = await self._session.fetchrow(_SQL["redeliver"], ident)
        return None if row is None else _delivery(row)

    async def due(self, *, each: int, limit: int, besides: Sequence[UUID]) -> list[Due]:
        """Whose time has come, without those in `besides`: at most `each` of one webhook, `limit` in all."""
        return [
            Due(
                id=UUID(str(row["id"])),
                webhook=row["webhook_id"],
                owner=UserName(row["username"]),
                event=row["event"],
                body=row["body"],
                tries=row["attempts"],
                url=row["url"],
                secret=bytes(row["secret"]),
            )
            for row in await self._session.fetch(_SQL["due"], each, limit, list(besides))
        ]

    async def note(
        self, due: Due, outcome: Outcome, verdict: Verdict, *, took_s: float, dead_max: int
    ) -> Noted:
        """Keep what came of the try after `due.tries`; a second time changes nothing.

        `dead_max`: that many given up in a row disable the webhook.
        """
        row = await self._session.fetchrow(
            _SQL["note"],
            due.id,
            due.tries + 1,
            verdict.standing.value,
            verdict.wait_s,
            outcome.status,
            clean(outcome.error)[:ERROR_CHARACTERS_MAX],
            took_s * 1000.0,
            verdict.gone,
            dead_max,
        )
        return Noted() if row is None else Noted(began=row["began"], ended=row["ended"], reason=row["reason"])

    async def weigh(self, *, waiting_max: int) -> list[tuple[int, UserName]]:
        """Webhooks, with their owners, for which as many as `waiting_max` wait since we last asked."""
        return [
            (row["id"], UserName(row["username"]))
            for row in await self._session.fetch(_SQL["weigh"], waiting_max)
        ]

    async def sweep(self, *, delivered_days: int, dead_days: int) -> None:
        """Forget what is over for so long."""
        await self._session.execute(_SQL["sweep"], delivered_days, dead_days)


def _webhook(row: Record) -> Webhook:
    failing = row["failing_since"]
    state = "active"
    if not row["enabled"]:
        state = "disabled"
    elif row["is_full"]:
        state = "full"
    elif failing is not None:
        state = "failing"
    return Webhook(
        id=row["id"],
        user=row["username"],
        url=row["url"],
        on=list(row["events"]),
        job=row["job"],
        of_user=row["of_user"] or "",
        tag="" if row["tag_name"] is None else f"{row['tag_name']}={row['tag_value']}",
        state=state,
        reason=row["reason"],
        created_at=row["created_at"].timestamp(),
        failing_since=instant_s(failing),
        waiting=row["waiting"],
        delivered=row["delivered"],
        dead=row["dead"],
    )


def _delivery(row: Record) -> Delivery:
    return Delivery(
        id=str(row["id"]),
        webhook=row["webhook_id"],
        event=row["event"],
        state=row["state"],
        attempts=row["attempts"],
        created_at=row["created_at"].timestamp(),
        next_at=row["due_at"].timestamp() if row["state"] == Standing.WAITING else None,
        last_at=instant_s(row["last_at"]),
        took_ms=row["took_ms"],
        status=row["status"],
        last_error=row["error"],
        body=row["body"],
    )
