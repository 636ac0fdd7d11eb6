"""Which base rule orders who waits: tabular Q-learning over what the queue looks like.

    Q(s, a) ← Q(s, a) + α (r + γ max Q(s', a') − Q(s, a))        (Watkins & Dayan, Machine Learning 1992)

s: how many wait, how much of the machine is held, how long the newest jobs are, each in a few steps. a: a
base rule. r: minus what waiting cost between two decisions. α = 1 / visits^0.6: what was seen once is
believed at once, what was seen often is not thrown about by one window.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field

DISCOUNT = 0.99
STEP_DECAY = 0.6
LOAD_STEPS = 4


def state_of(*, queue: int, load: float, mix: float) -> str:
    """`load`: share of the machine that is held; `mix`: mean of log₂ of the seconds that the newest ask for.

    In steps: the queue by factors of four, the load by quarters, the seconds by factors of sixteen.
    """
    held = min(int(load * LOAD_STEPS), LOAD_STEPS - 1)
    return f"queue {(max(queue, 1).bit_length() + 1) // 2} load {held} mix {int(mix) // 4}"


_NOTHING = {"": 0.0}


class QTable(Struct, kw_only=True):
    """`values`: {state: {rule: Q}}, of what was tried; `visits` likewise.

    Where nothing was tried the first of `rules` goes: the one that was best on past windows.
    """

    rules: tuple[str, ...]
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    visits: dict[str, dict[str, int]] = field(default_factory=dict)

    def best(self, state: str) -> str:
        """The rule to go by; ties by order of trial."""
        known = self.values.get(state)
        return max(known, key=known.__getitem__) if known else self.rules[0]

    def explore(self, state: str, *, epsilon: float, rng: np.random.Generator) -> str:
        """ε-greedy: the best, or with ε any."""
        if rng.random() < epsilon:
            return self.rules[int(rng.integers(len(self.rules)))]
        return self.best(state)

    def update(self, state: str, rule: str, *, reward: float, after: str | None) -> None:
        """`after`: the state of the next decision; None: there was none."""
        values = self.values.setdefault(state, {})
        visits = self.visits.setdefault(state, {})
        visits[rule] = visits.get(rule, 0) + 1
        q, alpha = values.get(rule, 0.0), visits[rule] ** -STEP_DECAY
        best_after = max(self.values.get(after, _NOTHING).values()) if after is not None else 0.0
        values[rule] = q + alpha * (reward + DISCOUNT * best_after - q)
