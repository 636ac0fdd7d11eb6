"""Who goes next: Q-values from rollouts on a model that is learned as jobs come and end (Dyna: Sutton, 1990).

    Q(s, a) = min over base rules of mean over futures of cost(a, rule);  the smallest goes next

A future is the backlog and arrivals resampled from the latest jobs, at their pace. All candidates see the
same futures (common random numbers): their differences are sharp even where Q itself is far off.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Sized
from itertools import product
from typing import NamedTuple

import numpy as np

from coordinator.core.scheduler.lookahead import First, search
from coordinator.core.scheduler.policies import BASE_RULES, TABLE, Kind, Policy, base_key
from coordinator.core.scheduler.predict import Predictor
from coordinator.core.scheduler.qlearning import QTable, state_of
from coordinator.core.scheduler.rollout import Future, Held, Item, Snapshot
from coordinator.core.scheduler.rules import Waits

RECENT = 128
"""Jobs from which arrivals are resampled."""

LEAST_RECENT = 12
"""Before so many were seen there are no futures: three or four jobs are no mix."""

GAP_MIN_S = 1e-3


class Asked(NamedTuple):
    """What a job says of itself. `width`: processors; `nodes`: as many of the machine as those need."""

    at_s: float
    user: str
    width: int
    nodes: int
    requested_s: float


class Begun(NamedTuple):
    """A job that runs."""

    asked: Asked
    started_s: float


class Choice(NamedTuple):
    """`values`: Q of each candidate, by its place; the rule is the one under which the chosen one is best.

    Those of `bounds` were given up at that value, where they could no longer be the best.
    """

    place: int
    rule: str
    values: dict[int, float]
    bounds: frozenset[int] = frozenset()


class Planner:
    """What is learned of jobs, and decisions from it: a function of what was noted, the policy, and `rng`."""

    def __init__(self) -> None:
        self.predictor = Predictor()
        self.recent: deque[Asked] = deque(maxlen=RECENT)
        self.table = QTable(rules=tuple(BASE_RULES))

    def note_arrival(self, job: Asked) -> None:
        """In order of arrival."""
        self.recent.append(job)

    def note_end(self, job: Asked, run_s: float) -> None:
        self.predictor.observe(job.user, job.width, job.requested_s, run_s)

    def state(self, waiting: Sized, running: Iterable[Begun], *, free: int) -> str:
        """What `table` knows the present as."""
        held = sum(each.asked.nodes for each in running)
        asked = [math.log2(max(job.requested_s, 1.0)) for job in self.recent]
        mix = math.fsum(asked) / max(len(asked), 1)
        return state_of(queue=len(waiting), load=held / max(held + free, 1), mix=mix)

    def choose(
        self,
        policy: Policy,
        waiting: Sequence[Asked],
        running: Sequence[Begun],
        *,
        now_s: float,
        free: int,
        backfill: bool,
        rng: np.random.Generator,
        steps: float = math.inf,
        exact: bool = False,
        began_s: float = 0.0,
    ) -> Choice:
        """The place of one of `waiting`, who are in order of arrival and at least one.

        `policy` is no static one. No rollout begins once `steps` jobs were placed in others: without any, the
        base rule's first goes. `exact`: play all to their ends, for their values; the choice is the same.
        Who is wider than the machine, as when it was larger once, counts as all of it. `began_s`: when the
        record began, from which F1 to F4 count arrivals.
        """
        rules = policy.rules
        if TABLE in rules:
            by_table = self.table.best(self.state(waiting, running, free=free))
            rules = tuple(dict.fromkeys(by_table if rule == TABLE else rule for rule in rules))
        whole = free + sum(each.asked.nodes for each in running)

        def item(job: Asked, at_s: float) -> Item:
            return self._item(job, at_s, rules, whole=whole, began_s=began_s)

        base = [item(job, job.at_s) for job in waiting]
        candidates = _candidates(policy, base, free)
        if len(candidates) == 1:
            return Choice(candidates[0], rules[0], {})
        snapshot = Snapshot(now_s, free, tuple(self._held(each, now_s=now_s) for each in running), len(base))
        drawn = self._futures(policy, item, now_s=now_s, rng=rng)
        futures = [Future(snapshot, base + arrivals) for arrivals in drawn]
        if policy.quiet and drawn[0]:
            futures.insert(0, Future(snapshot, base, share=policy.quiet))
        found = search(
            futures,
            [First(index, rule) for index, rule in product(candidates, range(len(rules)))],
            backfill=backfill,
            rollouts=steps / len(base + drawn[0]),
            exact=exact,
        )
        return Choice(found.best.place, rules[found.best.rule], found.values, found.bounds)

    def _futures(
        self, policy: Policy, item: Callable[[Asked, float], Item], *, now_s: float, rng: np.random.Generator
    ) -> list[list[Item]]:
        recent = list(self.recent)
        if len(recent) < LEAST_RECENT or not policy.futures:
            return [[]]
        gap_s = max((recent[-1].at_s - recent[0].at_s) / (len(recent) - 1), GAP_MIN_S)
        found = []
        for _ in range(policy.futures):
            at_s = now_s + rng.exponential(gap_s, policy.arrivals).cumsum()
            drawn = rng.integers(len(recent), size=policy.arrivals)
            pairs = zip(drawn.tolist(), at_s.tolist(), strict=True)
            found.append([item(recent[index], at) for index, at in pairs])
        return found

    def _item(self, job: Asked, at_s: float, rules: Sequence[str], *, whole: int, began_s: float) -> Item:
        run_s, weight = self.predictor.predict(job.user, job.width, job.requested_s)
        predicted = Waits(run_s, job.width, at_s - began_s)
        keys = tuple(base_key(rule, predicted, nodes=job.nodes, weight=weight) for rule in rules)
        return Item(at_s, run_s, job.requested_s, weight, min(job.nodes, whole), keys)

    def _held(self, begun: Begun, *, now_s: float) -> Held:
        job = begun.asked
        run_s = self.predictor.predict(job.user, job.width, job.requested_s).run_s
        end_s = max(now_s + 1.0, begun.started_s + run_s)  # it runs still: the prediction was short
        return Held(end_s, begun.started_s + job.requested_s, job.nodes)


def _candidates(policy: Policy, base: Sequence[Item], free: int) -> list[int]:
    """Each once, the first of the first rule before all others; alone if nobody looks ahead."""
    found: dict[int, None] = {}
    for rule in range(len(base[0].keys)):
        order = sorted(range(len(base)), key=lambda index: base[index].keys[rule])
        if policy.kind is Kind.PREDICTED:
            return order[:1]
        fitting = [index for index in order if base[index].nodes <= free]
        found.update(dict.fromkeys((*order[: policy.top], *fitting[: policy.top])))
    return list(found)
