"""Jobs and tasks: submitted and cancelled through the loop, read from the database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bus import api, requests
from bus.errors import ApiError
from bus.item_lists import ItemList
from bus.refusal import quote, refusal
from bus.spec import JobSpec
from bus.values import UserName
from coordinator.api.access import viewer
from coordinator.api.find import Finder, not_found
from coordinator.api.prerequisites import Prerequisites
from coordinator.clock import Clock, job_id
from coordinator.core.events import CancelAsked, JobSubmitted
from coordinator.core.intake import NO_LISTS
from coordinator.core.job_ends import JobEnd
from coordinator.loop import Loop, Overloaded
from coordinator.perform import Performer
from coordinator.registry import Resolve, Resolved
from coordinator.store.reads import DuplicateOf, Reads
from coordinator.store.rows import UserRow
from coordinator.tell import Asker, Replies, Waiter

INSTANT_MAX = 1e11
"""Seconds of the Unix epoch: no answer is about later."""


class Sealed(Struct, frozen=True):
    """A spec as it is kept, and the digest that two equal ones share."""

    spec: JobSpec
    json: bytes
    digest: bytes
    lists: Mapping[str, ItemList] = NO_LISTS


def seal(resolved: Resolved) -> Sealed:
    """What is stored of a spec; the digest is of what was sent: the words may call a newer tool later."""
    spec = resolved.spec
    encoded = sent = msgspec.json.encode(spec)
    if spec.called or spec.contents or spec.mounted or spec.lists:
        sent = msgspec.json.encode(replace(spec, called={}, contents=[], mounted={}, lists={}))
    return Sealed(spec, encoded, hashlib.sha256(sent).digest(), resolved.lists)


class Jobs:
    """The handlers of `job.submit`, `job.cancel`, `job.show` and `task.show`."""

    def __init__(
        self,
        loop: Loop,
        performer: Performer,
        reads: Reads,
        replies: Replies,
        clock: Clock,
        *,
        resolve: Resolve,
        next_number: int,
    ) -> None:
        self._loop = loop
        self._performer = performer
        self._reads = reads
        self._replies = replies
        self._clock = clock
        self._next_number = next_number
        self.resolve = resolve
        self.finder = Finder(loop, reads)
        self.prerequisites = Prerequisites(loop, reads)

    async def submit(self, user: UserRow, spec: JobSpec, asker: Asker) -> Struct | None:
        """Answered by the loop, after the commit; at once where the key was seen before."""
        self.check_database()
        sealed = seal(await self.resolve(user, spec))
        if spec.dedupe_key is not None:
            await self._loop.barrier()
            first = await self._reads.duplicate(user.name, spec.dedupe_key)
            if first is not None:
                return _repeated(first, sealed.digest)
        ended = await self.prerequisites.ended(user, spec)
        self.enter(user.name, sealed, asker, ended=ended)
        return None

    def enter(
        self,
        owner: UserName,
        sealed: Sealed,
        asker: Asker | Waiter,
        *,
        ended: dict[int, JobEnd],
        message_key: str | None = None,
    ) -> None:
        """Give a job its number and id and hand it to the loop, which answers. Raises Overloaded.

        `ended`: of the jobs that it runs after, those that are over (`Prerequisites`).
        """
        number = self._next_number
        self._next_number += 1
        event = JobSubmitted(
            job_id=job_id(self._clock.now_s()),
            number=number,
            owner=owner,
            spec=sealed.spec,
            spec_json=sealed.json,
            digest=sealed.digest,
            message_key=message_key,
            ended=ended,
            lists=sealed.lists,
            reply=self._replies.expect(asker),
        )
        self._post(event)

    async def cancel(self, user: UserRow, request: requests.Cancel, asker: Asker) -> Struct | None:
        """Answered by the loop for live jobs; a job that is over has nothing left to cancel."""
        self.check_database()
        number, index = await self.finder.target(user, request.target, field="/target")
        if number not in self._loop.cluster.jobs:
            return api.Cancelled(tasks=0)
        event = CancelAsked(
            job=number, index=index, by=user.name, role=user.role, reply=self._replies.expect(asker)
        )
        self._post(event)
        return None

    def _post(self, event: JobSubmitted | CancelAsked) -> None:
        """Raises Overloaded, and then nobody waits for an answer out of the loop."""
        try:
            self._loop.post(event)
        except Overloaded:
            self._replies.take(event.reply)
            raise

    async def show(self, user: UserRow, request: Struct) -> Struct:
        """`job.show`."""
        assert isinstance(request, requests.JobQuery)
        number = await self.finder.job(user, request.job, field="/job")
        job = await self._reads.job(number, viewer=viewer(user))
        if job is None:
            raise not_found(request.job, "/job")
        return job

    async def task(self, user: UserRow, request: Struct) -> Struct:
        """`task.show`."""
        assert isinstance(request, requests.TaskQuery)
        return await self.find_task(user, request.task, field="/task")

    async def find_task(self, user: UserRow, text: str, *, field: str) -> api.Task:
        """The task that `text` in `field` names. Raises ApiError."""
        ref, attempt = await self.finder.attempt(user, text, field=field)
        task = await self._reads.task(ref, viewer=viewer(user))
        if task is None or (attempt and all(each.fence != attempt for each in task.attempts)):
            raise not_found(text, field)
        if ref.rank:
            task.attempts = [each for each in task.attempts if each.rank == ref.rank]
            if not task.attempts:
                raise not_found(text, field)
        return task

    def check_database(self) -> None:
        """Raises ApiError (E_UNAVAILABLE) while nothing can be committed."""
        if not self._performer.available:
            message = "the database is away; nothing can be accepted now"
            raise ApiError(refusal("E_UNAVAILABLE", message, hint="try again", retry_after_s=1.0))


def _repeated(first: DuplicateOf, digest: bytes) -> Struct:
    if first.digest == digest:
        return api.Submitted(number=first.number, id=str(first.id), tasks=first.tasks, duplicate=True)
    raise ApiError(
        refusal(
            "E_IDEM_CONFLICT",
            f"job {first.number} has this key and another body",
            field="/dedupe_key",
            got=f"a body of hash {digest.hex()[:12]}",
            expected=f"that of hash {first.digest.hex()[:12]}",
        )
    )


def check_range(value: int, low: int, high: int, *, field: str) -> None:
    """`low` ≤ value ≤ `high`. Raises ApiError."""
    if not low <= value <= high:
        raise ApiError(refusal("E_RANGE", field=field, got=quote(value), expected=f"{low}–{high}"))


def check_instants(**instants: float | None) -> None:
    """Seconds of the Unix epoch, by the names of their fields. Raises ApiError."""
    for name, at_s in instants.items():
        if at_s is not None and not 0 <= at_s <= INSTANT_MAX:
            raise ApiError(refusal("E_TIME", field=f"/{name}", got=quote(at_s), expected="Unix seconds"))
