"""2 · The loop owns the cluster: it takes events, steps, and has the effects performed, batch by batch.

Nothing else touches the cluster. While a batch is being written the next one gathers in the queue, so
batches grow with the load (group commit) and an idle system answers at once. Above a pace of
`BUSY_EFFECTS_PER_S` a batch begins no sooner than `BUSY_WINDOW_S` after the last one, since a commit
costs the same for one row as for fifty. Heartbeats do not wait for the database: they are stepped at once,
and what their answer may say without a commit (the leases are renewed) is said at once; everything else
they cause joins the next batch.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from coordinator.budget import Budget
from coordinator.clock import Clock
from coordinator.core.effects import AnswerBeat, Effect
from coordinator.core.events import AgentBeat, Event, ScheduleDue, Tick
from coordinator.core.machine import reconcile, step
from coordinator.core.model import Cluster
from coordinator.perform import Performer
from coordinator.store.errors import StoreUnavailable

T = TypeVar("T")

log = logging.getLogger(__name__)

EVENTS_MAX = 100_000
BATCH_EVENTS_MAX = 2_000
TICK_S = 0.25
BARRIER_S = 1.5
REST_S = 1.0
BUSY_EFFECTS_PER_S = 2_000.0
BUSY_WINDOW_S = 0.01
_PACE_TAU_S = 0.25
RECONCILE_S = 10.0


class Overloaded(Exception):
    """The queue is full: the sender must try again later."""


class Loop:
    """Runs until cancelled; `post` gives it events."""

    def __init__(
        self,
        cluster: Cluster,
        performer: Performer,
        clock: Clock,
        *,
        answer_beat: Callable[[AnswerBeat], None],
    ) -> None:
        self.cluster = cluster
        self._performer = performer
        self._clock = clock
        self._budget = Budget(now_s=time.perf_counter(), fixed=cluster.deterministic)
        self._answer_beat = answer_beat
        self._queue: deque[Event] = deque()
        self._carried: list[list[Effect]] = []
        self._wake = asyncio.Event()
        self._performing = False
        self._posted = 0
        self._finished = 0
        self._batch_started_s = 0.0
        self._effects_per_s = 0.0  # decayed
        self._barriers: list[tuple[int, asyncio.Future[None]]] = []
        self._looks: deque[tuple[asyncio.Event, asyncio.Task[Any]]] = deque()

    def post(self, event: Event) -> None:
        """Let `event` happen soon. Raises Overloaded where too much waits already."""
        if self._performing and isinstance(event, AgentBeat):
            self._step_beat(event)
            return
        if len(self._queue) >= EVENTS_MAX:
            raise Overloaded(f"{EVENTS_MAX} events wait")
        self._queue.append(event)
        self._posted += 1
        self._wake.set()

    async def barrier(self) -> None:
        """Until everything posted so far is committed (a read must see what its sender was told).

        Raises StoreUnavailable where that takes longer than anybody should wait.
        """
        if self._finished >= self._posted:
            return
        waiting = (self._posted, asyncio.get_running_loop().create_future())
        self._barriers.append(waiting)
        try:
            async with asyncio.timeout(BARRIER_S):
                await waiting[1]
        except TimeoutError:
            raise StoreUnavailable("what came before is not committed yet") from None
        finally:
            if waiting in self._barriers:
                self._barriers.remove(waiting)

    async def at_rest(self, look: Callable[[], Awaitable[T]]) -> T:
        """Run `look` between two batches: the cluster does not change, and all of it is committed.

        Everybody waits for it, so it must be brief: at most `REST_S`. Raises StoreUnavailable where it is
        not, or where its turn does not come.
        """
        turn = asyncio.Event()

        async def take() -> T:
            async with asyncio.timeout(BARRIER_S):
                await turn.wait()
            async with asyncio.timeout(REST_S):
                return await look()

        task = asyncio.create_task(take(), name="look")
        self._looks.append((turn, task))
        self._wake.set()
        try:
            return await task
        except TimeoutError:
            raise StoreUnavailable("what came before is not committed yet") from None

    async def run(self) -> None:
        """Take batches until cancelled. Raises NotLeader when another coordinator leads."""
        loop = asyncio.get_running_loop()
        next_tick = loop.time()
        next_reconcile = loop.time() + RECONCILE_S
        while True:
            now = loop.time()
            if now >= next_tick:
                self._queue.append(Tick())
                self._posted += 1
                next_tick = now + TICK_S
            if now >= next_reconcile:
                self._carried.append(reconcile(self.cluster, self._clock.now_s()))
                next_reconcile = now + RECONCILE_S
            while self._looks and not self._carried:
                turn, task = self._looks.popleft()
                turn.set()
                await asyncio.wait({task})
            if self._queue or self._carried:
                await self._gather(now)
                await self._run_batch()
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(next_tick - loop.time()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _gather(self, now: float) -> None:
        """On a busy system, let more events arrive before the next commit."""
        quiet_s = now - self._batch_started_s
        self._effects_per_s *= math.exp(-quiet_s / _PACE_TAU_S)
        busy = self._effects_per_s > BUSY_EFFECTS_PER_S
        await asyncio.sleep(max(BUSY_WINDOW_S - quiet_s, 0.0) if busy else 0.0)
        self._batch_started_s = asyncio.get_running_loop().time()

    async def _run_batch(self) -> None:
        steps, self._carried = self._carried, []
        taken = min(len(self._queue), BATCH_EVENTS_MAX)
        for _ in range(taken):
            steps.append(step(self.cluster, self._queue.popleft(), self._clock.now_s()))
        self.cluster.rollout_steps = self._budget.steps(time.perf_counter())
        self.cluster.rollouts_taken = 0  # there may be no round
        steps.append(step(self.cluster, ScheduleDue(), self._clock.now_s()))
        self._budget.note(self.cluster.rollouts_taken, time.perf_counter())
        self._effects_per_s += sum(map(len, steps)) / _PACE_TAU_S
        self._performing = True
        try:
            await self._performer.perform(steps)
        finally:
            self._performing = False
        self._finished += taken
        while self._barriers and self._barriers[0][0] <= self._finished:
            reached = self._barriers.pop(0)[1]
            if not reached.done():
                reached.set_result(None)

    def _step_beat(self, beat: AgentBeat) -> None:
        """A heartbeat while a batch is being written: its answer drops nothing, the rest is carried."""
        effects = step(self.cluster, beat, self._clock.now_s())
        kept: list[Effect] = []
        for effect in effects:
            if isinstance(effect, AnswerBeat):
                self._answer_beat(replace(effect, drop=()))
            else:
                kept.append(effect)
        if kept:
            self._carried.append(kept)
