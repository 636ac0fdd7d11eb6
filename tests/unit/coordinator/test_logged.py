"""`task.logged`: whose lines are asked for, also of a job that is gone, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.results import LoggedLine
from coordinator.store.results import WantedLines
from tests.unit.coordinator.shell import Shell, running_shell

LINES = [
    LoggedLine(at=float(at), severity="info", text=f"line {at}", index=0, fence=1, node="n1")
    for at in range(3)
]


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as shell:
        yield shell


async def test_a_job_a_task_or_an_attempt(shell: Shell) -> None:
    number = await shell.submit("alice")
    shell.told.lines = LINES
    answer = await shell.ask("alice", "task.logged", target=str(number), limit=2)
    assert answer["job"] == number and answer["more"]
    assert [line["text"] for line in answer["lines"]] == ["line 1", "line 2"]
    await shell.ask("alice", "task.logged", target="@last", since=1.0, until=2.0)
    await shell.ask("olga", "task.logged", target=f"{number}.7#3", severity="warning")
    every = ("info", "warning", "error")
    assert shell.told.wanted == [
        WantedLines("alice", number, None, 0.0, 1e11, every, 0, 3),
        WantedLines("alice", number, None, 1.0, 2.0, every, 0, 101),
        WantedLines(None, number, 7, 0.0, 1e11, every[1:], 3, 101),
    ]


async def test_lines_outlive_their_job(shell: Shell) -> None:
    shell.told.lines = LINES
    assert len((await shell.ask("alice", "task.logged", target="77.0"))["lines"]) == 3
    shell.told.lines = []
    assert (await shell.ask("alice", "task.logged", target="77.0"))["error"]["code"] == "E_NOT_FOUND"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"target": "seven"}, "E_ID", "/target"),
        ({"target": "1.0:"}, "E_ID", "/target"),
        ({"target": "1.0#0"}, "E_ID", "/target"),
        ({"target": "1", "limit": 0}, "E_RANGE", "/limit"),
        ({"target": "1", "limit": 1_001}, "E_RANGE", "/limit"),
        ({"target": "1", "since": -1.0}, "E_TIME", "/since"),
        ({"target": "1", "until": 1e12}, "E_TIME", "/until"),
    ],
)
async def test_what_cannot_be_meant(shell: Shell, fields: dict[str, Any], code: str, field: str) -> None:
    error = (await shell.ask("alice", "task.logged", **fields))["error"]
    assert (error["code"], error["field"]) == (code, field)
    assert shell.told.wanted == []
