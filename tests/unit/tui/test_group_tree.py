"""What a plan shows of who needs whom."""

from __future__ import annotations

from bus.api import PlannedGroup
from bus.values import Resources
from tui.view.groups import LINES_MAX, tree_lines


def group(name: str, first: int, count: int, *needs: str) -> PlannedGroup:
    return PlannedGroup(
        name=name, first=first, count=count, command=["x"], tool=None, needs=list(needs), limit=0,
        resources=Resources(), now={}, waits=count,
    )  # fmt: skip


def test_each_stands_under_the_first_that_it_needs() -> None:
    groups = [
        group("a", 0, 4), group("b", 4, 4, "a:corresponding"), group("c", 8, 1, "b", "d"), group("d", 9, 1),
        group("e", 10, 1, "b:any"),
    ]  # fmt: skip
    assert tree_lines(groups) == [
        "a [0–3]: 4 tasks",
        "└─ b [4–7]: 4 tasks, after a:corresponding",
        "   ├─ c [8]: 1 task, after b, d",
        "   └─ e [10]: 1 task, after b:any",
        "d [9]: 1 task",
    ]


def test_nothing_where_nobody_needs_anybody_and_a_count_where_there_are_many() -> None:
    assert tree_lines([group("a", 0, 4), group("b", 4, 1)]) == []
    chain = [group("g0", 0, 1), *(group(f"g{n}", n, 1, f"g{n - 1}") for n in range(1, 10_000))]
    lines = tree_lines(chain)
    assert len(lines) == LINES_MAX + 1 and lines[-1] == f"… and {10_000 - LINES_MAX:,} groups more"
