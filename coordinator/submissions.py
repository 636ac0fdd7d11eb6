"""Jobs that were published on `corral.u.<user>.publish`, kept by JetStream while no coordinator runs.

Taken in batches, each submission entered like a request, and acknowledged only after the commit that made
it a job; the next batch is entered meanwhile. JetStream may deliver a message again (we died before the
acknowledgement, or its sender repeats it): its key, the sender's Nats-Msg-Id or else its place in the stream,
is committed with the job, and looked up before. What repeats a key that is not committed yet waits for it.
What can never be a job goes to the dead letters, and its sender and the audit hear why.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct

from bus.api import Submitted
from bus.codec import check_headers, decode_request
from bus.connection import NatsBus
from bus.errors import ApiError, BusError, DecodeError, Error
from bus.jetstream import Submission, Submissions
from bus.refusal import quote, refusal
from bus.spec import JobSpec
from bus.subjects import publish
from coordinator.api.access import Access
from coordinator.api.jobs import Jobs, Sealed, seal
from coordinator.core.job_ends import JobEnd
from coordinator.loop import Overloaded
from coordinator.store.audit import Audit, Refused
from coordinator.store.errors import StoreError
from coordinator.store.published import Key, PublishedKeys
from coordinator.store.reads import DuplicateOf
from coordinator.store.rows import UserRow
from coordinator.tell import Waiter

log = logging.getLogger(__name__)

FETCH_S = 1.0
PAUSE_S = 1.0
"""After the database or JetStream was found away."""

RETRY_S = 2.0
STOP_S = 2.0
IN_FLIGHT_MAX = 2_048
"""Entered and not committed yet: what a commit takes is in it, and the next one's share gathers."""

_MESSAGE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)

_Claim = tuple[str, Key]


class _Candidate(Struct, frozen=True):
    """A submission that may become a job: known by its message's `key`, and by its dedupe key's `name`."""

    submission: Submission
    sealed: Sealed
    key: Key
    name: Key | None
    ended: dict[int, JobEnd]

    @property
    def claims(self) -> tuple[_Claim, ...]:
        """What no other one may have while this one is in flight."""
        message = ("message", self.key)
        return (message,) if self.name is None else (message, ("name", self.name))


class Intake:
    """Makes jobs of what JetStream keeps."""

    def __init__(
        self,
        bus: NatsBus,
        access: Access,
        jobs: Jobs,
        keys: PublishedKeys,
        audit: Audit,
        *,
        schedule: Callable[[UserRow, JobSpec], Awaitable[Struct]],
    ) -> None:
        self._bus = bus
        self._line = Submissions(bus)
        self._access = access
        self._jobs = jobs
        self._keys = keys
        self._audit = audit
        self._schedule = schedule
        self._claimed: set[_Claim] = set()
        self._in_flight = 0
        self._landed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`. What is in hand then is finished, what is not begun goes back at once."""
        try:
            async with asyncio.TaskGroup() as settling:
                while not self._stopping.is_set():
                    try:
                        await self._line.open()
                        batch = await self._line.fetch(wait_s=FETCH_S)
                        if batch and not await self._take(batch, settling):
                            await self._pause()
                    except BusError as error:
                        log.warning("published submissions: %s", error)
                        await self._pause()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Take no more. Twice is fine."""
        self._stopping.set()
        try:
            await asyncio.wait_for(self._ended.wait(), FETCH_S + STOP_S)
        except TimeoutError:
            log.warning("published submissions: the last batch is not committed; JetStream keeps it")
        await self._line.close()
        await self._keys.close()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), PAUSE_S)
        except TimeoutError:
            pass

    async def _take(self, batch: Sequence[Submission], settling: asyncio.TaskGroup) -> bool:
        """False: the database is away, and everything that is not entered will come again."""
        waiting = {submission.place: submission for submission in batch}
        try:
            candidates = await self._judge_all(waiting)
            while candidates:
                first, candidates = _first_of_each_key(candidates)
                await self._room_for(first)
                self._jobs.check_database()
                known = await self._keys.by_message([each.key for each in first])
                named = await self._keys.by_dedupe_key([each.name for each in first if each.name])
                for each in first:
                    work = self._enter(each, known.get(each.key), named.get(each.name) if each.name else None)
                    settling.create_task(self._settle(each, work))
                    del waiting[each.submission.place]
        except (StoreError, Overloaded) as error:
            log.warning("published submissions wait: %s", error)
        except ApiError as error:
            log.warning("published submissions wait: %s", error.error.message)
        else:
            return True
        for submission in waiting.values():
            await self._line.retry(submission, delay_s=RETRY_S)
        return False

    async def _judge_all(self, waiting: dict[str, Submission]) -> list[_Candidate]:
        """The candidates of a batch; what is rejected is no longer `waiting`. Raises StoreError."""
        candidates, rejects = [], []
        for place, submission in list(waiting.items()):
            verdict = await self._judge(submission)
            if isinstance(verdict, _Candidate):
                candidates.append(verdict)
            elif verdict is None:
                rejects.append(_concluded(self._line.done(waiting.pop(place))))
            else:
                rejects.append(_concluded(self._reject(waiting.pop(place), verdict)))
        await asyncio.gather(*rejects)
        return candidates

    async def _judge(self, submission: Submission) -> _Candidate | Error | None:
        """What can be said of a submission alone; None: it became a schedule. Raises StoreError."""
        try:
            check_headers(submission.headers)
            key = message_key(submission)
            user = await self._access.check(submission.user, "job.submit")
            spec = decode_request("job.submit", submission.data)
            assert isinstance(spec, JobSpec)
            if spec.cron is not None:
                await self._schedule(user, spec)
                return None
            resolved = await self._jobs.resolve(user, spec)
            ended = await self._jobs.prerequisites.ended(user, spec)
        except ApiError as error:
            return error.error
        except DecodeError as error:
            return error.to_error()
        name = None if spec.dedupe_key is None else (user.name, spec.dedupe_key)
        return _Candidate(submission, seal(resolved), (user.name, key), name, ended)

    async def _room_for(self, candidates: Sequence[_Candidate]) -> None:
        """Until none of their keys is in flight, and not too much else."""
        claims = {claim for each in candidates for claim in each.claims}
        while self._in_flight >= IN_FLIGHT_MAX or not self._claimed.isdisjoint(claims):
            self._landed.clear()
            await self._landed.wait()

    def _enter(
        self, candidate: _Candidate, known: DuplicateOf | None, named: DuplicateOf | None
    ) -> Coroutine[Any, Any, None]:
        """What remains to be done for it, which is in flight from here on. Raises Overloaded."""
        if known is not None:
            work = self._repeated(candidate, known, "Nats-Msg-Id")
        elif named is not None:
            work = self._repeated(candidate, named, "/dedupe_key")
        else:
            answer: Waiter = asyncio.get_running_loop().create_future()
            owner = candidate.submission.user
            self._jobs.enter(
                owner, candidate.sealed, answer, ended=candidate.ended, message_key=candidate.key[1]
            )
            work = self._answered(candidate, answer)
        self._in_flight += 1
        self._claimed.update(candidate.claims)
        return work

    async def _settle(self, candidate: _Candidate, work: Coroutine[Any, Any, None]) -> None:
        try:
            await _concluded(work)
        finally:
            self._in_flight -= 1
            self._claimed.difference_update(candidate.claims)
            self._landed.set()

    async def _repeated(self, candidate: _Candidate, first: DuplicateOf, field: str) -> None:
        if first.digest == candidate.sealed.digest:
            await self._line.done(candidate.submission)
            return
        stored, sent = first.digest.hex()[:12], candidate.sealed.digest.hex()[:12]
        error = refusal(
            "E_IDEM_CONFLICT",
            f"job {first.number} has this key and another body",
            field=field,
            got=sent,
            expected=stored,
        )
        await self._reject(candidate.submission, error)

    async def _answered(self, candidate: _Candidate, answer: Waiter) -> None:
        said = await answer
        if isinstance(said, Error):
            await self._reject(candidate.submission, said)
            return
        assert isinstance(said, Submitted), "a submission is accepted or refused"
        await self._line.done(candidate.submission)

    async def _reject(self, submission: Submission, error: Error) -> None:
        self._audit.refused(
            Refused(
                actor=submission.user,
                action="publish",
                object=publish(submission.user),
                code=error.code,
                details={"message": error.message[:200], "message_id": submission.message_id[:128]},
            )
        )
        await self._line.reject(submission, error)


async def _concluded(work: Coroutine[Any, Any, None]) -> None:
    """To the end of one submission; where JetStream does not hear of it, it gives it again."""
    try:
        await work
    except BusError as error:
        log.warning("published submissions: %s; JetStream gives it again", error)


def _first_of_each_key(
    candidates: Sequence[_Candidate],
) -> tuple[list[_Candidate], list[_Candidate]]:
    """The first one decides about those that repeat its key."""
    first: list[_Candidate] = []
    others: list[_Candidate] = []
    seen: set[_Claim] = set()
    for each in candidates:
        (first if seen.isdisjoint(each.claims) else others).append(each)
        seen.update(each.claims)
    return first, others


def message_key(submission: Submission) -> str:
    """By what the message is known among its sender's. Raises ApiError (E_KEY)."""
    if not submission.message_id:
        return f"@{submission.place}"  # no Nats-Msg-Id begins so
    if _MESSAGE_ID.fullmatch(submission.message_id) is None:
        raise ApiError(
            refusal(
                "E_KEY",
                field="Nats-Msg-Id",
                got=quote(submission.message_id),
                expected="1–128 of [A-Za-z0-9._:-]",
            )
        )
    return submission.message_id
