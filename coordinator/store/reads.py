"""What clients ask, answered from the database in the words of `bus.api`.

`viewer` is the user whose jobs may be seen; None sees everybody's. What one may not see is answered like
what does not exist. Reads run on a connection of their own and never wait for a commit: whoever must see a
batch asks after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

import msgspec
from msgspec import Struct

from bus import api
from bus.messages import NeededOutput
from bus.values import JobState, NodeName, TaskRef, UserName
from coordinator.core.job_ends import ELEMENTS_MAX, JobEnd
from coordinator.store.connection import Session
from coordinator.store.job_ends import job_end
from coordinator.store.load import user_row
from coordinator.store.rows import Activity, UserRow
from coordinator.store.shown import logged_lines, shown_attempt, shown_job, shown_result, shown_task
from sql import queries

LOGGED_SHOWN = 5
"""Lines that a task is shown with."""

_SQL = queries("reads")
_LOGGED = queries("results")
_PREFIX = re.compile(r"[0-9a-f]{8,32}")

_MOST_OUTPUTS = 4096
"""Candidates that the query looks at for one page."""


class AmbiguousJob(Exception):
    """The start of an id fits more than one job; `jobs` are the newest of them, six at most."""

    def __init__(self, text: str, jobs: Sequence[int]) -> None:
        self.jobs = tuple(jobs)
        super().__init__(f"{text} begins the ids of {', '.join(map(str, jobs))}")


class DuplicateOf(Struct, frozen=True):
    """The job that was submitted under a dedupe key."""

    number: int
    id: UUID
    digest: bytes
    tasks: int


class AttemptPlace(Struct, frozen=True):
    """Where an attempt's output lies. `ended`: the attempt is over."""

    node: NodeName
    fence: int
    ended: bool


class Reads:
    """The queries; all raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def user(self, name: UserName) -> UserRow | None:
        row = await self._session.fetchrow(queries("users")["by_name"], name)
        return None if row is None else user_row(row)

    async def users(self) -> list[UserRow]:
        """Everybody, by name."""
        return [user_row(row) for row in await self._session.fetch(queries("users")["every"])]

    async def activity(self) -> dict[UserName, Activity]:
        """When each was seen last, and how many of their jobs failed in the last day."""
        rows = await self._session.fetch(queries("users")["activity"])
        return {
            UserName(row["username"]): Activity(
                None if row["seen_at"] is None else row["seen_at"].timestamp(), row["failed"]
            )
            for row in rows
        }

    async def duplicate(self, owner: UserName, key: str) -> DuplicateOf | None:
        """The job that `owner` submitted under `key`, however long ago."""
        row = await self._session.fetchrow(queries("jobs")["by_dedupe_key"], owner, key)
        return None if row is None else DuplicateOf(row["number"], row["id"], row["digest"], row["total"])

    async def find_job(self, text: str, *, viewer: str | None) -> int | None:
        """The number of the job meant by a number, an id, 8 and more characters of it, or "@last".

        A number names its job even where it also begins some id. "@last" is `viewer`'s newest. Raises
        AmbiguousJob.
        """
        if text == "@last":
            row = await self._session.fetchrow(_SQL["last_job"], viewer)
            return None if row is None else row["number"]
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
        lowest = highest = None
        digits = text.lower().replace("-", "")
        if _PREFIX.fullmatch(digits):
            lowest, highest = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        if number is None and lowest is None:
            return None
        rows = await self._session.fetch(_SQL["find_jobs"], viewer, number, lowest, highest)
        found = [int(row["number"]) for row in rows]
        if number is not None and number in found:
            return number
        if len(found) > 1:
            raise AmbiguousJob(text, found)
        return found[0] if found else None

    async def ended(
        self, numbers: Sequence[int], *, viewer: str | None, one_by_one: Sequence[int] = ()
    ) -> dict[int, JobEnd | None]:
        """Which of these jobs there are, and how they ended, also task by task if they are in `one_by_one`;
        None: they are not over."""
        rows = await self._session.fetch(
            queries("jobs")["standing"], viewer, list(numbers), list(one_by_one), ELEMENTS_MAX
        )
        return {row["number"]: job_end(row) if JobState(row["state"]).is_terminal else None for row in rows}

    async def task_by_id(self, identity: UUID, *, viewer: str | None) -> TaskRef | None:
        """The task that has a row with this id; of a range, its first."""
        row = await self._session.fetchrow(_SQL["task_by_id"], viewer, identity)
        return None if row is None else TaskRef(row["number"], row["index"])

    async def job(self, number: int, *, viewer: str | None) -> api.Job | None:
        row = await self._session.fetchrow(_SQL["show_job"], viewer, number)
        if row is None:
            return None
        job = shown_job(row)
        job.spec = msgspec.json.decode(row["spec"])
        return job

    async def task(self, ref: TaskRef, *, viewer: str | None) -> api.Task | None:
        """One task with its output and attempts; an untouched element of a range as a task of its own.

        Of a rank above 0 it has what that told and logged itself; else what rank 0 told, and lines of all.
        """
        index = ref.whole.index
        row = await self._session.fetchrow(_SQL["show_task"], viewer, ref.job, index, ref.rank)
        if row is None:
            return None
        task = shown_task(row, ref.job)
        task.ranks = row["ranks"]
        if task.count > 1:
            task.index, task.count = index, 1
            return task
        task.output = None if row["output"] is None else msgspec.json.decode(row["output"])
        task.result = shown_result(row)
        attempts = await self._session.fetch(_SQL["attempts_of_task"], row["row_id"])
        task.attempts = [shown_attempt(attempt) for attempt in attempts]
        task.logged = logged_lines(
            await self._session.fetch(_LOGGED["newest_logged"], row["row_id"], LOGGED_SHOWN, ref.rank or None)
        )
        return task

    async def attempt_place(self, ref: TaskRef, *, fence: int, viewer: str | None) -> AttemptPlace | None:
        """Where the output of an attempt lies; `fence` 0 means the newest. None: there is no such attempt."""
        row = await self._session.fetchrow(
            _SQL["attempt_place"], viewer, ref.job, ref.whole.index, fence, ref.rank
        )
        return None if row is None else AttemptPlace(NodeName(row["node_name"]), row["fence"], row["ended"])

    async def needed_outputs(
        self, job: int, groups: Sequence[str], *, after: int, page_bytes: int
    ) -> tuple[list[NeededOutput], bool]:
        """Outputs of completed tasks of `groups` with an index above `after`, and whether there are more."""
        rows = await self._session.fetch(_SQL["needed_outputs"], job, list(groups), after, page_bytes)
        page = [
            NeededOutput(
                group=row["group_name"],
                task=TaskRef(job, row["index"]),
                output=row["output"].encode() or None,
            )
            for row in rows
        ]
        return page, bool(rows) and (len(rows) < rows[0]["candidates"] or len(rows) == _MOST_OUTPUTS)

    async def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Of jobs and of tasks by state, over the whole cluster."""
        jobs = {row["state"]: int(row["count"]) for row in await self._session.fetch(_SQL["job_states"])}
        tasks = await self._session.fetchrow(_SQL["task_states"])
        return jobs, {} if tasks is None else {state: int(count) for state, count in tasks.items()}
