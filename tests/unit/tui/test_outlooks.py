"""What will be, told: forecasts with their intervals, decisions in full, and tables of before and after."""

from __future__ import annotations

import json

import pytest
from msgspec import Struct
from msgspec.structs import replace

from bus.api import (
    Affected,
    Backfilled,
    Blocker,
    Displaced,
    Displacement,
    Effect,
    Forecast,
    Outlook,
    Plan,
    Why,
)
from bus.requests import WhatIf
from bus.values import TaskState
from tests.unit.tui.command import Corral
from tui.view.displacement import sum_lines
from tui.view.effects import of_outlook
from tui.view.explanations import plan_lines, why_lines
from tui.view.outlooks import forecast_text, outlook_lines, record_text

NOW_S = 1000.0
SOON = Forecast(starts_at=1720.0, earliest_at=1240.0, latest_at=2860.0, ends_at=3600.0, told=40, right=33)
EFFECT = Effect(
    tasks=10,
    wait_before_s=600.0,
    wait_after_s=300.0,
    slowdown_before=4.0,
    slowdown_after=2.5,
    earlier=7,
    later=1,
)
OUTLOOK = Outlook(
    change="2 more like n1",
    effect=EFFECT,
    jobs=[
        Affected(job=7, user="ann", tasks=3, starts_before=1600.0, starts_after=1060.0, slowdown_before=5.0),
        Affected(job=8, user="bob", tasks=1),
    ],
    forecast=SOON,
)


def test_a_forecast_says_its_interval_and_how_good_forecasts_were() -> None:
    assert forecast_text(SOON, now_s=NOW_S) == "in 12m00s (80%: 4m00s to 31m00s)"
    assert record_text(SOON) == "33 of 40 forecasts so far were right"
    at_once = Forecast(starts_at=1000.0, earliest_at=1000.0, latest_at=1000.0)
    assert (forecast_text(at_once, now_s=NOW_S), record_text(at_once)) == ("now", "")


def test_who_waits_is_told_when_it_starts() -> None:
    why = Why(task="7.0", state=TaskState.QUEUED, summary="7.0 waits", forecast=SOON)
    assert why_lines(why, now_s=NOW_S)[2] == (
        "starts     in 12m00s (80%: 4m00s to 31m00s); 33 of 40 forecasts so far were right"
    )


def test_a_decision_shows_all_that_it_was_made_of() -> None:
    why = Why(
        task="7.0", state=TaskState.COMPLETED, summary="7.0 ran", policy="rollout", rule="heavy", class_=5,
        values={"8.0": 2.0, "6.0": 1.5, "7.0": 1.5}, would="9.0", explored=True, epsilon=0.05,
        usage_age_s=2.0, backfill=Backfilled(behind="6.0", node="n3"),
    )  # fmt: skip
    assert why_lines(why, now_s=NOW_S)[2:] == [
        "ordered by rollout",
        "base rule  heavy",
        "class      5 (priority with age and fair share; higher goes first)",
        "Q-values   7.0 1.5, 6.0 1.5, 8.0 2 (waiting to expect if it goes first, weighted; the least goes)",
        "shadow     would have chosen 9.0",
        "explored   yes (ε 0.05)",
        "backfilled ahead of 6.0, whose place on n3 it does not delay",
        "usage      of the node was 2.0s old",
    ]
    agreed = Why(task="7.0", state=TaskState.RUNNING, summary="7.0 runs", would="7.0")
    assert why_lines(agreed, now_s=NOW_S)[-1] == "shadow     would have chosen the same"


def test_a_plan_tells_its_start_its_end_and_what_it_does_to_others() -> None:
    plan = Plan(name="x", tasks=1, starts_now=0, groups=[], forecast=SOON, effect=EFFECT)
    text = "\n".join(plan_lines(plan, now_s=NOW_S))
    assert "the first starts in 12m00s (80%: 4m00s to 31m00s), the last ends in about 43m20s" in text
    assert "10 tasks in line: 7 would start earlier, 1 later, 2 as before" in text


def test_what_if_is_a_table_of_before_and_after() -> None:
    text = "\n".join(outlook_lines(OUTLOOK, now_s=NOW_S))
    assert text.startswith("what if    2 more like n1\nthe job    would start in 12m00s")
    assert "mean slowdown" in text and "4.00" in text and "2.50" in text
    assert "would not start" not in text
    rows = [line.split() for line in text.splitlines()[-2:]]
    assert rows == [
        ["7", "ann", "3", "in", "10m00s", "in", "1m00s", "5.00", "–"],
        ["8", "bob", "1", "never", "never", "–", "–"],
    ]
    nobody = Outlook(change="n1 drained", effect=Effect(
        tasks=0, wait_before_s=0, wait_after_s=0, slowdown_before=0, slowdown_after=0
    ))  # fmt: skip
    assert outlook_lines(nobody, now_s=NOW_S)[-1] == "nothing else waits"


def drained() -> Outlook:
    stays = Displaced(task="1.0", user="ann", node="n1", running=True, goes=False, ends_at=NOW_S + 60)
    goes = Displaced(
        task="1.1", user="ann", node="n1", running=True, goes=True, ends_at=NOW_S + 900, goes_to="n2",
        starts_at=NOW_S + 600, delay_s=300.0,
    )  # fmt: skip
    waits = Displaced(
        task="1.2",
        user="bob",
        node="n1",
        running=False,
        goes=True,
        goes_to="n3",
        starts_at=NOW_S,
        delay_s=0.0,
    )
    why = [
        Blocker(code="gpu_type", message=f"node n{place} has none such", remedy="wait") for place in range(5)
    ]
    stuck = Displaced(task="1.3", user="bob", node="n1", running=True, goes=True, blockers=why)
    unseen = Displaced(task="1.4", user="bob", node="n1", running=True, goes=True)
    total = Displacement(
        tasks=6, stay=1, go=4, nowhere=2, delay_mean_s=150.0, delay_most_s=300.0, empty_at=NOW_S + 60
    )
    rows = [stuck, unseen, goes, waits, stays]
    return replace(OUTLOOK, change="n1 drained", displacement=total, displaced=rows)


def test_a_drain_says_of_each_task_where_it_would_go() -> None:
    text = "\n".join(outlook_lines(drained(), now_s=NOW_S))
    assert "1 task would end there, the last in about 1m00s" in text
    assert "2 tasks would go elsewhere, later by 2m30s on average, 5m00s at most" in text
    assert "2 tasks could go nowhere" in text and "1 more: not looked at" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["✖", "1.3", "bob", "n1", "runs", "nowhere", "–", "–"] in rows
    assert ["✖", "1.4", "bob", "n1", "runs", "unforeseen", "–", "–"] in rows
    assert ["→", "1.1", "ann", "n1", "runs", "n2", "in", "10m00s", "5m00s"] in rows
    assert ["→", "1.2", "bob", "n1", "waits", "there", "n3", "now", "0.0s"] in rows
    assert ["·", "1.0", "ann", "n1", "runs,", "ends", "in", "1m00s", "stays", "–", "–"] in rows
    assert "node n2 has none such: wait" in text and "node n3" not in text


def test_a_node_that_holds_nothing_says_so() -> None:
    assert sum_lines(Displacement(tasks=0), now_s=NOW_S) == ["it holds nothing"]


def test_the_question_of_a_drain_sums_up_what_it_displaces() -> None:
    said = of_outlook(drained(), now_s=NOW_S)
    assert said[1].startswith("2 tasks would go elsewhere") and "10 tasks in line" in said[-1]


def test_drain_what_if_asks_and_drains_nothing(corral: Corral) -> None:
    asked: list[Struct] = []

    def answer(request: Struct) -> Struct:
        asked.append(request)
        return drained()

    corral.answer = answer
    code, out, _ = corral("drain", "n1", "n2", "--what-if", "--deadline", "10m", "-o", "json")
    assert code == 0 and json.loads(out)["displaced"][2]["goes_to"] == "n2"
    code, out, _ = corral("drain", "n1", "--what-if")
    assert code == 0 and "later by 2m30s on average" in out
    assert asked == [WhatIf(drain=["n1", "n2"], deadline_s=600.0), WhatIf(drain=["n1"])]
    code, _, err = corral("drain", "--where", "rack=7", "--what-if")
    assert code == 2 and "--where" in err and len(asked) == 2


def test_the_options_of_a_change_are_asked_about_with_a_job_or_without(corral: Corral) -> None:
    asked: list[Struct] = []

    def answer(request: Struct) -> Struct:
        asked.append(request)
        return OUTLOOK

    corral.answer = answer
    code, out, _ = corral("plan", "--add-nodes", "2:like=n1", "--drain", "n7", "--order", "sjf", "-o", "json")
    assert code == 0 and json.loads(out)["effect"]["earlier"] == 7
    assert asked[-1] == WhatIf(add=2, like="n1", drain=["n7"], order="sjf")
    corral("plan", "--policy", "rollout", "--", "true")
    (request,) = asked[1:]
    assert isinstance(request, WhatIf)
    assert request.order == "rollout" and request.job is not None and request.job.command == ["true"]


@pytest.mark.parametrize("text", ["two", "2:n1", "-1", "2:like="])
def test_what_is_no_number_of_nodes_is_refused(corral: Corral, text: str) -> None:
    code, _, err = corral("plan", f"--add-nodes={text}")
    assert code == 2 and "--add-nodes" in err and "N:like=NODE" in err
