"""What `corral scheduler` shows, and how two states are compared."""

from __future__ import annotations

from msgspec import structs

from bus import scheduling
from bus.scheduling import Forecasts, Scheduler, Snapshot
from tui.cli.scheduler import differing
from tui.view.learning import (
    cost_rows,
    diff_lines,
    forecasts_text,
    margin_of,
    mode_line,
    scheduler_lines,
    verdict_line,
)

EVIDENCE = {"policy": "rollout", "static": "sjf", "windows": 16, "log_ratio": -0.2, "t": -3.0}
TEST = scheduling.Test(
    by="olga",
    source="history",
    adopts=True,
    began_at=10.0,
    ended_at=40.0,
    jobs=300,
    policy="rollout",
    static="sjf",
    evidence=EVIDENCE,
    costs={"sjf": [10.0, 5.0], "rollout": [8.0, 4.0]},
)


def test_who_acts_is_said_with_its_evidence() -> None:
    status = Scheduler(
        mode="on",
        policy="rollout",
        order="fcfs",
        acts="rollout",
        epsilon=0.1,
        reward_window=1000,
        reward_avg=-1.5,
        evidence=EVIDENCE,
        shadow=0.0,
        test=TEST,
        snapshots=[
            Snapshot(
                number=3, at=40.0, reason="stop", mode="on", policy="", learned=9, digest="ab", epsilon=0.1
            )
        ],
    )
    text = "\n".join(scheduler_lines(status, now_s=50.0))
    for words in (
        "rollout against sjf: -18.1% (t -3.00) over 16 windows",
        "-1.500, mean of the newest 1,000",
    ):
        assert words in text
    assert "3  " in text and "asked for by olga" in text


def test_what_an_order_cost_is_told_with_how_sure_that_is() -> None:
    costs = {"sjf": [10.0, 10.0, 10.0], "rollout": [8.0, 8.0, 8.0], "worse": [10.0, 20.0, 40.0], "one": [9.0]}
    test = structs.replace(TEST, costs=costs)
    same = margin_of(test, "rollout")
    assert same is not None and str(same) == "-20.0% (-20.0% to -20.0%)" and same.windows == 3
    unsure = margin_of(test, "worse")
    assert unsure is not None and round(unsure.share, 6) == 1.0
    assert unsure.low < 0.0 < unsure.high, "it may as well be better"
    assert margin_of(test, "sjf") is None and margin_of(test, "one") is None and margin_of(test, "x") is None


def test_how_true_forecasts_came_is_said() -> None:
    none = Forecasts(open=3)
    assert forecasts_text(none) == "none came out so far, 3 not out yet"
    some = Forecasts(told=1200, right=972, newest=100, newest_right=79, width=0.64, open=7)
    text = "972 of 1,200 right (81%, meant 80%), 79 of the newest 100; "
    text += "intervals 64% of the waiting; 7 not out yet"
    assert forecasts_text(some) == text
    status = Scheduler(mode="off", policy="", order="fcfs", acts="fcfs", epsilon=0.1, reward_window=1000)
    assert not any("forecasts" in line for line in scheduler_lines(status, now_s=1.0))
    status.forecasts = some
    assert any(text in line for line in scheduler_lines(status, now_s=1.0))


def test_who_acts_without_having_passed_is_named_a_static_rule() -> None:
    lost = Scheduler(
        mode="on", policy="sjf", order="fcfs", acts="sjf", epsilon=0.1, reward_window=1000, shadow=0.0,
        evidence=EVIDENCE | {"log_ratio": 0.1, "t": 0.4},
    )  # fmt: skip
    text = "\n".join(scheduler_lines(lost, now_s=50.0))
    assert "none passed the gate; sjf is the best static rule" in text
    assert "shadow     –  (it acts)" in text
    assert mode_line(lost) == "mode on: sjf orders tasks"


def test_in_shadow_mode_it_is_scored_against_who_acts() -> None:
    beside = Scheduler(
        mode="shadow", policy="rollout", order="fcfs", acts="fcfs", epsilon=0.1, reward_window=1000,
        shadow=-0.2, evidence=EVIDENCE,
    )  # fmt: skip
    text = "\n".join(scheduler_lines(beside, now_s=50.0))
    assert "slowdown -18.1% against fcfs, in the last replay" in text
    assert mode_line(beside) == "mode shadow: fcfs orders tasks, rollout decides beside it"


def test_costs_are_shown_against_the_best_static_rule() -> None:
    rows = cost_rows(TEST)
    assert [row[0] for row in rows] == ["rollout", "sjf"]
    assert rows[0][-1] == "-20.0%" and rows[1][-1] == "+0.0%"
    assert verdict_line(TEST).startswith("rollout passes the gate and acts in mode on")


def test_states_are_compared_by_place() -> None:
    one = {"learner": {"kinds": [[["u", 1], [2.0, 1.0]], [["v", 1], [3.0, 1.0]]], "n": 1}}
    other = {"learner": {"kinds": [[["u", 1], [2.5, 1.0]], [["v", 1], [3.0, 1.0]]], "n": 1}}
    (found,) = differing(one, other)
    assert found["at"] == 'learner.kinds.["u", 1]' and (found["a"], found["b"]) == ([2.0, 1.0], [2.5, 1.0])
    assert list(diff_lines(differing(one, one))) == ["they are the same"]
    assert list(diff_lines([found])) == ['learner.kinds.["u", 1]: [2.0, 1.0] -> [2.5, 1.0]']
