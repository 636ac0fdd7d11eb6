"""What people call jobs and tasks: 1042, 1042.7, 1042.7#2, @last, an id or the start of one."""

from __future__ import annotations

import re
from uuid import UUID

from msgspec import Struct

from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.units import counted
from bus.values import RANKS_MAX, TaskRef
from coordinator.api.access import viewer
from coordinator.core.intake import TASKS_MAX
from coordinator.loop import Loop
from coordinator.store.reads import AmbiguousJob, Reads
from coordinator.store.rows import UserRow

_TARGET = re.compile(
    r"(?P<job>@last|[0-9]{1,18}|[0-9a-f]{8}[0-9a-f-]{0,28})"
    r"(?:\.(?P<index>[0-9]{1,7})(?::(?P<rank>[0-9]{1,4}))?)?(?:#(?P<attempt>[0-9]{1,9}))?",
    re.ASCII | re.IGNORECASE,
)
_FORMS = (
    "1042, 1042.7, 1042.7:3 (a rank), 1042.7#2 (an attempt), @last, or the first 8 characters of a job's id"
)
_SHOWN_MAX = 5


class Target(Struct, frozen=True):
    """A job, one of its tasks, or a rank or attempt of that, as it was written; nothing was looked up."""

    job: str
    index: int | None = None
    attempt: int | None = None
    rank: int | None = None


def parse_target(text: str, *, field: str) -> Target:
    """Raises ApiError (E_ID, E_NOT_FOUND)."""
    match = _TARGET.fullmatch(text)
    if match is None:
        raise bad_id(text, field)
    parts = match.group("index", "attempt", "rank")
    index, attempt, rank = (None if part is None else int(part) for part in parts)
    if attempt == 0:
        raise bad_id(text, field, hint="attempts count from 1")
    if (index is not None and index > TASKS_MAX) or (rank is not None and rank >= RANKS_MAX):
        raise not_found(text, field)
    return Target(match["job"], index, attempt, rank)


class Finder:
    """Looks up what a user means, and may see. Every method raises ApiError.

    What is somebody else's is answered like what does not exist.
    """

    def __init__(self, loop: Loop, reads: Reads) -> None:
        self._loop = loop
        self._reads = reads

    async def job(self, user: UserRow, text: str, *, field: str) -> int:
        """The number of a job."""
        number, index = await self.target(user, text, field=field)
        if index is not None:
            raise bad_id(text, field, expected="a job", hint=f"the task's job is {number}")
        return number

    async def target(self, user: UserRow, text: str, *, field: str) -> tuple[int, int | None]:
        """The number of a job, and the index where one of its tasks is meant."""
        target = parse_target(text, field=field)
        if target.attempt is not None:
            raise bad_id(text, field, expected="a job or task, not an attempt")
        if target.rank is not None:
            hint = "the ranks of a gang start and end together"
            raise bad_id(text, field, expected="a job or task, not a rank", hint=hint)
        return await self._number(user, target.job, text, field=field), target.index

    async def target_if_any(self, user: UserRow, text: str, *, field: str) -> tuple[int | None, int | None]:
        """As `target`, of a list that may be of all: "" is no job."""
        return await self.target(user, text, field=field) if text else (None, None)

    async def task(self, user: UserRow, text: str, *, field: str) -> TaskRef:
        """A task; a job that has a single one stands for it, and so does a rank of it."""
        return (await self.attempt(user, text, field=field))[0].whole

    async def attempt(self, user: UserRow, text: str, *, field: str) -> tuple[TaskRef, int]:
        """A task or a rank of it, and the attempt that is meant: 0 where none is named."""
        target = parse_target(text, field=field)
        number = await self._number(user, target.job, text, field=field)
        index = target.index
        if index is None:
            job = await self._reads.job(number, viewer=viewer(user))
            count = job.counts.total if job else 0
            if count != 1:
                raise ApiError(
                    refusal(
                        "E_ID",
                        f"job {number} has {counted(count, 'task')}",
                        field=field,
                        got=quote(text),
                        expected="one task",
                        hint=f"name one, for example {number}.0",
                    )
                )
            index = 0
        return TaskRef(number, index).of_rank(target.rank or 0), target.attempt or 0

    async def rank(self, user: UserRow, text: str, *, field: str) -> TaskRef:
        """A task, or a rank that it has; as `attempt`."""
        ref, _ = await self.attempt(user, text, field=field)
        if not ref.rank:
            return ref
        task = await self._reads.task(ref.whole, viewer=viewer(user))
        ranks = task.ranks if task is not None else 0
        if ref.rank >= ranks:
            expected = f"{ref.whole}:0 to {ref.whole}:{ranks - 1}" if ranks else "no rank: it is no gang"
            raise ApiError(
                refusal("E_NOT_FOUND", "no such rank", field=field, got=quote(text), expected=expected)
            )
        return ref

    async def _number(self, user: UserRow, ident: str, text: str, *, field: str) -> int:
        await self._loop.barrier()
        # the last job is one's own, whoever asks
        seen_by = user.name if ident == "@last" else viewer(user)
        try:
            number = await self._reads.find_job(ident, viewer=seen_by)
        except AmbiguousJob as error:
            raise _ambiguous(error, ident, field) from error
        if number is None:
            await self._refuse_task_id(user, ident, field)
            raise not_found(text, field)
        return number

    async def _refuse_task_id(self, user: UserRow, ident: str, field: str) -> None:
        """Say so where the id is not a job's but a task's."""
        try:
            identity = UUID(ident)
        except ValueError:
            return
        task = await self._reads.task_by_id(identity, viewer=viewer(user))
        if task is not None:
            raise bad_id(ident, field, hint=f"this is the row of task {task}: use {task}")


def not_found(what: str, field: str) -> ApiError:
    """The same answer for what does not exist and for what is somebody else's."""
    return ApiError(refusal("E_NOT_FOUND", "no such job or task", field=field, got=quote(what)))


def bad_id(what: str, field: str, *, expected: str = "a job or task", hint: str = _FORMS) -> ApiError:
    """What cannot name anything."""
    return ApiError(refusal("E_ID", field=field, got=quote(what), expected=expected, hint=hint))


def _ambiguous(error: AmbiguousJob, ident: str, field: str) -> ApiError:
    shown = ", ".join(map(str, error.jobs[:_SHOWN_MAX]))
    rest = " and more" if len(error.jobs) > _SHOWN_MAX else ""
    return ApiError(
        refusal(
            "E_AMBIGUOUS",
            f"{ident} begins the ids of jobs {shown}{rest}",
            field=field,
            got=quote(ident),
            hint="use a job's number, or more of its id",
        )
    )
