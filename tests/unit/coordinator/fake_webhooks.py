"""Webhooks in memory, with the rules of their tables; and a sealer whose key is in memory, too."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from bus.values import UserName
from bus.webhooks import TEST_EVENT, Delivery, Webhook
from coordinator.core.redelivery import Outcome, Standing, Verdict
from coordinator.sealing import Sealer
from coordinator.store.rows import UserRow
from coordinator.store.webhooks import Due, Noted, Webhooks

NOW_S = 1_800_000_000.0


class SealerInMemory(Sealer):
    """Writes no file; without its key it has none at all."""

    def __init__(self) -> None:
        super().__init__(None)
        self.aead: AESGCM | None = AESGCM(secrets.token_bytes(32))

    def _cipher(self) -> AESGCM:
        return self.aead or super()._cipher()


class FakeWebhooks(Webhooks):
    """`kept` by number. What is put into `waiting` is due at once; `noted` is what came of it, in order.

    `faults` are raised instead of the next answers, one each.
    """

    def __init__(self) -> None:
        super().__init__("")
        self.kept: dict[int, Webhook] = {}
        self.secrets: dict[int, bytes] = {}
        self.made: dict[UUID, Delivery] = {}
        self.waiting: list[Due] = []
        self.noted: list[tuple[Due, Outcome, Verdict]] = []
        self.failing: set[int] = set()
        self.dead_in_row: dict[int, int] = {}
        self.asked: list[tuple[UUID, ...]] = []
        self.full: list[tuple[int, UserName]] = []
        self.swept = 0
        self.faults: list[Exception] = []

    def _check(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

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
        self._check()
        if of_user == "nobody":
            return None
        number = len(self.kept) + 1
        text = "=".join(tag) if tag else ""
        self.kept[number] = Webhook(
            id=number,
            user=owner.name,
            url=url,
            on=list(on),
            job=job,
            of_user=of_user or "",
            tag=text,
            created_at=NOW_S,
        )
        self.secrets[number] = secret
        return number

    async def count_of(self, owner: UserRow) -> int:
        self._check()
        return sum(each.user == owner.name for each in self.kept.values())

    async def every(self, owner: str | None) -> list[Webhook]:
        self._check()
        return [each for each in self.kept.values() if owner in (None, each.user)]

    async def find(self, ident: int) -> Webhook | None:
        self._check()
        found = self.kept.get(ident)
        return None if found is None else replace(found)

    async def remove(self, ident: int, *, by: UserName) -> None:
        self._check()
        self.kept.pop(ident, None)

    async def enable(self, ident: int, *, by: UserName) -> None:
        self._check()
        self.kept[ident].state = "active"

    async def test(self, ident: int) -> Delivery | None:
        self._check()
        made = Delivery(
            id=str(UUID(int=len(self.made) + 1)),
            webhook=ident,
            event=TEST_EVENT,
            state="waiting",
            attempts=0,
            created_at=NOW_S,
        )
        self.made[UUID(made.id)] = made
        return made

    async def deliveries(self, ident: int, *, limit: int) -> list[Delivery]:
        self._check()
        return [each for each in self.made.values() if each.webhook == ident][:limit]

    async def delivery(self, ident: UUID) -> tuple[Delivery, UserName] | None:
        self._check()
        found = self.made.get(ident)
        return None if found is None else (found, UserName(self.kept[found.webhook].user))

    async def redeliver(self, ident: UUID) -> Delivery | None:
        self._check()
        return self.made.get(ident)

    async def due(self, *, each: int, limit: int, besides: Sequence[UUID]) -> list[Due]:
        self._check()
        self.asked.append(tuple(besides))
        found: list[Due] = []
        for due in self.waiting:
            if due.id not in besides and sum(one.webhook == due.webhook for one in found) < each:
                found.append(due)
        return found[:limit]

    async def note(
        self, due: Due, outcome: Outcome, verdict: Verdict, *, took_s: float, dead_max: int
    ) -> Noted:
        self._check()
        self.waiting.remove(due)
        self.noted.append((due, outcome, verdict))
        if verdict.standing is Standing.DELIVERED:
            self.failing.discard(due.webhook)
            self.dead_in_row[due.webhook] = 0
            return Noted()
        if verdict.standing is Standing.WAITING:
            self.waiting.append(replace(due, tries=due.tries + 1))
        began = due.webhook not in self.failing
        self.failing.add(due.webhook)
        self.dead_in_row[due.webhook] = self.dead_in_row.get(due.webhook, 0) + (
            verdict.standing is Standing.DEAD
        )
        ended = verdict.gone or self.dead_in_row[due.webhook] >= dead_max
        return Noted(began=began, ended=ended, reason="gone" if ended else "")

    async def weigh(self, *, waiting_max: int) -> list[tuple[int, UserName]]:
        self._check()
        full, self.full = self.full, []
        return full

    async def sweep(self, *, delivered_days: int, dead_days: int) -> None:
        self._check()
        self.swept += 1
