"""Sends what webhooks wait for, beside the loop: nothing of a cluster's work ever waits for an address.

A delivery is written with the change that it tells of. It is sent, and only then noted: whoever dies in
between leaves it waiting, and it goes out again under the same id, with the same body. So each arrives at
least once. Deliveries of one webhook may overtake each other: what failed must not hold up what is new.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from bus.errors import one_line
from bus.values import UserName
from bus.webhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.core.redelivery import Outcome, Pace, Standing, Verdict, judge
from coordinator.destinations import Destinations, Forbidden, Target
from coordinator.http_post import Answer, NoAnswer, post
from coordinator.replies import fault_error
from coordinator.sealing import Sealer, Unsealable
from coordinator.store.errors import StoreError
from coordinator.store.webhooks import Due, Noted, Webhooks

log = logging.getLogger(__name__)

AT_ONCE_MAX = 16
AT_ONCE_EACH = 4
"""Tries under way, and those of one webhook: a slow address leaves room for others."""

TIMEOUT_S = 5.0
EVERY_S = 1.0
NOTE_AGAIN_S = 1.0
WEIGH_EVERY_S = 10.0
SWEEP_EVERY_S = 3600.0
WAITING_MAX = 10_000
DEAD_MAX = 10
DELIVERED_DAYS, DEAD_DAYS = 7, 30
_QUOTED_MAX = 200


class Poster(Protocol):
    """`coordinator.http_post.post`."""

    def __call__(
        self,
        target: Target,
        address: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        trust: ssl.SSLContext,
    ) -> Awaitable[Answer]: ...


class Rules(Struct, frozen=True, kw_only=True):
    """How tries go."""

    pace: Pace = Pace()
    timeout_s: float = TIMEOUT_S
    every_s: float = EVERY_S
    waiting_max: int = WAITING_MAX
    dead_max: int = DEAD_MAX


class Sender:
    """`run` beside the loop; `wake` when something is due that should not wait for the next look."""

    def __init__(
        self,
        store: Webhooks,
        sealer: Sealer,
        destinations: Destinations,
        clock: Clock,
        *,
        record: Callable[[Sequence[Record]], None],
        version: str,
        rules: Rules | None = None,
        poster: Poster = post,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._destinations = destinations
        self._clock = clock
        self._record = record
        self._agent = f"Corral/{version}"
        self._rules = rules or Rules()
        self._post = poster
        self._due = asyncio.Event()
        self._trust: ssl.SSLContext | None = None
        self._under_way: dict[UUID, int] = {}

    def wake(self) -> None:
        """Look now."""
        self._due.set()

    async def run(self) -> None:
        """Until cancelled. What cannot be done now is tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tend(), name="webhooks, tended")
            while True:
                self._due.clear()
                try:
                    for due in await self._next():
                        self._under_way[due.id] = due.webhook
                        group.create_task(self._deliver(due), name=f"delivery {due.id}")
                except StoreError as error:
                    log.warning("webhooks wait: %s", error)
                try:
                    async with asyncio.timeout(self._rules.every_s):
                        await self._due.wait()
                except TimeoutError:
                    pass

    async def _next(self) -> list[Due]:
        """What to begin with, within the bounds."""
        room = AT_ONCE_MAX - len(self._under_way)
        if room <= 0:
            return []
        busy = Counter(self._under_way.values())
        found = await self._store.due(each=AT_ONCE_EACH, limit=4 * AT_ONCE_MAX, besides=[*self._under_way])
        chosen: list[Due] = []
        for due in found:
            if len(chosen) < room and busy[due.webhook] < AT_ONCE_EACH:
                busy[due.webhook] += 1
                chosen.append(due)
        return chosen

    async def _deliver(self, due: Due) -> None:
        """One try, and what came of it kept."""
        try:
            began = time.monotonic()
            outcome = await self._try(due)
            took_s = time.monotonic() - began
            verdict = judge(outcome, tries=due.tries + 1, seed=str(due.id), pace=self._rules.pace)
            noted = await self._note(due, outcome, verdict, took_s=took_s)
            self._tell(due, outcome, noted, dead=verdict.standing is Standing.DEAD)
        finally:
            del self._under_way[due.id]
            self.wake()

    async def _note(self, due: Due, outcome: Outcome, verdict: Verdict, *, took_s: float) -> Noted:
        """Sent is sent: until that is kept, it must not be sent again."""
        while True:
            try:
                return await self._store.note(
                    due, outcome, verdict, took_s=took_s, dead_max=self._rules.dead_max
                )
            except StoreError as error:
                log.warning("what came of delivery %s waits: %s", due.id, error)
                await asyncio.sleep(NOTE_AGAIN_S)

    async def _try(self, due: Due) -> Outcome:
        try:
            target = self._destinations.target(due.url)
            key = self._sealer.unseal(due.secret, purpose=purpose(due.owner, due.url))
            async with asyncio.timeout(self._rules.timeout_s):
                addresses = await self._destinations.addresses(target)
            if self._trust is None:
                self._trust = await asyncio.to_thread(ssl.create_default_context)
            answer = await self._post(
                target,
                addresses[0],
                headers=self._headers(due, key),
                body=due.body.encode(),
                timeout_s=self._rules.timeout_s,
                trust=self._trust,
            )
        except Forbidden as error:
            return Outcome(error=one_line(fault_error([error.fault])))
        except TimeoutError:
            return Outcome(error="its name was not resolved in time")
        except OSError as error:
            return Outcome(error=f"its name is not known: {error.strerror or error}")
        except (Unsealable, NoAnswer) as error:
            return Outcome(error=str(error))
        if 200 <= answer.status <= 299:
            return Outcome(status=answer.status)
        why = f"answered {answer.status}"
        if 300 <= answer.status <= 399:
            why += ": redirects are not followed"
        said = " ".join(answer.text.split())[:_QUOTED_MAX]
        why += f": {said}" if said else ""
        return Outcome(status=answer.status, error=why, retry_after_s=answer.retry_after_s)

    def _headers(self, due: Due, key: bytes) -> dict[str, str]:
        now_s = int(self._clock.now_s())
        ident = str(due.id)
        return {
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            ID_HEADER: ident,
            TIMESTAMP_HEADER: str(now_s),
            SIGNATURE_HEADER: signature(key, ident, timestamp_s=now_s, body=due.body.encode()),
        }

    def _tell(self, due: Due, outcome: Outcome, noted: Noted, *, dead: bool) -> None:
        """An event when it begins to fail, when something is given up, and when nothing is sent any more."""
        if noted.ended:
            hint = f"corral webhook enable {due.webhook}"
            text = f"webhook {due.webhook} of {due.owner} is disabled: {noted.reason}; {hint}"
            self._event("webhook_disabled", due.webhook, owner=due.owner, text=text)
        elif dead or noted.began:
            what = "given up" if dead else "failed, and is tried again"
            text = f"webhook {due.webhook} of {due.owner}: {due.event} {what}: {outcome.error}"
            self._event("webhook_failed", due.webhook, owner=due.owner, text=text)

    def _event(self, kind: str, webhook: int, *, owner: UserName, text: str) -> None:
        event = EventRecord(
            at=self._clock.now_s(),
            event_type=kind,
            severity="warning",
            message=text,
            user=owner,
            details={"webhook": webhook},
        )
        self._record([event])

    async def _tend(self) -> None:
        """Bound what waits, and forget what is long over."""
        sweep_in_s = 0.0
        while True:
            try:
                for webhook, owner in await self._store.weigh(waiting_max=self._rules.waiting_max):
                    text = (
                        f"webhook {webhook} of {owner}: {self._rules.waiting_max} wait; new ones are left out"
                    )
                    self._event("webhook_full", webhook, owner=owner, text=text)
                if sweep_in_s <= 0.0:
                    await self._store.sweep(delivered_days=DELIVERED_DAYS, dead_days=DEAD_DAYS)
                    sweep_in_s = SWEEP_EVERY_S
            except StoreError as error:
                log.warning("webhooks are not tended: %s", error)
            await asyncio.sleep(WEIGH_EVERY_S)
            sweep_in_s -= WEIGH_EVERY_S


def purpose(owner: str, url: str) -> str:
    """What a webhook's secret is sealed for."""
    return f"webhook {owner} {url}"
