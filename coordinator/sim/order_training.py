"""The policy that acts on a trace, chosen on windows of its other jobs: the race, the table, and the gate.

    race    all policies on a few windows; the best few of the static and of the learned ones go on
    table   tabular Q-learning of the base rule, on the windows of the race and before it
    gate    those few on fresh windows, in pairs (`gate.judge`), and where none passes on twice as many; where
            none passes there either, the best static rule acts

No window of the gate took part in the race: luck there is no evidence. The race spares most of the replays,
as one round of successive halving does (Jamieson & Talwalkar, AISTATS 2016). The second look lets one in 25
pass that is no better, instead of one in 40 (Pocock, Biometrika 1977).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.gate import WINDOWS_MIN, Verdict, judge
from coordinator.core.scheduler.policies import BASE_RULES, POLICIES, Kind
from coordinator.core.scheduler.qlearning import QTable
from coordinator.sim.orders import Pick, pick, slowdowns
from coordinator.sim.swf import Trace, TraceJob
from coordinator.sim.table_training import learn
from coordinator.sim.trace_files import TraceError
from coordinator.sim.training_windows import training_windows

RACED = 6
"""Windows of the race."""

FINALISTS = 3
"""So many of the static ones go on, and of the learned ones."""

LOOKS = 2
"""How often the gate is asked at most, the second time with as many windows more."""

Costs = dict[str, list[float]]


class Trained(Struct, frozen=True, kw_only=True):
    """`policy`: who acts, of `POLICIES`; `judged`: what each cost on the windows of the gate."""

    policy: str
    verdict: Verdict
    table: QTable
    judged: Costs
    seconds: float

    def pick(self) -> Pick:
        """Orders as was found best."""
        return pick(POLICIES[self.policy], table=self.table)


def replays(policies: int) -> int:
    """How many of them a training takes at most, but for the table's."""
    return RACED * policies + 2 * FINALISTS * LOOKS * WINDOWS_MIN


def train(
    trace: Trace,
    tested: Sequence[int],
    *,
    length: int,
    backfill: bool,
    seed: int,
    heard: Callable[[], None],
    names: Iterable[str] = tuple(POLICIES),
) -> Trained:
    """On windows of `length` jobs outside those that begin at `tested`; `heard` after every replay.

    Raises TraceError where there are hardly any other jobs.
    """
    begin_s = time.perf_counter()
    rng = np.random.default_rng(seed)
    count = RACED + LOOKS * WINDOWS_MIN
    windows = training_windows(trace.jobs, tested, length=length, count=count, rng=rng)
    if not windows:
        raise TraceError(f"{trace.name}: no jobs are left outside the windows to learn from")
    rng.shuffle(windows)
    race, fresh = windows[:RACED], windows[RACED:]
    table = QTable(rules=tuple(BASE_RULES))
    learn(table, race, trace.nodes, backfill=backfill, rng=rng)

    def costs(names: Iterable[str], on: Sequence[Sequence[TraceJob]]) -> Costs:
        picked = {name: pick(POLICIES[name], table=table) for name in names}
        return {
            name: slowdowns(order, on, trace.nodes, backfill=backfill, seed=seed, heard=heard)
            for name, order in picked.items()
        }

    raced = costs(names, race)
    static = {name for name in raced if POLICIES[name].kind is Kind.STATIC}
    finalists = [*_best(raced, static), *_best(raced, raced.keys() - static)]
    judged = costs(finalists, fresh[:WINDOWS_MIN])
    verdict = judge(judged, static=static)
    if not verdict.policy:
        for name, paid in costs(finalists, fresh[WINDOWS_MIN:]).items():
            judged[name] += paid
        verdict = judge(judged, static=static)
    return Trained(
        policy=verdict.policy or verdict.static,
        verdict=verdict,
        table=table,
        judged=judged,
        seconds=time.perf_counter() - begin_s,
    )


def _best(costs: Mapping[str, Sequence[float]], among: Iterable[str]) -> list[str]:
    """By the mean of what they cost, and the best by that of its logarithm, as the gate asks for both."""
    by_mean = sorted(among, key=lambda name: (math.fsum(costs[name]), name))
    if not by_mean:
        return []
    steady = min(by_mean, key=lambda name: math.fsum(map(math.log, costs[name])))
    return list(dict.fromkeys((steady, *by_mean)))[:FINALISTS]
