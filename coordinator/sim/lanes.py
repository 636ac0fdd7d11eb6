"""Copies of one cluster filled side by side, each with arrivals and weights of its own.

What `filling.fill` does under `after_state.AfterState`, many runs at once: the arrays are as long as all
copies together, so that a step costs hardly more than that of one. Weights are learned from such runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from coordinator.core.scheduler.after_state import gain
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import WHOLE, Floats, GpuNode, GpuPool, Ints, Mask, Request, Whole
from coordinator.core.scheduler.node_features import NAMES, NodeFeatures, moves


class Run(Struct, frozen=True):
    """`allocation`: percent of the GPUs, by lane. `seen`: Σ φ, shape (lanes, marks, features)."""

    allocation: Floats
    seen: Floats


class Lanes:
    """Of a cluster that is empty, and all requests that may come."""

    def __init__(self, nodes: Sequence[GpuNode], requests: Sequence[Request], typical: Typical) -> None:
        self.features = NodeFeatures(typical)
        self.pool = GpuPool(nodes)
        self._place = {request: place for place, request in enumerate(dict.fromkeys(requests))}
        kinds = tuple(self._place)
        self._cpu: Ints = np.array([kind.cpu_millis for kind in kinds])
        self._memory: Ints = np.array([kind.mem_mib for kind in kinds])
        self._gpus: Ints = np.array([kind.gpus for kind in kinds])
        self._milli: Ints = np.array([kind.milli for kind in kinds])
        self._shares: Mask = np.array([kind.shares for kind in kinds])
        self._accepted: Mask = np.array([self.pool.accepted(kind) | (not kind.milli) for kind in kinds])

    def run(
        self, arrivals: Sequence[Sequence[Request]], weights: Floats, *, marks: Sequence[float] = ()
    ) -> Run:
        """`weights` by lane. At each of `marks`, as a share of what the GPUs are, φ is looked at."""
        return _Filling(self, arrivals, weights, marks).run()


class _Filling:
    """Of all lanes; `_row` of a node in them is lane · nodes + its place."""

    def __init__(
        self,
        lanes: Lanes,
        arrivals: Sequence[Sequence[Request]],
        weights: Floats,
        marks: Sequence[float],
    ) -> None:
        pool, number = lanes.pool, len(arrivals)
        self._lanes, self._weights, self._nodes = lanes, weights, len(pool.nodes)
        self._coming = np.full((max(map(len, arrivals)), number), -1)
        for lane, requests in enumerate(arrivals):
            self._coming[: len(requests), lane] = [lanes._place[request] for request in requests]
        self._whole = Whole(*(np.tile(each, number) for each in pool.whole))
        self._cpu, self._memory = np.tile(pool.cpu, number), np.tile(pool.memory, number)
        self._model = np.tile(pool.model, number)
        self._gpus = np.tile(pool.gpus, (number, 1))
        self._sums = np.tile(lanes.features.sums(pool.gpus), (number, 1))
        self._phi = lanes.features.of(self._sums, self._cpu, self._memory, self._whole)
        self._score, self._gpu = self._scores_of_the_empty()
        self._changed = np.zeros((number, self._nodes), dtype=np.int64)
        self._known = np.zeros((number, len(lanes._cpu)), dtype=np.int64)
        self._given = np.zeros(number)
        self._asked = np.zeros(number)
        self._marks = np.array([*marks, np.inf]) * pool.capacity
        self._passed = np.zeros(number, dtype=np.int64)
        self._seen = np.zeros((number, len(marks), len(NAMES)))

    def run(self) -> Run:
        for step in range(len(self._coming)):
            lanes = np.flatnonzero(self._coming[step] >= 0)
            self._step(step, lanes, self._coming[step, lanes])
        return Run(self._given / self._lanes.pool.capacity * 100, self._seen)

    def _step(self, step: int, lanes: Ints, kinds: Ints) -> None:
        which, nodes = np.nonzero(self._changed[lanes] > self._known[lanes, kinds][:, None])
        self._known[lanes, kinds] = step
        rows = lanes[which] * self._nodes + nodes
        self._score[lanes[which], kinds[which], nodes] = -np.inf
        able = self._fits(rows, kinds[which])
        rows, which, nodes = rows[able], which[able], nodes[able]
        if rows.size:
            score, gpu = self._scored(rows, kinds[which])
            self._score[lanes[which], kinds[which], nodes] = score
            self._gpu[lanes[which], kinds[which], nodes] = gpu
        scores = self._score[lanes, kinds]
        best = scores.argmax(axis=1)
        placed = scores[np.arange(len(lanes)), best] > -np.inf
        lanes_placed, nodes, chosen = lanes[placed], best[placed], kinds[placed]
        self._take(lanes_placed * self._nodes + nodes, chosen, self._gpu[lanes_placed, chosen, nodes])
        self._changed[lanes_placed, nodes] = step + 1
        total = self._lanes._gpus[kinds] * self._lanes._milli[kinds]
        self._given[lanes] += total * placed
        self._asked[lanes] += total
        self._look(lanes)

    def _fits(self, rows: Ints, kinds: Ints) -> Mask:
        of = self._lanes
        milli = of._milli[kinds]
        found: Mask = (self._cpu[rows] >= of._cpu[kinds]) & (self._memory[rows] >= of._memory[kinds])
        found &= of._accepted[kinds, self._model[rows]]
        found &= ((self._gpus[rows] >= milli[:, None]).sum(axis=1) >= of._gpus[kinds]) | (milli == 0)
        return found

    def _scored(self, rows: Ints, kinds: Ints) -> tuple[Floats, Ints]:
        of, gpus = self._lanes, self._gpus[rows]
        found = moves(gpus, of._shares[kinds], of._milli[kinds], of._gpus[kinds])
        asked, left = kinds[found.which], rows[found.which]
        after = of.features.of(
            self._sums[left] + of.features.change(found.old, found.new, found.number),
            self._cpu[left] - of._cpu[asked],
            self._memory[left] - of._memory[asked],
            self._whole.of(left),
        )
        score = np.full(gpus.shape, -np.inf)
        weights = self._weights[left // self._nodes]
        score[found.which, found.gpu] = gain(self._phi[left], after, weights)
        best = score.argmax(axis=1)
        return score[np.arange(len(rows)), best], best

    def _scores_of_the_empty(self) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Of each kind on each node: nodes that are alike are scored once."""
        pool, lanes = self._lanes.pool, len(self._weights)
        _, first, alike = np.unique(
            np.column_stack([*pool.whole, pool.model]), axis=0, return_index=True, return_inverse=True
        )
        rows = (np.arange(lanes)[:, None] * self._nodes + first).ravel()
        kinds = len(self._lanes._cpu)
        score = np.full((lanes, kinds, self._nodes), -np.inf, dtype=np.float32)
        gpu = np.zeros((lanes, kinds, self._nodes), dtype=np.int8)
        for kind in range(kinds):
            able = self._fits(rows, np.full(len(rows), kind))
            found, on = np.full(len(rows), -np.inf), np.zeros(len(rows), dtype=np.int64)
            if able.any():
                found[able], on[able] = self._scored(rows[able], np.full(int(able.sum()), kind))
            score[:, kind] = found.reshape(lanes, -1)[:, alike.ravel()]
            gpu[:, kind] = on.reshape(lanes, -1)[:, alike.ravel()]
        return score, gpu

    def _take(self, rows: Ints, kinds: Ints, gpu: Ints) -> None:
        of = self._lanes
        milli, shares = of._milli[kinds, None], of._shares[kinds]
        gpus = self._gpus[rows]
        whole = (gpus == WHOLE) & (milli > 0)
        taken = whole & (whole.cumsum(axis=1) <= of._gpus[kinds, None]) & ~shares[:, None]
        taken[shares, gpu[shares]] = True
        gpus = gpus - taken * milli
        self._gpus[rows] = gpus
        self._sums[rows] = of.features.sums(gpus)
        self._cpu[rows] -= of._cpu[kinds]
        self._memory[rows] -= of._memory[kinds]
        self._phi[rows] = of.features.of(
            self._sums[rows], self._cpu[rows], self._memory[rows], self._whole.of(rows)
        )

    def _look(self, lanes: Ints) -> None:
        """φ of the lanes that have passed their next mark."""
        for lane in lanes[self._asked[lanes] >= self._marks[self._passed[lanes]]].tolist():
            rows = slice(lane * self._nodes, (lane + 1) * self._nodes)
            seen = self._phi[rows].sum(axis=0)
            while self._asked[lane] >= self._marks[self._passed[lane]]:
                self._seen[lane, self._passed[lane]] = seen
                self._passed[lane] += 1
