"""What will be: forecasts of starts, and `job.whatif`. Futures are played in a thread, one question at a
time.

Forecasts that were told are remembered until they have come out; by how they did, the next ones are
corrected. A new leader begins anew.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque

from msgspec import Struct
from msgspec.structs import replace

from bus import api, requests
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.values import NodeName, TaskRef, UserName
from coordinator.api.access import viewer
from coordinator.api.prerequisites import Prerequisites
from coordinator.clock import Clock
from coordinator.core import why
from coordinator.core.foresight import Change, Comparison, compared, of_task
from coordinator.core.model import Cluster, Group, Job, Node
from coordinator.core.plan import planned_job
from coordinator.core.scheduler.forecast import Forecast, Tracker
from coordinator.core.scheduler.policies import POLICIES
from coordinator.loop import Loop
from coordinator.replies import fault_error
from coordinator.store.reads import Reads
from coordinator.store.rows import UserRow

OPEN_MAX = 200
LOOKED_UP_MAX = 10
"""Tasks over whose start is read from the database, for each question."""

NODES_ADDED_MAX = 1_000


class Told(Struct, frozen=True):
    """A forecast that has not come out yet."""

    task: TaskRef
    asked_s: float
    raw: Forecast
    told: Forecast
    late: bool = False  # it should have started, and waits


class Outlook:
    """Asks the model, and keeps count of how right it was."""

    def __init__(self, loop: Loop, reads: Reads, prerequisites: Prerequisites, clock: Clock) -> None:
        self._loop = loop
        self._reads = reads
        self._prerequisites = prerequisites
        self._clock = clock
        self._tracker = Tracker()
        self._told: deque[Told] = deque(maxlen=OPEN_MAX)
        self._playing = asyncio.Lock()

    async def of_task(self, group: Group, index: int) -> api.Forecast | None:
        """When a task starts that waits; None where something else than places keeps it."""
        await self._learn()
        async with self._playing:
            now_s = self._clock.now_s()
            question = of_task(self._loop.cluster, group, index, now_s=now_s)
            raw = await asyncio.to_thread(question.answer) if question is not None else None
        if raw is None:
            return None
        told = self._tracker.corrected(raw, now_s=now_s)
        self._told.append(Told(TaskRef(group.job.number, index), now_s, raw, told))
        return self._shown(told, until_end=False)

    async def of_job(self, job: Job) -> tuple[api.Forecast | None, api.Effect]:
        """When a job that is not submitted would start and end, and what that does to the others."""
        async with self._playing:
            now_s = self._clock.now_s()
            comparison = compared(self._loop.cluster, Change(job=job), now_s=now_s)
            raw, (effect, _) = await asyncio.to_thread(_both, comparison, None)
        whole = all(not group.needs for group in job.groups)
        return self._corrected(raw, now_s=now_s, until_end=whole), effect

    async def what_if(self, user: UserRow, request: Struct) -> Struct:
        """`job.whatif`: raises ApiError for nodes and orders that do not exist, and for a refused job."""
        assert isinstance(request, requests.WhatIf)
        await self._loop.barrier()
        cluster = self._loop.cluster
        change = _change(cluster, request)
        if request.job is not None:
            ended = await self._prerequisites.ended(user, request.job)
            job = planned_job(cluster, request.job, user.name, now_s=self._clock.now_s(), ended=ended)
            if isinstance(job, tuple):
                raise ApiError(fault_error(job))
            change = replace(change, job=job)
        async with self._playing:
            now_s = self._clock.now_s()
            comparison = compared(cluster, change, now_s=now_s)
            raw, (effect, jobs) = await asyncio.to_thread(_both, comparison, viewer(user))
        whole = change.job is not None and all(not group.needs for group in change.job.groups)
        return api.Outlook(
            change=_in_words(change),
            effect=effect,
            jobs=jobs,
            forecast=self._corrected(raw, now_s=now_s, until_end=whole),
        )

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

    async def _learn(self) -> None:
        """See which forecasts have come out."""
        looked_up = 0
        for _ in range(len(self._told)):
            each = self._told.popleft()
            job = self._loop.cluster.jobs.get(each.task.job)
            group = job.group_of(each.task.index) if job is not None else None
            live = group.find_task(each.task.index) if group is not None else None
            waits = group is not None and why.waits(group, each.task.index)
            if waits and not each.late and self._clock.now_s() > each.told.high_s:
                self._tracker.note_late()
                each = replace(each, late=True)
            if waits or (live is None and looked_up == LOOKED_UP_MAX):
                self._told.append(each)
                continue
            if live is not None:
                started_s = live.started_at
            else:
                looked_up += 1
                started_s = await self._started_s(each)
            if started_s is not None:
                if started_s > each.told.high_s and not each.late:
                    self._tracker.note_late()
                self._tracker.observe(each.raw, each.told, asked_s=each.asked_s, started_s=started_s)
            elif live is not None:
                self._told.append(each)  # on its way

    async def _started_s(self, told: Told) -> float | None:
        """When a task that is over started, after it was asked about; None: it never did."""
        task = await self._reads.task(told.task, viewer=None)
        attempts = task.attempts if task is not None else []
        starts = [each.started_at for each in attempts if each.started_at is not None]
        return min((at for at in starts if at >= told.asked_s), default=None)


def _both(
    comparison: Comparison, only: UserName | None
) -> tuple[Forecast | None, tuple[api.Effect, list[api.Affected]]]:
    return comparison.forecast(), comparison.judge(only)


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
    return Change(
        add=request.add,
        like=_like(cluster, request) if request.add else None,
        drain=frozenset(_node(cluster, name, field="/drain").name for name in request.drain),
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
        said.append(f"{', '.join(sorted(change.drain))} drained")
    if change.policy is not None:
        said.append(f"order {change.policy.name}")
    if change.job is not None:
        said.append(f"job {change.job.name or 'submitted'}")
    return "; ".join(said) or "nothing changed"
