"""How strongly a node is suspected of being gone, as one number: 0 beats as ever, 1 is taken to be gone.

Three things raise it.

- **Silence, by the node's own pace** (φ-accrual, Hayashibara et al. 2004). From mean and deviation of the
  intervals between its heartbeats follows how unlikely so long a pause is: φ = −log10 of that probability. A
  steady node is doubted after 1.3 intervals, one whose beats come irregularly later. This part ends at
  `DEGRADED_FROM`: improbable is not gone.
- **Silence, by the clock.** From one interval on it grows in a straight line to 1 at `unreachable_after_s`,
  whatever the pace was. That number is promised; nothing learned may move it.
- **Evidence**: attempts that the node lost or could not start, gauges beyond the machine. It decays by half
  in two minutes, and alone it never says that a node is gone.

The table shows words, not the number, and words must not flicker. Into `degraded` at `DEGRADED_FROM`, out of
it below `HEALTHY_BELOW` and after some beats in order: one for a node that falls seldom, two more for each
further fall within the last minutes.
"""

from __future__ import annotations

import math

from msgspec import Struct

DEGRADED_FROM = 0.5
HEALTHY_BELOW = 0.25
PHI_DEGRADED = 5.0  # one pause in a hundred thousand is that long
EVIDENCE_MAX = 0.9
EVIDENCE_HALF_LIFE_S = 120.0
FALL_HALF_LIFE_S = 300.0
BEATS_ASKED_MAX = 9
_WEIGHT = 0.1  # of the newest interval: the last twenty or so count
_DEVIATION_MIN = 0.075  # of an interval; what network and scheduler add to the steadiest sender
_PAUSE_MIN, _PAUSE_MAX = 0.5, 2.0  # intervals; shorter is a repetition, longer a fault: neither is a pace


class Watch(Struct):
    """What is known of a node. `mean_s` None: nothing learned of its pace yet."""

    mean_s: float | None = None
    variance_s2: float = 0.0
    in_order: int = 0  # beats since the node was last overdue
    falls: float = 0.0  # decayed: how often it left `healthy`
    fell_s: float = 0.0
    evidence: float = 0.0  # decayed
    evidence_s: float = 0.0


def heard(watch: Watch, pause_s: float, *, interval_s: float) -> None:
    """A beat came, `pause_s` after the one before."""
    if pause_s < _PAUSE_MIN * interval_s:
        return
    watch.in_order += 1
    if pause_s > _PAUSE_MAX * interval_s:
        return
    mean_s = interval_s if watch.mean_s is None else watch.mean_s
    difference_s = pause_s - mean_s
    watch.mean_s = mean_s + _WEIGHT * difference_s
    watch.variance_s2 = (1.0 - _WEIGHT) * (watch.variance_s2 + _WEIGHT * difference_s**2)


def phi(watch: Watch, silent_s: float, *, interval_s: float) -> float:
    """−log10 of the probability that a living node pauses that long; normal around its own pace."""
    mean_s = interval_s if watch.mean_s is None else max(watch.mean_s, interval_s)
    deviation_s = max(math.sqrt(watch.variance_s2), _DEVIATION_MIN * interval_s)
    later = 0.5 * math.erfc((silent_s - mean_s) / deviation_s / math.sqrt(2.0))
    return -math.log10(later) if later else math.inf


def silence(watch: Watch, silent_s: float, *, interval_s: float, gone_s: float) -> float:
    """What a silence of `silent_s` says by itself; 1 from `gone_s` on, and not before."""
    if silent_s <= interval_s:
        return 0.0
    by_clock = (silent_s - interval_s) / (gone_s - interval_s)
    by_pace = DEGRADED_FROM * min(phi(watch, silent_s, interval_s=interval_s) / PHI_DEGRADED, 1.0)
    return max(by_clock, by_pace)


def accuse(watch: Watch, weight: float, *, now_s: float) -> None:
    """Something speaks against the node besides silence."""
    watch.evidence = min(evidence(watch, now_s=now_s) + weight, EVIDENCE_MAX)
    watch.evidence_s = now_s


def evidence(watch: Watch, *, now_s: float) -> float:
    """What is left of all that was ever said against the node."""
    return _decayed(watch.evidence, now_s - watch.evidence_s, EVIDENCE_HALF_LIFE_S)


def fell(watch: Watch, *, now_s: float) -> None:
    """The node left `healthy`: the more often, the longer it has to prove itself."""
    watch.falls = _decayed(watch.falls, now_s - watch.fell_s, FALL_HALF_LIFE_S) + 1.0
    watch.fell_s = now_s
    watch.in_order = 0


def proven(watch: Watch, *, now_s: float) -> bool:
    """Whether enough beats came in order since the node fell."""
    falls = _decayed(watch.falls, now_s - watch.fell_s, FALL_HALF_LIFE_S)
    return watch.in_order >= min(max(2 * round(falls) - 1, 1), BEATS_ASKED_MAX)


def _decayed(amount: float, age_s: float, half_life_s: float) -> float:
    return amount * 0.5 ** (max(age_s, 0.0) / half_life_s) if amount else 0.0
