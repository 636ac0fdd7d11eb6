"""What will be: forecasts of starts, `job.whatif`, `scheduler.plan`. Futures are played in a thread, one
question at a time.

Forecasts that were told are noted by the learner until they have come out; by how they did, the next ones
are corrected. Whether anybody asks or not, one of those that wait is foretold every few seconds: so the
correction is learned on every cluster, and not only of what people worry about.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time

from msgspec import Struct
from msgspec.structs import replace

from bus import api, requests
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.upcoming import LIMIT_MAX, Turn, Upcoming, UpcomingQuery
from bus.values import NodeAdmin, NodeName, TaskRef, UserName
from coordinator.api.access import viewer
from coordinator.api.prerequisites import Prerequisites
from coordinator.api.repeating import cron_of
from coordinator.api.steer import check_deadline
from coordinator.clock import Clock
from coordinator.core.events import ForecastMade
from coordinator.core.forecasts import sample
from coordinator.core.foresight import Change, Comparison, compared, of_task
from coordinator.core.model import Cluster, Group, Job, Node
from coordinator.core.plan import planned_job
from coordinator.core.scheduler.forecast import Forecast, Tracker
from coordinator.core.scheduler.ground import Ground, ground_of, joined, slices
from coordinator.core.scheduler.policies import POLICIES
from coordinator.core.upcoming import Played, turns_of
from coordinator.loop import Loop, Overloaded
from coordinator.registry import Resolve
from coordinator.replies import fault_error
from coordinator.store.reads import Reads
from coordinator.store.rows import UserRow

SAMPLE_EVERY_S = 5.0
SAMPLE_SHARE = 0.01
"""Of the time goes into forecasts that nobody asked for, where one takes long."""

NODES_ADDED_MAX = 1_000


log = logging.getLogger(__name__)


class Outlook:
    """Asks the model, and keeps count of how right it was."""

    def __init__(
        self, loop: Loop, reads: Reads, prerequisites: Prerequisites, clock: Clock, *, resolve: Resolve
    ) -> None:
        self._loop = loop
        self._resolve = resolve
        self._reads = reads
        self._prerequisites = prerequisites
        self._clock = clock
        self._playing = asyncio.Lock()

    async def of_task(self, group: Group, index: int) -> api.Forecast | None:
        """When a task starts that waits; None where something else than places keeps it."""
        told = await self._foretell(group, index)
        return None if told is None else self._shown(told, until_end=False)

    async def of_job(self, job: Job) -> tuple[api.Forecast | None, api.Effect]:
        """When a job that is not submitted would start and end, and what that does to the others."""
        async with self._playing:
            ground = await self._ground()
            now_s = self._clock.now_s()
            comparison = compared(self._loop.cluster, Change(job=job), now_s=now_s, ground=ground)
            raw, answer = await asyncio.to_thread(_answer, comparison, None)
        whole = all(not group.needs for group in job.groups)
        return self._corrected(raw, now_s=now_s, until_end=whole), answer.effect

    async def what_if(self, user: UserRow, request: Struct) -> Struct:
        """`job.whatif`: raises ApiError for nodes and orders that do not exist, and for a refused job."""
        assert isinstance(request, requests.WhatIf)
        await self._loop.barrier()
        cluster = self._loop.cluster
        change = _change(cluster, request)
        if request.job is not None:
            spec = request.job if request.job.cron is None else cron_of(request.job)[1]
            spec = (await self._resolve(user, spec)).spec
            ended = await self._prerequisites.ended(user, spec)
            job = planned_job(cluster, spec, user.name, now_s=self._clock.now_s(), ended=ended)
            if isinstance(job, tuple):
                raise ApiError(fault_error(job))
            change = replace(change, job=job)
        async with self._playing:
            ground = await self._ground()
            now_s = self._clock.now_s()
            comparison = compared(cluster, change, now_s=now_s, ground=ground)
            raw, answer = await asyncio.to_thread(_answer, comparison, viewer(user))
        whole = change.job is not None and all(not group.needs for group in change.job.groups)
        answer.change = _in_words(change)
        answer.forecast = self._corrected(raw, now_s=now_s, until_end=whole)
        return answer

    async def upcoming(self, user: UserRow, request: Struct) -> Struct:
        """`scheduler.plan`: what would start next, those of others only counted."""
        assert isinstance(request, UpcomingQuery)
        if not 1 <= request.limit <= LIMIT_MAX:
            expected = f"1 to {LIMIT_MAX}"
            raise ApiError(refusal("E_RANGE", field="/limit", got=str(request.limit), expected=expected))
        await self._loop.barrier()
        async with self._playing:
            ground = await self._ground()
            now_s = self._clock.now_s()
            question = turns_of(self._loop.cluster, limit=request.limit, now_s=now_s, ground=ground)
            turns = await asyncio.to_thread(question.answer)
        only = viewer(user)
        shown = [turn for turn in turns if only is None or turn.waiter.owner == only]
        return Upcoming(
            order=question.order,
            tasks=question.tasks,
            turns=[self._turn(turn, now_s=now_s) for turn in shown],
            hidden=len(turns) - len(shown),
            told=self._tracker.told,
            right=self._tracker.right,
        )

    async def _ground(self) -> Ground:
        """Of the cluster as it is, taken slice by slice: whoever else asks is answered in between."""
        cluster = self._loop.cluster
        first, *others = list(slices(list(cluster.nodes.values()))) or [[]]
        parts = [ground_of(cluster, first)]
        for nodes in others:
            await asyncio.sleep(0)
            parts.append(ground_of(cluster, nodes))
        return joined(parts)

    def _turn(self, turn: Played, *, now_s: float) -> Turn:
        waiter = turn.waiter
        found = Turn(task=str(waiter.task), user=waiter.owner, tasks=waiter.tasks, node=turn.node)
        if (told := self._corrected(turn.forecast, now_s=now_s, until_end=False)) is not None:
            found.starts_at, found.earliest_at = told.starts_at, told.earliest_at
            found.latest_at = told.latest_at
        return found

    def _corrected(self, raw: Forecast | None, *, now_s: float, until_end: bool) -> api.Forecast | None:
        if raw is None:
            return None
        return self._shown(self._tracker.corrected(raw, now_s=now_s), until_end=until_end)

    def _shown(self, told: Forecast, *, until_end: bool) -> api.Forecast:
        return api.Forecast(
            starts_at=told.start_s,
            earliest_at=told.low_s,
            latest_at=told.high_s,
            ends_at=told.ends_s if until_end and math.isfinite(told.ends_s) else None,
            told=self._tracker.told,
            right=self._tracker.right,
        )

    async def run(self) -> None:
        """Make forecasts that nobody asked for, to learn from: until cancelled."""
        wait_s = SAMPLE_EVERY_S
        while True:
            await asyncio.sleep(wait_s)
            began_s = time.perf_counter()
            try:
                await self.note_one()
            except Exception:  # nobody asked for it, so nobody shall be without a coordinator for it
                log.exception("a forecast could not be made")
            wait_s = max(SAMPLE_EVERY_S, (time.perf_counter() - began_s) / SAMPLE_SHARE)

    async def note_one(self) -> None:
        """Foretell when one of those that wait will start, and have it noted."""
        cluster = self._loop.cluster
        chosen = sample(cluster, random.randrange(1 << 32))
        if chosen is not None:
            await self._foretell(*chosen)

    async def _foretell(self, group: Group, index: int) -> Forecast | None:
        """And wait for how it comes out."""
        async with self._playing:
            ground = await self._ground()
            now_s = self._clock.now_s()
            question = of_task(self._loop.cluster, group, index, now_s=now_s, ground=ground)
            raw = await asyncio.to_thread(question.answer) if question is not None else None
        if raw is None:
            return None
        told = self._tracker.corrected(raw, now_s=now_s)
        try:
            self._loop.post(ForecastMade(TaskRef(group.job.number, index), now_s, raw, told))
        except Overloaded as error:
            log.info("a forecast is not learned from: %s", error)
        return told

    @property
    def _tracker(self) -> Tracker:
        return self._loop.cluster.planner.forecasts.tracker


def _answer(comparison: Comparison, only: UserName | None) -> tuple[Forecast | None, api.Outlook]:
    """Without its words and its forecast. Takes its time."""
    will = comparison.played()
    effect, jobs = comparison.judge(only, will)
    answer = api.Outlook(change="", effect=effect, jobs=jobs)
    if comparison.held.total:
        answer.displacement, answer.displaced = comparison.displaced(will, only)
    return comparison.forecast(), answer


def _change(cluster: Cluster, request: requests.WhatIf) -> Change:
    """Raises ApiError."""
    if not 0 <= request.add <= NODES_ADDED_MAX:
        raise ApiError(
            refusal(
                "E_RANGE",
                "not a number of nodes",
                field="/add",
                got=str(request.add),
                expected=f"0 to {NODES_ADDED_MAX:,}",
            )
        )
    if request.order and request.order not in POLICIES:
        raise ApiError(
            refusal(
                "E_ENUM",
                "unknown order",
                field="/order",
                got=quote(request.order),
                expected=", ".join(POLICIES),
            )
        )
    if request.deadline_s is not None and not request.drain:
        message, got = "only what drains has a deadline", quote(f"{request.deadline_s:g}")
        raise ApiError(refusal("E_CONFLICT", message, field="/deadline_s", got=got, hint="name it in /drain"))
    check_deadline(request.deadline_s, NodeAdmin.DRAINING)
    return Change(
        add=request.add,
        like=_like(cluster, request) if request.add else None,
        drain=frozenset(_node(cluster, name, field="/drain").name for name in request.drain),
        deadline_s=request.deadline_s,
        policy=POLICIES[request.order] if request.order else None,
    )


def _like(cluster: Cluster, request: requests.WhatIf) -> Node:
    if request.like:
        return _node(cluster, request.like, field="/like")
    found = max(cluster.nodes.values(), key=lambda node: (node.capacity.cpu_millis, node.name), default=None)
    if found is None:
        message = "there is no node yet that new ones could be like"
        raise ApiError(refusal("E_NOT_FOUND", message, field="/add"))
    return found


def _node(cluster: Cluster, name: str, *, field: str) -> Node:
    found = cluster.nodes.get(NodeName(name))
    if found is None:
        raise ApiError(refusal("E_NOT_FOUND", f"no node {quote(name)}", field=field))
    return found


def _in_words(change: Change) -> str:
    said = []
    if change.like is not None:
        said.append(f"{change.add} more like {change.like.name}")
    if change.drain:
        within = "" if change.deadline_s is None else f" within {change.deadline_s:g} s"
        said.append(f"{', '.join(sorted(change.drain))} drained{within}")
    if change.policy is not None:
        said.append(f"order {change.policy.name}")
    if change.job is not None:
        said.append(f"job {change.job.name or 'submitted'}")
    return "; ".join(said) or "nothing changed"
