"""What the console says of a gang and of its ranks, from the first try that waits to the last that ended."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bus.api import Attempt, Task
from bus.results import TaskResult
from bus.training import GangProgress, GangRanks, Rank
from bus.values import Resources, TaskState
from tui.view.gangs import ranks_text
from tui.view.lines import Line
from tui.view.training_page import (
    GANGS,
    RANKS,
    RankRow,
    gang_facts,
    gang_lines,
    rank_facts,
    rank_rows,
    saved_text,
    start_text,
    tries_text,
)

GANG = GangProgress(
    task="7.0", state=TaskState.RUNNING, attempt=3, ranks=4, nodes=2, live=4, running=4, completed=0,
    progress=45.5, message="epoch 3", metrics={"loss": 0.25}, step=1200, saved_at=940.0, saving=1300,
    shards=3,
)  # fmt: skip
BARE = GangProgress(
    task="7.0", state=TaskState.QUEUED, attempt=0, ranks=4, nodes=0, live=0, running=0, completed=0
)
TASK = Task(
    id="a", job=7, index=0, state=TaskState.RUNNING, resources=Resources(1000, 64, 0), fence=3, retries=1,
    priority=5, submitted_at=0.0,
)  # fmt: skip
RANK = Rank(rank=3, node="n1", state="failed", assigned_at=1.0, started_at=10.0, ended_at=13.0, exit_code=3)


def texts(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)


@pytest.mark.parametrize(
    ("gang", "said"),
    [
        (BARE, "none of 4 ranks has a place: all start at once or none"),
        (
            replace(BARE, live=3, nodes=1),
            "3 of 4 ranks placed; they go when the agents of all have confirmed",
        ),
        (replace(GANG, running=1, nodes=1), "1 of 4 ranks running on 1 node"),
        (GANG, "4 of 4 ranks running on 2 nodes"),
        (replace(GANG, completed=3, running=1), "3 of 4 ranks done, 1 running"),
    ],
)
def test_how_many_ranks_stand_at_the_start(gang: GangProgress, said: str) -> None:
    assert start_text(gang) == said


def test_the_barrier_of_a_checkpoint_is_that_all_have_saved() -> None:
    assert saved_text(BARE, now_s=1_000.0) == "no complete checkpoint yet"
    assert saved_text(GANG, now_s=1_000.0) == "step 1200, 1m ago; step 1300 is being saved: 3 of 4 ranks have"
    assert saved_text(replace(GANG, saving=None), now_s=1_000.0) == "step 1200, 1m ago"
    assert saved_text(replace(GANG, step=None, saving=None), now_s=1_000.0) == "step –, 1m ago"


def test_restarts_tell_those_that_were_charged() -> None:
    assert tries_text(BARE, 0) == "no try yet"
    assert tries_text(replace(GANG, attempt=1), 0) == "try 1, never restarted"
    assert tries_text(replace(GANG, attempt=2), 0) == "try 2, 1 restart, none charged as retries"
    assert tries_text(GANG, 1) == "try 3, 2 restarts, 1 charged as retries"


def test_a_gang_above_its_ranks() -> None:
    found = GangRanks(gang=GANG, ranks=[], available=[])
    said = texts(gang_lines(found, TASK, now_s=1_000.0))
    for words in ("running", "4 of 4", "46%", "loss=0.25", "epoch 3", "step 1300", "1 charged as retries"):
        assert words in said
    waits = gang_lines(GangRanks(gang=BARE, ranks=[], available=[0, 1, 2, 3]), None, now_s=1_000.0)
    assert "rank 0 has told nothing yet" in texts(waits)
    assert waits[-1].text.endswith("4 of 4 ranks have no place now: 0-3") and waits[-1].tone == "warn"


def test_rows_of_ranks_before_and_after_a_try() -> None:
    waits = rank_rows(GangRanks(gang=BARE, ranks=[], available=[0, 1]))
    assert [(row.name, row.state) for row in waits] == [("7.0", "waits"), ("7.0:1", "waits")]
    (tried,) = rank_rows(GangRanks(gang=GANG, ranks=[RANK], available=[3]))
    cells = {each.title: each.field.cell(tried, 60.0) for each in RANKS.columns}
    assert (cells["RANK"], cells["S"], cells["RAN"], cells["EXIT"]) == ("3", "✖", "3.0s", "3")
    assert (RANKS.key(tried), RANKS.tone(tried)) == ("3", "bad")
    blank = {each.title: each.field.cell(waits[0], 60.0) for each in RANKS.columns}
    assert (blank["S"], blank["NODE"], blank["WHY"]) == ("○", "–", "–")


def test_a_rank_and_a_gang_in_full() -> None:
    said = texts(rank_facts(RankRow(task="7.0", number=3, rank=RANK), now_s=60.0))
    assert "7.0:3" in said and "✖ failed" in said and "n1" in said and "memory" not in said
    told = replace(
        RANK, told=TaskResult(fence=3, step=9, progress=50.0, message="lost", metrics={"loss": 2.5})
    )
    said = texts(rank_facts(RankRow(task="7.0", number=3, rank=told), now_s=60.0))
    for words in ("step       9", "metrics    loss=2.5", "says       50 %, lost"):
        assert words in said
    waits = texts(rank_facts(RankRow(task="7.0", number=0), now_s=60.0))
    assert "7.0:0" in waits and "○ waits" in waits
    facts = texts(gang_facts(GANG, now_s=1_000.0))
    assert "45.5 %" in facts and "1300: 3/4 ranks" in facts and "name" not in facts
    cells = {each.title: each.field.cell(GANG, 1_000.0) for each in GANGS.columns}
    assert (cells["RANKS"], cells["STEP"], cells["SAVED"]) == ("4/4", "1200", "1m ago")
    assert (GANGS.key(GANG), GANGS.tone(GANG)) == ("7.0", "busy")


def test_a_gang_in_a_line_and_one_of_its_ranks_alone() -> None:
    tries = [
        Attempt(fence=fence, rank=number, node="n1", state=state, assigned_at=1.0)
        for fence, number, state in ((2, 0, "lost"), (3, 0, "running"), (3, 1, "running"), (3, 2, "assigned"))
    ]
    assert ranks_text(replace(TASK, ranks=3)) == "3 ranks"
    assert ranks_text(replace(TASK, ranks=3, attempts=tries)) == "3 ranks: 2 running, 1 assigned"
    assert ranks_text(replace(TASK, ranks=3, attempts=tries[-1:])) == "rank 2 of 3: assigned"
    assert ranks_text(replace(TASK, ranks=1, attempts=tries[:2])) == "1 rank: 1 running"
