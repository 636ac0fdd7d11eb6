"""Jobs that running tasks submit, by a line in the file that their agent reads.

A task has no credentials, and needs none: its node says which attempt wrote the line, and the attempt says
whose job it is. Whatever is fenced off is not heard. The job is committed before the place of the line is,
under a key made of attempt and place: a line that is told again makes no second job. What is heard of a task
that is over by then belongs to nothing any more, and stands alone.

Who waits for such jobs is asked about again and again, and answered once all of them are over, out of the
rows: nothing is kept here that a restart could lose.
"""

from __future__ import annotations

import asyncio
import logging

from msgspec.structs import replace

from bus.api import Submitted
from bus.children import CHILDREN_TOLD_MAX, ChildrenAsked, ChildrenOf, ChildrenReply
from bus.codec import decode_request
from bus.errors import ApiError, DecodeError, Error, one_line
from bus.results import Child, Told
from bus.spec import JobSpec
from bus.values import AttemptRef, NodeName, UserName
from coordinator.api.access import Access
from coordinator.api.jobs import Jobs, seal
from coordinator.core.children import line_key, live_children, waiting_at
from coordinator.core.events import ParentsWait
from coordinator.loop import Loop, Overloaded
from coordinator.notices import Notices
from coordinator.store.errors import StoreUnavailable
from coordinator.store.reads import Reads
from coordinator.store.results import ResultStore
from coordinator.tell import Waiter

log = logging.getLogger(__name__)


class Offspring:
    """`submit` makes jobs of what an attempt told, `children` says what became of them."""

    def __init__(
        self,
        jobs: Jobs,
        loop: Loop,
        access: Access,
        *,
        reads: Reads,
        results: ResultStore,
        notices: Notices,
    ) -> None:
        self._jobs = jobs
        self._loop = loop
        self._access = access
        self._reads = reads
        self._results = results
        self._notices = notices

    async def submit(self, node: NodeName, told: Told) -> None:
        """Each child is committed, or refused and told of, when this returns.

        Raises StoreUnavailable where that cannot be said yet: it is told again.
        """
        for child in told.children:
            try:
                refused = await self._submit(node, told.attempt, child)
            except (ApiError, DecodeError) as error:
                refused = error.error if isinstance(error, ApiError) else error.to_error()
            except Overloaded as error:
                raise StoreUnavailable(str(error)) from error
            if refused is not None and refused.retryable:
                raise StoreUnavailable(one_line(refused))
            if refused is not None:
                await self._results.refuse(told.attempt, child.place, one_line(refused))
                text = f"{told.attempt} on {node}: a job that it submitted was refused: {one_line(refused)}"
                self._notices.note(node, "child_refused", text, attempt=told.attempt)

    async def _submit(self, node: NodeName, attempt: AttemptRef, child: Child) -> Error | None:
        """Why it was refused; None: there is a job. Raises ApiError, DecodeError, Overloaded, StoreError."""
        self._jobs.check_database()
        await self._loop.barrier()
        owner = self._live_owner(node, attempt)
        belongs = owner is not None
        owner = owner or await self._results.speaker(node, attempt)
        if owner is None:
            return None  # fenced off: not heard
        user = await self._access.check(owner, "job.submit")
        spec = decode_request("job.submit", child.job)
        assert isinstance(spec, JobSpec)
        key = spec.dedupe_key or line_key(attempt, child.place)
        spec = replace(spec, dedupe_key=key, parent=str(attempt.task) if belongs else None)
        if await self._reads.duplicate(owner, key) is not None:
            return None
        resolved = await self._jobs.resolve(user, spec)
        ended = await self._jobs.prerequisites.ended(user, spec)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._jobs.enter(owner, seal(resolved), waiter, ended=ended)
        answer = await waiter
        assert isinstance(answer, Submitted | Error), "a submission is accepted or refused"
        if isinstance(answer, Error) and belongs and self._live_owner(node, attempt) is None:
            return await self._submit(node, attempt, child)  # it ended meanwhile
        return answer if isinstance(answer, Error) else None

    async def children(self, node: NodeName, asked: ChildrenAsked) -> ChildrenReply:
        """What became of the jobs of tasks that wait for them. Raises StoreError, Overloaded."""
        await self._loop.barrier()  # what is not in memory then is over, and committed
        cluster = self._loop.cluster
        if waiting_at(cluster, node) != set(asked.attempts):
            self._loop.post(ParentsWait(node=node, attempts=asked.attempts))
        found: list[ChildrenOf] = []
        room = CHILDREN_TOLD_MAX
        for attempt in asked.attempts:
            if self._live_owner(node, attempt) is None:
                found.append(ChildrenOf(attempt=attempt, stale=True))
            elif live := len(live_children(cluster, attempt)):
                found.append(ChildrenOf(attempt=attempt, live=live))
            elif room > 0:
                ended = await self._results.children(attempt, limit=CHILDREN_TOLD_MAX)
                room -= len(ended)
                if room >= 0:  # else it is the first that is answered one of the next times
                    found.append(ChildrenOf(attempt=attempt, ended=tuple(ended)))
        return ChildrenReply(found=tuple(found))

    def _live_owner(self, node: NodeName, attempt: AttemptRef) -> UserName | None:
        """Whose task it is; None where the attempt is not the live one, at that node."""
        task = self._loop.cluster.find_task(attempt.task)
        live = task.attempt if task is not None else None
        if task is None or live is None or live.ref != attempt or live.node != node:
            return None
        return task.group.job.owner
