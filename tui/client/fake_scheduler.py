"""The fake cluster's learning scheduler: snapshots of ten hours, a gate passed once, a test under way."""

from __future__ import annotations

import hashlib
import math
import time
from typing import Literal

from bus.scheduling import Forecasts, Hour, Scheduler, Snapshot, Test
from tui.client.fake_world import not_found

EVERY_S = 1_800.0
SNAPSHOTS = 20
POLICY = "q-learning"
STATIC = "best-fit"
EVIDENCE = {
    "policy": POLICY, "static": STATIC, "log_ratio": -0.083, "t": -3.4, "windows": 32, "source": "history",
}  # fmt: skip


class FakeScheduler:
    """A part of FakeCluster."""

    mode: Literal["off", "shadow", "on"]

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def scheduler(self, *, at: float | None = None) -> Scheduler:
        self._check("scheduler")
        now_s = time.time()
        snapshots = [_snapshot(place, now_s) for place in range(SNAPSHOTS)]
        if at is not None:
            return _then([each for each in snapshots if each.at <= at])
        return Scheduler(
            mode=self.mode,
            policy=POLICY,
            order=STATIC,
            acts=POLICY if self.mode == "on" else STATIC,
            rank="best fit",
            epsilon=0.04,
            reward_window=1_000,
            reward_avg=-0.61,
            decisions=184_211,
            learned=190_007,
            digest=hashlib.sha256(b"demo").hexdigest(),
            queue=412,
            shadow=-0.083,
            evidence=EVIDENCE | {"at": now_s - 3 * EVERY_S},
            next_test_s=EVERY_S / 2,
            test=_test(now_s),
            hour=_hour(now_s, self.mode),
            snapshots=snapshots,
            forecasts=Forecasts(told=912, right=741, newest=100, newest_right=83, width=0.42, open=17),
        )


def _then(snapshots: list[Snapshot]) -> Scheduler:
    """As the newest of them says."""
    if not snapshots:
        raise not_found("nothing was learned yet by then")
    newest = snapshots[0]
    return Scheduler(
        mode=newest.mode,
        policy=newest.policy,
        order=STATIC,
        acts=newest.policy if newest.mode == "on" else STATIC,
        rank="best fit",
        epsilon=newest.epsilon,
        reward_window=1_000,
        reward_avg=newest.reward_avg,
        learned=newest.learned,
        digest=newest.digest,
        queue=212,
        evidence=EVIDENCE if newest.policy else {},
        snapshots=snapshots,
        unknown=["decisions", "test", "forecasts"],
    )


def _test(now_s: float) -> Test:
    costs = {
        name: [base * (1 + 0.2 * math.sin(window)) for window in range(8)]
        for name, base in ((POLICY, 4.1), (STATIC, 4.5), ("fcfs", 9.2), ("sjf", 4.9))
    }
    return Test(
        by="corral",
        source="history",
        adopts=True,
        began_at=now_s - 40,
        done=11,
        total=32,
        jobs=4_000,
        policy=POLICY,
        static=STATIC,
        evidence=EVIDENCE,
        costs=costs,
    )


def _hour(now_s: float, mode: str) -> Hour:
    return Hour(
        until=now_s - 240,
        jobs=731,
        needed=32,
        acts=POLICY if mode == "on" else STATIC,
        policy=POLICY,
        static=STATIC,
        costs={POLICY: 3.6, STATIC: 3.9, "fcfs": 8.8, "sjf": 4.4},
    )


def _snapshot(place: int, now_s: float) -> Snapshot:
    """`place` back from the newest: rewards rise and exploring falls as time goes on."""
    age = place / SNAPSHOTS
    adopted = place >= SNAPSHOTS - 6
    return Snapshot(
        number=SNAPSHOTS - place,
        at=now_s - place * EVERY_S,
        reason=f"policy {POLICY}" if place == SNAPSHOTS - 7 else "every 30 minutes",
        mode=("off" if adopted else "shadow"),
        policy="" if adopted else POLICY,
        learned=190_007 - place * 9_100,
        digest=hashlib.sha256(str(place).encode()).hexdigest(),
        epsilon=0.04 + 0.16 * age,
        reward_avg=-0.61 - 0.9 * age * age + 0.05 * math.sin(place),
    )
