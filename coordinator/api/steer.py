"""Steering: jobs are held, released and retried, nodes cordoned, drained and opened.

All of it goes through the loop and is answered after its commit.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct
from msgspec.structs import replace

from bus import api, requests
from bus.errors import ApiError
from bus.refusal import refusal
from bus.values import NodeAdmin, NodeName
from coordinator.api.jobs import Jobs
from coordinator.core.events import HoldAsked, NodeSteered, RetryAsked
from coordinator.core.model import TERMINAL
from coordinator.loop import Loop
from coordinator.store.errors import StoreUnavailable
from coordinator.store.over import Over
from coordinator.store.rows import UserRow
from coordinator.tell import Replies, Waiter

RETRY_PAGE = 2_000
"""Failed tasks queued again in one step: a batch of bounded size, however many failed."""

REASON_MAX = 500
ANSWER_S = 5.0


class Steer:
    """The handlers of `job.hold`, `.release`, `.retry` and of `node.cordon`, `.drain`, `.undrain`."""

    def __init__(self, loop: Loop, jobs: Jobs, over: Over, replies: Replies) -> None:
        self._loop = loop
        self._jobs = jobs
        self._over = over
        self._replies = replies
        self._retrying = asyncio.Lock()

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
        if number not in self._loop.cluster.jobs:
            message = f"job {number} is over: nothing of it waits"
            hint = f"corral retry {number} queues again what failed of it"
            raise ApiError(refusal("E_CONFLICT", message, field="/job", hint=hint))
        return await self._ask(HoldAsked(job=number, held=held, by=user.name, role=user.role))

    async def retry(self, user: UserRow, request: Struct) -> Struct:
        """`job.retry`: one request at a time, so that what one has read stays true until it is queued."""
        assert isinstance(request, requests.Retry)
        self._jobs.check_database()
        number, index = await self._jobs.finder.target(user, request.target, field="/target")
        async with self._retrying:
            answer = await self._queue_again(user, number, index)
        if index is None or answer.tasks:
            return answer
        task = await self._jobs.find_task(user, request.target, field="/target")
        final = ", which is final" if task.state in TERMINAL else ""
        return api.Changed(tasks=0, hint=f"task {request.target} is {task.state}{final}")

    async def _queue_again(self, user: UserRow, number: int, index: int | None) -> api.Changed:
        first, before = index or 0, 0
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
            answer = await self._ask(event)
            assert isinstance(answer, api.Changed)
            if len(failed) < RETRY_PAGE:
                return answer
            first, before = failed[-1].task.index + 1, answer.tasks

    async def cordon(self, user: UserRow, request: Struct) -> Struct:
        """`node.cordon`: no new work; what is there stays."""
        return await self._steer(user, request, NodeAdmin.INACTIVE)

    async def drain(self, user: UserRow, request: Struct) -> Struct:
        """`node.drain`: no new work; what waits goes elsewhere, what runs ends by itself."""
        return await self._steer(user, request, NodeAdmin.DRAINING)

    async def undrain(self, user: UserRow, request: Struct) -> Struct:
        """`node.undrain`: takes work again."""
        return await self._steer(user, request, NodeAdmin.ACTIVE)

    async def _steer(self, user: UserRow, request: Struct, admin: NodeAdmin) -> Struct:
        assert isinstance(request, requests.NodeSteer)
        self._jobs.check_database()
        if len(request.reason) > REASON_MAX:
            got, expected = f"{len(request.reason)} characters", f"at most {REASON_MAX}"
            raise ApiError(
                refusal("E_TOO_LARGE", "a long reason", field="/reason", got=got, expected=expected)
            )
        node, reason = NodeName(request.node), request.reason.strip()
        return await self._ask(NodeSteered(node=node, admin=admin, reason=reason, by=user.name))

    async def _ask(self, event: HoldAsked | RetryAsked | NodeSteered) -> Struct:
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
        if isinstance(answer, api.Error):
            raise ApiError(answer)
        return answer
