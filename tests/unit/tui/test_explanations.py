"""Reasons, plans, bars and progress as people see them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from bus.api import Blocker, Candidate, Plan, PlannedGroup, TaskCounts, Why
from bus.requests import WhyQuery
from bus.spec import JobSpec
from bus.values import JobState, Resources, TaskState
from tests.unit.tui.command import Corral, a_job
from tui.cli.progress import added, progress_line, state_line
from tui.view.descriptions import bar, describe_job
from tui.view.explanations import candidates_lines, plan_lines, why_lines

NOW_S = 1000.0

WAITING = Why(
    task="7.0",
    state=TaskState.QUEUED,
    summary="7.0 waits: no node has 2 GPUs free",
    waiting_s=125.0,
    ahead=3,
    blockers=[
        Blocker(code="busy:gpus", message="2 GPUs are busy", nodes=4, remedy="when 6 ends; or with --gpu 1"),
        Blocker(code="held", message="alice holds the job", remedy="corral release 7"),
    ],
    candidates=[
        Candidate(node="n2", obstacles=["busy:gpus", "label:zone"]),
        Candidate(node="n3", score=4.5),
        Candidate(node="n1", score=0.25),
    ],
)


def test_every_blocker_is_shown_with_what_would_help() -> None:
    assert why_lines(WAITING, now_s=NOW_S) == [
        "7.0 waits: no node has 2 GPUs free",
        "state      queued",
        "waiting    2m05s, 3 before it in line",
        "",
        "WHAT KEEPS IT        NODES  WHAT WOULD HELP",
        "2 GPUs are busy          4  when 6 ends; or with --gpu 1",
        "alice holds the job      –  corral release 7",
        "",
        "NODE  S  SCORE  WHY NOT",
        "n1    ○   0.25  –",
        "n3    ○    4.5  –",
        "n2    ✖      –  busy:gpus, label:zone",
    ]


def test_a_placed_task_shows_the_chosen_node_first() -> None:
    placed = Why(
        task="7.0", state=TaskState.RUNNING, summary="7.0 runs on n3", node="n3", attempt=2, order="fcfs",
        rank="best_fit",
        candidates=[Candidate(node="n1", score=0.1), Candidate(node="n3", score=0.2, chosen=True)],
    )  # fmt: skip
    lines = why_lines(placed, now_s=NOW_S)
    assert "placed     on n3, attempt 2" in lines
    assert "chosen by  fcfs · best_fit" in lines
    assert [line.split()[:2] for line in lines[-2:]] == [["n3", "✔"], ["n1", "○"]]


def test_candidates_show_what_their_score_was_made_of() -> None:
    features = {"cpu": 0.875, "gpus": 0.5, "wishes": 1e7}
    found = candidates_lines(
        [Candidate(node="n1", score=1e7, features=features), Candidate(node="n2", obstacles=["busy:gpus"])],
        width=None,
    )
    assert found[1:] == [
        "NODE  S  SCORE  WHY NOT    LEFT OVER, AND WISHES",
        "n1    ○  1e+07  –          cpu 0.875, gpus 0.5, wishes 1e+07",
        "n2    ✖      –  busy:gpus  –",
    ]


def test_why_is_a_document_too(corral: Corral) -> None:
    corral.answer = lambda request: WAITING if isinstance(request, WhyQuery) else None
    assert json.loads(corral("why", "7", "-o", "json")[1])["blockers"][1]["remedy"] == "corral release 7"
    assert json.loads(corral("why", "7", "-o", "json")[1])["class"] is None, "named as on the wire"
    assert len(json.loads(corral("why", "7", "8.1", "-o", "json")[1])) == 2
    assert corral("why", "7", "-o", "name")[1] == "7.0\n"


PLAN = Plan(
    name="sweep",
    tasks=11,
    starts_now=3,
    groups=[
        PlannedGroup(
            name="task", first=0, count=10, command=["python", "train.py"], limit=4, waits=7,
            resources=Resources(cpu_millis=1000, mem_mib=64), now={"n1": 2, "n2": 1},
            blockers=[Blocker(code="array_limit", message="4 at once", remedy="a higher %")],
        ),
        PlannedGroup(
            name="merge", first=10, count=1, tool="wordcount", needs=["task"], waits=1,
            resources=Resources(cpu_millis=500, mem_mib=64),
        ),
    ],
)  # fmt: skip


def test_a_plan_says_what_starts_where_and_what_waits() -> None:
    text = "\n".join(plan_lines(PLAN, now_s=NOW_S))
    assert text.startswith("sweep: 11 tasks, 3 would start now\n\n")
    assert "task [0–9]: 10 tasks\n└─ merge [10]: 1 task, after task\n" in text
    assert "\n\ntask [0–9]: 10 tasks, at most 4 at once\n" in text
    assert "  runs     python train.py\n" in text
    assert "  now      2 on n1, 1 on n2; 7 would wait\n" in text
    assert "  4 at once" in text and "a higher %" in text
    assert "merge [10]: 1 task\n  runs     tool wordcount\n" in text
    assert "  after    task\n  now      none; 1 would wait" in text


@pytest.mark.parametrize("argv", [("plan",), ("submit", "--plan"), ("submit", "--dry-run")])
def test_a_plan_submits_nothing(corral: Corral, argv: tuple[str, ...]) -> None:
    def answer(request: Struct) -> Struct | None:
        assert isinstance(request, JobSpec)
        return PLAN

    corral.answer = answer
    code, out, _ = corral(*argv, "--array", "0-9", "--", "true")
    assert (code, len(corral.asked)) == (0, 1)
    assert out.startswith("sweep: 11 tasks")


def test_a_job_shows_what_was_asked_for_and_how_far_it_is() -> None:
    job = a_job(spec={"command": ["sh", "-c", "echo $X"], "array": "0-2"})
    lines = describe_job(job, now_s=1100.0)
    assert "command    sh -c 'echo $X'" in lines
    assert "array      0-2" in lines
    assert f"tasks      {'━' * 20}{'╸' * 10}  3: 1 running, 2 completed" in lines


COUNTS = st.builds(
    TaskCounts,
    **{
        name: st.integers(0, 1_000_000)
        for name in ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled")
    },  # type: ignore[arg-type]
)


@given(COUNTS, st.integers(1, 60))
def test_a_bar_has_its_width_and_is_full_only_when_all_is_over(counts: TaskCounts, width: int) -> None:
    parts = [getattr(counts, name) for name in counts.__struct_fields__ if name != "total"]
    counts.total = sum(parts)
    drawn = bar(counts, width=width)
    assert len(drawn) == width
    if counts.pending or counts.queued:
        assert drawn.endswith("·")
    elif counts.total:
        assert "·" not in drawn


def test_progress_of_one_job_and_of_several() -> None:
    waiting = a_job(8, state=JobState.PENDING, counts=TaskCounts(total=1, queued=1))
    over = a_job(9, state=JobState.COMPLETED, counts=TaskCounts(total=1, completed=1))
    assert progress_line([waiting], "no node is free").endswith("1 queued · no node is free")
    assert progress_line([waiting, over], "").startswith("1/2 jobs ━")
    assert state_line([waiting], "") == "job 8 pending"
    assert state_line([waiting, over], "") == "1 of 2 jobs have ended"
    assert added([waiting.counts, over.counts]) == TaskCounts(total=2, queued=1, completed=1)
