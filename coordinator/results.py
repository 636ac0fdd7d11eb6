"""What tasks tell while they run: kept, told on to who watches, and answered when asked.

`task.metrics`, `task.logged`.

It goes past the core: nothing is decided by it. What makes it safe stands in one statement of the database:
the attempt must be the one that counts, at the node that speaks, and the place in its file the one that was
heard.
"""

from __future__ import annotations

import logging

from msgspec import Struct

from bus import subjects
from bus.codec import Codec, encode
from bus.errors import ApiError, BusError
from bus.feed import TaskChanged
from bus.refusal import quote, refusal
from bus.results import (
    LOGGED_MAX,
    Logged,
    LoggedQuery,
    MetricsQuery,
    Place,
    Progress,
    ProgressReply,
    TaskMetrics,
    Told,
)
from bus.transport import Bus
from bus.values import NodeName
from coordinator.api.access import viewer
from coordinator.api.find import Finder, parse_target
from coordinator.api.jobs import INSTANT_MAX, check_instants
from coordinator.clock import Clock
from coordinator.core.children import fit_to_submit
from coordinator.notices import Notices
from coordinator.offspring import Offspring
from coordinator.store.results import Heard, ResultStore, WantedLines
from coordinator.store.rows import UserRow

log = logging.getLogger(__name__)

POINTS_MAX = 5_000
SEVERITIES = ("info", "warning", "error")


class ResultDesk:
    """`hear` for the agents' door, `handlers` for the clients'."""

    def __init__(
        self,
        bus: Bus,
        store: ResultStore,
        finder: Finder,
        clock: Clock,
        notices: Notices,
        *,
        offspring: Offspring,
    ) -> None:
        self._bus = bus
        self._store = store
        self._finder = finder
        self._clock = clock
        self._notices = notices
        self._offspring = offspring
        self.handlers = {"task.metrics": self.metrics, "task.logged": self.logged}
        self.children = offspring.children

    async def hear(self, node: NodeName, progress: Progress) -> ProgressReply:
        """Keep it, then tell whoever follows its tasks. Raises StoreUnavailable: nothing of it was kept."""
        every = tuple(map(fit_to_submit, progress.told))
        for told in every:
            await self._offspring.submit(node, told)
        found = await self._store.hear(node, every)
        for told, heard in zip(every, found, strict=True):
            if heard.first_fault:
                text = f"{told.attempt} on {node}: a line of CORRAL_RESULT could not be used: {told.fault}"
                self._notices.note(node, "result_refused", text, attempt=told.attempt)
            if heard.state is not None and not told.attempt.rank:  # a gang is as far as its rank 0
                await self._feed(node, told, heard)
        places = [Place(told.attempt, heard.place) for told, heard in zip(every, found, strict=True)]
        return ProgressReply(places=tuple(places))

    async def metrics(self, user: UserRow, request: Struct) -> TaskMetrics:
        """`task.metrics`: raises ApiError (E_RANGE, E_ID, E_NOT_FOUND)."""
        assert isinstance(request, MetricsQuery)
        if not 1 <= request.points <= POINTS_MAX:
            got, expected = quote(request.points), f"1 to {POINTS_MAX:,} points"
            raise ApiError(refusal("E_RANGE", field="/points", got=got, expected=expected))
        task = await self._finder.rank(user, request.task, field="/task")
        series = await self._store.metrics(
            task, viewer=viewer(user), names=request.names or None, points=request.points
        )
        missing = sorted(set(request.names) - {one.name for one in series})
        if missing:
            known = await self._store.metrics(task, viewer=viewer(user), names=None, points=1)
            raise ApiError(
                refusal(
                    "E_NOT_FOUND",
                    f"task {task} has told no metric {missing[0][:60]!r}",
                    field="/names",
                    expected=", ".join(one.name for one in known)[:200] or "none so far",
                    hint="a task tells metrics by CORRAL_RESULT: docs/guides/results.md",
                )
            )
        return TaskMetrics(task=str(task), series=series)

    async def logged(self, user: UserRow, request: Struct) -> Logged:
        """`task.logged`: raises ApiError (E_RANGE, E_TIME, E_ID, E_NOT_FOUND)."""
        assert isinstance(request, LoggedQuery)
        if not 1 <= request.limit <= LOGGED_MAX:
            got, expected = quote(request.limit), f"1 to {LOGGED_MAX:,} lines"
            raise ApiError(refusal("E_RANGE", field="/limit", got=got, expected=expected))
        check_instants(since=request.since, until=request.until)
        target = parse_target(request.target, field="/target")
        # Lines outlive their job: a number needs none.
        by_number = target.job.isdecimal()
        job = int(target.job) if by_number else await self._finder.job(user, target.job, field="/target")
        lines = await self._store.logged(
            WantedLines(
                viewer=viewer(user),
                job=job,
                index=target.index,
                since_s=request.since or 0.0,
                until_s=INSTANT_MAX if request.until is None else request.until,
                severities=SEVERITIES[SEVERITIES.index(request.severity) :],
                fence=target.attempt or 0,
                limit=request.limit + 1,
                rank=target.rank,
            )
        )
        if not lines and target.rank:
            await self._finder.rank(user, request.target, field="/target")
        elif not lines and by_number:
            await self._finder.job(user, target.job, field="/target")
        more = len(lines) > request.limit
        return Logged(job=job, lines=lines[more:], more=more)

    async def _feed(self, node: NodeName, told: Told, heard: Heard) -> None:
        assert heard.owner is not None and heard.state is not None
        line = TaskChanged(
            job=told.attempt.job,
            index=told.attempt.index,
            state=heard.state,
            node=node,
            fence=told.attempt.fence,
            at=self._clock.now_s(),
            progress=told.progress,
        )
        subject = subjects.feed_task(heard.owner, told.attempt.task)
        try:
            await self._bus.publish(subject, encode(line, Codec.JSON))
        except BusError as error:
            log.warning("feed lost: %s", error)
