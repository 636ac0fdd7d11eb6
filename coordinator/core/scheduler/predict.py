"""How long jobs will run, and how a second of their waiting weighs: learned from those that are over.

Run times: requested · ratio, where ratio is the decayed mean of min(run / requested, 1.5) over the user's
ended jobs, shrunk towards 1 (predictions by user after Tsafrir, Etsion & Feitelson, TPDS'07). Weights:
E[1 / max(run, 10 s)], what a second adds to the bounded slowdown; over jobs of the same user, width and
request, shrunk towards the user's mean, which is shrunk towards 1 / max(requested, 10 s).

Where requests tell more than that (nobody is named, or they are exact) they are believed: whichever of the
two has erred less of late, in logarithms.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

from msgspec import Struct, field

BOUND_S = 10.0
RATIO_MAX = 1.5
USER_DECAY, KIND_DECAY, ERROR_DECAY = 0.98, 0.9, 0.99
USER_PRIOR, KIND_PRIOR = 2.0, 1.0

USERS_MAX, KINDS_MAX = 4_096, 16_384
"""Of so many the means are known; who ended no job for longest is forgotten first."""

OUTCOMES = 256
"""Jobs from which one knows how far predictions are off."""


class Prediction(NamedTuple):
    """`weight` in 1/s."""

    run_s: float
    weight: float


class Mean(Struct):
    """A decayed sum of observations, and of their number."""

    total: float = 0.0
    count: float = 0.0

    def observe(self, value: float, decay: float) -> None:
        self.total = self.total * decay + value
        self.count = self.count * decay + 1.0

    def shrunk(self, prior: float, strength: float) -> float:
        """The mean, as if `strength` observations of `prior` came before."""
        return (self.total + strength * prior) / (self.count + strength)


class Predictor(Struct):
    """Learns from every job that ends; users and widths are whatever the record has.

    The tables have who ended a job last at their end: dicts keep the order, and so does what is kept of them.
    """

    ratios: dict[str, Mean] = field(default_factory=dict)
    weights: dict[str, Mean] = field(default_factory=dict)
    kinds: dict[tuple[str, int, float], Mean] = field(default_factory=dict)
    learned_error: float = 0.0
    asked_error: float = 0.0
    ended: int = 0
    outcomes: dict[int, float] = field(default_factory=dict)  # run / predicted of the newest; a ring

    def predict(self, user: str, width: int, requested_s: float) -> Prediction:
        """Of a job that waits or runs."""
        asked = _as_asked(requested_s)
        if self.asked_error <= self.learned_error:
            return asked
        ratios, weights = self.ratios.get(user, _NOTHING), self.weights.get(user, _NOTHING)
        return _learned(asked, ratios, weights, self.kinds.get((user, width, requested_s), _NOTHING))

    def observe(self, user: str, width: int, requested_s: float, run_s: float) -> None:
        """A job is over."""
        asked = _as_asked(requested_s)
        ratios = _newest(self.ratios, user, most=USERS_MAX)
        weights = _newest(self.weights, user, most=USERS_MAX)
        kinds = _newest(self.kinds, (user, width, requested_s), most=KINDS_MAX)
        learned = _learned(asked, ratios, weights, kinds)
        predicted = asked if self.asked_error <= self.learned_error else learned
        self.outcomes[self.ended % OUTCOMES] = run_s / predicted.run_s
        self.ended += 1
        weight = 1.0 / max(run_s, BOUND_S)
        self.learned_error = self.learned_error * ERROR_DECAY + abs(math.log(learned.weight / weight))
        self.asked_error = self.asked_error * ERROR_DECAY + abs(math.log(asked.weight / weight))
        ratios.observe(min(run_s / asked.run_s, RATIO_MAX), USER_DECAY)
        weights.observe(weight, USER_DECAY)
        kinds.observe(weight, KIND_DECAY)


_NOTHING = Mean()

_Key = TypeVar("_Key")


def _newest(table: dict[_Key, Mean], key: _Key, *, most: int) -> Mean:
    """The mean of `key`, moved to the end of its table."""
    mean = table.pop(key, None)
    if mean is None:
        mean = Mean()
        if len(table) >= most:
            del table[next(iter(table))]
    table[key] = mean
    return mean


def _learned(asked: Prediction, ratios: Mean, weights: Mean, kinds: Mean) -> Prediction:
    of_user = weights.shrunk(asked.weight, USER_PRIOR)
    run_s = max(ratios.shrunk(1.0, USER_PRIOR) * asked.run_s, 1.0)
    return Prediction(run_s, kinds.shrunk(of_user, KIND_PRIOR))


def _as_asked(requested_s: float) -> Prediction:
    run_s = max(requested_s, 1.0)
    return Prediction(run_s, 1.0 / max(run_s, BOUND_S))
