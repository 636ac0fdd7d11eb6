"""What a bench of schedulers measured, as charts: how slow, how full, how often better than the best rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, geometric_mean
from typing import Annotated

from msgspec import Meta, Struct

from tui.view.charts import Curves, Line, Points, Row, Strips

SPREAD_MAX = 10.0
"""Of logarithms of ratios: beyond it nothing can be drawn, nor known."""

Amount = Annotated[float, Meta(ge=0.0)]


class Evidence(Struct, frozen=True, kw_only=True):
    """What the gate saw on windows outside the tested ones: `log_ratio`, mean of ln(policy / static)."""

    policy: str
    static: str
    windows: int
    log_ratio: float
    t: float

    @property
    def standard_error(self) -> float:
        """Of `log_ratio`."""
        return min(abs(self.log_ratio / self.t), SPREAD_MAX) if self.t else 0.0


class Result(Struct, frozen=True, kw_only=True):
    """Of one policy on one trace, as `corral bench scheduler -o json` has it; one of the two means is there.

    `values`: of each window or shuffle. `learned`: it is none of the static rules. `acted`: who the gate let
    act. `curve`: slowdown on windows set aside, look by look while it was trained.
    """

    trace: str
    policy: str
    values: Annotated[tuple[Amount, ...], Meta(min_length=1)]
    ms_per_decision: Amount = 0.0
    learned: bool = False
    acted: str | None = None
    evidence: Evidence | None = None
    curve: tuple[Annotated[float, Meta(ge=1.0)], ...] = ()
    backfill: bool = False
    starts: tuple[int, ...] = ()
    length: int = 0
    mean_bounded_slowdown: Amount | None = None
    mean_gpu_allocation: Amount | None = None

    def __post_init__(self) -> None:
        if (self.mean_bounded_slowdown is None) == (self.mean_gpu_allocation is None):
            raise ValueError("either mean_bounded_slowdown or mean_gpu_allocation must be there")
        if self.mean_bounded_slowdown is not None and min(self.mean, *self.values) < 1.0:
            raise ValueError("a bounded slowdown is never below 1")

    @property
    def mean(self) -> float:
        """Slowdown, or percent of the GPUs."""
        found = self.mean_gpu_allocation if self.is_placement else self.mean_bounded_slowdown
        assert found is not None
        return found

    @property
    def is_learned(self) -> bool:
        return self.learned or self.acted is not None

    @property
    def is_placement(self) -> bool:
        return self.mean_gpu_allocation is not None

    @property
    def setting(self) -> str:
        """What it was measured on."""
        return f"{self.trace}{', backfilled' if self.backfill else ''}"


def charts(results: Sequence[Result]) -> dict[str, Strips | Curves]:
    """By the name of their files, without an ending; those that the results have enough for."""
    found: dict[str, Strips | Curves] = {}
    orders = [result for result in results if not result.is_placement]
    placements = [result for result in results if result.is_placement]
    for setting in dict.fromkeys(result.setting for result in orders):
        here = [result for result in orders if result.setting == setting]
        found[f"slowdown-{_file_name(setting)}"] = _slowdown(setting, here)
    if placements:
        found["allocation"] = _allocation(placements)
    if gates := _gates(results):
        found["gate"] = Strips(
            title="What the gate saw before the tested windows",
            axis="ratio of costs, learned / static rule; small: ± 2 standard errors, which must lie below 1",
            rows=gates,
            log=True,
            limit=1.0,
            form=".3f",
        )
    if curves := [result for result in results if len(result.curve) > 1]:
        found["training"] = _training(curves)
    for name, kind, paired in (
        ("orders", orders, _slowdown_ratios),
        ("placements", placements, _waste_ratios),
    ):
        if rows := paired(kind):
            found[f"ratios-{name}"] = _ratios(rows)
            evidence = _evidence(rows)
            if evidence.lines:
                found[f"evidence-{name}"] = evidence
    return found


def _slowdown(setting: str, results: Sequence[Result]) -> Strips:
    return Strips(
        title=f"Bounded slowdown on {setting}",
        axis=f"mean of {results[0].length:,} jobs; small: each window; lower is better",
        rows=tuple(Row(each.policy, (Points("", each.values, each.mean),)) for each in results),
        log=True,
    )


def _allocation(results: Sequence[Result]) -> Strips:
    return Strips(
        title="GPUs given away when requests for 130 % of them have come",
        axis="% of all GPUs, mean; small: each shuffle of the pods; higher is better",
        rows=tuple(
            Row(
                trace,
                tuple(Points(each.policy, each.values, each.mean) for each in results if each.trace == trace),
            )
            for trace in dict.fromkeys(result.trace for result in results)
        ),
    )


def _slowdown_ratios(results: Sequence[Result]) -> dict[str, tuple[float, ...]]:
    return _paired(results, min, lambda value: value)


def _waste_ratios(results: Sequence[Result]) -> dict[str, tuple[float, ...]]:
    return _paired(results, max, lambda allocation: 100.0 - allocation)


def _paired(
    results: Sequence[Result], best: Callable[..., Result], cost: Callable[[float], float]
) -> dict[str, tuple[float, ...]]:
    """Of each learned policy: its costs over those of the static rule that was best of all, pair by pair."""
    found = {}
    for learned in results:
        same = [
            each
            for each in results
            if not each.is_learned
            and (each.setting, each.starts, each.length) == (learned.setting, learned.starts, learned.length)
            and len(each.values) == len(learned.values)
        ]
        if learned.is_learned and same:
            rule = best(same, key=lambda each: each.mean)
            pairs = zip(learned.values, rule.values, strict=True)
            ratios = tuple(cost(mine) / cost(its) for mine, its in pairs if cost(mine) > 0 and cost(its) > 0)
            if ratios:
                found[f"{learned.setting}: {learned.policy} / {rule.policy}"] = ratios
    return found


def _ratios(rows: dict[str, tuple[float, ...]]) -> Strips:
    return Strips(
        title="Learned against the best static rule, pair by pair",
        axis="cost of the learned one / cost of the rule, geometric mean; below 1 the learned one is better",
        rows=tuple(
            Row(label, (Points("", ratios, geometric_mean(ratios)),)) for label, ratios in rows.items()
        ),
        log=True,
        limit=1.0,
        form=".3f",
    )


def _evidence(rows: dict[str, tuple[float, ...]]) -> Curves:
    """How the mean of ln(ratio) settles, as pair after pair comes in, within two standard errors."""
    lines = []
    for label, ratios in rows.items():
        logs = list(map(math.log, ratios))
        at = range(2, len(logs) + 1)
        means = [fmean(logs[:count]) for count in at]
        if at:
            errors = [2.0 * _standard_error(logs[:count]) for count in at]
            lines.append(
                Line(
                    series=label,
                    at=tuple(map(float, at)),
                    values=tuple(map(math.exp, means)),
                    upper=tuple(math.exp(mean + error) for mean, error in zip(means, errors, strict=True)),
                    lower=tuple(math.exp(mean - error) for mean, error in zip(means, errors, strict=True)),
                )
            )
    return Curves(
        title="The evidence, as pair after pair comes in",
        across="pairs",
        axis="geometric mean of the ratios, ± 2 standard errors; below 1 the learned one is better",
        lines=tuple(lines),
        log=True,
        limit=1.0,
    )


def _gates(results: Sequence[Result]) -> tuple[Row, ...]:
    rows = []
    for result in results:
        seen = result.evidence
        if seen is None or not seen.policy:
            continue
        middle, width = seen.log_ratio, 2.0 * seen.standard_error
        rows.append(
            Row(
                f"{result.setting}: {seen.policy} / {seen.static}; {result.acted} acts",
                (Points("", (math.exp(middle - width), math.exp(middle + width)), math.exp(middle)),),
            )
        )
    return tuple(rows)


def _training(results: Sequence[Result]) -> Curves:
    return Curves(
        title="Learning, look by look",
        across="looks while it learned",
        axis="bounded slowdown on windows set aside, geometric mean",
        lines=tuple(
            Line(
                series=f"{result.setting}: {result.policy}",
                at=tuple(map(float, range(1, len(result.curve) + 1))),
                values=result.curve,
            )
            for result in results
        ),
        log=True,
    )


def _standard_error(logs: Sequence[float]) -> float:
    mean = fmean(logs)
    return math.sqrt(math.fsum((each - mean) ** 2 for each in logs) / (len(logs) - 1) / len(logs))


def _file_name(setting: str) -> str:
    return "".join(each if each.isalnum() or each in "._-" else "-" for each in setting.replace(", ", "-"))
