"""What would start next, told: intervals, nodes, how true forecasts came; and asked on the command line."""

from __future__ import annotations

import json

import pytest
from msgspec import Struct

from bus.upcoming import LIMIT_MAX, Turn, Upcoming, UpcomingQuery
from tests.unit.tui.command import Corral
from tui.cli.grammar.jobs import NEXT_MAX
from tui.view.upcoming import upcoming_lines

NOW_S = 1_000.0
SOON = Turn(
    task="7.0", user="ann", tasks=3, node="n1", starts_at=1_060.0, earliest_at=1_030.0, latest_at=1_120.0
)
AT_ONCE = Turn(
    task="8.2", user="bob", tasks=1, node="n2", starts_at=NOW_S, earliest_at=NOW_S, latest_at=NOW_S
)
NEVER = Turn(task="9.0", user="bob", tasks=1)
PLAN = Upcoming(order="rollout", tasks=5, turns=[AT_ONCE, SOON, NEVER], hidden=2, told=40, right=33)


def test_each_turn_has_its_interval_and_its_node() -> None:
    text = upcoming_lines(PLAN, now_s=NOW_S)
    assert text[0] == "rollout orders 5 tasks in line; intervals are meant to hold 80%"
    assert text[1] == "33 of 40 forecasts so far were right (82%)"
    assert [line.split() for line in text[4:7]] == [
        ["now", "–", "8.2", "bob", "1", "n2"],
        ["in", "1m00s", "30s", "to", "2m00s", "7.0", "ann", "3", "n1"],
        ["unforeseen", "–", "9.0", "bob", "1", "–"],
    ]
    assert text[-1] == "and 2 of others among them"


def test_where_nothing_waits_it_says_so() -> None:
    assert upcoming_lines(Upcoming(order="fcfs", tasks=0, turns=[]), now_s=NOW_S)[-1].startswith(
        "nothing waits"
    )


def test_it_is_asked_for_on_the_command_line(corral: Corral) -> None:
    def answer(request: Struct) -> Struct | None:
        return PLAN if isinstance(request, UpcomingQuery) else None

    corral.answer = answer
    code, out, _ = corral("plan", "--next")
    assert code == 0 and "in line; intervals" in out
    code, out, _ = corral("plan", "--next", "3", "-o", "json")
    assert code == 0 and json.loads(out)["turns"][1]["node"] == "n1"
    assert corral("plan", "--next", "-o", "name")[1] == "8.2\n7.0\n9.0\n"
    assert [json.loads(line)["task"] for line in corral("plan", "--next", "-o", "jsonl")[1].splitlines()] == [
        "8.2", "7.0", "9.0",
    ]  # fmt: skip
    assert [request.limit for request in corral.asked if isinstance(request, UpcomingQuery)] == [
        50,
        3,
        50,
        50,
    ]


@pytest.mark.parametrize(
    "words", [("--next", "0"), ("--next", "--drain", "n1"), ("--next=3", "--", "true"), ("--next", "501")]
)
def test_what_it_has_nothing_to_do_with_is_refused(corral: Corral, words: tuple[str, ...]) -> None:
    code, _, err = corral("plan", *words)
    assert code == 2 and "--next" in err and not corral.asked


def test_the_command_line_knows_the_bound_of_the_request() -> None:
    assert NEXT_MAX == LIMIT_MAX
