"""Weights for placements on one cluster: its nodes, filled with its newest requests (`scheduler.places`).

Training begins with the weights that act there and with those that its experience has come to; what wins goes
through the gate on other arrivals. Of many nodes some stand for all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gate import Evidence
from coordinator.core.scheduler.gpus import GpuNode, Request
from coordinator.core.scheduler.places import Wanted, write
from coordinator.sim.placement_gate import gate
from coordinator.sim.placement_training import some_of, train

WANTED_MIN = 64
"""With fewer requests there is no mix to learn from."""

GPU_SHARE_MIN = 1 / 16
"""Of the requests: with fewer for GPUs they hardly matter, and filling the cluster takes long."""


class Places(Struct, frozen=True, kw_only=True):
    """`known`: weights to begin with."""

    nodes: tuple[GpuNode, ...]
    requests: tuple[Wanted, ...]
    known: tuple[tuple[float, ...], ...] = ()


class Placed(Struct, frozen=True, kw_only=True):
    """`weights`: npz of `places`; empty: the static rule ranks. No `evidence`: there was nothing to judge."""

    weights: bytes = b""
    evidence: Evidence | None = None


def place(asked: Places, *, seed: int, heard: Callable[[], None]) -> Placed:
    """Train, and judge; `heard` is called after each round."""
    wanting = sum(wanted[3] > 0 for wanted in asked.requests)
    if (
        len(asked.requests) < WANTED_MIN
        or wanting < GPU_SHARE_MIN * len(asked.requests)
        or not any(node.gpus for node in asked.nodes)
    ):
        return Placed()
    nodes = some_of(asked.nodes)
    requests = [Request(*wanted) for wanted in asked.requests]
    typical = Typical(requests)
    training, judging = np.random.default_rng([seed, 0]).spawn(2)
    known = [np.array(weights) for weights in asked.known]
    learned = train(nodes, requests, typical, rng=training, heard=heard, known=known)
    weights = np.array(learned.weights)
    verdict = gate(nodes, requests, typical, weights, rng=judging)
    return Placed(
        weights=write(weights, asked.requests) if verdict.policy else b"", evidence=verdict.evidence
    )
