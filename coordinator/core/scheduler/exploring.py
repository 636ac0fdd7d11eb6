"""ε-greedy within a margin: the best nearly always, and else one that is nearly as good.

    ε = max(ε_least, ε_first · 2^(−decisions / half-life))

What is tried costs at most the margin, and shows what the values of places are that would never be chosen
(Sutton and Barto, Reinforcement Learning, 2.2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coordinator.core.scheduler.gpus import Floats

EPSILON_FIRST, EPSILON_LEAST = 0.05, 0.005
HALF_LIFE = 20_000
"""Decisions."""


class Pick(NamedTuple):
    """`explored`: it was drawn, among so many that were near enough."""

    place: int
    explored: bool
    among: int


def epsilon_after(decisions: int) -> float:
    return float(max(EPSILON_LEAST, EPSILON_FIRST * 0.5 ** (decisions / HALF_LIFE)))


def pick(values: Floats, *, epsilon: float, margin: float, rng: np.random.Generator) -> Pick:
    """Of the largest the first, or any that is at most `margin` below it; `rng` is not asked at ε = 0."""
    best = int(values.argmax())
    if epsilon <= 0 or rng.random() >= epsilon:
        return Pick(best, False, 1)
    near = np.flatnonzero(values >= values[best] - margin)
    return Pick(int(rng.choice(near)), True, len(near))
