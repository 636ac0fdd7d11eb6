"""Answers become rows and documents that people and scripts can rely on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.api import Job, Node, Task, TaskCounts
from bus.values import JobKind, JobState, NodeAdmin, NodeHealth, NodeKind, Resources, TaskState
from tui.view.amounts import count, duration, first_of, mebibytes
from tui.view.descriptions import summary
from tui.view.document import document
from tui.view.rows import JOB_COLUMNS, NODE_COLUMNS, TASK_COLUMNS, counts_text, job_row, node_row, task_row
from tui.view.safe import text_width
from tui.view.states import JOB_BADGES, NODE_BADGES, TASK_BADGES
from tui.view.table import Column, render


def job(**changes: object) -> Job:
    fields: dict[str, object] = {
        "number": 7,
        "id": "0198c2f4-7a11-7c3e-9b1e-2f6d0c9a1b2c",
        "name": "sweep",
        "user": "ada",
        "kind": JobKind.BATCH,
        "priority": 5,
        "state": JobState.RUNNING,
        "counts": TaskCounts(total=12_345, running=3, completed=12_342),
        "submitted_at": 1000.0,
        "started_at": 1010.0,
    }
    return Job(**{**fields, **changes})  # type: ignore[arg-type]


def task(**changes: object) -> Task:
    fields: dict[str, object] = {
        "id": "7.0",
        "job": 7,
        "index": 0,
        "state": TaskState.QUEUED,
        "resources": Resources(cpu_millis=500, mem_mib=64),
        "submitted_at": 1000.0,
    }
    return Task(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0.04, "0.0s"), (9.94, "9.9s"), (59.6, "1m00s"), (185, "3m05s"), (7800, "2h10m"),
        (356_400, "4d3h"), (-5, "0.0s"),
    ],
)  # fmt: skip
def test_a_duration_has_two_figures_at_most(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@given(st.integers(0, 999_000_000))
def test_a_count_takes_six_cells_at_most(number: int) -> None:
    assert len(count(number)) <= 6


@pytest.mark.parametrize(("mib", "text"), [(0, "0M"), (1023, "1023M"), (4096, "4.0G"), (2**21, "2.0T")])
def test_sizes_carry_their_unit(mib: int, text: str) -> None:
    assert mebibytes(mib) == text


def test_each_state_has_a_badge_with_an_ascii_twin() -> None:
    for states, badges in ((JobState, JOB_BADGES), (TaskState, TASK_BADGES), (NodeHealth, NODE_BADGES)):
        assert set(badges) == set(states)
        assert all(badge.ascii.isascii() and text_width(badge.glyph) == 1 for badge in badges.values())


def test_rows_fit_their_columns() -> None:
    node = Node(
        name="n1", id="x", health=NodeHealth.HEALTHY, admin=NodeAdmin.DRAINING, kind=NodeKind.COMPUTE,
        capacity=Resources(4000, 8192), allocated=Resources(1500, 1024), running=2, waiting=0, load=0.5,
        last_heartbeat_s=0.4, labels={}, version="0.1.0",
    )  # fmt: skip
    assert len(job_row(job(), now_s=1020.0)) == len(JOB_COLUMNS)
    assert len(task_row(task(), now_s=1020.0)) == len(TASK_COLUMNS)
    assert len(node_row(node)) == len(NODE_COLUMNS)
    assert "healthy, draining" in node_row(node)
    assert "1.5/4" in node_row(node)


@pytest.mark.contract("S1.45")
def test_nodes_are_told_with_their_tasks_and_when_they_were_heard() -> None:
    node = Node(
        name="n1", id="x", health=NodeHealth.HEALTHY, admin=NodeAdmin.ACTIVE, kind=NodeKind.COMPUTE,
        capacity=Resources(4000, 8192), allocated=Resources(1500, 1024), running=2, waiting=1, load=0.5,
        last_heartbeat_s=75.0, labels={}, version="0.1.0",
    )  # fmt: skip
    head, row = render(NODE_COLUMNS, [node_row(node)], width=None)
    shown = dict(zip(head.split(), row.split(), strict=True))
    assert (shown["RUN"], shown["SEEN"]) == ("2", "1m")


def test_an_untouched_range_is_one_row_that_names_it() -> None:
    cells = task_row(task(index=10, id="7.10", count=90), now_s=0.0)
    assert cells[0] == "7.10–99"
    assert cells[2] == "queued ×90"


def test_counts_name_what_is_there_only() -> None:
    assert counts_text(TaskCounts(total=3, running=1, failed=2)) == "1 running, 2 failed"


def test_a_name_that_drives_a_terminal_stays_in_its_cell() -> None:
    lines = render(JOB_COLUMNS, [job_row(job(name="x\x1b[2J\nERROR"), now_s=0.0)], width=None)
    assert len(lines) == 2
    assert "\x1b" not in lines[1]


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=5), st.integers(24, 80))
def test_a_table_keeps_to_its_width(rows: list[tuple[str, str]], width: int) -> None:
    columns = (Column("A", flexible=True), Column("B", right=True, flexible=True))
    assert all(text_width(line) <= width for line in render(columns, rows, width=width))


def test_a_document_names_every_amount() -> None:
    shown = json.loads(json.dumps(document(task(output={"words": 3}))))
    assert shown["resources"] == {
        "cpu_millis": 500,
        "mem_mib": 64,
        "gpus": 0,
        "storage_mib": 0,
        "net_mbps": 0,
        "gpu_milli": 0,
    }
    assert (shown["state"], shown["output"]) == ("queued", {"words": 3})


@pytest.mark.parametrize(
    ("counts", "state", "reason", "told"),
    [
        (
            TaskCounts(total=10, completed=10),
            JobState.COMPLETED,
            "",
            "job 7 completed: 10 of 10 tasks in 3.5s",
        ),
        (TaskCounts(total=1, completed=1), JobState.COMPLETED, "", "job 7 completed: 1 of 1 task in 3.5s"),
        (
            TaskCounts(total=3, completed=1, failed=1, cancelled=1),
            JobState.FAILED,
            "task 7.2 failed",
            "job 7 failed: 1 of 3 tasks completed, 1 failed, 1 cancelled in 3.5s (task 7.2 failed)",
        ),
    ],
)
def test_a_job_that_ended_is_one_line(counts: TaskCounts, state: JobState, reason: str, told: str) -> None:
    ended = job(counts=counts, state=state, reason=reason, started_at=1010.0, ended_at=1013.5)
    assert summary(ended) == told


def test_the_first_of_many_are_named_and_the_rest_counted() -> None:
    assert first_of([], 3) == "" and first_of(["a", "b"], 2) == "a, b"
    assert first_of(["a", "b", "c"], 2) == "a, b and 1 more"
    assert first_of(["a"], 3, of=1_200) == "a and 1,199 more"
