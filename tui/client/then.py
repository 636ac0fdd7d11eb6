"""A cluster as it was at a moment, for screens that ask for one thing in full: a part of `Source`.

What lists of the past know of a thing is of then; what nobody keeps the changes of (names, labels, what was
submitted) is as it is now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from bus.api import Events, Job, Jobs, Node, Task, Tasks, Why
from bus.checkpoints import Checkpoint
from bus.errors import ApiError, Error
from bus.people import Users
from bus.registry import ToolEntry, ToolStats, ToolStatsQuery, Worker
from bus.requests import EventList
from bus.series import Measured, SeriesKind
from bus.then import attempt_then
from bus.timeline import Timeline, TimelineQuery
from tui.client.logs_then import LogsThen
from tui.client.source import LogSource, Source
from tui.view.usage import usage_queries

T = TypeVar("T")

CHECKPOINTS_SHOWN = 50
OVER = frozenset({"completed", "failed", "timeout", "cancelled"})


class Then:
    """Made for a question or two: it holds but the moment, in seconds of the Unix epoch; None is now.

    `ahead_s`: how far the clock here is ahead of the coordinator's.
    """

    def __init__(self, source: Source, at_s: float | None, *, ahead_s: float = 0.0) -> None:
        self._source = source
        self._at_s = at_s
        self._ahead_s = ahead_s

    @property
    def now_s(self) -> float:
        """What ages are counted to."""
        return time.time() - self._ahead_s if self._at_s is None else self._at_s

    async def job(self, job: str | int) -> Job:
        """With what was submitted. Raises ApiError where it was not there yet."""
        now = await self._source.job(job)
        if self._at_s is None:
            return now
        found = await self._source.jobs(filter=f"number={now.number}", limit=1, at=self._at_s)
        return replace(self._only(found.jobs, f"job {now.number}"), spec=now.spec)

    async def task(self, task: str | int) -> Task:
        """With the attempts that there were. Raises ApiError where it was not there yet."""
        now = await self._source.task(task)
        if (at_s := self._at_s) is None:
            return now
        found = await self._source.tasks(now.job, filter=f"index={now.index}", limit=1, at=self._at_s)
        then = self._only(found.tasks, f"task {now.job}.{now.index}")
        attempts = [attempt_then(each, at_s) for each in now.attempts if each.assigned_at <= at_s]
        return replace(then, attempts=attempts, output=now.output if then.state in OVER else None)

    async def jobs(self, *, filter: str = "", limit: int = 100, cursor: str = "") -> Jobs:
        """Newest first."""
        return await self._source.jobs(filter=filter, limit=limit, cursor=cursor, at=self._at_s)

    async def tasks(self, job: str | int, *, filter: str = "", limit: int = 100, cursor: str = "") -> Tasks:
        """Of one job."""
        return await self._source.tasks(job, filter=filter, limit=limit, cursor=cursor, at=self._at_s)

    async def node(self, node: str) -> Node:
        """With its machine. Raises ApiError where it had not joined."""
        now = await self._source.node(node)
        if self._at_s is None:
            return now
        found = await self._source.nodes(filter=f'name="{node}"', limit=1, at=self._at_s)
        then = self._only(found.nodes, f"node {node}")
        return replace(then, inventory=now.inventory, set_labels=now.set_labels)

    async def worker(self, node: str) -> Worker | None:
        """What its agent can now: of the past nothing is kept. None where nobody knows an agent of it."""
        found = (await self._source.workers()).workers
        return next((each for each in found if each.node == node), None)

    async def timeline(self, node: str, *, over_s: float, limit: int) -> Timeline:
        """What ran on a node in the time before."""
        until_s = self.now_s + (1.0 if self._at_s is None else 0.0)  # clocks differ
        asked = TimelineQuery(since=until_s - over_s, until=until_s, nodes=[node], limit=limit)
        return await self._source.timeline(asked)

    async def usage(self, kind: SeriesKind, id: str) -> list[Measured]:
        """What a node or a task used in the hour before; nothing where an older cluster cannot tell."""
        try:
            return [await self._source.series(each) for each in usage_queries(kind, id, until_s=self.now_s)]
        except ApiError:
            return []

    async def tool(self, tool: str) -> ToolEntry:
        """As it is registered now: of the past nothing is kept."""
        return await self._source.tool(tool)

    async def tool_stats(self, tool: str) -> list[ToolStats]:
        """Of its versions, over the last 30 days."""
        return (await self._source.tool_stats(ToolStatsQuery(tool=tool))).tools

    async def checkpoints(self, task: str) -> list[Checkpoint]:
        """Those that are kept now, newest first: of what was not kept nothing is known."""
        found = (await self._source.checkpoints(task, limit=CHECKPOINTS_SHOWN)).checkpoints
        return [each for each in found if self._at_s is None or each.at <= self._at_s]

    async def why(self, target: str) -> Why:
        """What kept a task back, or put it where it was."""
        return await self._source.why(target, at=self._at_s)

    async def users(self) -> Users:
        """Who there was, and what they had used."""
        return await self._source.users(at=self._at_s)

    @property
    def logs(self) -> LogSource:
        """What had been printed."""
        return self._source if self._at_s is None else LogsThen(self._source, self._at_s)

    async def events(self, query: EventList | None) -> Events:
        """Up to then."""
        return await self._source.events(replace(query or EventList(), until=self._at_s))

    def _only(self, rows: Sequence[T], what: str) -> T:
        if not rows:
            message, hint = f"{what} was not there yet", "`.` goes on in time, `n` to now"
            raise ApiError(Error(code="E_NOT_FOUND", message=message, field="/at", status=404, hint=hint))
        return rows[0]
