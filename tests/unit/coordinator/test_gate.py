"""The gate lets a learned policy act where it is better, and catches one that is not, or was only lucky."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.scheduler.gate import WINDOWS_MIN, judge

STATIC = {"fcfs", "sjf"}


def windows(seed: int, count: int, *, shift: float = 0.0, noise: float = 0.3) -> list[float]:
    """Costs around e^2, by `shift` in the logarithm."""
    return np.exp(2.0 + shift + noise * np.random.default_rng(seed).normal(size=count)).tolist()


def test_a_better_policy_passes_with_its_evidence() -> None:
    costs = {"fcfs": windows(1, 20, shift=1.0), "sjf": windows(2, 20), "learned": windows(3, 20, shift=-0.7)}
    verdict = judge(costs, static=STATIC)
    assert (verdict.policy, verdict.static) == ("learned", "sjf")
    ratios = [math.log(ours / theirs) for ours, theirs in zip(costs["learned"], costs["sjf"], strict=True)]
    mean = sum(ratios) / 20
    std = math.sqrt(sum((ratio - mean) ** 2 for ratio in ratios) / 19)
    assert verdict.evidence.log_ratio == pytest.approx(mean)
    assert verdict.evidence.t == pytest.approx(mean / (std / math.sqrt(20)))
    assert verdict.evidence.worst == pytest.approx(max(ratios))
    assert (verdict.evidence.windows, verdict.evidence.tried) == (20, 1)


def test_a_planted_bad_policy_is_caught() -> None:
    costs = {"fcfs": windows(1, 20), "planted": windows(2, 20, shift=0.5)}
    verdict = judge(costs, static=STATIC)
    assert (verdict.policy, verdict.static) == ("", "fcfs")
    assert verdict.evidence.policy == "planted"
    assert verdict.evidence.log_ratio > 0.0


def test_too_few_windows_are_no_evidence_however_good() -> None:
    costs = {"fcfs": windows(1, WINDOWS_MIN - 1, shift=3.0), "learned": windows(2, WINDOWS_MIN - 1)}
    verdict = judge(costs, static=STATIC)
    assert verdict.policy == ""
    assert verdict.evidence.t < -2.0


def test_the_luckiest_of_many_equals_seldom_passes() -> None:
    """Chosen and tested on the same windows, each fourth of these would pass; one in forty is chance."""
    passed = lucky = 0
    for seed in range(60):
        costs = {"fcfs": windows(seed, 16)}
        costs |= {f"twin {each}": windows(1000 + seed * 50 + each, 16) for each in range(40)}
        passed += judge(costs, static=STATIC).policy != ""
        best = min(costs.keys() - STATIC, key=lambda name: sum(costs[name]))
        ratios = np.log(costs[best]) - np.log(costs["fcfs"])
        lucky += ratios.mean() / (ratios.std(ddof=1) / 4.0) <= -2.0
    assert passed <= 3
    assert lucky >= 15


def test_the_best_rule_is_the_one_to_beat() -> None:
    costs = {"fcfs": windows(1, 24, shift=4.0), "sjf": windows(2, 24), "learned": windows(3, 24, shift=2.0)}
    assert judge(costs, static=STATIC).policy == ""


def test_one_congested_window_carries_nobody() -> None:
    """The rough one costs least on average, for one window alone; it is tried only if nobody is steadier."""
    rule = windows(1, 20)
    costs = {
        "sjf": [*rule[:-1], 900.0],
        "steady": [cost * 0.8 for cost in (*rule[:-1], 900.0)],
        "rough": [*(cost * 1.2 for cost in rule[:-1]), 100.0],
    }
    assert judge(costs, static=STATIC).policy == "steady"
    verdict = judge({name: costs[name] for name in ("sjf", "rough")}, static=STATIC)
    assert (verdict.policy, verdict.evidence.policy) == ("", "rough")


def test_equal_costs_are_no_evidence_and_a_constant_gain_is() -> None:
    same = windows(1, 16)
    assert judge({"sjf": same, "learned": same}, static=STATIC).policy == ""
    halved = judge({"sjf": same, "learned": [cost / 2 for cost in same]}, static=STATIC)
    assert halved.policy == "learned"
    assert math.isfinite(halved.evidence.t)


def test_without_a_learned_policy_the_best_rule_acts() -> None:
    verdict = judge({"fcfs": [2.0], "sjf": [1.0]}, static=STATIC)
    assert (verdict.policy, verdict.static, verdict.evidence.tried) == ("", "sjf", 0)


def test_one_window_alone_has_no_spread() -> None:
    assert judge({"fcfs": [2.0], "learned": [1.0]}, static=STATIC).evidence.t == 0.0


@pytest.mark.parametrize(
    "costs", [{}, {"learned": [1.0]}, {"fcfs": [], "learned": []}, {"fcfs": [1.0], "learned": [1.0, 2.0]}]
)
def test_what_cannot_be_compared_is_refused(costs: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="replayed"):
        judge(costs, static=STATIC)


@given(st.integers(0, 10_000), st.integers(1, 40), st.floats(-2.0, 2.0))
def test_the_verdict_does_not_depend_on_the_unit_of_cost(seed: int, count: int, shift: float) -> None:
    costs = {"fcfs": windows(seed, count), "learned": windows(seed + 1, count, shift=shift)}
    scaled = {name: [cost * 60.0 for cost in values] for name, values in costs.items()}
    assert judge(costs, static=STATIC).policy == judge(scaled, static=STATIC).policy
