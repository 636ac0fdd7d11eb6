"""`corral wait --for`: what each word means of a job, and which words there are."""

from __future__ import annotations

import pytest

from bus.api import Job
from bus.feed import TaskCounts
from bus.values import JobKind, JobState
from tui.cli.diagnostics import CommandError
from tui.cli.waiting import condition


def job(state: JobState = JobState.RUNNING, *, started: bool = True, over: int = 0, total: int = 4) -> Job:
    counts = TaskCounts(total=total, completed=over // 2, failed=over - over // 2)
    return Job(
        number=1, id="i", name="n", user="u", kind=JobKind.BATCH, priority=5, state=state, counts=counts,
        submitted_at=0.0, started_at=1.0 if started else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "shown", "expected"),
    [
        ("started", job(started=False), False),
        ("started", job(), True),
        ("running", job(JobState.PENDING), False),
        ("running", job(), True),
        ("completed", job(JobState.FAILED), False),
        ("failed", job(JobState.FAILED), True),
        ("50%", job(over=1), False),
        ("50%", job(over=2), True),
        ("0%", job(), True),
        ("100%", job(over=3), False),
        ("100%", job(over=4), True),
    ],
)
def test_a_word_holds_of_a_job(word: str, shown: Job, expected: bool) -> None:
    until = condition(word)
    assert until is not None and until(shown) is expected


def test_done_waits_for_the_end_and_other_words_are_refused() -> None:
    assert condition("done") is None
    for word in ("", "101%", "05%", "-1%", "half", "Running"):
        with pytest.raises(CommandError, match="waited for"):
            condition(word)
