"""What people type for a job, a task, an attempt, or an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tui.command import Corral
from tui.cli.diagnostics import CommandError
from tui.cli.ids import Target, attempt_id, job_id, task_id
from tui.cli.moments import parse_moment

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("1042", Target("1042")),
        ("1042.7", Target("1042.7")),
        ("1042.7#2", Target("1042.7", 2)),
        ("@last#1", Target("@last", 1)),
        ("@last.0#3", Target("@last.0", 3)),
        ("0198c2f4.3", Target("0198c2f4.3")),
    ],
)
def test_attempts_are_named_by_their_number(text: str, target: Target) -> None:
    assert attempt_id(text) == target
    assert str(target) == text


HOSTILE = [
    "abc", "1e3", " 12", "12 ", "१२", "", ".", "#1", "1.", "1#", "1#0", "1.2.3", "1.-1", "1.7#-1", "1.7#2#3",
    "@first", "0198C2F4", "1042\n", "9" * 19, "1." + "9" * 8, "1 --all", "0198c2f4/7", "\x1b[2J", "1.7#١",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("verb", ["job", "logs", "cancel", "why", "hold", "task", "wait", "retry"])
def test_what_is_no_id_is_refused_before_anybody_is_asked(corral: Corral, verb: str, text: str) -> None:
    code, out, err = corral(verb, text)
    assert (code, out, corral.asked) == (2, "", [])
    assert err.startswith(("error[E_ID]: not an id: got ", "error[E_USAGE]"))
    assert "\nhint: " in err and "\x1b" not in err


@pytest.mark.parametrize("verb", ["job", "hold", "wait"])
def test_a_job_is_not_a_task(corral: Corral, verb: str) -> None:
    assert "E_ID" in corral(verb, "7.0")[2]


@given(st.text(max_size=30))
def test_no_text_breaks_the_reading_of_ids(text: str) -> None:
    for read in (job_id, task_id, attempt_id):
        try:
            read(text)
        except CommandError as error:
            assert error.error.code == "E_ID"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOON),
        ("10m", NOON - timedelta(minutes=10)),
        ("1h30m", NOON - timedelta(minutes=90)),
        ("1-02:00:00", NOON - timedelta(hours=26)),
        ("today", NOON.replace(hour=0)),
        ("yesterday", NOON.replace(hour=0) - timedelta(days=1)),
        ("2026-11-20", NOON.replace(day=20, hour=0)),
        ("2026-11-22T10:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22t10:00:30.5z", datetime(2026, 11, 22, 10, 0, 30, 500_000, tzinfo=UTC)),
        ("2026-11-22T10:00+05:30", datetime(2026, 11, 22, 4, 30, tzinfo=UTC)),
        ("2026-11-22 10:00", NOON.replace(hour=10)),
    ],
)
def test_an_instant_is_a_time_ago_a_day_or_a_date_and_time(text: str, expected: datetime) -> None:
    assert parse_moment(text, now=NOON) == expected.timestamp()


@pytest.mark.parametrize(
    "text",
    ["yesterday-ish", "", "soon", "2026-13-01", "2026-02-30", "2026-11-22T25:00Z", "10 minutes", "-10m",
     "1e9", "2026-11-22T10Z", "10m\n", "१०m", "2026-11-22T10:00+99:00"],
)  # fmt: skip
def test_anything_else_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(text, now=NOON)


@given(st.text(max_size=25))
def test_no_text_breaks_the_reading_of_instants(text: str) -> None:
    try:
        parse_moment(text, now=NOON)
    except (ValueError, OverflowError):
        return
