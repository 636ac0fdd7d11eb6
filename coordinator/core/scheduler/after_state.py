"""Where a task goes: values of what its node is like afterwards, learned from what stayed unused.

    V(n) = −θ · φ(n);   Q(task, n) = V(n after) − V(n before), in steps of 0.04 GPUs;   the largest gets it
    θ ← θ + K (w − θ · x)

φ: `node_features`; x: Σ φ over the nodes at some time, as a share of all GPUs; w: the share of them that
stayed unused in the end; both less what is usual. K: the gain of recursive least squares, which weighs each
new sample by how little is known in its direction (after-states: Sutton and Barto, Reinforcement Learning,
6.8; least squares: 9.8). With θ = 1 on fragmentation and 0 elsewhere Q is FGD's (Weng et al., ATC'23):
learning starts there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coordinator.core.scheduler.arrays import pack, unpack
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpu_rules import Scored
from coordinator.core.scheduler.gpus import Floats, GpuPool, Ints, Request
from coordinator.core.scheduler.node_features import CLASSES, TRAITS, NodeFeatures, moves

QUANTUM = 0.04
"""GPUs. Smaller differences are noise: the order of the nodes decides, which keeps what is empty together."""

MARGIN = 0.1
"""GPUs: how much less a place may be worth that is tried."""

START: Floats = np.array([1.0] * len(CLASSES) + [0.0] * len(TRAITS) + [0.1, 0.5])
"""FGD's weights. Of nodes without GPUs nothing of one can stay unused: they come first, and are kept even."""

_DOUBT = 0.1
"""How far off a weight may be before anything was seen, as a multiple of its reach."""

_NOISE = 0.03
"""Of what stays unused: what no weights explain on one GPU; of many, by the root of their number."""


_SCHEMA = "after_state/1"


class Gains(NamedTuple):
    """Of rows: Q on the best GPU of each, and θ · (φ before − φ after) there, by feature."""

    score: Floats
    gpu: Ints
    parts: Floats


class AfterState:
    """A rule of placement (`gpu_rules.GpuRule`) with weights for one kind of work."""

    def __init__(self, typical: Typical, weights: Floats) -> None:
        self.features = NodeFeatures(typical)
        self.weights = weights

    def __call__(
        self, pool: GpuPool, request: Request, rows: Ints, *, typical: Typical, rng: np.random.Generator
    ) -> Scored:
        found = self.gains(pool, request, rows)
        return Scored(found.score, found.gpu)

    def gains(self, pool: GpuPool, request: Request, rows: Ints) -> Gains:
        """Of `rows`, on which `request` fits."""
        features, gpus, cpu, memory = self.features, pool.gpus[rows], pool.cpu[rows], pool.memory[rows]
        whole = pool.whole.of(rows)
        sums = features.sums(gpus)
        before = features.of(sums, cpu, memory, whole)
        asked = np.tile([request.shares, request.milli, request.gpus], (len(rows), 1))
        found = moves(gpus, asked[:, 0] > 0, asked[:, 1], asked[:, 2])
        which = found.which
        after = features.of(
            sums[which] + features.change(found.old, found.new, found.number),
            cpu[which] - request.cpu_millis,
            memory[which] - request.mem_mib,
            whole.of(which),
        )
        score = gain(before[which], after, self.weights)
        table = np.full(gpus.shape, -np.inf)
        table[which, found.gpu] = score
        best = table.argmax(axis=1)
        chosen = np.flatnonzero(best[which] == found.gpu)
        return Gains(score[chosen], best, (before - after[chosen]) * self.weights)


def gain(before: Floats, after: Floats, weights: Floats) -> Floats:
    """V(after) − V(before) in steps; `weights` are one for all, or one for each row."""
    found: Floats = np.rint(((before - after) * weights).sum(axis=1) / QUANTUM) * QUANTUM
    return found


class Learner:
    """What weights are believed to explain what stays unused, and how sure that is.

    `reach`: of each weight (`NodeFeatures.reach`); `gpus`: how many are watched.
    """

    def __init__(self, reach: Floats, gpus: int) -> None:
        self.weights: Floats = START.copy()
        self._doubt: Floats = np.diag((_DOUBT * reach / _NOISE) ** 2) * gpus

    def update(self, features: Floats, unused: float) -> None:
        """One sample: what was seen, and what stayed unused then."""
        spread = self._doubt @ features
        gain = spread / (1.0 + features @ spread)
        self.weights = self.weights + gain * (unused - self.weights @ features)
        self._doubt = self._doubt - np.outer(gain, spread)

    def dump(self) -> bytes:
        """As an npz of numbers; equal learners give equal bytes."""
        return pack({"schema": np.array(_SCHEMA), "weights": self.weights, "doubt": self._doubt})

    @classmethod
    def load(cls, data: bytes) -> Learner:
        """As it was when dumped, bit for bit. Raises ValueError if it is anything else; runs none of it."""
        found = cls(np.ones(len(START)), 1)
        try:
            arrays = unpack(data, "schema", "weights", "doubt")
            schema, weights, doubt = str(arrays["schema"]), arrays["weights"], arrays["doubt"]
        except ValueError as error:
            raise ValueError(f"no weights of after-states: {error}") from error
        if schema != _SCHEMA:
            raise ValueError(f"no weights of after-states: {schema!r}, not {_SCHEMA!r}")
        for name, array, like in (("weights", weights, found.weights), ("doubt", doubt, found._doubt)):
            if array.shape != like.shape or array.dtype != like.dtype or not np.isfinite(array).all():
                raise ValueError(f"no weights of after-states: {name} are not {like.shape} finite numbers")
        found.weights, found._doubt = weights, doubt
        return found
