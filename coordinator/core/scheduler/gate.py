"""Whether a learned policy may act: only while paired replay shows it better than the best static rule.

    r_w = ln(cost of the policy on window w / cost of the static rule on it)
    it acts if mean(r) < 0 and t = mean(r) / (std(r) / √n) ≤ −2, over n ≥ 16 windows

The luckiest of many looks good on the windows it was chosen by. So the windows are dealt into folds, and
each fold judges the policy and the static rule that were best on all others (cross-validation: Stone, J.
Royal Statistical Society B 1974): no r_w is of a choice that has seen w, and yet every window counts.
Choosing on one half and testing on the other would leave half of them; Bonferroni's correction for the number
tried would punish a menu of near twins. What acts is the best over all windows.

Best is who costs least on average, as those who wait pay, of those who pass (or are at least better by
ratios); the test takes ratios, so that one congested window cannot carry it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean, stdev

from msgspec import Struct

WINDOWS_MIN = 16
T_MAX = -2.0
FOLDS = 4
_STD_MIN = 1e-9


class Evidence(Struct, frozen=True, kw_only=True):
    """`log_ratio`: mean of r over `windows`; `worst`: the largest r; `tried`: so many learned there were.

    `policy` was the best of them over all windows ("": there was none), `static` the best rule.
    """

    policy: str
    static: str
    windows: int
    tried: int
    log_ratio: float = 0.0
    t: float = 0.0
    worst: float = 0.0


class Verdict(Struct, frozen=True, kw_only=True):
    """`policy` may act; "": none may, and `static` does."""

    policy: str
    static: str
    evidence: Evidence


def judge(costs: Mapping[str, Sequence[float]], *, static: Collection[str]) -> Verdict:
    """`costs`: of every policy on the same windows, above zero, lower is better. `static` need no leave.

    Raises ValueError if no static rule is among them, or somebody has not seen all windows.
    """
    windows = min(map(len, costs.values()), default=0)
    if any(len(values) != windows for values in costs.values()):
        raise ValueError("not all policies were replayed on the same windows")
    rules = [name for name in costs if name in static]
    learned = [name for name in costs if name not in static]
    if not rules or not windows:
        raise ValueError("no static rule was replayed")
    rule = _cheapest(costs, rules, range(windows))
    if not learned:
        return Verdict(
            policy="", static=rule, evidence=Evidence(policy="", static=rule, windows=windows, tried=0)
        )
    ratios = _ratios(costs, rules, learned, windows)
    mean = fmean(ratios)
    t = _t(ratios)
    evidence = Evidence(
        policy=_choice(costs, learned, rule=rule, windows=range(windows)),
        static=rule,
        windows=windows,
        tried=len(learned),
        log_ratio=mean,
        t=t,
        worst=max(ratios),
    )
    passed = windows >= WINDOWS_MIN and mean < 0.0 and t <= T_MAX
    return Verdict(policy=evidence.policy if passed else "", static=rule, evidence=evidence)


def _ratios(
    costs: Mapping[str, Sequence[float]], rules: Sequence[str], learned: Sequence[str], windows: int
) -> list[float]:
    """Of each window, by who was best on the other folds; with fewer windows than folds, each is one."""
    found = [0.0] * windows
    for fold in range(min(FOLDS, windows)):
        others = [window for window in range(windows) if window % FOLDS != fold] or [fold]
        rule = _cheapest(costs, rules, others)
        policy = _choice(costs, learned, rule=rule, windows=others)
        for window in range(fold, windows, FOLDS):
            found[window] = _ratio(costs, policy, rule, window)
    return found


def _choice(
    costs: Mapping[str, Sequence[float]], learned: Sequence[str], *, rule: str, windows: Collection[int]
) -> str:
    """Who of `learned` to try against `rule`: the cheapest that passes on these, or is better."""
    ratios = {name: [_ratio(costs, name, rule, window) for window in windows] for name in learned}
    passing = [name for name in learned if _t(ratios[name]) <= T_MAX]
    better = [name for name in learned if math.fsum(ratios[name]) < 0.0]
    return _cheapest(costs, passing or better or learned, windows)


def _ratio(costs: Mapping[str, Sequence[float]], policy: str, rule: str, window: int) -> float:
    return math.log(costs[policy][window] / costs[rule][window])


def _cheapest(costs: Mapping[str, Sequence[float]], names: Sequence[str], windows: Collection[int]) -> str:
    """Ties by order."""
    return min(names, key=lambda name: math.fsum(costs[name][window] for window in windows))


def paired_t(costs: Sequence[float], others: Sequence[float]) -> float:
    """Of the mean log-ratio, window by window; above zero: `costs` are higher. 0.0 of fewer than two."""
    return _t([math.log(one / other) for one, other in zip(costs, others, strict=True)])


def _t(ratios: Sequence[float]) -> float:
    if len(ratios) < 2:
        return 0.0
    return fmean(ratios) / (max(stdev(ratios), _STD_MIN) / math.sqrt(len(ratios)))
