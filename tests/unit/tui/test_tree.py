"""The tree: what is open stays open when a branch is asked for again, and more comes after what is there."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.people import Standing, User
from bus.values import Role, TaskState
from tui.cli.tree import JobTree, UserTree, branch_of, drawn, nested
from tui.client.fake_world import World
from tui.view.details import children_lines
from tui.view.tree import (
    Branch,
    Kind,
    extended,
    grafted,
    is_waiting,
    job_branch,
    node_branch,
    opened,
    past_branch,
    task_branch,
    user_branch,
    visible,
    with_more,
)

WORLD = World(seed=5, now_s=time.time(), nodes=10, jobs=30)


def named(*keys: str) -> list[Branch]:
    return [Branch(kind=Kind.JOB, key=key, text=key) for key in keys]


def test_what_is_open_stays_open_where_it_is_still_there() -> None:
    root = Branch(kind=Kind.USER, key="ann", text="ann", open=True)
    grafted(root, named("1", "2", "3"), cursor="")
    assert root.children is not None
    root.children[1].open, root.children[1].children = True, named("2.0")
    grafted(root, named("4", "2"), cursor="next")
    assert [(depth, branch.key) for depth, branch in visible([root])] == [
        (0, "ann"), (1, "4"), (1, "2"), (2, "2.0"), (1, "more")
    ]  # fmt: skip
    assert [branch.key for branch in opened([root])] == ["ann", "2"]


@given(st.lists(st.integers(0, 9), unique=True), st.lists(st.integers(0, 9), unique=True))
def test_a_page_more_comes_after_what_is_there_and_nothing_comes_twice(
    first: list[int], second: list[int]
) -> None:
    root = Branch(kind=Kind.JOB, key="1", text="1", open=True)
    grafted(root, named(*map(str, first)), cursor="next")
    extended(root, named(*map(str, second)), cursor="")
    keys = [branch.key for branch in root.children or () if branch.kind is Kind.JOB]
    assert keys == [str(each) for each in first] + [str(each) for each in second if each not in first]
    assert all(branch.kind is not Kind.MORE for branch in root.children or ())


def test_nothing_below_is_said() -> None:
    assert [branch.text for branch in with_more([], "")] == ["nothing here"]


def test_each_line_rolls_up_what_is_below_it() -> None:
    user = User(name="ann", role=Role.USER, active=True, standing=Standing(), jobs=3, running=1_200, queued=7)
    assert user_branch(user).text == "ann  3 jobs not over, 1,200 running, 7 queued"
    job = WORLD.jobs[0]
    assert f"{job.counts.total} task" in job_branch(job).text
    task = WORLD.tasks(1)[0]
    assert task_branch(task).key == "1.0" and task_branch(task).can_open
    node = node_branch(WORLD.nodes[0], attempt=2)
    assert node.text.startswith("attempt 2 on n-0000") and not node.can_open
    assert past_branch("n-9", attempt=1, state="lost").text == "attempt 1 on n-9  lost"


def test_who_waits_is_on_no_node() -> None:
    waiting = [
        task for number in range(1, 31) for task in WORLD.tasks(number) if task.state is TaskState.QUEUED
    ]
    assert waiting and all(is_waiting(task) for task in waiting)


def test_jobs_that_tasks_submitted_are_below_these() -> None:
    """Below the job where the task is not shown, and at the top where the job is not."""
    parent, child, other, orphan = (
        replace(job, parent=above)
        for job, above in zip(WORLD.jobs[:4], ("", "1.0", "1.1", "77.0"), strict=True)
    )
    trees = [JobTree(each) for each in (orphan, other, child, parent)]
    trees[-1].tasks = [replace(WORLD.tasks(1)[0], index=0, count=1)]
    top = nested(trees)
    assert [each.job.number for each in top] == [4, 1]
    assert [each.job.number for each in top[1].jobs] == [3, 2]
    user = User(name="ann", role=Role.USER, active=True, standing=Standing(), jobs=4, running=0, queued=0)
    lines = list(drawn(branch_of(UserTree(user, top))))
    places = {line.split("from ")[1]: line.index(line.lstrip("│├└─ ")) for line in lines if "  from " in line}
    assert places == {"77.0": 3, "1.0": 9, "1.1": 6}


def test_the_children_of_a_job_are_told_with_the_task_they_came_from() -> None:
    child = replace(WORLD.jobs[1], parent="1.0")
    (line, more) = children_lines([child], total=3)
    assert line.text == f"{job_branch(child).text}  from 1.0" and more.text == "and 2 more"
    assert [each.text for each in children_lines([], total=0)] == ["Its tasks submitted no jobs."]
