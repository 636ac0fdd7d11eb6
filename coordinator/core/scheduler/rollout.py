"""What it costs if a job goes next: the waiting of all, played forward on a model.

    cost(a, rule) = Σ weight · waiting from now on, if `a` goes first and `rule` orders the rest
                  = ∫ total weight of all who wait dt

The model is the backlog as predicted and arrivals to come. On it, who goes by rollouts of a base policy is
never worse off than by that policy itself (Bertsekas & Castañon, J. Heuristics 1999). As the integral only
grows, a rollout that already costs more than the best so far may end there: nobody would choose it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

_Held = tuple[float, float, int]
"""A `Held` that is made three times as fast."""

_LIMIT, _NODES = itemgetter(1), itemgetter(2)


class Item(NamedTuple):
    """A job that waits or will come, as the model sees it. `keys`: its place under each base rule."""

    at_s: float
    run_s: float
    requested_s: float
    weight: float
    nodes: int
    keys: tuple[float, ...]


class Held(NamedTuple):
    """Nodes that a running job gives back at `end_s` as predicted, at `limit_s` as it asked for."""

    end_s: float
    limit_s: float
    nodes: int


class Snapshot(NamedTuple):
    """`waiting` are the first items of every future, in order of arrival."""

    now_s: float
    free: int
    held: tuple[Held, ...]
    waiting: int


class Future:
    """One course of arrivals, what any first choice costs on it, and its share in a mean of several.

    Columns instead of objects, and ranks instead of keys: this is the innermost loop of the scheduler.
    """

    def __init__(self, snapshot: Snapshot, items: Sequence[Item], *, share: float = 1.0) -> None:
        self.share = share
        self._snapshot = snapshot
        self._at_s, self._run_s, self._requested_s, self._weight, self._nodes, keys = zip(*items, strict=True)
        self._held: list[_Held] = sorted(snapshot.held)
        self._pressing = math.fsum(self._weight[: snapshot.waiting])
        self._orders = [
            sorted(range(len(items)), key=column.__getitem__) for column in zip(*keys, strict=True)
        ]
        self._ranks = [_inverse(order) for order in self._orders]
        self._lines = [sorted(rank[: snapshot.waiting]) for rank in self._ranks]

    def cost(self, first: int, rule: int, *, backfill: bool, limit: float = math.inf) -> float:
        """In units of slowdown; `first` and `rule` are indices into the items and into their `keys`.

        What is not below `limit` was not played to its end: it costs at least that.
        """
        at_s, weight, nodes = self._at_s, self._weight, self._nodes
        order, rank, line = self._orders[rule], self._ranks[rule], self._lines[rule].copy()
        line.remove(rank[first])  # still sorted, so it is a heap
        now_s, free, _, arrived = self._snapshot
        held, done, pressing = self._held.copy(), bytearray(len(nodes)), self._pressing
        coming_s = at_s[arrived] if arrived < len(nodes) else math.inf
        backlog = list(range(arrived)) if backfill else []
        fillers: list[int] = []
        index, cost, reserved_s = first, 0.0, 0.0
        while True:
            need = nodes[index]
            done[index] = 1
            if need > free and backfill:
                reserved_s = _reservation_s(held, need - free)
                backlog = [each for each in backlog if not done[each]]
                fillers, free, eased = self._fill(backlog, now_s, reserved_s, free, held, done)
                pressing -= eased
            while need > free:
                release = held and held[0][0] < coming_s
                then_s = held[0][0] if release else coming_s
                if then_s > now_s:
                    cost += pressing * (then_s - now_s)
                    now_s = then_s
                    if cost >= limit:
                        return cost
                if release:
                    free += heappop(held)[2]
                    if fillers and need > free:
                        fillers, free, eased = self._fill(fillers, now_s, reserved_s, free, held, done)
                        pressing -= eased
                    continue
                heappush(line, rank[arrived])
                pressing += weight[arrived]
                if backfill:
                    backlog.append(arrived)
                    fillers.append(arrived)
                    if nodes[arrived] <= free:
                        fillers, free, eased = self._fill(fillers, now_s, reserved_s, free, held, done)
                        pressing -= eased
                arrived += 1
                coming_s = at_s[arrived] if arrived < len(nodes) else math.inf
            pressing -= weight[index]
            free -= need
            heappush(held, (now_s + self._run_s[index], now_s + self._requested_s[index], need))
            while line and done[order[line[0]]]:
                heappop(line)
            if line:
                index = order[heappop(line)]
                continue
            if arrived == len(nodes):
                return cost
            while held and held[0][0] < coming_s:
                free += heappop(held)[2]
            index, now_s, pressing = arrived, max(now_s, coming_s), weight[arrived]
            if backfill:
                backlog.append(arrived)
            arrived += 1
            coming_s = at_s[arrived] if arrived < len(nodes) else math.inf

    def _fill(
        self,
        fillers: Sequence[int],
        now_s: float,
        reserved_s: float,
        free: int,
        held: list[_Held],
        done: bytearray,
    ) -> tuple[list[int], int, float]:
        """Start what fits and ends in time: who is left, what is free then, the weight that waits no more.

        Who is too long for the reservation is not left: it does not move, and time passes.
        """
        left, eased = [], 0.0
        for index in fillers:
            limit_s = now_s + self._requested_s[index]
            if limit_s >= reserved_s:
                continue
            if self._nodes[index] > free:
                left.append(index)
                continue
            done[index] = 1
            free -= self._nodes[index]
            eased += self._weight[index]
            heappush(held, (now_s + self._run_s[index], limit_s, self._nodes[index]))
        return left, free, eased


def _inverse(order: Sequence[int]) -> list[int]:
    ranks = [0] * len(order)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return ranks


def _reservation_s(held: Iterable[_Held], missing: int) -> float:
    """When so many more are free at the latest: the machine is large enough for every job."""
    by_limit = sorted(held, key=_LIMIT)
    freed = list(accumulate(map(_NODES, by_limit)))
    return by_limit[bisect_left(freed, missing)][1]
