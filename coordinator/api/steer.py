"""Steering: jobs are held, paused, requeued and retried, nodes cordoned, drained and opened.

All of it goes through the loop and is answered after its commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from msgspec import Struct
from msgspec.structs import replace

from bus import api, requests
from bus.bulk import JobPriority, NodeLabel
from bus.errors import ApiError, Error
from bus.refusal import quote, refusal
from bus.values import NodeAdmin, NodeName
from coordinator.api.jobs import Jobs, check_range
from coordinator.core.events import (
    BulkAsked,
    CancelAsked,
    GpuAsked,
    HoldAsked,
    LearnedBrought,
    ModeAsked,
    NodeLabelled,
    NodeSteered,
    PauseAsked,
    PriorityAsked,
    RequeueAsked,
    RetryAsked,
    SharesAsked,
)
from coordinator.core.model import TERMINAL
from coordinator.loop import Loop
from coordinator.store.errors import StoreUnavailable
from coordinator.store.over import Over
from coordinator.store.rows import UserRow
from coordinator.tell import Replies, Waiter

RETRY_PAGE = 2_000
"""Failed tasks queued again in one step: a batch of bounded size, however many failed."""

REASON_MAX = 500
PRIORITY_MAX = 10
DEADLINE_MAX_S = 30 * 86_400.0
ANSWER_S = 5.0

Asking = (
    HoldAsked
    | PauseAsked
    | RequeueAsked
    | RetryAsked
    | PriorityAsked
    | CancelAsked
    | BulkAsked
    | NodeSteered
    | NodeLabelled
    | GpuAsked
    | SharesAsked
    | ModeAsked
    | LearnedBrought
)


class Steer:
    """The handlers of what is done to jobs (hold, pause, requeue, retry …) and to nodes (drain …).

    `staying` keeps a job that is over where it is while it is queued again.
    """

    def __init__(
        self,
        loop: Loop,
        jobs: Jobs,
        over: Over,
        replies: Replies,
        *,
        staying: Callable[[int], AbstractContextManager[None]],
    ) -> None:
        self._staying = staying
        self._loop = loop
        self._jobs = jobs
        self._over = over
        self._replies = replies
        self._retrying = asyncio.Lock()
        self.steering = asyncio.Lock()
        """The database checks the states of a node step by step: no two steps of one in one batch."""

    @property
    def handlers(self) -> dict[str, Callable[[UserRow, Struct], Awaitable[Struct]]]:
        """By the name of the operation."""
        return {
            "job.hold": self.hold,
            "job.release": self.release,
            "job.pause": self.pause,
            "job.resume": self.resume,
            "job.priority": self.prioritize,
            "job.requeue": self.requeue,
            "job.retry": self.retry,
            "node.cordon": self.cordon,
            "node.drain": self.drain,
            "node.maintenance": self.maintenance,
            "node.undrain": self.undrain,
            "node.label": self.label,
        }

    async def hold(self, user: UserRow, request: Struct) -> Struct:
        """`job.hold`."""
        assert isinstance(request, requests.Hold)
        return await self._hold(user, request.job, held=True)

    async def release(self, user: UserRow, request: Struct) -> Struct:
        """`job.release`."""
        assert isinstance(request, requests.Hold)
        return await self._hold(user, request.job, held=False)

    async def _hold(self, user: UserRow, text: str, *, held: bool) -> Struct:
        self._jobs.check_database()
        number = await self._jobs.finder.job(user, text, field="/job")
        event = HoldAsked(job=number, held=held, by=user.name, role=user.role)
        return await self._ask_live(event, "nothing of it waits", field="/job")

    async def pause(self, user: UserRow, request: Struct) -> Struct:
        """`job.pause`."""
        assert isinstance(request, requests.Pause)
        return await self._pause(user, request.job, paused=True)

    async def resume(self, user: UserRow, request: Struct) -> Struct:
        """`job.resume`."""
        assert isinstance(request, requests.Pause)
        return await self._pause(user, request.job, paused=False)

    async def _pause(self, user: UserRow, text: str, *, paused: bool) -> Struct:
        self._jobs.check_database()
        number = await self._jobs.finder.job(user, text, field="/job")
        event = PauseAsked(job=number, paused=paused, by=user.name, role=user.role)
        return await self._ask_live(event, "nothing of it runs", field="/job")

    async def requeue(self, user: UserRow, request: Struct) -> Struct:
        """`job.requeue`: what runs is ended and waits again, what waits or is over stays as it is."""
        assert isinstance(request, requests.Requeue)
        self._jobs.check_database()
        number, index = await self._jobs.finder.target(user, request.target, field="/target")
        event = RequeueAsked(job=number, index=index, by=user.name, role=user.role)
        return await self._ask_live(event, "nothing of it runs", field="/target")

    async def prioritize(self, user: UserRow, request: Struct) -> Struct:
        """`job.priority`: what waits moves in the line, what is placed keeps its place."""
        assert isinstance(request, JobPriority)
        self._jobs.check_database()
        check_range(request.priority, 1, PRIORITY_MAX, field="/priority")
        number = await self._jobs.finder.job(user, request.job, field="/job")
        event = PriorityAsked(job=number, priority=request.priority, by=user.name, role=user.role)
        return await self._ask_live(event, "nothing of it waits", field="/job")

    async def _ask_live(
        self, event: HoldAsked | PauseAsked | RequeueAsked | PriorityAsked, why: str, *, field: str
    ) -> Struct:
        """Raises ApiError for a job that is over, and says so also where it ended while this was asked."""
        self._check_live(event.job, why, field=field)
        try:
            return await self.ask(event)
        except ApiError:
            self._check_live(event.job, why, field=field)
            raise

    def _check_live(self, number: int, why: str, *, field: str) -> None:
        """Raises ApiError for a job that is over."""
        if number not in self._loop.cluster.jobs:
            hint = f"corral retry {number} queues again what failed of it"
            raise ApiError(refusal("E_CONFLICT", f"job {number} is over: {why}", field=field, hint=hint))

    async def retry(self, user: UserRow, request: Struct) -> Struct:
        """`job.retry`: one request at a time, so that what one has read stays true until it is queued."""
        assert isinstance(request, requests.Retry)
        self._jobs.check_database()
        number, index = await self._jobs.finder.target(user, request.target, field="/target")
        answer = await self.queue_again(user, number, index)
        if index is None or answer.tasks:
            return answer
        task = await self._jobs.find_task(user, request.target, field="/target")
        final = ", which is final" if task.state in TERMINAL else ""
        return api.Changed(tasks=0, hint=f"task {request.target} is {task.state}{final}")

    async def queue_again(self, user: UserRow, number: int, index: int | None) -> api.Changed:
        """What failed of a job, or that task. Raises ApiError, Overloaded or StoreUnavailable."""
        async with self._retrying:
            with self._staying(number):
                return await self._queue_again(user, number, index)

    async def _queue_again(self, user: UserRow, number: int, index: int | None) -> api.Changed:
        first, before, audit = index or 0, 0, ""
        while True:
            await self._loop.barrier()
            as_of = self._loop.cluster.requeues
            over = None if number in self._loop.cluster.jobs else await self._over.job(number)
            failed = await self._over.failed(number, first=first, limit=RETRY_PAGE if index is None else 1)
            if index is not None:
                failed = tuple(seen for seen in failed if seen.task.index == index)
            event = RetryAsked(
                job=number, failed=failed, over=over, as_of=as_of, before=before, by=user.name, role=user.role
            )
            answer = await self.ask(event)
            assert isinstance(answer, api.Changed)
            answer.audit = audit = answer.audit or audit
            if len(failed) < RETRY_PAGE:
                return answer
            first, before = failed[-1].task.index + 1, answer.tasks

    async def cordon(self, user: UserRow, request: Struct) -> Struct:
        """`node.cordon`: no new work; what is there stays."""
        return await self._steer(user, request, NodeAdmin.INACTIVE)

    async def drain(self, user: UserRow, request: Struct) -> Struct:
        """`node.drain`: no new work; what waits goes elsewhere, what runs ends by the deadline."""
        return await self._steer(user, request, NodeAdmin.DRAINING)

    async def maintenance(self, user: UserRow, request: Struct) -> Struct:
        """`node.maintenance`: drained, and in maintenance once nothing runs there any more."""
        return await self._steer(user, request, NodeAdmin.MAINTENANCE)

    async def undrain(self, user: UserRow, request: Struct) -> Struct:
        """`node.undrain`: takes work again."""
        return await self._steer(user, request, NodeAdmin.ACTIVE)

    async def _steer(self, user: UserRow, request: Struct, admin: NodeAdmin) -> Struct:
        assert isinstance(request, requests.NodeSteer)
        self._jobs.check_database()
        check_deadline(request.deadline_s, admin)
        check_reason(request.reason)
        steered = NodeSteered(
            node=NodeName(request.node),
            admin=admin,
            reason=request.reason.strip(),
            deadline_s=request.deadline_s,
            by=user.name,
        )
        async with self.steering:
            return await self.ask(steered)

    async def label(self, user: UserRow, request: Struct) -> Struct:
        """`node.label`: set labels, and take away those that people set."""
        assert isinstance(request, NodeLabel)
        self._jobs.check_database()
        return await self.ask(NodeLabelled(node=NodeName(request.node), labels=request.labels, by=user.name))

    def check_database(self) -> None:
        """Raises ApiError (E_UNAVAILABLE) while nothing can be committed."""
        self._jobs.check_database()

    async def ask(self, event: Asking) -> Struct:
        """Post `event` and wait for its answer. Raises ApiError, Overloaded or StoreUnavailable."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        token = self._replies.expect(waiter)
        try:
            self._loop.post(replace(event, reply=token))
            async with asyncio.timeout(ANSWER_S):
                answer = await waiter
        except TimeoutError:
            raise StoreUnavailable("what was asked is not committed yet") from None
        finally:
            self._replies.take(token)
        if isinstance(answer, Error):
            raise ApiError(answer)
        return answer


def check_reason(reason: str) -> None:
    """Raises ApiError where it is too long."""
    if len(reason) > REASON_MAX:
        got, expected = f"{len(reason)} characters", f"at most {REASON_MAX}"
        raise ApiError(refusal("E_TOO_LARGE", "a long reason", field="/reason", got=got, expected=expected))


def check_deadline(deadline_s: float | None, admin: NodeAdmin) -> None:
    """Raises ApiError where it is out of range, or the node does not drain."""
    if deadline_s is None:
        return
    got = quote(f"{deadline_s:g}")
    if admin not in (NodeAdmin.DRAINING, NodeAdmin.MAINTENANCE):
        hint = "corral drain and corral maintenance take one"
        message = "only what drains has a deadline"
        raise ApiError(refusal("E_CONFLICT", message, field="/deadline_s", got=got, hint=hint))
    if not 0 <= deadline_s <= DEADLINE_MAX_S:
        raise ApiError(refusal("E_RANGE", field="/deadline_s", got=got, expected="0 seconds to 30 days"))
