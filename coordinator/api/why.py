"""`task.why` and `job.plan`: why a task waits or is where it is, and what a job would become."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bus import api, requests
from bus.errors import ApiError
from bus.spec import JobSpec
from bus.values import AttemptState, TaskRef, TaskState
from coordinator.api.access import viewer
from coordinator.api.find import Finder, not_found
from coordinator.api.outlook import Outlook
from coordinator.api.prerequisites import Prerequisites
from coordinator.clock import Clock
from coordinator.core import why
from coordinator.core.fair_share import standing_of
from coordinator.core.model import Group
from coordinator.core.plan import plan, planned_job
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.order import in_force, static_order
from coordinator.core.scheduler.policies import Kind
from coordinator.core.scheduler.values import rank_in_force
from coordinator.loop import Loop
from coordinator.replies import fault_error
from coordinator.store.reads import Reads
from coordinator.store.rows import UserRow

_OTHERS = "another user's"


class Reasons:
    """The handlers of `task.why` and `job.plan`: out of memory; what is placed out of the rows."""

    def __init__(self, loop: Loop, finder: Finder, reads: Reads, clock: Clock) -> None:
        self._loop = loop
        self._finder = finder
        self._reads = reads
        self._prerequisites = Prerequisites(loop, reads)
        self._clock = clock
        self._outlook = Outlook(loop, reads, self._prerequisites, clock)
        self.what_if = self._outlook.what_if
        self.upcoming = self._outlook.upcoming
        self.run = self._outlook.run

    async def plan(self, user: UserRow, request: Struct) -> Struct:
        """`job.plan`: raises ApiError with every fault that a submission would be refused for."""
        assert isinstance(request, JobSpec)
        await self._loop.barrier()
        ended = await self._prerequisites.ended(user, request)
        cluster, now_s = self._loop.cluster, self._clock.now_s()
        planned = plan(cluster, request, user.name, now_s=now_s, ended=ended)
        job = planned_job(cluster, request, user.name, now_s=now_s, ended=ended)
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
        kept = await self._kept(task, viewer=viewer(user))
        found = placed(task, str(ref), await self._discreet(kept, viewer=viewer(user)))
        live = self._loop.cluster.find_task(ref)
        if live is not None and live.attempt is not None:
            unheard = why.unheard(self._loop.cluster, live.attempt, now_s=self._clock.now_s())
            found.summary += f"; {unheard}" if unheard else ""
        return found

    async def _discreet(self, kept: Explanation, *, viewer: str | None) -> Explanation:
        """Without the names of tasks that the viewer may not know of."""
        behind = kept.backfill.behind if kept.backfill is not None else ""
        hidden: set[str] = set()
        for name in filter(None, {*kept.q, kept.would, behind}) if viewer is not None else ():
            if await self._reads.job(int(name.partition(".")[0]), viewer=viewer) is None:
                hidden.add(name)
        if not hidden:
            return kept
        q: dict[str, float] = {}
        for name, value in sorted(kept.q.items(), key=lambda each: each[1]):
            q.setdefault(_OTHERS if name in hidden else name, value)
        return msgspec.structs.replace(
            kept,
            q=q,
            would=_OTHERS if kept.would in hidden else kept.would,
            backfill=msgspec.structs.replace(kept.backfill, behind=_OTHERS)
            if kept.backfill is not None and behind in hidden
            else kept.backfill,
        )

    async def _kept(self, task: api.Task, *, viewer: str | None) -> Explanation:
        """What the newest attempt kept of its decision, or the one whose it shares."""
        explanation = explanation_of(task.attempts[-1]) if task.attempts else Explanation()
        if explanation.like is None:
            return explanation
        index, fence = explanation.like
        other = await self._reads.task(TaskRef(task.job, index), viewer=viewer)
        found = [each for each in other.attempts if each.fence == fence] if other is not None else []
        return explanation_of(found[0]) if found else explanation

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
            candidates=why.candidates(cluster, group.shape),
            standing=standing_of(cluster, group.job.owner, now_s=now_s),
        )


def explanation_of(attempt: api.Attempt) -> Explanation:
    """As it was kept."""
    return msgspec.convert(attempt.explanation, Explanation)


def placed(task: api.Task, ref: str, explanation: Explanation) -> api.Why:
    """What the newest attempt kept of the decision; also long after its end."""
    if not task.attempts:
        reason = f": {task.message}" if task.message else ""
        return api.Why(
            task=ref, state=task.state, summary=f"{ref} is {task.state}, and was never placed{reason}"
        )
    newest = task.attempts[-1]
    return api.Why(
        task=ref,
        state=task.state,
        summary=f"{ref} {_fate(newest, task.state)} on {newest.node}: {_rule(explanation)}",
        node=newest.node,
        attempt=newest.fence,
        order=explanation.order,
        rank=explanation.rank,
        candidates=why.decided(explanation, newest.node),
        decided_at=newest.assigned_at,
        policy=explanation.policy,
        rule=explanation.rule,
        class_=explanation.class_,
        values=explanation.q,
        would=explanation.would,
        explored=explanation.explored,
        epsilon=explanation.epsilon,
        backfill=_backfilled(explanation),
        usage_age_s=explanation.usage_age_s,
    )


def _backfilled(explanation: Explanation) -> api.Backfilled | None:
    kept = explanation.backfill
    if kept is None:
        return None
    return api.Backfilled(
        behind=kept.behind, node=kept.node, reserved_at=kept.reserved_s, until_at=kept.until_s
    )


def _fate(attempt: api.Attempt, state: TaskState) -> str:
    match attempt.state:
        case AttemptState.ASSIGNED:
            return "was placed"
        case AttemptState.RUNNING:
            return "runs"
        case _:
            return f"was placed, and is {state},"


def _rule(explanation: Explanation) -> str:
    if explanation.rank == "prefill":
        return f"ahead of a free place, as {explanation.pace_per_s} tasks end there per second"
    feasible = explanation.feasible
    rejected = explanation.nodes - feasible if explanation.nodes else len(explanation.rejected)
    of = "the only node that could take it" if feasible == 1 else f"best of {feasible} nodes"
    by = "" if feasible == 1 else f" by {explanation.rank or '?'}"
    return of + by + (f"; {rejected} could not" if rejected else "")
