"""What learned placements are made of, and how they learn on: as bytes, and sample by sample.

    θ ← θ + K (w − θ · x)        after a minute in which some task waited for GPUs

x is Σ φ of a minute ago, w the share of the GPUs that is free although somebody waits for some, both less
what is usual (`after_state`). What θ comes to is offered at the gate's next look (`sim.placement_tuning`),
and acts from then on if it does best there: nothing acts that was not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from coordinator.core.scheduler.after_state import START, AfterState, Learner
from coordinator.core.scheduler.arrays import pack, unpack
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import Floats, Request

USUAL_RATE = 0.05
"""So much of each new sample goes into what is usual."""

_SCHEMA = "places/1"

Wanted = tuple[int, int, int, int]
"""cpu_millis, mem_mib, gpus and thousandths of each: a `Request` for any model."""


def write(weights: Floats, requests: Sequence[Wanted]) -> bytes:
    """As an npz of numbers: the weights, and the work whose typical requests their features are of."""
    counts = sorted(Counter(requests).items())
    table = np.array([(*wanted, count) for wanted, count in counts], dtype=np.int64)
    return pack({"schema": np.array(_SCHEMA), "weights": weights, "requests": table})


@lru_cache(maxsize=4)
def read(data: bytes) -> AfterState:
    """What `write` wrote. Raises ValueError for anything else; runs none of it."""
    try:
        arrays = unpack(data, "schema", "weights", "requests")
        schema, weights, table = str(arrays["schema"]), arrays["weights"], arrays["requests"]
    except ValueError as error:
        raise ValueError(f"no weights of places: {error}") from error
    if schema != _SCHEMA or weights.shape != START.shape or table.dtype != np.int64 or table.ndim != 2:
        raise ValueError(f"no weights of places: {schema!r} with {weights.shape} and {table.shape}")
    if not np.isfinite(weights).all() or table.shape[1] != 5 or (table < 0).any() or not len(table):
        raise ValueError("no weights of places: numbers that are none")
    requests = [Request(*row[:4]) for row in table.tolist() for _ in range(row[4])]
    return AfterState(Typical(requests), weights)


class Explained:
    """What explains GPUs that stay unused, learned on from weights that act; `usual`: x and w."""

    def __init__(self, learner: Learner, usual: Floats | None = None) -> None:
        self.learner = learner
        self.usual = usual

    @classmethod
    def begin(cls, weights: bytes, *, gpus: int) -> Explained:
        """With `gpus` in the cluster."""
        rule = read(weights)
        learner = Learner(rule.features.reach, max(gpus, 1))
        learner.weights = rule.weights.copy()
        return cls(learner)

    def update(self, seen: Sequence[float], unused: float) -> None:
        """One sample."""
        sample = np.array((*seen, unused))
        if self.usual is None:
            self.usual = sample
            return
        off = sample - self.usual
        self.learner.update(off[:-1], off[-1])
        self.usual = self.usual + USUAL_RATE * off
