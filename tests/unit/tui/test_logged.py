"""`corral logs --rows`: what it asks for, what it shows, and what it refuses."""

from __future__ import annotations

import pytest
from msgspec import Struct

from bus.results import Logged, LoggedLine, LoggedQuery
from tests.unit.tui.command import Corral, a_task
from tui.view.descriptions import describe_task
from tui.view.details import output_lines

LINES = [
    LoggedLine(at=1_000.0, severity="info", text="begun\x1b[2J", index=0, fence=1, node="n1"),
    LoggedLine(at=1_001.0, severity="error", text="no\nlabels", index=3, fence=2, node="n2", rank=5),
]


@pytest.fixture
def tasks(corral: Corral) -> Corral:
    def answer(request: Struct) -> Struct | None:
        return Logged(job=7, lines=LINES, more=True) if isinstance(request, LoggedQuery) else None

    corral.answer = answer
    return corral


def test_rows_are_shown_oldest_first_and_drive_no_terminal(tasks: Corral) -> None:
    code, said, noted = tasks("logs", "--rows", "7", "--level", "warning", "--tail", "2")
    assert tasks.asked == [LoggedQuery(target="7", severity="warning", limit=2)]
    assert code == 0 and "\x1b" not in said and "--tail or --until" in noted
    head, first, second = said.splitlines()
    assert head.split() == ["WHEN", "TASK", "LEVEL", "NODE", "LINE"]
    assert "7.0#1" in first and second.split()[-4:] == ["7.3:5#2", "error", "n2", "no␊labels"]


def test_scripts_get_a_line_each(tasks: Corral) -> None:
    _, said, _ = tasks("logs", "--rows", "7.3:5", "8", "--attempt", "2", "-o", "jsonl")
    assert [line.count("severity") for line in said.splitlines()] == [1, 1, 1, 1]
    assert [query.target for query in tasks.asked if isinstance(query, LoggedQuery)] == ["7.3:5#2", "8#2"]


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--rows", "-f"), "--follow"),
        (("--rows", "--grep", "x"), "--grep"),
        (("--rows", "--tail", "0"), "--tail"),
        (("--level", "error"), "--level"),
    ],
)
def test_what_goes_together_with_bytes_only(tasks: Corral, words: tuple[str, ...], field: str) -> None:
    code, said, noted = tasks("logs", "7", *words)
    assert (code, said, tasks.asked) == (2, "", []) and field in noted


def test_the_newest_stand_in_the_task_in_full_and_in_the_consoles_details() -> None:
    task = a_task(logged=LINES)
    said = "\n".join(describe_task(task, now_s=2_000.0))
    assert "  begun" in said and "rank 5: no␊labels" in said and "\x1b" not in said
    shown = [line.text for line in output_lines(task)]
    assert any("logged lately" in text for text in shown)
    assert any(text.startswith("error") and "no␊labels" in text for text in shown)
