"""Orders judged on recorded workloads, window by window, as RLScheduler's evaluation does (SC'20)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from coordinator.core.scheduler.gate import Evidence
from coordinator.core.scheduler.policies import POLICIES
from coordinator.core.scheduler.rules import RULES
from coordinator.sim import dqn_training
from coordinator.sim.dqn_training import DQN, TrainedNetwork
from coordinator.sim.judging import Progress, check_known
from coordinator.sim.order_training import Trained, replays, train
from coordinator.sim.orders import pick
from coordinator.sim.protocol import LENGTH, SEQUENCES, window_starts
from coordinator.sim.replay import Machine, Order, bounded_slowdown, replay
from coordinator.sim.swf import Trace, read_swf
from coordinator.sim.trace_files import TraceError

LEARNED = "learned"
"""Whichever policy the gate lets act, by windows of the trace that are not tested."""


class OrderBench(Struct, frozen=True, kw_only=True, tag="order"):
    """`starts` empty: those of the published evaluation, or of another `seed`; `rng_seed`: of policies."""

    files: tuple[str, ...]
    policies: tuple[str, ...] = tuple(RULES)
    backfill: bool = False
    starts: tuple[int, ...] = ()
    length: int = LENGTH
    sequences: int = SEQUENCES
    seed: int = 1
    rng_seed: int = 1


class OrderResult(Struct, frozen=True, kw_only=True):
    """Of one policy on one trace. `values`: bounded slowdown of each window; lower is better.

    Of what was trained also which policy acted, what the gate says of it, and how long it took to find it.
    `learned`: it is none of the static rules. `curve`: how training went (`dqn_training`).
    """

    trace: str
    jobs: int
    nodes: int
    policy: str
    backfill: bool
    mean_bounded_slowdown: float
    values: tuple[float, ...]
    starts: tuple[int, ...]
    length: int
    ms_per_decision: float
    learned: bool = False
    training_seed: int | None = None
    training_seconds: float | None = None
    acted: str | None = None
    evidence: Evidence | None = None
    curve: tuple[float, ...] = ()


class Timed:
    """Another order, and how long its decisions took."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.seconds = 0.0
        self.decisions = 0

    def choose(self, machine: Machine) -> int:
        begin = time.perf_counter()
        chosen = self._order.choose(machine)
        self.seconds += time.perf_counter() - begin
        self.decisions += 1
        return chosen


def judge_orders(settings: OrderBench, progress: Progress) -> Iterator[OrderResult]:
    """One result after the other; `progress` hears windows done, and in all.

    Raises TraceError, UnknownPolicy, OSError.
    """
    check_known(settings.policies, (*POLICIES, LEARNED, DQN))
    traces = [read_swf(Path(file)) for file in settings.files]
    windows = [_starts(settings, trace.name, len(trace.jobs)) for trace in traces]
    total = len(settings.policies) * sum(map(len, windows))
    if LEARNED in settings.policies:
        total += len(traces) * replays(len(POLICIES))
    if DQN in settings.policies:
        total += len(traces) * dqn_training.replays()
    done = 0

    def heard() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    for trace, starts in zip(traces, windows, strict=True):
        for policy in settings.policies:
            after = done + (replays(len(POLICIES)) if policy == LEARNED else 0)
            trained = _trained(settings, policy, trace, starts, heard)
            done = max(done, after)  # fewer were needed where the gate opened at its first look
            pick_order = trained.pick() if trained is not None else pick(POLICIES[policy])
            values, seconds, decisions = [], 0.0, 0
            for start in starts:
                jobs = trace.jobs[start : start + settings.length]
                order = Timed(pick_order(jobs, backfill=settings.backfill, seed=settings.rng_seed))
                started_s = replay(jobs, trace.nodes, order, backfill=settings.backfill)
                values.append(bounded_slowdown(jobs, started_s))
                seconds, decisions = seconds + order.seconds, decisions + order.decisions
                heard()
            yield OrderResult(
                trace=trace.name,
                jobs=len(trace.jobs),
                nodes=trace.nodes,
                policy=policy,
                backfill=settings.backfill,
                mean_bounded_slowdown=sum(values) / len(values),
                values=tuple(values),
                starts=starts,
                length=settings.length,
                ms_per_decision=seconds / decisions * 1000,
                learned=policy not in RULES,
                training_seed=settings.rng_seed if trained is not None else None,
                training_seconds=trained.seconds if trained is not None else None,
                acted=trained.policy if trained is not None else None,
                evidence=trained.verdict.evidence if trained is not None else None,
                curve=trained.curve if isinstance(trained, TrainedNetwork) else (),
            )


def _trained(
    settings: OrderBench, policy: str, trace: Trace, starts: tuple[int, ...], heard: Callable[[], None]
) -> Trained | TrainedNetwork | None:
    """None: it needs no training."""
    if policy not in (LEARNED, DQN):
        return None
    return (train if policy == LEARNED else dqn_training.train)(
        trace,
        starts,
        length=settings.length,
        backfill=settings.backfill,
        seed=settings.rng_seed,
        heard=heard,
    )


def _starts(settings: OrderBench, trace: str, jobs: int) -> tuple[int, ...]:
    if not settings.starts:
        try:
            return window_starts(
                jobs, length=settings.length, sequences=settings.sequences, seed=settings.seed
            )
        except ValueError as error:
            raise TraceError(f"{trace}: {error}; --length takes fewer") from None
    latest = jobs - settings.length
    for start in settings.starts:
        if not 0 <= start <= latest:
            raise TraceError(
                f"{trace}: no window of {settings.length} jobs begins at {start}; the last: {latest}"
            )
    return settings.starts
