"""The policy that acts on a trace, chosen on windows of its other jobs: the race, the table, and the gate.

    table   tabular Q-learning of the base rule, on windows that nothing else sees
    race    all policies on the same windows; after the first of them those learned ones are left out
            that are worse than the best one, with t ≥ 2 of their paired log-ratios
    gate    who is left, on all windows of the race, in pairs (`gate.judge`); where none passes, on as many
            more; where none does then either, the best static rule acts

The race spares replays as F-Race does (Birattari et al., GECCO 2002): who is dropped would hardly have been
chosen. Choosing the best few on some windows and judging them on fresh ones was tried: on twelve windows the
best is not known, and each window that only chooses is one less that judges. The second look lets one in 25
pass that is no better, instead of one in 40 (Pocock, Biometrika 1977).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.gate import Verdict, judge, paired_t
from coordinator.core.scheduler.policies import BASE_RULES, POLICIES, Kind
from coordinator.core.scheduler.qlearning import QTable
from coordinator.sim.orders import Pick, pick, slowdowns
from coordinator.sim.swf import Trace, TraceJob
from coordinator.sim.table_training import learn
from coordinator.sim.trace_files import TraceError
from coordinator.sim.training_windows import training_windows

WINDOWS = 40
"""Of a look of the gate; `RACED` of them are replayed by all."""

LOOKS = 2
"""How often the gate is asked at most, the second time with as many windows more."""

RACED = 12

TAUGHT = 6
"""Windows from which the table learns."""

T_WORSE = 2.0

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
    return LOOKS * WINDOWS * policies


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
    windows = training_windows(trace.jobs, tested, length=length, count=TAUGHT + LOOKS * WINDOWS, rng=rng)
    if not windows:
        raise TraceError(f"{trace.name}: no jobs are left outside the windows to learn from")
    rng.shuffle(windows)
    taught, judging = windows[:TAUGHT], windows[TAUGHT:]
    table = QTable(rules=tuple(BASE_RULES))
    learn(table, taught, trace.nodes, backfill=backfill, rng=rng)

    def costs(names: Iterable[str], on: Sequence[Sequence[TraceJob]]) -> Costs:
        picked = {name: pick(POLICIES[name], table=table) for name in names}
        return {
            name: slowdowns(order, on, trace.nodes, backfill=backfill, seed=seed, heard=heard)
            for name, order in picked.items()
        }

    judged = costs(names, judging[:RACED])
    static = {name for name in judged if POLICIES[name].kind is Kind.STATIC}
    begin, verdict = RACED, judge(judged, static=static)
    for end in range(WINDOWS, LOOKS * WINDOWS + 1, WINDOWS):
        left = static | _abreast({name: paid for name, paid in judged.items() if name not in static})
        seen = costs((name for name in judged if name in left), judging[begin:end])
        judged = {name: judged[name] + paid for name, paid in seen.items()}
        begin, verdict = end, judge(judged, static=static)
        if verdict.policy:
            break
    return Trained(
        policy=verdict.policy or verdict.static,
        verdict=verdict,
        table=table,
        judged=judged,
        seconds=time.perf_counter() - begin_s,
    )


def _abreast(costs: Costs) -> set[str]:
    """Who is not clearly worse than the best of them."""
    best = min(costs, key=lambda name: math.fsum(map(math.log, costs[name])), default="")
    return {name for name in costs if paired_t(costs[name], costs[best]) < T_WORSE}
