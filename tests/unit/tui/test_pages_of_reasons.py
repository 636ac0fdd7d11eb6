"""What the screens of reasons say, line by line."""

from __future__ import annotations

import pytest

from bus import scheduling
from bus.api import Blocker, Candidate, Forecast, Why
from bus.past import Changes, Moved, Spike, Standout
from bus.scheduling import Scheduler
from bus.values import TaskState
from tui.view.learning import scheduler_lines
from tui.view.lines import Line
from tui.view.obstacles import obstacle_words
from tui.view.past_page import changes_page, spike_page
from tui.view.scheduler_page import bar, scheduler_page, spark
from tui.view.why_page import forecast_lines, node_lines, why_page

NOW_S = 1_790_000_000.0


def text(lines: list[Line]) -> str:
    return "\n".join(f"{line.mark} {line.text}" for line in lines)


def test_a_spark_has_gaps_where_nothing_is_known() -> None:
    assert spark([1.0, None, 2.0, 3.0, float("nan")]) == "▁ ▅█ "
    assert spark([2.0, 2.0]) == "▁▁"
    assert spark([None]) == "–"


def test_a_bar_is_bounded() -> None:
    assert [bar(share).count("█") for share in (-1.0, 0.0, 0.5, 1.0, 7.0)] == [0, 0, 15, 30, 30]


def test_a_scheduler_that_learned_nothing_yet_says_so() -> None:
    said = text(
        scheduler_page(
            Scheduler(mode="off", policy="", order="fcfs", acts="fcfs", epsilon=0.0, reward_window=1000),
            [],
            now_s=NOW_S,
        )
    )
    for words in ("none passed the gate", "not tested yet", "none came out so far", "no snapshot yet"):
        assert words in said


def test_orders_stand_by_their_cost_and_a_failed_test_says_why() -> None:
    test = scheduling.Test(
        by="ann", source="history", adopts=False, began_at=NOW_S, ended_at=NOW_S, policy="q", static="sjf",
        costs={"sjf": [4.0], "q": [2.0], "fcfs": [8.0]},
    )  # fmt: skip
    status = Scheduler(mode="on", policy="q", order="sjf", acts="q", epsilon=0.1, reward_window=9, test=test)
    said = text(scheduler_page(status, [], now_s=NOW_S))
    assert said.index("q     ") < said.index("sjf  ") < said.index("fcfs  ")
    assert "passed the gate" in said and "best static rule" in said
    test.error = "no history"
    assert "the last test failed: no history" in text(scheduler_page(status, [], now_s=NOW_S))


def test_the_last_hour_stands_beside_the_replays() -> None:
    status = Scheduler(mode="on", policy="q", order="sjf", acts="q", epsilon=0.1, reward_window=9)
    assert "not replayed yet" in text(scheduler_page(status, [], now_s=NOW_S))
    status.hour = scheduling.Hour(until=NOW_S, jobs=7, needed=32, acts="q", policy="q")
    assert "7 tasks came and ended" in text(scheduler_page(status, [], now_s=NOW_S))
    assert "7 tasks before" in "\n".join(scheduler_lines(status, now_s=NOW_S))
    status.hour.jobs, status.hour.static = 40, "sjf"
    status.hour.costs = {"sjf": 4.0, "q": 3.0, "fcfs": 8.0}
    said = text(scheduler_page(status, [], now_s=NOW_S))
    assert "-25.0%  acts" in said and "+0.0%  best static rule" in said and "of 40 tasks" in said
    assert "slowdown q -25.0% against sjf 4.00, 40 tasks" in "\n".join(scheduler_lines(status, now_s=NOW_S))
    status.unknown = ["test"]
    assert "last hour" not in text(scheduler_page(status, [], now_s=NOW_S))


def test_rejected_nodes_are_grouped_by_reason() -> None:
    full = [Candidate(node=f"n{place}", obstacles=["busy:gpus"]) for place in range(12)]
    lines = list(
        node_lines([*full, Candidate(node="m", score=0.5, chosen=True), Candidate(node="k", score=1.0)])
    )
    assert [line.mark for line in lines] == ["✔", "○", "✖"]
    assert lines[-1].text.startswith("too little free: GPUs  (12 nodes: n0, n1, n10")
    assert "and 4 more" in lines[-1].text


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("busy:cpu_millis", "too little free: cores"),
        ("capacity:mem_mib", "too small: memory"),
        ("label:disk", "no label disk"),
        ("tool:wc", "no tool wc"),
        ("avoid:self", "runs tasks of its own job"),
        ("avoid:41", "runs tasks of job 41"),
        ("admin:inactive", "cordoned"),
        ("admin:draining", "draining"),
        ("health:unreachable", "unreachable"),
        ("kind:control", "a control node"),
        ("gpu_type", "GPUs of another model"),
        ("of tomorrow", "of tomorrow"),
    ],
)
def test_obstacles_are_said_in_words(code: str, words: str) -> None:
    assert obstacle_words(code) == words


def test_what_waits_says_every_blocker_with_its_remedy_and_the_interval() -> None:
    why = Why(
        task="7.0", state=TaskState.QUEUED, summary="7.0 waits", waiting_s=60.0, ahead=3,
        blockers=[Blocker(code="held", message="it is held", remedy="corral release 7")],
        forecast=Forecast(starts_at=NOW_S + 60, earliest_at=NOW_S + 30, latest_at=NOW_S + 120),
        values={"7.0": 2.0, "8.0": 1.0}, explored=True, epsilon=0.1,
    )  # fmt: skip
    said = text(why_page(why, now_s=NOW_S))
    for words in ("it is held  [held]", "→   corral release 7", "3 before it", "now │", "yes: another order"):
        assert words in said
    assert said.index("8.0  ") < said.rindex("7.0  ")


def test_the_interval_lies_on_its_line() -> None:
    told = Forecast(starts_at=NOW_S + 50, earliest_at=NOW_S + 25, latest_at=NOW_S + 100)
    cells = list(forecast_lines(told, now_s=NOW_S))[1].text.split("│")[1]
    assert cells.index("━") / len(cells) == 0.25 and cells.index("●") / len(cells) == 0.5
    past = Forecast(starts_at=NOW_S - 3, earliest_at=NOW_S - 4, latest_at=NOW_S - 2)
    assert [line.text for line in forecast_lines(past, now_s=NOW_S)] == ["now"]


def test_what_went_wrong_stands_before_the_rest() -> None:
    changes = Changes(
        since=NOW_S - 60, until=NOW_S,
        jobs=[
            Moved(noun="job", name="1", before="running", after="completed"),
            Moved(noun="job", name="2", before="", after="failed", about="train of ann"),
        ],
        happened={"task_failed": 2, "task_running": 5}, exact=False,
    )  # fmt: skip
    said = text(changes_page(changes, now_s=NOW_S))
    assert said.index("new → failed") < said.index("running → completed")
    assert "older ones that were not looked at" in said and "to now" in said


def test_a_quiet_interval_says_so() -> None:
    assert "nothing was otherwise" in text(spike_page(Spike(since=0.0, until=60.0), now_s=NOW_S))
    found = Standout(kind="event", name="task_failed", about="events", value=9.0, expected=1.0, score=5.7)
    assert "+5.7  event task_failed: events 9, usual 1" in text(
        spike_page(Spike(since=0.0, until=60.0, standouts=[found]), now_s=NOW_S)
    )
