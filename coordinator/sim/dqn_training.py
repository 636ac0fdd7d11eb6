"""A network trained on replayed windows: it decides, and hears afterwards what others waited for that.

The reward of a decision is that of the table (`table_training`). Now and then the network decides alone on
windows that it does not learn from; what it was when it did best there is kept, for learning goes up and
down. At last it is paired with the best static rules on fresh windows, as the gate does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.candidates import RULES, candidates
from coordinator.core.scheduler.dqn import DqnLearner, Experience, Floats
from coordinator.core.scheduler.gate import WINDOWS_MIN, Verdict, judge
from coordinator.core.scheduler.planner import Asked
from coordinator.core.scheduler.policies import BASE_RULES, POLICIES
from coordinator.core.scheduler.predict import Predictor
from coordinator.core.scheduler.rollout import Item
from coordinator.core.scheduler.rules import RULES as STATIC
from coordinator.sim.orders import Pick, pick, slowdowns
from coordinator.sim.replay import Machine, Order, replay
from coordinator.sim.swf import Trace, TraceJob
from coordinator.sim.table_training import weighted_waiting
from coordinator.sim.trace_files import TraceError
from coordinator.sim.training_windows import training_windows

DQN = "dqn"
LEARNED_FROM, LOOKED_AT = 100, 6
"""Windows: those of the experiences, and those by which the best network is kept."""

LOOK_EVERY = 10
"""Windows learned from between two looks."""

EPSILON_FIRST, EPSILON_LAST = 0.5, 0.05
"""Explored at the first window, and from the middle of the training on."""

DECISIONS_A_FIT = 4
FINALISTS = 2
"""So many static rules go before the gate."""

Window = Sequence[TraceJob]


class ByNetwork:
    """Decides as a network does; `decisions`: when, of which rows, and which."""

    def __init__(
        self, jobs: Window, nodes: int, learner: DqnLearner, *, epsilon: float, rng: np.random.Generator
    ) -> None:
        self._asked = [
            Asked(job.submitted_s, str(job.user), job.processors, job.nodes, job.requested_s) for job in jobs
        ]
        self._nodes = nodes
        self._learner = learner
        self._epsilon, self._rng = epsilon, rng
        self._predictor = Predictor()
        self._over = 0
        self.decisions: list[tuple[float, Floats, int]] = []

    def choose(self, machine: Machine) -> int:
        for index in machine.over[self._over :]:
            job = self._asked[index]
            self._predictor.observe(job.user, job.width, job.requested_s, machine.jobs[index].run_s)
        self._over = len(machine.over)
        waiting = sorted(machine.waiting)
        found = candidates(
            [self._item(self._asked[index]) for index in waiting],
            now_s=machine.now_s,
            free=machine.free,
            nodes=self._nodes,
        )
        row, _ = self._learner.choose(found.rows, epsilon=self._epsilon, rng=self._rng)
        self.decisions.append((machine.now_s, found.rows, row))
        return waiting[found.places[row]]

    def _item(self, job: Asked) -> Item:
        run_s, weight = self._predictor.predict(job.user, job.width, job.requested_s)
        keys = tuple(BASE_RULES[rule](run_s, job.nodes, weight) for rule in RULES)
        return Item(job.at_s, run_s, job.requested_s, weight, job.nodes, keys)


class TrainedNetwork(Struct, frozen=True, kw_only=True):
    """`policy` acts whatever the gate says of it. `curve`: mean slowdown at each look, geometric."""

    policy: str
    verdict: Verdict
    learner: DqnLearner
    nodes: int
    curve: tuple[float, ...]
    seconds: float

    def pick(self) -> Pick:
        """Orders by the network."""
        return _by(self.learner, self.nodes)


def replays() -> int:
    """How many of them a training takes."""
    looks = LEARNED_FROM // LOOK_EVERY * LOOKED_AT
    return LEARNED_FROM + looks + len(STATIC) * LOOKED_AT + (1 + FINALISTS) * WINDOWS_MIN


def train(
    trace: Trace,
    tested: Sequence[int],
    *,
    length: int,
    backfill: bool,
    seed: int,
    heard: Callable[[], None],
) -> TrainedNetwork:
    """On windows of `length` jobs outside those that begin at `tested`; `heard` after every replay.

    Raises TraceError where there are hardly any other jobs.
    """
    begin_s = time.perf_counter()
    rng = np.random.default_rng(seed)
    count = LEARNED_FROM + LOOKED_AT + WINDOWS_MIN
    windows = training_windows(trace.jobs, tested, length=length, count=count, rng=rng)
    if not windows:
        raise TraceError(f"{trace.name}: no jobs are left outside the windows to learn from")
    rng.shuffle(windows)
    shown, fresh = windows[:LOOKED_AT], windows[LOOKED_AT : LOOKED_AT + WINDOWS_MIN]

    def costs(order: Pick, on: Sequence[Window]) -> list[float]:
        return slowdowns(order, on, trace.nodes, backfill=backfill, seed=seed, heard=heard)

    learner = DqnLearner(rng)
    curve, best = [], learner.dump()
    for number, jobs in enumerate(windows[LOOKED_AT + WINDOWS_MIN :], start=1):
        _learn(learner, jobs, trace.nodes, backfill=backfill, epsilon=_epsilon(number), rng=rng)
        heard()
        if number % LOOK_EVERY == 0:
            curve.append(_middle(costs(_by(learner, trace.nodes), shown)))
            if curve[-1] == min(curve):
                best = learner.dump()
    learner.load(best)
    rules = sorted(STATIC, key=lambda name: (_middle(costs(pick(POLICIES[name]), shown)), name))[:FINALISTS]
    judged = {name: costs(pick(POLICIES[name]), fresh) for name in rules}
    verdict = judge({**judged, DQN: costs(_by(learner, trace.nodes), fresh)}, static=rules)
    return TrainedNetwork(
        policy=DQN,
        verdict=verdict,
        learner=learner,
        nodes=trace.nodes,
        curve=tuple(curve),
        seconds=time.perf_counter() - begin_s,
    )


def _by(learner: DqnLearner, nodes: int) -> Pick:
    def picked(jobs: Window, *, backfill: bool, seed: int) -> Order:
        return ByNetwork(jobs, nodes, learner, epsilon=0.0, rng=np.random.default_rng(seed))

    return picked


def _learn(
    learner: DqnLearner,
    jobs: Window,
    nodes: int,
    *,
    backfill: bool,
    epsilon: float,
    rng: np.random.Generator,
) -> None:
    order = ByNetwork(jobs, nodes, learner, epsilon=epsilon, rng=rng)
    started_s = replay(jobs, nodes, order, backfill=backfill)
    for experience in _experiences(order.decisions, jobs, started_s):
        learner.note(experience)
    for _ in range(len(order.decisions) // DECISIONS_A_FIT):
        learner.fit(rng)


def _experiences(
    decisions: Sequence[tuple[float, Floats, int]], jobs: Window, started_s: Sequence[float]
) -> Iterator[Experience]:
    waited = weighted_waiting([at_s for at_s, _, _ in decisions], jobs, started_s)
    for place, (_, rows, row) in enumerate(decisions):
        done = place == len(decisions) - 1
        after = rows if done else decisions[place + 1][1]
        yield Experience(rows, row, float(waited[place] - waited[place + 1]), after, done)


def _epsilon(number: int) -> float:
    return max(EPSILON_LAST, EPSILON_FIRST * (1.0 - 2.0 * (number - 1) / LEARNED_FROM))


def _middle(costs: Sequence[float]) -> float:
    return math.exp(fmean(map(math.log, costs)))
