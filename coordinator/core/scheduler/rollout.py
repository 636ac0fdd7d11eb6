"""What it costs if a job goes next: the waiting of all, played forward on a model.

    cost(a, rule) = Σ weight · waiting from now on, if `a` goes first and `rule` orders the rest

The model is the backlog as predicted and arrivals to come. On it, who goes by rollouts of a base policy is
never worse off than by that policy itself (Bertsekas & Castañon, J. Heuristics 1999).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


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


def cost(snapshot: Snapshot, items: Sequence[Item], first: int, rule: int, *, backfill: bool) -> float:
    """In units of slowdown; `first` and `rule` are indices into `items` and into their `keys`."""
    run = _Run(snapshot, items, rule, backfill=backfill)
    chosen = first
    while chosen >= 0:
        run.commit(chosen)
        chosen = run.next()
    return run.cost


class _Run:
    """One rollout. Lists instead of objects: this is the innermost loop of the scheduler."""

    def __init__(self, snapshot: Snapshot, items: Sequence[Item], rule: int, *, backfill: bool) -> None:
        self._now_s = self._from_s = snapshot.now_s
        self._free = snapshot.free
        self._held = list(snapshot.held)
        heapq.heapify(self._held)
        self._items = items
        self._rule = rule
        self._arrived = snapshot.waiting
        self._backlog = list(range(snapshot.waiting)) if backfill else []
        self._line = [(items[index].keys[rule], index) for index in range(snapshot.waiting)]
        heapq.heapify(self._line)
        self._done = bytearray(len(items))
        self._backfill = backfill
        self.cost = 0.0

    def next(self) -> int:
        """Who the rule has go next; -1 when nobody is left."""
        while True:
            while self._line:
                index = heapq.heappop(self._line)[1]
                if not self._done[index]:
                    return index
            if self._arrived == len(self._items):
                return -1
            self._advance()

    def commit(self, index: int) -> None:
        """It starts as soon as it fits; all others wait behind it, but for backfilling."""
        need = self._items[index].nodes
        if need > self._free:
            limit_s = self._reservation_s(need) if self._backfill else 0.0
            while need > self._free:
                if self._backfill:
                    self._fill(index, limit_s)
                self._advance()
        self._start(index)

    def _start(self, index: int) -> None:
        item = self._items[index]
        self._done[index] = 1
        self.cost += item.weight * (self._now_s - max(item.at_s, self._from_s))
        self._free -= item.nodes
        heapq.heappush(self._held, Held(self._now_s + item.run_s, self._now_s + item.requested_s, item.nodes))

    def _advance(self) -> None:
        coming = self._arrived < len(self._items)
        if coming and (not self._held or self._items[self._arrived].at_s <= self._held[0].end_s):
            item = self._items[self._arrived]
            self._now_s = max(self._now_s, item.at_s)
            heapq.heappush(self._line, (item.keys[self._rule], self._arrived))
            if self._backfill:
                self._backlog.append(self._arrived)
            self._arrived += 1
        else:
            ended = heapq.heappop(self._held)
            self._now_s = max(self._now_s, ended.end_s)
            self._free += ended.nodes

    def _reservation_s(self, need: int) -> float:
        """When so many are free at the latest: the machine is large enough for every job."""
        held = sorted(self._held, key=lambda each: each.limit_s)
        freed = accumulate(each.nodes for each in held)
        return next(
            each.limit_s for each, nodes in zip(held, freed, strict=True) if self._free + nodes >= need
        )

    def _fill(self, head: int, limit_s: float) -> None:
        left = []
        for index in self._backlog:
            if self._done[index]:
                continue
            item = self._items[index]
            if index != head and item.nodes <= self._free and self._now_s + item.requested_s < limit_s:
                self._start(index)
            else:
                left.append(index)
        self._backlog = left
