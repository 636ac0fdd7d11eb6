"""Submits the jobs of schedules whose time has come: one job for each firing, whoever leads.

A firing's job has a dedupe key that names the schedule and the instant. It is committed before the schedule
is moved on; whoever takes over in between finds the job by its key and only moves the schedule. What was due
while nobody led is made up for by one job, as of the newest of those instants.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from bus.api import Submitted
from bus.cron import Cron
from bus.errors import ApiError, Error, one_line
from bus.instants import format_instant
from bus.spec import Overlap
from bus.values import Role, UserName
from coordinator.api.access import Access
from coordinator.api.jobs import Jobs, seal
from coordinator.clock import Clock
from coordinator.core.effects import EventRecord, Record
from coordinator.core.events import CancelAsked
from coordinator.loop import Loop, Overloaded
from coordinator.store.errors import StoreError
from coordinator.store.reads import Reads
from coordinator.store.schedules import Firing, Kept, Schedules
from coordinator.tell import Waiter

log = logging.getLogger(__name__)

EVERY_S = 1.0
AT_ONCE_MAX = 100


class Firings:
    """`run` beside the loop. `cancel` ends a job as its owner would."""

    def __init__(
        self,
        store: Schedules,
        jobs: Jobs,
        loop: Loop,
        access: Access,
        *,
        reads: Reads,
        clock: Clock,
        cancel: Callable[[CancelAsked], Awaitable[object]],
        record: Callable[[Sequence[Record]], None],
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._loop = loop
        self._access = access
        self._reads = reads
        self._clock = clock
        self._cancel = cancel
        self._record = record

    async def run(self) -> None:
        """Until cancelled. What cannot be done now is tried again a second later."""
        while True:
            try:
                await self.fire_due()
            except (StoreError, Overloaded) as error:
                log.warning("schedules wait: %s", error)
            await asyncio.sleep(EVERY_S)

    async def fire_due(self) -> None:
        """Everything that is due now, once. Raises StoreError, Overloaded."""
        now_s = self._clock.now_s()
        for each in await self._store.due(now_s, limit=AT_ONCE_MAX):
            await self._store.note(each, await self._fire(each, now_s=now_s))

    async def _fire(self, schedule: Kept, *, now_s: float) -> Firing:
        told = schedule.told
        cron = Cron(told.cron, told.zone)
        at_s = max(cron.newest_until(now_s), schedule.next_at_s)
        firing = Firing(at_s=at_s, next_at_s=cron.next_after(now_s))
        missed = int(at_s > schedule.next_at_s)
        key = f"cron:{schedule.id.hex}:{int(at_s)}"
        owner = UserName(told.user)
        await self._loop.barrier()
        known = await self._reads.duplicate(owner, key)
        if known is not None:  # whoever led before us was ended in between
            return replace(firing, job=known.number, skipped=missed)
        before = told.last_job if told.last_job in self._loop.cluster.jobs else None
        if before is not None and told.overlap == Overlap.FORBID:
            self._tell(schedule, f"left out {format_instant(at_s)}: job {before} still runs", "info")
            return replace(firing, skipped=missed + 1)
        try:
            user = await self._access.check(owner, "job.submit")
            if before is not None and told.overlap == Overlap.REPLACE:
                await self._cancel(CancelAsked(job=before, index=None, by=owner, role=Role.USER))
            self._jobs.check_database()
            waiter: Waiter = asyncio.get_running_loop().create_future()
            resolved = await self._jobs.resolve(user, replace(schedule.spec, dedupe_key=key))
            self._jobs.enter(owner, seal(resolved), waiter, ended={})
            answer = await waiter
        except ApiError as error:
            answer = error.error
        if isinstance(answer, Error):
            if answer.retryable:
                raise Overloaded(one_line(answer))
            self._tell(schedule, f"gave no job at {format_instant(at_s)}: {one_line(answer)}", "warning")
            return replace(firing, skipped=missed, error=one_line(answer))
        assert isinstance(answer, Submitted), "a submission is accepted or refused"
        late = f", for what was missed since {format_instant(schedule.next_at_s)}" if missed else ""
        self._tell(schedule, f"submitted job {answer.number}{late}", "info")
        return replace(firing, job=answer.number, skipped=missed)

    def _tell(self, schedule: Kept, what: str, severity: str) -> None:
        owner = UserName(schedule.told.user)
        message = f"schedule {schedule.told.name} of {owner} {what}"
        event = EventRecord(
            at=self._clock.now_s(),
            event_type="schedule_fired" if severity == "info" else "schedule_failed",
            severity=severity,
            message=message,
            user=owner,
            details={"schedule": schedule.told.name},
        )
        self._record([event])
