"""Orders are judged on the windows that were asked for; what is wrong with a trace is said, not raised."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator.core.scheduler.gate import WINDOWS_MIN
from coordinator.core.scheduler.policies import POLICIES
from coordinator.sim.bench import bench
from coordinator.sim.dqn_training import LEARNED_FROM, LOOK_EVERY
from coordinator.sim.order_bench import OrderBench, judge_orders
from coordinator.sim.protocol import window_starts
from coordinator.sim.trace_files import TraceError
from tests.unit.coordinator import test_openb as openb
from tests.unit.coordinator.test_swf import HEADER, line, write

JOBS = 60


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Jobs that come faster than the machine can run them, long ones and short ones in turn."""
    rows = (line(id, 5 * id, 100 if id % 2 else 5, 4, 4, 120 if id % 2 else 6) for id in range(1, JOBS + 1))
    return write(tmp_path, HEADER + "".join(rows))


def test_the_published_windows() -> None:
    """Of the evaluation in the paper, for any trace of ten thousand jobs and more."""
    published = (1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085)
    assert window_starts(10_000) == window_starts(59_705) == published
    assert window_starts(10_000, seed=2) != published
    with pytest.raises(ValueError, match="2051 are needed"):
        window_starts(2_000)


def test_each_policy_gets_the_same_windows(trace: Path) -> None:
    said: list[tuple[int, int]] = []
    settings = OrderBench(files=(str(trace),), policies=("fcfs", "sjf"), length=20, sequences=3)
    results = list(judge_orders(settings, lambda done, total: said.append((done, total))))
    assert [(result.policy, len(result.values)) for result in results] == [("fcfs", 3), ("sjf", 3)]
    assert results[0].starts == results[1].starts
    fcfs, sjf = (result.mean_bounded_slowdown for result in results)
    assert sjf < fcfs, "short ones pass long ones"
    assert said == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("backfill", [False, True])
def test_rollouts_play_whole_windows_and_look_ahead(trace: Path, backfill: bool) -> None:
    settings = OrderBench(
        files=(str(trace),), policies=("fcfs", "rollout"), backfill=backfill, starts=(10,), length=20
    )
    fcfs, rollout = judge_orders(settings, lambda done, total: None)
    assert rollout.mean_bounded_slowdown < fcfs.mean_bounded_slowdown
    again = list(judge_orders(settings, lambda done, total: None))[1]
    assert again.values == rollout.values, "the same seed, the same decisions"


def test_the_learned_order_says_who_acted_and_why(trace: Path) -> None:
    said: list[tuple[int, int]] = []
    settings = OrderBench(files=(str(trace),), policies=("learned",), starts=(10,), length=20, rng_seed=3)
    (result,) = judge_orders(settings, lambda done, total: said.append((done, total)))
    assert result.policy == "learned" and result.acted in POLICIES
    assert result.evidence is not None and result.evidence.windows in (40, 80)
    assert result.training_seed == 3 and result.training_seconds is not None
    assert said[-1][0] == said[-1][1]
    named = OrderBench(files=(str(trace),), policies=(result.acted,), starts=(10,), length=20, rng_seed=3)
    if "table" not in result.acted:
        assert next(judge_orders(named, lambda done, total: None)).values == result.values


def test_a_network_is_trained_outside_the_windows_and_judged_in_them(trace: Path) -> None:
    asked = {"files": (str(trace),), "starts": (40,), "length": 8}
    said: list[tuple[int, int]] = []
    settings = OrderBench(policies=("sjf", "dqn"), **asked)
    sjf, dqn = judge_orders(settings, lambda done, total: said.append((done, total)))
    assert said[-1][0] == said[-1][1], "every replay was foreseen"
    assert (sjf.learned, sjf.curve, sjf.acted) == (False, (), None)
    assert (dqn.learned, dqn.acted) == (True, "dqn") and len(dqn.curve) == LEARNED_FROM // LOOK_EVERY
    assert dqn.evidence is not None and dqn.evidence.windows == WINDOWS_MIN
    (again,) = judge_orders(OrderBench(policies=("dqn",), **asked), lambda done, total: None)
    assert (again.values, again.curve) == (dqn.values, dqn.curve), "the same seed, the same network"
    with pytest.raises(TraceError, match="no jobs are left"):
        list(
            judge_orders(OrderBench(**{**asked, "policies": ("dqn",), "starts": (0,), "length": JOBS}), print)
        )


def test_windows_can_be_named(trace: Path) -> None:
    settings = OrderBench(files=(str(trace),), policies=("fcfs",), starts=(0, JOBS - 20), length=20)
    (result,) = judge_orders(settings, lambda done, total: None)
    assert result.starts == (0, JOBS - 20) and len(result.values) == 2
    for wrong in (-1, JOBS - 19):
        with pytest.raises(TraceError, match=f"begins at {wrong}; the last: {JOBS - 20}"):
            list(
                judge_orders(
                    OrderBench(files=(str(trace),), starts=(wrong,), length=20), lambda done, total: None
                )
            )


def ask(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[int, list[dict[str, Any]]]:
    said = io.BytesIO()
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps({"type": "order", **settings}).encode()))
    )
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=said))
    code = bench()
    return code, [json.loads(each) for each in said.getvalue().splitlines()]


def test_what_is_said_line_by_line(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = ask(monkeypatch, files=[str(trace)], policies=["f1"], length=20, sequences=2)
    assert code == 0 and [[*each] for each in said] == [["progress"], ["progress"], ["result"]]
    assert said[0]["progress"] == [1, 2] and said[2]["result"]["policy"] == "f1"


def test_placements_are_judged_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = openb.write(tmp_path, "nodes.csv", openb.NODES)
    pods = openb.write(tmp_path, "pods.csv", openb.PODS)
    asked = {"type": "placement", "nodes": str(nodes), "pods": str(pods), "policies": ["fgd"], "seeds": 2}
    code, said = ask(monkeypatch, **asked)
    assert code == 0 and [[*each] for each in said] == [["progress"], ["progress"], ["result"]]
    code, said = ask(monkeypatch, **{**asked, "pods": "/nowhere.csv"})
    assert code == 1 and said[-1]["error"]["field"] == "--openb"


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"policies": ["best"]}, "E_VALUE", "no policy 'best'"),
        ({"length": 1000}, "E_TRACE", "60 jobs are too few"),
        ({"files": ["/nowhere.swf"]}, "E_PATH", "cannot read /nowhere.swf: No such file"),
    ],
)
def test_what_is_wrong_is_said_last(
    trace: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], code: str, words: str
) -> None:
    exit_code, said = ask(monkeypatch, **{"files": [str(trace)], **settings})
    assert exit_code == 1 and said[-1]["error"]["code"] == code and words in said[-1]["error"]["message"]
