"""When something will start, with an interval that is right as often as it says.

Futures are played (`forward`), each with other run times and other arrivals (`coming`); their quantiles are
the raw forecast. What the model does not know of (who is cancelled, which nodes fail) makes it wrong in ways
that only the past can tell. So each quantile is moved, in logarithms of the waiting time, by as much as would
have been right for the newest forecasts that came out (conformalised quantiles: Romano, Patterson & Candès,
NeurIPS 2019; each tail by itself):

    low ← low · e^x,  x the tail-quantile of ln(waited / low);    high likewise, and the median

and the share meant to lie in a tail follows what was missed (Gibbs & Candès, NeurIPS 2021):

    tail ← tail + RATE · (TAIL − missed)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct, field

from coordinator.core.scheduler.coming import NOBODY_COMES, Coming
from coordinator.core.scheduler.forward import Future, Scene, Times, play
from coordinator.core.scheduler.predict import Predictor

TAIL = 0.1
"""Of starts on either side of the interval: four of five lie in it."""

RATE = 0.03

TAIL_LEAST, TAIL_MOST = 0.02, 0.3

NEWEST = 100
"""Forecasts that came out from which the next ones are corrected."""

FINEST = 0.01
"""No interval is narrower on either side, as a share of the waiting: it would only measure the model's
clock."""

UNSURE = (-0.5, 0.0, 0.5)
"""What a cluster that has seen none yet takes their errors to be: some were by a half too long, some too
short."""

DRAWS_MAX = 12
SEED = 1

SHORT_S = 10.0
"""Waiting times are compared as if all were so much longer: one second or three is no difference."""

LONG_S = 1e8
"""What a model cannot see the end of."""

RESOLUTION, RESOLUTION_MANY = 0.002, 0.05
MANY = 1_000
"""Where so much runs, ends are taken together more coarsely."""


class Forecast(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times of the epoch: the median, and between which four of five lie. `ends_s`: the median of its end."""

    start_s: float
    low_s: float
    high_s: float
    ends_s: float = math.inf


def ratios(predictor: Predictor) -> Times:
    """Of run to predicted times, of the newest jobs that are over."""
    known = list(predictor.outcomes.values())
    return np.array(known) if known else np.ones(1)


def foresee(
    scene: Scene,
    entries: Sequence[int],
    known: Times,
    *,
    steps: int,
    first: bool = False,
    coming: Coming = NOBODY_COMES,
) -> Forecast | None:
    """When the last of `entries` has started (`first`: when the first one does) and when all of them have
    ended.

    By as many futures as `steps` allow, at least one; None: not to be told.
    """
    starts: list[float] = []
    ends: list[float] = []
    for future, asked in _futures(scene, entries, known, steps=steps, coming=coming):
        found = [future.starts[place] for place in asked]
        starts.append(min(each.first_s for each in found) if first else max(each.last_s for each in found))
        ends.append(max(future.ends_s[place] for place in asked))
    return _forecast(starts, ends)


def foresee_each(
    scene: Scene,
    entries: Sequence[int],
    known: Times,
    *,
    steps: int,
    coming: Coming = NOBODY_COMES,
) -> list[tuple[Forecast | None, list[int]]]:
    """When the first of each of `entries` starts, and on which rows it did, future by future."""
    if not entries:
        return []
    futures = list(_futures(scene, entries, known, steps=steps, coming=coming))
    found = []
    for number in range(len(entries)):
        mine = [(future, asked[number]) for future, asked in futures]
        starts = [future.starts[place].first_s for future, place in mine]
        ends = [future.ends_s[place] for future, place in mine]
        found.append((_forecast(starts, ends), [future.rows[place] for future, place in mine]))
    return found


def _futures(
    scene: Scene, entries: Sequence[int], known: Times, *, steps: int, coming: Coming
) -> Iterator[tuple[Future, list[int]]]:
    """As many as `steps` allow, at least one; each with where `entries` are in it."""
    rng = np.random.default_rng(SEED)
    draws = DRAWS_MAX if known.min() < known.max() or coming.varies else 1
    resolution = resolution_of(scene)
    left = steps
    for drawn in range(draws):
        joined, places = coming.join(scene, rng)
        asked = [places[entry] for entry in entries]
        future = play(joined, known, rng, until=asked, steps=left, resolution=resolution)
        if drawn and future.steps >= left:
            return  # cut off by the budget, which is no answer
        left -= future.steps
        yield future, asked
        if left <= 0:
            return


def _forecast(starts: list[float], ends: list[float]) -> Forecast | None:
    low, median, high = (_quantile(starts, share) for share in (TAIL, 0.5, 1.0 - TAIL))
    if not math.isfinite(median):
        return None
    return Forecast(start_s=median, low_s=low, high_s=high, ends_s=_quantile(ends, 0.5))


def middle_of(known: Times) -> float:
    """How what runs turned out against what was predicted, in the middle."""
    return float(np.median(known))


def middle_future(scene: Scene, known: Times, *, steps: int) -> Future:
    """All of it, if everything runs as long as what was predicted so turned out to in the middle."""
    rng = np.random.default_rng(SEED)
    return play(scene, np.array([middle_of(known)]), rng, steps=steps, resolution=resolution_of(scene))


def resolution_of(scene: Scene) -> float:
    """Which ends are taken together."""
    return RESOLUTION if len(scene.rows) < MANY else RESOLUTION_MANY


def _quantile(values: list[float], share: float) -> float:
    """Between two of them by the share; infinite ones are larger than all."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low if low == high else low + (high - low) * (place - math.floor(place))


class Outcome(Struct, frozen=True, array_like=True):
    """By how much each part of a raw forecast was too short, in logarithms of waiting times."""

    low: float
    start: float
    high: float


class Tracker(Struct):
    """What was learned of forecasts from how they came out."""

    outcomes: list[Outcome] = field(default_factory=lambda: [Outcome(each, each, each) for each in UNSURE])
    below: float = TAIL
    above: float = TAIL
    told: int = 0
    right: int = 0
    newest: list[bool] = field(default_factory=list)  # which of the newest ones were right
    widths: list[float] = field(default_factory=list)  # of these, as shares of the foretold waiting times

    def corrected(self, raw: Forecast, *, now_s: float) -> Forecast:
        """What to tell when `raw` is what was played. What starts at once is certain."""
        if raw.high_s <= now_s:
            return raw
        low = _shifted(raw.low_s - now_s, _quantile([each.low for each in self.outcomes], self.below))
        high = _shifted(
            raw.high_s - now_s, _quantile([each.high for each in self.outcomes], 1.0 - self.above)
        )
        start = _shifted(raw.start_s - now_s, _quantile([each.start for each in self.outcomes], 0.5))
        start = min(max(start, low), max(high, low))
        return Forecast(
            start_s=now_s + start,
            low_s=now_s + min(low, start * (1.0 - FINEST)),
            high_s=now_s + max(high, start * (1.0 + FINEST)),
            ends_s=raw.ends_s,
        )

    @property
    def width(self) -> float:
        """The middle one of the newest forecasts, as a share of the foretold waiting time."""
        return _quantile(self.widths, 0.5) if self.widths else 0.0

    def observe(self, raw: Forecast, told: Forecast, *, asked_s: float, started_s: float) -> None:
        """What was played and told at `asked_s` has come out so; see `note_late`."""
        waited_s = started_s - asked_s
        too_early, too_late = started_s < told.low_s, started_s > told.high_s
        self.below = _bounded(self.below + RATE * (TAIL - too_early))
        if not too_late:
            self.above = _bounded(self.above + RATE * TAIL)
        self.outcomes.append(
            Outcome(*(_error(waited_s, at_s - asked_s) for at_s in (raw.low_s, raw.start_s, raw.high_s)))
        )
        del self.outcomes[:-NEWEST]
        self.told += 1
        self.right += not (too_early or too_late)
        self.newest.append(not (too_early or too_late))
        self.widths.append((told.high_s - told.low_s) / max(told.start_s - asked_s, SHORT_S))
        del self.newest[:-NEWEST], self.widths[:-NEWEST]

    def note_late(self) -> None:
        """One should have started by now, and waits: known long before it comes out, and each only once."""
        self.above = _bounded(self.above - RATE * (1.0 - TAIL))


def _bounded(tail: float) -> float:
    return min(max(tail, TAIL_LEAST), TAIL_MOST)


def _error(waited_s: float, foretold_s: float) -> float:
    return math.log((max(waited_s, 0.0) + SHORT_S) / (min(foretold_s, LONG_S) + SHORT_S))


def _shifted(wait_s: float, error: float) -> float:
    return max((min(wait_s, LONG_S) + SHORT_S) * math.exp(error) - SHORT_S, 0.0)
