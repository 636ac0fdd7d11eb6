"""`task.why` and `job.plan`: why a task waits or is where it is, and what a job would become."""

from __future__ import annotations

from msgspec import Struct

from bus import api, requests
from bus.errors import ApiError
from bus.spec import JobSpec
from bus.values import TaskRef
from coordinator.api.access import viewer
from coordinator.api.find import Finder, not_found
from coordinator.api.outlook import Outlook
from coordinator.api.placed import Placed
from coordinator.api.prerequisites import Prerequisites
from coordinator.api.repeating import cron_of
from coordinator.clock import Clock
from coordinator.core import why
from coordinator.core.fair_share import standing_of
from coordinator.core.model import Group
from coordinator.core.plan import plan, planned_job
from coordinator.core.refusals import stories
from coordinator.core.scheduler.order import in_force, static_order
from coordinator.core.scheduler.policies import Kind
from coordinator.core.scheduler.values import rank_in_force
from coordinator.loop import Loop
from coordinator.registry import Resolve
from coordinator.replies import fault_error
from coordinator.store.reads import Reads
from coordinator.store.rows import UserRow


class Reasons:
    """The handlers of `task.why` and `job.plan`: out of memory; what is placed out of the rows."""

    def __init__(self, loop: Loop, finder: Finder, reads: Reads, clock: Clock, *, resolve: Resolve) -> None:
        self._loop = loop
        self._resolve = resolve
        self._finder = finder
        self._reads = reads
        self._prerequisites = Prerequisites(loop, reads)
        self._clock = clock
        self._placed = Placed(reads)
        self._outlook = Outlook(loop, reads, self._prerequisites, clock, resolve=resolve)
        self.what_if = self._outlook.what_if
        self.upcoming = self._outlook.upcoming
        self.run = self._outlook.run

    async def plan(self, user: UserRow, request: Struct) -> Struct:
        """`job.plan`: raises ApiError with every fault that a submission would be refused for."""
        assert isinstance(request, JobSpec)
        spec = request if request.cron is None else cron_of(request)[1]
        await self._loop.barrier()
        spec = (await self._resolve(user, spec)).spec
        ended = await self._prerequisites.ended(user, spec)
        cluster, now_s = self._loop.cluster, self._clock.now_s()
        planned = plan(cluster, spec, user.name, now_s=now_s, ended=ended)
        job = planned_job(cluster, spec, user.name, now_s=now_s, ended=ended)
        if isinstance(planned, tuple) or isinstance(job, tuple):
            assert isinstance(planned, tuple), "the same spec is refused by both"
            raise ApiError(fault_error(planned))
        planned.forecast, planned.effect = await self._outlook.of_job(job)
        return planned

    async def why(self, user: UserRow, request: Struct) -> Struct:
        """`task.why`."""
        assert isinstance(request, requests.WhyQuery)
        number, index = await self._finder.target(user, request.target, field="/target")
        job = self._loop.cluster.jobs.get(number)
        if index is None and job is not None:
            index = why.first_waiting(job)
            index = why.newest_placed(job) if index is None else index
        if index is None:
            shown = await self._reads.job(number, viewer=viewer(user))
            index = shown.counts.total - 1 if shown is not None else 0
        group = job.group_of(index) if job is not None else None
        if group is not None and why.waits(group, index):
            waiting = self._waiting(group, index)
            if waiting.ahead is not None:
                waiting.forecast = await self._outlook.of_task(group, index)
            return waiting
        ref = TaskRef(number, index)
        task = await self._reads.task(ref, viewer=viewer(user))
        if task is None:
            raise not_found(request.target, "/target")
        found = await self._placed.why(task, viewer=viewer(user))
        live = self._loop.cluster.find_task(ref)
        if live is not None and live.attempt is not None:
            unheard = why.unheard(self._loop.cluster, live.attempt, now_s=self._clock.now_s())
            found.summary += f"; {unheard}" if unheard else ""
        if live is not None:
            told = stories(self._loop.cluster, live, now_s=self._clock.now_s())
            found.summary += "".join(f"; {each}" for each in told)
        return found

    def _waiting(self, group: Group, index: int) -> api.Why:
        cluster, now_s = self._loop.cluster, self._clock.now_s()
        task = group.find_task(index)
        ahead, since_s = why.ahead(cluster, group, index)
        blockers = why.blockers(cluster, group, index, now_s=now_s) + why.line_blocker(ahead)
        ref, force = str(TaskRef(group.job.number, index)), in_force(cluster)
        first = f"{ref} waits: {blockers[0].message}" if blockers else f"{ref} is about to be placed"
        more = f", and {len(blockers) - 1} more" if len(blockers) > 1 else ""
        return api.Why(
            task=ref,
            state=group.untouched_state if task is None else task.state,
            summary=first + more,
            waiting_s=max(now_s - (since_s or group.job.submitted_at), 0.0),
            ahead=ahead,
            blockers=blockers,
            attempt=0 if task is None else task.fence,
            order=static_order(cluster),
            rank=rank_in_force(cluster),
            policy=force.name if force.kind is not Kind.STATIC else "",
            candidates=why.candidates(cluster, group.shape if task is None else task.shape),
            standing=standing_of(cluster, group.job.owner, now_s=now_s),
        )
