"""Which first choice costs least over several futures, without playing all of them on all.

All are played on the first future, and the few that cost least there go on to the others (one round of
successive halving: Karnin, Koren & Somekh, ICML'13). In both rounds a rollout ends where it costs more than
would let it go on. All see the same futures, so what is far behind on one is seldom ahead on the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from coordinator.core.scheduler.rollout import Future

FINALISTS = 8
"""So many go on to the other futures."""

TIE = 1.0 - 1e-9
"""Of two that differ by less the earlier one goes: no rounding of sums decides."""


class First(NamedTuple):
    """Who goes first, and the rule that orders the rest, as indices."""

    place: int
    rule: int


class Found(NamedTuple):
    """`values`: mean cost of each choice; those of `bounds` were given up at that, the others are exact."""

    best: First
    values: dict[int, float]
    bounds: frozenset[int]


def search(
    futures: Sequence[Future], choices: Sequence[First], *, backfill: bool, rollouts: float, exact: bool
) -> Found:
    """The best of `choices`, the first where no rollout is allowed. `exact`: no value is a bound."""

    def paid_by(choice: First, futures: Sequence[Future], limit: float) -> float:
        return _total(futures, choice, backfill=backfill, limit=math.inf if exact else limit)

    keep = FINALISTS if len(futures) > 1 else 1
    shares = math.fsum(future.share for future in futures)
    values: dict[int, float] = {}
    finals: dict[int, float] = {}
    kept: list[tuple[float, First]] = []
    known: set[int] = set()
    limit = math.inf
    for choice in choices:
        if rollouts <= 0:
            break
        rollouts -= 1
        paid = paid_by(choice, futures[:1], limit)
        values[choice.place] = min(values.get(choice.place, math.inf), paid)
        if paid < limit:
            kept = sorted([*kept, (paid, choice)], key=lambda each: each[0])[:keep]
            limit = kept[-1][0] * TIE if len(kept) == keep else math.inf
    best, limit = (kept[0][1] if kept else choices[0]), math.inf
    for paid, choice in kept:
        if rollouts <= 0:
            break
        rollouts -= len(futures) - 1
        total = paid + paid_by(choice, futures[1:], limit - paid)
        if total < limit:
            best, limit = choice, total * TIE
            finals[choice.place] = total / shares
            known.add(choice.place)
        elif choice.place != best.place and total / shares < finals.get(choice.place, math.inf):
            finals[choice.place] = total / shares
            known.discard(choice.place)  # given up below what its other rule costs
    if exact:
        others = [choice for choice in choices if choice.place not in finals]
        values = dict.fromkeys((choice.place for choice in others), math.inf)
        for choice in others:
            total = paid_by(choice, futures, math.inf)
            values[choice.place] = min(values[choice.place], total / shares)
    return Found(best, values | finals, frozenset(() if exact else values.keys() - known))


def _total(futures: Sequence[Future], choice: First, *, backfill: bool, limit: float) -> float:
    """At least `limit` if it is not less."""
    total = 0.0
    for future in futures:
        left = (limit - total) / future.share
        paid = future.cost(choice.place, choice.rule, backfill=backfill, limit=left)
        total += future.share * paid
        if paid >= left:
            return max(total, limit)
    return total
