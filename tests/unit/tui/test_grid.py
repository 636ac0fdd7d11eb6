"""Which columns fit a terminal, and how the console words what it is about to do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.api import Job, Node, Task
from bus.values import JobState, Resources, Role, TaskState
from tui.client.fake_world import World
from tui.view.fields import Field
from tui.view.grid import GAP, GridColumn, fit_columns, widen
from tui.view.listings import EVENTS, JOBS, NODES, TASKS
from tui.view.pulse import Lately, bar, lately_lines, pulse_lines, sparkline
from tui.view.safe import text_width
from tui.view.steering import ROLES, steer_job, steer_node, steer_task

LISTINGS = (JOBS, TASKS, NODES, EVENTS)
NAME = GridColumn(field=Field("name", "NAME", str), least=3, most=24)
WORLD = World(seed=5, now_s=1000.0, nodes=3, jobs=9)


def job(**changes: object) -> Job:
    found = WORLD.jobs[0]
    return Job(**{**{name: getattr(found, name) for name in found.__struct_fields__}, **changes})


@given(st.integers(1, 300), st.data())
def test_columns_fit_the_width_and_the_first_stays(width: int, data: st.DataObject) -> None:
    for listing in LISTINGS:
        count = len(listing.columns)
        wanted = data.draw(st.lists(st.integers(0, 120), min_size=count, max_size=count))
        shown = fit_columns(listing.columns, wanted, width)
        assert shown and [index for index, _ in shown] == sorted(index for index, _ in shown)
        taken = sum(each for _, each in shown) + GAP * (len(shown) - 1)
        assert taken <= width or len(shown) == 1
        assert all(each >= 1 for _, each in shown)
        there = [index for index in range(count) if wanted[index] or not listing.columns[index].optional]
        assert {index for index, _ in shown} <= {*there}
        first_to_go = max(there, key=lambda index: (listing.columns[index].priority, index))
        if len(shown) < len(there):
            assert first_to_go not in [index for index, _ in shown]


def test_at_80_columns_a_job_keeps_what_matters() -> None:
    wanted = [column.wanted_first for column in JOBS.columns]
    rows = [tuple(column.field.cell(each, 2000.0) for column in JOBS.columns) for each in WORLD.jobs]
    widen(wanted, rows, JOBS.columns)
    titles = [JOBS.columns[index].title for index, _ in fit_columns(JOBS.columns, wanted, 78)]
    assert titles[:4] == ["JOB", "S", "STATE", "NAME"] and "FAIL" in titles


def test_wanted_widths_only_grow() -> None:
    wanted, columns = [1, 1], (NAME, NAME)
    assert widen(wanted, [("abcdef", "d")], columns) and wanted == [6, 1]
    assert not widen(wanted, [("a", "d")], columns) and wanted == [6, 1]


def test_an_optional_column_comes_with_its_first_word() -> None:
    columns = (NAME, GridColumn(field=Field("reason", "REASON", str), optional=True, least=3))
    wanted = [column.wanted_first for column in columns]
    widen(wanted, [("n1", ""), ("n2", "–")], columns)
    assert fit_columns(columns, wanted, 40) == [(0, 4)]
    widen(wanted, [("n3", "off")], columns)
    assert fit_columns(columns, wanted, 40) == [(0, 4), (1, 6)]


def test_what_nobody_else_needs_goes_to_who_is_cut() -> None:
    assert fit_columns((NAME, NAME), [30, 60], 200) == [(0, 30), (1, 60)]
    assert fit_columns((NAME, NAME), [30, 60], 62) == [(0, 30), (1, 30)]


def test_sort_letters_differ_from_each_other_and_from_actions() -> None:
    for listing in LISTINGS:
        letters = [column.letter for column in listing.columns if column.letter]
        assert len({*letters}) == len(letters) and not {*letters} & {*"CRGPSWY"}


def test_each_question_says_the_effect_and_the_command() -> None:
    target = job(name="train", number=7, state=JobState.RUNNING)
    for verb in ("cancel", "retry", "hold", "release"):
        asked = steer_job(verb, target)
        assert asked.command == f"corral {verb} 7" and asked.effect and "train" in asked.question
    task = Task(
        id="7.3", job=7, index=3, state=TaskState.RUNNING, node="n1", resources=Resources(), submitted_at=0.0
    )
    assert "on n1" in steer_task("cancel", task).effect[0]
    assert steer_task("retry", task).command == "corral retry 7.3"
    node: Node = WORLD.nodes[0]
    for verb in ("cordon", "drain", "undrain"):
        assert steer_node(verb, node).command == f"corral {verb} {node.name}"
        assert ROLES[verb] is Role.OPERATOR


@given(st.floats(-1, 2), st.integers(1, 60))
def test_a_bar_is_as_wide_as_it_should_be(used: float, cells: int) -> None:
    assert text_width(bar(used, cells)) == cells


def test_a_sparkline_shows_the_newest() -> None:
    assert sparkline([0, 0], 5) == "▁▁"
    assert sparkline([9, 0, 5, 10], 3) == "▁▅█"
    assert sparkline([None, 5.0, None, 10.0], 4) == " ▅ █"
    assert sparkline([5, 10], 2, top=20) == "▃▅"


@given(st.integers(20, 240), st.booleans())
def test_the_pulse_never_fails(width: int, tall: bool) -> None:
    assert pulse_lines(WORLD.summary(), [1, 2, 3], width=width, tall=tall)
    assert pulse_lines(World(seed=1, now_s=0.0, nodes=0, jobs=0).summary(), [], width=width, tall=tall)


def test_the_pulse_tells_the_hour_and_the_day() -> None:
    lately = Lately(
        gauges={"nodes_healthy": [3.0, 2.0], "queue_depth": [None, 10.0], "wait": [None, None]},
        units={"queue_depth": "tasks"},
        day={"completed": 3, "failed": 1, "queued": 0},
        users=[("ann\x1b[2J", 0.25)],
    )
    parts = pulse_lines(WORLD.summary(), [1], width=80, tall=True, lately=lately)
    lines = ["".join(text for text, _ in line) for line in parts]
    # What there is comes first, and what is drawn over time stands together below.
    assert [line.split()[0] for line in lines[-7:]] == [
        *("tasks", "jobs", "nodes", "24", "users", "running", "queued"),
    ]
    assert "2 healthy" in lines[-5] and "┄┄█ 10 tasks now" in lines[-1]
    assert "75 % completed" in lines[-4] and "25 % failed" in lines[-4] and "\x1b" not in lines[-3]
    assert lately_lines(Lately()) == []
