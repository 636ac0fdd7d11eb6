"""The service API on `corral.u.<user>.<noun>.<verb>`: decode, authorise, do, answer in the asker's codec.

Changes go through the loop and are answered after their commit; reads wait for the batch that their
sender may have been told about, then ask the database.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

from msgspec import Struct

from bus import requests, subjects
from bus.api import OPERATIONS
from bus.codec import Codec, check_headers, codec_of, decode_request
from bus.codes import CODES
from bus.errors import ApiError, BusError, DecodeError, Error, TooLarge, one_line
from bus.refusal import quote, refusal
from bus.service import Endpoint, Service
from bus.spec import JobSpec
from bus.subjects import ApiSubject, Peer, SubjectError, inbox_prefix
from bus.transport import Bus, Message
from coordinator.api.access import Access
from coordinator.api.connections import Connected
from coordinator.api.grep import Greps
from coordinator.api.jobs import Jobs
from coordinator.api.lists import Listings
from coordinator.api.logs import Logs
from coordinator.api.nodes import Nodes
from coordinator.api.people import People
from coordinator.api.retention import Retention
from coordinator.api.scheduler import SchedulerDesk
from coordinator.api.steer import Steer
from coordinator.api.tokens import Tokens
from coordinator.api.verify import Verifier
from coordinator.api.why import Reasons
from coordinator.loop import Overloaded
from coordinator.store.audit import Refused
from coordinator.store.errors import NotLeader, StoreError
from coordinator.store.rows import UserRow
from coordinator.tell import Asker, away, send

log = logging.getLogger(__name__)

CONCURRENT_MAX = 256

Handler = Callable[[UserRow, Struct], Awaitable[Struct]]


def _service(bus: Bus, version: str) -> Service:
    return Service(
        bus,
        name="corral",
        version=version,
        description="Corral's coordinator",
        endpoints=[Endpoint(name, f"corral.u.*.{name}") for name in OPERATIONS],
    )


class Api:
    """Serves `OPERATIONS`; `start` subscribes, `stop` ends. `views`: handlers that need nothing of ours."""

    def __init__(
        self,
        bus: Bus,
        access: Access,
        *,
        jobs: Jobs,
        nodes: Nodes,
        logs: Logs,
        listings: Listings,
        steer: Steer,
        scheduler: SchedulerDesk,
        reasons: Reasons,
        schedule: Callable[[UserRow, JobSpec], Awaitable[Struct]],
        tokens: Tokens,
        people: People,
        verifier: Verifier,
        retention: Retention,
        views: Mapping[str, Handler],
        refused: Callable[[Refused], None],
        version: str,
        answering: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._bus = bus
        self._access = access
        self._refused = refused
        self._answering = answering
        self._jobs = jobs
        self._schedule = schedule
        self._reads: dict[str, Handler] = {
            "job.show": jobs.show,
            "job.list": listings.jobs,
            "task.list": listings.tasks,
            "task.show": jobs.task,
            "task.logs": logs.read,
            "task.grep": Greps(logs).grep,
            "task.follow": logs.follow,
            "node.list": nodes.list,
            "node.show": nodes.show,
            **views,
            "event.list": listings.events,
            **steer.handlers,
            "job.plan": reasons.plan,
            "job.whatif": reasons.what_if,
            "scheduler.plan": reasons.upcoming,
            "task.why": reasons.why,
            **scheduler.handlers,
            "cluster.status": nodes.cluster,
            "cluster.verify": verifier.verify,
            "cluster.gc": retention.collect,
            "cluster.connections": Connected(bus).list,
            "user.whoami": tokens.whoami,
            "user.list": people.list,
            "user.share": people.share,
            "user.renew": tokens.renew,
            "user.logout": tokens.logout,
            "token.create": tokens.create,
            "token.list": tokens.list,
            "token.revoke": tokens.revoke,
        }
        self._slots = asyncio.Semaphore(CONCURRENT_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._service = _service(bus, version)
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Answer requests from here on."""
        self._subscription = await self._bus.subscribe(subjects.API_ALL, self._on_message)
        await self._service.start()

    async def stop(self) -> None:
        """Take no more, finish what was begun."""
        await self._service.stop()
        await self._subscription.unsubscribe()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=2.0)

    async def _on_message(self, message: Message) -> None:
        await self._slots.acquire()
        task = asyncio.create_task(self._serve(message), name=message.subject)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _serve(self, message: Message) -> None:
        """One request: exactly one answer, whatever happens."""
        try:
            subject = subjects.parse(message.subject)
        except SubjectError:
            return  # the server lets nobody publish there
        assert isinstance(subject, ApiSubject), "we subscribe to nothing else"
        if not subjects.is_own_inbox(message.subject, message.reply):
            await self._drop(subject, message)
            return
        asker = Asker(message.reply, codec_of(message.data), self._new_request_id())
        started = time.perf_counter()
        problem: Error | None = None
        try:
            async with self._answering():
                await self._dispatch(subject, message, asker)
        except NotLeader:
            return  # whoever leads now answers
        except (ApiError, DecodeError) as error:
            problem = error.error if isinstance(error, ApiError) else error.to_error()
        except TooLarge:
            problem = refusal("E_TOO_LARGE", "more than an answer holds", hint="ask for fewer with /limit")
        except (Overloaded, StoreError, BusError) as error:
            problem = away(str(error))
        except Exception:
            log.exception("request %s on %s failed", asker.request_id, message.subject)
            problem = refusal("E_INTERNAL")
        if problem is not None:
            await self._say(asker, problem)
        if subject.operation in OPERATIONS:
            # everybody may read the statistics: the code of a refusal, not what it says
            said = f"{problem.status}:{problem.code}" if problem is not None else ""
            self._service.record(subject.operation, seconds=time.perf_counter() - started, error=said)

    async def _dispatch(self, subject: ApiSubject, message: Message, asker: Asker) -> None:
        operation = subject.operation
        check_headers(message.headers, subject=message.subject)
        request = decode_request(operation, message.data, subject=message.subject)
        user = await self._access.check(subject.user, operation)
        if isinstance(request, JobSpec) and operation == "job.submit":
            answer = await self._submit(user, request, asker)
        elif isinstance(request, requests.Cancel):
            answer = await self._jobs.cancel(user, request, asker)
        else:
            answer = await self._reads[operation](user, request)
        if answer is not None:
            await send(self._bus, asker, answer)

    async def _submit(self, user: UserRow, spec: JobSpec, asker: Asker) -> Struct | None:
        """None: the loop answers. With `cron` it becomes a schedule."""
        if spec.cron is None:
            return await self._jobs.submit(user, spec, asker)
        self._jobs.check_database()
        return await self._schedule(user, spec)

    def _new_request_id(self) -> str:
        """Short, and told apart from those of the coordinators before us."""
        return f"{self._service.id[:4].lower()}-{next(self._numbers):x}"

    async def _drop(self, subject: ApiSubject, message: Message) -> None:
        """Answered, it would have us publish where its sender may not: they hear why on their own subject."""
        error = refusal(
            "E_REPLY",
            got=quote(message.reply),
            expected=f"{inbox_prefix(Peer.USER, subject.user)}.…",
            hint=CODES["E_REPLY"].hint,
        )
        error.request_id = self._new_request_id()
        log.warning("request %s on %s dropped: %s", error.request_id, message.subject, one_line(error))
        self._refused(
            Refused(
                actor=subject.user,
                action="request",
                object=message.subject,
                code=error.code,
                details={"reply": message.reply[:200], "request_id": error.request_id},
            )
        )
        await self._say(Asker(subjects.errors(subject.user), Codec.JSON), error)

    async def _say(self, asker: Asker, error: Error) -> None:
        try:
            await send(self._bus, asker, error)
        except BusError as lost:
            log.warning("answer to %s lost: %s", asker.subject, lost)
