"""What is no longer in memory and may come back: tasks that failed, and jobs that are over."""

from __future__ import annotations

from bus.values import TaskState
from coordinator.core.events import JobOver, RangeSeen, TaskSeen
from coordinator.core.job_ends import ELEMENTS_MAX
from coordinator.store.connection import Session
from coordinator.store.item_lists import item_list
from coordinator.store.job_ends import job_end
from coordinator.store.load import live_job, task_seen
from sql import queries

_JOBS, _TASKS, _LISTS = queries("jobs"), queries("tasks"), queries("item_lists")


class Over:
    """Reads on a connection of its own; all raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def failed(self, job: int, *, first: int, limit: int) -> tuple[TaskSeen, ...]:
        """Tasks of `job` in failed or timeout, from index `first` on, `limit` at most."""
        rows = await self._session.fetch(_TASKS["failed_of_job"], job, first, limit)
        return tuple(task_seen(row) for row in rows)

    async def job(self, number: int) -> JobOver | None:
        """A job that is over, at one instant."""
        async with (
            self._session.use() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(_JOBS["one"], number)
            if row is None:
                return None
            ended = await connection.fetch(_TASKS["ended_by_group"], number)
            ranges = await connection.fetch(_TASKS["ranges_of_job"], number)
            lists = await connection.fetch(_LISTS["of_job"], number)
            done = await connection.fetchrow(_JOBS["completed_tasks"], number, ELEMENTS_MAX)
        live = live_job(row)
        return JobOver(
            job=live.job,
            change=live.change,
            ended=tuple((each["first"], TaskState(each["state"]), each["tasks"]) for each in ended),
            ranges=tuple(
                RangeSeen(each["first"], TaskState(each["state"]), each["version"], each["remaining"])
                for each in ranges
            ),
            lists={each["sha256"]: item_list(each) for each in lists},
            done=None if done is None else job_end(done).done,
        )

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()
