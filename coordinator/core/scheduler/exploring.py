"""How often places are tried out: the one schedule of ε, whoever explores (`round.Candidates.tried`).

    ε = max(ε_least, ε_first · 2^(−decisions / half-life))

What is tried costs at most `after_state.MARGIN`, and shows what the values of places are that would never be
chosen (Sutton and Barto, Reinforcement Learning, 2.2).
"""

from __future__ import annotations

EPSILON_FIRST, EPSILON_LEAST = 0.05, 0.005
HALF_LIFE = 20_000
"""Decisions that came to their rewards."""


def epsilon_after(decisions: int) -> float:
    """The share of decisions that may be tries, after so many."""
    return float(max(EPSILON_LEAST, EPSILON_FIRST * 0.5 ** (decisions / HALF_LIFE)))
