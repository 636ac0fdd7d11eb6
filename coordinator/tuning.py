"""The gate at work: every so often the cluster's own history is replayed, and what wins orders the tasks.

The replay is a process of its own at the lowest priority (`python -m coordinator tune`), so that nothing of
it waits in the loop. Its verdict becomes an event of the core, which the next leader knows, too. It looks
again when `every_s` have passed and there is new history, and soon when the mix of work has changed: the
newest 128 arrivals ask for `MIX_FACTOR` times as long or as wide as at the last look, or as little.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import msgspec
from msgspec import Struct

from bus.scheduling import Test
from bus.values import NodeKind
from coordinator.clock import Clock
from coordinator.core.effects import LearningNotes, Record
from coordinator.core.events import PolicyChosen, SnapshotDue
from coordinator.core.learning import experiences, read_notes, situation
from coordinator.core.scheduler.asking import UNITS
from coordinator.core.scheduler.learner import Situation
from coordinator.core.scheduler.live_gpus import as_empty
from coordinator.core.scheduler.places import read
from coordinator.core.scheduler.policies import Backfill, Mode
from coordinator.core.scheduler.qlearning import QTable
from coordinator.core.scheduler.values import LEARNED
from coordinator.last_hour import LastHour
from coordinator.loop import Loop, Overloaded
from coordinator.replayer import Refused, replayed
from coordinator.store.errors import StoreError
from coordinator.store.learned import Learned

log = logging.getLogger(__name__)

LOOK_S = 5.0
SNAPSHOT_S = 300.0
PRUNE_S = 3600.0
FIRST_S = 60.0
"""After a takeover, before the first look: whoever just lost a coordinator has other worries."""

SETTLE_S = 300.0
"""Between two looks, however the mix changes."""

MIX_FACTOR = 4.0
NEW_ENDS = 64
"""So many tasks must have run since the last look for another to be worth it."""

HISTORY = 20_480
LIMIT_S = 3600.0


class _Seen(Struct, frozen=True):
    """The cluster at the last look."""

    decisions: int
    situation: Situation


class Tuning:
    """`run` beside the loop; `test` for who asks. One replay at a time.

    `notes`: of the leader before, whose last experiences may have been committed and not written.
    """

    def __init__(
        self,
        loop: Loop,
        learned: Learned,
        clock: Clock,
        *,
        record: Callable[[Sequence[Record]], None],
        epoch: int,
        every_s: float,
        notes: Sequence[LearningNotes] = (),
        command: Sequence[str] = (sys.executable, "-P", "-m", "coordinator", "tune"),
    ) -> None:
        self._loop = loop
        self._learned = learned
        self._clock = clock
        self._record = record
        self._epoch = epoch
        self._every_s = every_s
        self._notes = notes
        self._command = command
        self._began_s = clock.now_s()
        self._looked_s = -math.inf
        self._seen: _Seen | None = None
        self._working: asyncio.Task[None] | None = None
        self.test: Test | None = None
        self.hour = LastHour(loop, learned, clock, command=command)

    @property
    def busy(self) -> bool:
        """Whether a replay runs."""
        return self._working is not None and not self._working.done()

    @property
    def next_s(self) -> float | None:
        """Until the next look of itself, unless the mix changes before; None: it never looks."""
        if not self._every_s or self._loop.cluster.mode is Mode.OFF:
            return None
        due_s = max(self._looked_s + self._every_s, self._began_s + FIRST_S)
        return max(due_s - self._clock.now_s(), 0.0)

    @property
    def shadow(self) -> float | None:
        """Mean log of what the policy that passed cost over what acted, on the windows of the last replay."""
        test, cluster = self.test, self._loop.cluster
        acts = cluster.policy if cluster.mode is Mode.ON else cluster.order
        mine = (test.costs.get(cluster.policy or test.evidence.get("policy", "")) if test else None) or []
        theirs = (test.costs.get(acts or cluster.order) if test else None) or []
        if not mine or len(mine) != len(theirs):
            return None
        return fmean(math.log(one / other) for one, other in zip(mine, theirs, strict=True))

    async def run(self) -> None:
        """Until cancelled; a replay under way ends with it."""
        snapshot_s = prune_s = self._clock.now_s()
        try:
            await self._complete()
            while True:
                now_s = self._clock.now_s()
                if now_s >= snapshot_s:
                    self._post(SnapshotDue("interval"))
                    snapshot_s = now_s + SNAPSHOT_S
                if now_s >= prune_s:
                    await self._prune()
                    prune_s = now_s + PRUNE_S
                if not self.busy and self._is_due(now_s):
                    self.begin(by="coordinator", adopts=True)
                elif self._every_s and now_s - self._began_s >= FIRST_S and self.hour.is_due(now_s):
                    await self.hour.look()
                await asyncio.sleep(LOOK_S)
        finally:
            if self._working is not None:
                self._working.cancel()
                await asyncio.wait({self._working})

    def keep(self, reason: str) -> None:
        """Have all that is learned kept now, if anything is new."""
        self._post(SnapshotDue(reason))

    def begin(
        self,
        *,
        by: str,
        adopts: bool,
        swf: bytes = b"",
        seed: int = 1,
        policies: Sequence[str] = (),
    ) -> Test:
        """Start a replay; `test` tells how far it is. None may be running."""
        cluster = self._loop.cluster
        now_s = self._clock.now_s()
        self._looked_s = now_s
        self._seen = _Seen(cluster.planner.decisions, situation(cluster, now_s=now_s))
        test = self.test = Test(by=by, source="swf" if swf else "history", adopts=adopts, began_at=now_s)
        work = self._replay(test, swf=swf, seed=seed, policies=policies)
        self._working = asyncio.create_task(work, name="replay")
        return test

    def _is_due(self, now_s: float) -> bool:
        cluster, seen = self._loop.cluster, self._seen
        if not self._every_s or cluster.mode is Mode.OFF or now_s - self._began_s < FIRST_S:
            return False
        if seen is None:
            return not cluster.evidence or now_s - self._began_s >= self._every_s
        if now_s - self._looked_s < min(SETTLE_S, self._every_s):
            return False
        if has_changed(seen.situation, situation(cluster, now_s=now_s)):
            return True
        new = cluster.planner.decisions - seen.decisions >= NEW_ENDS
        return new and now_s - self._looked_s >= self._every_s

    async def _replay(self, test: Test, *, swf: bytes, seed: int, policies: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(LIMIT_S):
                found = await self._judged(test, swf=swf, seed=seed, policies=policies)
        except TimeoutError:
            test.error = f"given up after {LIMIT_S:.0f} s"
        except (Refused, StoreError, OSError) as error:
            test.error = str(error)
        else:
            test.source, test.jobs = found["source"], found["jobs"]
            test.policy, test.static = found["policy"], found["static"]
            test.evidence, test.costs = found["evidence"], found["costs"]
            if test.adopts:
                self._adopt(test, found)
        test.ended_at = self._clock.now_s()
        if test.error:
            log.warning("replay: %s", test.error)

    def _adopt(self, test: Test, found: dict[str, Any]) -> None:
        """Who passed acts; else the best static rule of the replay, unless it is the configured one."""
        fallback = "" if test.static == self._loop.cluster.order else test.static
        evidence = test.evidence | {"source": test.source, "jobs": test.jobs, "at": self._clock.now_s()}
        placed = found.get("placed")
        if placed is not None:
            evidence["placement"] = placed["evidence"] or {}
        self._post(
            PolicyChosen(
                policy=test.policy or fallback,
                evidence=evidence,
                table=msgspec.convert(found["table"], QTable),
                weights=None if placed is None else msgspec.convert(placed["weights"], bytes),
            )
        )

    async def _judged(self, test: Test, *, swf: bytes, seed: int, policies: Sequence[str]) -> dict[str, Any]:
        """By a child. Raises Refused, StoreError, OSError."""
        jobs = [] if swf else await self._learned.history(HISTORY)
        asked = {
            "jobs": [(*msgspec.structs.astuple(each),) for each in jobs],
            "swf": swf,
            "nodes": UNITS,
            "backfill": self._loop.cluster.backfill is not Backfill.OFF,
            "seed": seed,
            "policies": list(policies),
            "places": None if swf else self._places(),
        }

        def heard(done: int, most: int) -> None:
            test.done, test.total = done, most

        return await replayed(self._command, asked, heard=heard)

    def _places(self) -> dict[str, Any] | None:
        """What placements are learned from, if they are to be."""
        cluster = self._loop.cluster
        if cluster.rank != LEARNED:
            return None
        learner = cluster.planner
        known = [read(learner.weights).weights.tolist()] if learner.weights else []
        if learner.explained is not None:
            known.append(learner.explained.learner.weights.tolist())
        by_name = (cluster.nodes[name] for name in sorted(cluster.nodes))  # the first of equals gets the work
        nodes = [as_empty(node) for node in by_name if node.kind is not NodeKind.CONTROL]
        return {"nodes": nodes, "requests": list(learner.requests), "known": known}

    async def _complete(self) -> None:
        """Write the experiences that the leader before committed as notes, and had no time to write."""
        found = [each for row in self._notes for each in experiences(read_notes(row), row.last)]
        if not found:
            return
        since_s = min(each.experience.at_s for each in found) - 1.0
        try:
            missing = await self._learned.missing([each.sequence for each in found], since_s=since_s)
        except StoreError as error:
            log.warning("experiences of the last leader are not looked at: %s", error)
            return
        self._record([each for each in found if each.sequence in missing])

    async def _prune(self) -> None:
        try:
            await self._learned.prune(epoch=self._epoch)
        except StoreError as error:
            log.warning("old notes stay for now: %s", error)

    def _post(self, event: SnapshotDue | PolicyChosen) -> None:
        try:
            self._loop.post(event)
        except Overloaded as error:
            log.warning("not kept now: %s", error)


def has_changed(before: Situation, now: Situation) -> bool:
    """Whether the newest arrivals ask for much more, or much less, than those of then."""
    most = math.log2(MIX_FACTOR)
    return abs(now.mix - before.mix) >= most or abs(now.width - before.width) >= most
