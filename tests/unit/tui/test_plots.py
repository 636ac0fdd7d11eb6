"""Results of benches become charts: each setting its own, learned policies against the best static rule."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from tui.view.charts import Curves, Strips
from tui.view.plots import Result, charts


def order(policy: str, *values: float, learned: bool = False, **fields: Any) -> Result:
    given = {"trace": "small", "policy": policy, "values": values, "length": 20, "learned": learned, **fields}
    return msgspec.convert({**given, "mean_bounded_slowdown": sum(values) / len(values)}, Result)


def placement(policy: str, *values: float, learned: bool = False, trace: str = "default") -> Result:
    mean = sum(values) / len(values)
    given = {"trace": trace, "policy": policy, "values": values, "learned": learned}
    return msgspec.convert({**given, "mean_gpu_allocation": mean}, Result)


def strips(chart: Strips | Curves) -> Strips:
    assert isinstance(chart, Strips)
    return chart


def test_each_setting_has_a_chart_of_its_policies() -> None:
    results = [order("fcfs", 3.0, 5.0), order("fcfs", 2.0, 2.0, backfill=True), order("sjf", 2.0, 4.0)]
    found = charts(results)
    assert list(found) == ["slowdown-small", "slowdown-small-backfilled"]
    assert [row.label for row in strips(found["slowdown-small"]).rows] == ["fcfs", "sjf"]
    assert [row.points[0].middle for row in strips(found["slowdown-small"]).rows] == [4.0, 3.0]


def test_the_learned_one_is_paired_with_the_rule_that_is_best_on_the_same_windows() -> None:
    results = [
        order("fcfs", 10.0, 10.0, 10.0),
        order("sjf", 4.0, 4.0, 4.0),
        order("f1", 2.0, 2.0, 2.0, starts=(7,)),
        order("learned", 2.0, 4.0, 2.0, learned=True),
    ]
    (row,) = strips(charts(results)["ratios-orders"]).rows
    assert row.label == "small: learned / sjf" and row.points[0].values == (0.5, 1.0, 0.5)
    evidence = charts(results)["evidence-orders"]
    assert isinstance(evidence, Curves)
    (line,) = evidence.lines
    assert line.at == (2.0, 3.0) and line.values[-1] == pytest.approx(row.points[0].middle)
    mean, error = math.log(0.5) * 2 / 3, math.sqrt(math.log(2) ** 2 / 3 / 3)
    assert line.upper[-1] == pytest.approx(math.exp(mean + 2 * error)), "± 2 standard errors: the gate's t"


def test_placements_are_compared_by_what_they_leave_free() -> None:
    results = [
        placement("fgd", 90.0, 95.0),
        placement("random", 80.0, 80.0),
        placement("learned", 95.0, 95.0, learned=True),
        placement("learned", 96.0, 96.0, learned=True, trace="no rule ran on it"),
    ]
    found = charts(results)
    assert list(found) == ["allocation", "ratios-placements", "evidence-placements"]
    (row,) = strips(found["ratios-placements"]).rows
    assert row.label == "default: learned / fgd" and row.points[0].values == (0.5, 1.0)
    assert [row.label for row in strips(found["allocation"]).rows] == ["default", "no rule ran on it"]


def test_one_pair_is_no_evidence() -> None:
    found = charts([order("sjf", 4.0), order("learned", 2.0, learned=True)])
    assert "ratios-orders" in found and "evidence-orders" not in found


def test_the_gate_and_the_training_are_drawn_as_they_were_told() -> None:
    evidence = {"policy": "dqn", "static": "sjf", "windows": 16, "log_ratio": math.log(0.5), "t": -4.0}
    found = charts([order("dqn", 2.0, acted="dqn", evidence=evidence, curve=(9.0, 3.0))])
    (row,) = strips(found["gate"]).rows
    low, high = row.points[0].values
    assert row.label == "small: dqn / sjf; dqn acts" and row.points[0].middle == pytest.approx(0.5)
    assert (low, high) == pytest.approx((0.5**1.5, 0.5**0.5)), "two standard errors are half of t = -4"
    training = found["training"]
    assert isinstance(training, Curves) and training.lines[0].values == (9.0, 3.0)
    nothing = {**evidence, "policy": "", "t": 0.0, "log_ratio": 0.0}
    assert list(charts([order("learned", 2.0, acted="sjf", evidence=nothing)])) == ["slowdown-small"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean_bounded_slowdown": 0.5},
        {"mean_bounded_slowdown": None},
        {"mean_gpu_allocation": 3.0},
        {"values": []},
        {"values": [-1.0]},
        {"trace": 3},
    ],
)
def test_what_no_bench_would_say_is_refused(wrong: dict[str, Any]) -> None:
    good = {"trace": "a", "policy": "fcfs", "values": [2.0], "mean_bounded_slowdown": 2.0}
    assert msgspec.convert(good, Result).mean == 2.0
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | wrong, Result)
