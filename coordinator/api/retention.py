"""`cluster.gc`, and the same in the background: old jobs go into the archive, a few at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from bus import requests
from bus.errors import ApiError
from bus.housekeeping import Collected
from bus.refusal import quote, refusal
from coordinator.clock import Clock
from coordinator.config import Keep
from coordinator.store.archive import Archive, Before, Moved, Old
from coordinator.store.errors import StoreError
from coordinator.store.rows import UserRow

log = logging.getLogger(__name__)

ROUND_S = 600.0
"""Between two rounds in the background."""

PAUSE_S = 0.5
"""Between two batches of a round: whoever works has the database to themselves for most of the time."""

JOBS_A_BATCH = 200
TASKS_A_BATCH = 20_000
"""A job with more goes alone."""

ASKED_S = 60.0
"""How long somebody who asks is served; what is left is said."""

OLDER_MIN_S, OLDER_MAX_S = 60.0, 30 * 365 * 86_400.0
_DAY_S = 86_400.0
_ITSELF = "coordinator"


class Retention:
    """The handler of `cluster.gc`; `run` is the background. One of them works at a time."""

    def __init__(self, archive: Archive, clock: Clock, keep: Keep, *, epoch: int) -> None:
        self._archive = archive
        self._clock = clock
        self._keep = keep
        self._epoch = epoch
        self._busy = asyncio.Lock()
        self._going: frozenset[int] = frozenset()
        self._staying: Counter[int] = Counter()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._busy:
                    moved = await self._move(self._set(), by=_ITSELF)
            except StoreError as error:
                log.warning("old jobs stay for now: %s", error)
            else:
                if moved:
                    log.info("%d old jobs went into the archive", sum(each.jobs for each in moved))
            await asyncio.sleep(ROUND_S)

    async def collect(self, user: UserRow, request: Struct) -> Collected:
        """`cluster.gc`."""
        assert isinstance(request, requests.Collect)
        before = self._before(request.older_than_s)
        if request.dry_run:
            return _collected(await self._archive.count(before), dry_run=True)
        if self._busy.locked():
            raise ApiError(refusal("E_TOO_OFTEN", "old jobs are going into the archive just now"))
        async with self._busy:
            moved = await self._move(before, by=user.name, for_s=ASKED_S)
            left = await self._archive.count(before)
        return _collected(moved, left=sum(each.jobs for each in left))

    @contextmanager
    def staying(self, job: int) -> Iterator[None]:
        """Keep a job out of the archive: what was read of it must stay true until it is queued again.

        Raises ApiError where it is on its way.
        """
        if job in self._going:
            raise ApiError(refusal("E_CONFLICT", f"job {job} is going into the archive just now"))
        self._staying[job] += 1
        try:
            yield
        finally:
            self._staying[job] -= 1
            if not self._staying[job]:
                del self._staying[job]

    def _set(self) -> Before:
        now_s, keep = self._clock.now_s(), self._keep
        return Before(*(
            now_s - days * _DAY_S if days else None for days in (keep.completed, keep.failed, keep.cancelled)
        ))  # fmt: skip

    def _before(self, older_than_s: float | None) -> Before:
        """Raises ApiError for what is out of range."""
        if older_than_s is None:
            return self._set()
        if not OLDER_MIN_S <= older_than_s <= OLDER_MAX_S:
            got, expected = quote(f"{older_than_s:g}"), "1 minute to 30 years, in seconds"
            raise ApiError(refusal("E_RANGE", field="/older_than_s", got=got, expected=expected))
        instant = self._clock.now_s() - older_than_s
        return Before(instant, instant, instant)

    async def _move(self, before: Before, *, by: str, for_s: float | None = None) -> list[Moved]:
        """Batch after batch, until nothing is old enough or time is up."""
        loop = asyncio.get_running_loop()
        end_s = None if for_s is None else loop.time() + for_s
        done: list[Moved] = []
        while end_s is None or loop.time() < end_s:
            old = await self._archive.oldest(before, but=self._staying, limit=JOBS_A_BATCH)
            # nothing is awaited between this look at who stays and the note of who goes
            self._going = frozenset(batch_of(old)) - self._staying.keys()
            if not self._going:
                break
            try:
                moved = await self._archive.move(self._going, before, epoch=self._epoch, by=by)
            finally:
                self._going = frozenset()
            if not moved:  # another coordinator leads
                break
            done += moved
            await asyncio.sleep(PAUSE_S if end_s is None else 0)
        return done


def batch_of(old: list[Old]) -> list[int]:
    """The first of them, with at most TASKS_A_BATCH tasks together; one at least."""
    numbers: list[int] = []
    tasks = 0
    for job in old:
        tasks += job.tasks
        if numbers and tasks > TASKS_A_BATCH:
            break
        numbers.append(job.number)
    return numbers


def _collected(moved: list[Moved], *, left: int = 0, dry_run: bool = False) -> Collected:
    states: Counter[str] = Counter()
    for each in moved:
        states[each.state] += each.jobs
    return Collected(
        jobs=sum(each.jobs for each in moved),
        tasks=sum(each.tasks for each in moved),
        states=dict(states),
        left=left,
        dry_run=dry_run,
    )
