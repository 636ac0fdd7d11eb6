"""Leading: the row is renewed each second, and whoever cannot know that it leads answers nobody.

Three things end a leadership from within. The row has passed on (the renewal says so); another coordinator
announces a higher epoch on the bus, which reaches a leader that is cut from the database; and a leader that
is cut from the bus gives way where another one stands by, since nobody is led by whom nobody hears.

The database being away for everybody is none of these: leases go on being renewed, so that no running task
ends of it, and everything else is answered 503 within `ANSWER_S`. That bound is kept here, nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from bus import subjects
from bus.codec import Codec, decode, encode
from bus.errors import BusError, DecodeError
from bus.messages import Leads
from bus.supervision import CoordinatorRole
from bus.transport import Bus, Message, Subscription
from coordinator.presence import Presence
from coordinator.store.errors import NotLeader, StoreUnavailable
from coordinator.store.leadership import STALE_AFTER_S

log = logging.getLogger(__name__)

RENEW_S = 1.0
RENEW_TIMEOUT_S = 1.0
"""So long a renewal takes at most where all is well: after that it counts as failed, and yet goes on. On a
machine that is merely slow its answer comes, while one cut off at each second would never."""

UNHEARD_S = 0.25
"""Instead of `RENEW_S` while the bus does not answer: who gives way should not first wait for its turn."""

FRESH_S = STALE_AFTER_S - 1.0
"""So long after a renewal was sent, nobody else can have been seen as leader; the rest is the margin. A later
answer is worth nothing, and its connection is cut."""

RIVAL_S = 1.5
"""A standby must have been heard for so long while its leader was not: a server that was restarted takes back
one before the other."""

ANSWER_S = 1.6
"""Nobody waits longer for a database that does not answer; while it does, a slow question takes its time."""


class Seat(Protocol):
    """What is needed of `coordinator.store.relational`."""

    async def renew(self) -> None: ...

    async def resign(self) -> None: ...

    async def someone_stands_by(self) -> bool: ...


def boottime_s() -> float:
    """Goes on while the machine sleeps: a leadership does not outlast that."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leader:
    """One epoch's leadership: `start` it, `run` it, answer within `answering`."""

    def __init__(
        self,
        seat: Seat,
        bus: Bus,
        presence: Presence,
        *,
        epoch: int,
        holder: str,
        answered: Callable[[], bool],
        unheard: Callable[[], bool],
        now_s: Callable[[], float] = boottime_s,
    ) -> None:
        self.epoch = epoch
        self._seat = seat
        self._bus = bus
        self._presence = presence
        self._holder = holder
        self._answered = answered
        self._unheard = unheard
        self._rival_s: float | None = None  # since when another one could lead, while nobody hears us
        self._now_s = now_s
        self._renewed_s = now_s()
        self._failed_s = float("-inf")  # when the last wait for a renewal that was in vain began
        self._renewing: asyncio.Task[None] | None = None
        self._begun_s = 0.0  # when it was sent
        self._attempted = asyncio.Event()
        self._followed = asyncio.Event()
        self._bounds: set[asyncio.Timeout] = set()
        self._subscription: Subscription | None = None

    @property
    def fresh(self) -> bool:
        """Whether nobody else can lead yet, whatever happened to us."""
        return not self._followed.is_set() and self._now_s() - self._renewed_s < FRESH_S

    async def start(self) -> None:
        """Announce ourselves: whoever led before closes its doors before ours open. Raises BusError."""
        self._subscription = await self._bus.subscribe(subjects.LEADER, self._on_announced)
        await self._announce()

    async def run(self) -> None:
        """Until cancelled. Raises NotLeader: from then on nobody is answered."""
        try:
            await self._run()
        except NotLeader:
            self._followed.set()
            raise
        finally:
            if self._renewing is not None:
                self._renewing.cancel()

    async def _run(self) -> None:
        while True:
            begun_s = self._now_s()
            await self._renew()
            self._show()
            await self._announce()
            await self._give_way()
            every_s = RENEW_S if self._answered() else UNHEARD_S
            pause_s = max(0.0, every_s - (self._now_s() - begun_s))
            try:
                async with asyncio.timeout(pause_s):
                    await self._followed.wait()
            except TimeoutError:
                continue
            raise NotLeader(f"another coordinator announced an epoch above {self.epoch}")

    async def resign(self) -> None:
        """On a clean end: a standby takes over at once."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
        await self._seat.resign()

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Around all that is done for one request.

        Raises StoreUnavailable where the database does not answer, NotLeader where another one answers. After
        a pause of ours (SIGSTOP, a frozen machine) it first waits for the next renewal to tell whether we
        still lead.
        """
        asked_s = self._now_s()
        bound = asyncio.timeout(ANSWER_S)
        try:
            async with bound:
                self._bounds.add(bound)
                try:
                    await self._confirm(asked_s)
                    yield
                finally:
                    self._bounds.discard(bound)
        except TimeoutError:
            if not bound.expired():
                raise
            raise StoreUnavailable("the database does not answer") from None

    async def _confirm(self, asked_s: float) -> None:
        while not self.fresh:
            if self._followed.is_set():
                raise NotLeader(f"epoch {self.epoch} is over")
            if self._failed_s >= asked_s - RENEW_S - RENEW_TIMEOUT_S:
                raise StoreUnavailable("the leadership cannot be renewed")
            await self._attempted.wait()

    async def _renew(self) -> None:
        """Send a renewal, unless the last one is still on its way, and wait for it a while."""
        waiting_s = self._now_s()
        if self._renewing is None:
            self._begun_s = waiting_s
            self._renewing = asyncio.create_task(self._seat.renew(), name="renewal")
        renewing = self._renewing
        try:
            await asyncio.wait({renewing}, timeout=RENEW_TIMEOUT_S)
            if not renewing.done():
                age_s = self._now_s() - self._begun_s
                if age_s >= FRESH_S:
                    renewing.cancel()
                    self._renewing = None
                raise StoreUnavailable(f"no answer within {age_s:.1f} s")
            self._renewing = None
            renewing.result()
        except StoreUnavailable as error:
            self._failed_s = waiting_s
            log.warning("leadership not renewed: %s", error)
        else:
            self._renewed_s = self._begun_s
            deadline_s = asyncio.get_running_loop().time() + ANSWER_S
            for bound in self._bounds:  # the database answers: what is slow is the question
                if not bound.expired():
                    bound.reschedule(deadline_s)
        finally:
            self._attempted.set()
            self._attempted = asyncio.Event()

    def _show(self) -> None:
        troubles = []
        if not self.fresh:
            troubles.append("the database does not answer")
        if self._unheard():
            troubles.append("the bus does not answer")
        self._presence.show(CoordinatorRole.LEADING, epoch=self.epoch, trouble=", ".join(troubles))

    async def _announce(self) -> None:
        if not self.fresh:
            return
        try:
            await self._bus.publish(
                subjects.LEADER, encode(Leads(epoch=self.epoch, holder=self._holder), Codec.JSON)
            )
        except BusError as error:
            log.debug("not announced: %s", error)

    async def _give_way(self) -> None:
        """To one who is heard while we are not; where the bus is away for both, nobody gains by a change."""
        if self._answered():
            self._rival_s = None
            return
        try:
            async with asyncio.timeout(RENEW_TIMEOUT_S):
                if not await self._seat.someone_stands_by():
                    self._rival_s = None
                    return
                self._rival_s = self._now_s() if self._rival_s is None else self._rival_s
                if not self._unheard() or self._now_s() - self._rival_s < RIVAL_S:
                    return
                await self._seat.resign()
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("cannot give way: %s", error)
            return
        raise NotLeader("nobody hears this coordinator, and another one stands by")

    async def _on_announced(self, message: Message) -> None:
        try:
            said = decode(message.data, Leads, subject=message.subject)
        except DecodeError as error:
            log.warning("%s: %s", message.subject, error)
            return
        if said.epoch > self.epoch:
            log.warning("%s leads, epoch %d", said.holder, said.epoch)
            self._followed.set()
