"""Lists: every form, columns, pages, and what is passed on to the coordinator."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec import Struct

from bus.api import Events, Happened, Jobs, Tasks
from bus.requests import EventList, JobList, TaskList
from bus.values import JobState, TaskState
from tests.unit.tui.command import Corral, a_job, a_task
from tui.cli import events
from tui.cli.diagnostics import Exit
from tui.cli.dispatch import parse


def five_jobs(request: Struct) -> Struct | None:
    """Jobs 5 to 1 in pages of whatever size; the cursor is the number of the last one shown."""
    if not isinstance(request, JobList):
        return None
    start = int(request.cursor or 6)
    numbers = list(range(start - 1, max(0, start - 1 - request.limit), -1))
    last = numbers[-1] if numbers else 1
    return Jobs(
        jobs=[a_job(number) for number in numbers],
        next=str(last) if last > 1 else "",
        total=5,
        states={"running": 5},
    )


def test_a_table_for_people(corral: Corral) -> None:
    corral.answer = five_jobs
    code, out, err = corral("jobs")
    head, *rows = out.splitlines()
    assert (code, err) == (Exit.OK, "")
    assert head.split()[:4] == ["JOB", "S", "STATE", "NAME"]
    assert [row.split()[0] for row in rows] == ["5", "4", "3", "2", "1"]


def test_wide_shows_what_the_table_leaves_out(corral: Corral) -> None:
    corral.answer = five_jobs
    _, out, _ = corral("jobs", "-o", "wide")
    assert {"PRI", "KIND", "ID", "SUBMITTED"} <= set(out.splitlines()[0].split())


def test_names_are_fit_for_other_verbs(corral: Corral) -> None:
    corral.answer = five_jobs
    assert corral("jobs", "-o", "name")[1] == "5\n4\n3\n2\n1\n"


def test_one_document_has_rows_totals_and_cursor(corral: Corral) -> None:
    corral.answer = five_jobs
    code, out, err = corral("jobs", "-o", "json", "--limit", "2")
    document = json.loads(out)
    assert (code, err) == (Exit.OK, "")
    assert [job["number"] for job in document["jobs"]] == [5, 4]
    assert (document["next"], document["total"], document["states"]) == ("4", 5, {"running": 5})


def test_instants_are_rfc_3339_and_other_people_s_keys_stay(corral: Corral) -> None:
    corral.answer = lambda request: Jobs(jobs=[a_job(spec={"env": {"started_at": 5.0}})])
    job = json.loads(corral("jobs", "-o", "json")[1])["jobs"][0]
    assert (job["submitted_at"], job["started_at"]) == (
        "1970-01-01T00:16:40.000Z",
        "1970-01-01T00:16:50.500Z",
    )
    assert job["ended_at"] is None
    assert job["spec"]["env"]["started_at"] == 5.0


def test_json_lines_are_one_object_each(corral: Corral) -> None:
    corral.answer = five_jobs
    _, out, _ = corral("jobs", "-o", "jsonl", "--all")
    assert [json.loads(line)["number"] for line in out.splitlines()] == [5, 4, 3, 2, 1]


def test_what_is_left_out_is_said_with_the_way_on(corral: Corral) -> None:
    corral.answer = five_jobs
    _, out, err = corral("jobs", "--limit", "2", "-o", "name")
    assert out == "5\n4\n"
    assert err == "3 more: --cursor 4 goes on, --all shows everything\n"
    _, out, err = corral("jobs", "--limit", "2", "-o", "name", "--cursor", "4")
    assert out == "3\n2\n"
    assert err.startswith("more: --cursor 2 ")


def test_all_goes_from_page_to_page(corral: Corral) -> None:
    def in_twos(request: Struct) -> Struct | None:
        assert isinstance(request, JobList)
        request.limit = 2
        return five_jobs(request)

    corral.answer = in_twos
    code, out, err = corral("jobs", "--all", "-o", "json")
    document = json.loads(out)
    assert (code, err, document["next"]) == (Exit.OK, "", "")
    assert [job["number"] for job in document["jobs"]] == [5, 4, 3, 2, 1]
    assert [request.cursor for request in corral.asked if isinstance(request, JobList)] == ["", "4", "2"]


def test_columns_are_those_named_in_that_order(corral: Corral) -> None:
    corral.answer = five_jobs
    _, out, _ = corral("jobs", "--columns", "name,number", "--limit", "1")
    assert [line.split() for line in out.splitlines()] == [["NAME", "JOB"], ["sweep", "5"]]


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (("jobs", "--columns", "password_hash"), "E_FIELD", "number"),
        (("jobs", "--columns", "stat"), "E_FIELD", "did you mean state?"),
        (("jobs", "--columns", "name", "-o", "json"), "E_USAGE", "columns are for tables"),
        (("jobs", "--limit", "-1"), "E_RANGE", "1 to 10,000"),
        (("jobs", "--limit", "1e9"), "E_RANGE", "1 to 10,000"),
        (("jobs", "--limit", "0"), "E_RANGE", "--all"),
        (("jobs", "--limit", "9" * 5000), "E_RANGE", "1 to 10,000"),
        (("jobs", "--limit", "١٢"), "E_RANGE", "1 to 10,000"),
        (("jobs", "--state", "runing"), "E_ENUM", "running"),
        (("tasks", "7", "--state", "failed,"), "E_ENUM", "timeout"),
        (("jobs", "-o", "yml"), "E_USAGE", "one of table, wide, json, jsonl, name"),
        (("events", "--since", "yesterday-ish"), "E_TIME", "2026-11-22T10:00Z"),
        (("events", "-f", "-o", "json"), "E_USAGE", "-o jsonl streams"),
    ],
)
def test_a_wrong_option_is_refused_before_anybody_is_asked(
    corral: Corral, argv: tuple[str, ...], code: str, told: str
) -> None:
    exit_code, out, err = corral(*argv)
    assert (exit_code, out, corral.asked) == (Exit.USAGE, "", [])
    assert f"[{code}]" in err or f'"code": "{code}"' in err
    assert told in err
    assert len(err) < 1000


def test_filter_sort_and_states_are_the_coordinators(corral: Corral) -> None:
    corral.answer = five_jobs
    corral("jobs", "--filter", "name='; drop table jobs;--", "--sort", "-age", "--state", "failed,running")
    asked = corral.asked[0]
    assert isinstance(asked, JobList)
    assert (asked.filter, asked.sort) == ("name='; drop table jobs;--", "-age")
    assert asked.states == [JobState.FAILED, JobState.RUNNING]


def test_tasks_count_ranges_as_what_they_stand_for(corral: Corral) -> None:
    tasks = [a_task(state=TaskState.QUEUED, index=10, count=90)]
    corral.answer = lambda request: (
        Tasks(tasks=tasks, next="c", total=100) if isinstance(request, TaskList) else None
    )
    _, out, err = corral("tasks", "7")
    assert out.splitlines()[1].split()[:4] == ["7.10–99", "○", "queued", "×90"]
    assert err.startswith("10 more: ")
    names = corral("tasks", "7", "-o", "name")[1].splitlines()
    assert names == [f"7.{index}" for index in range(10, 100)]


def test_events_ask_for_what_concerns_a_thing_since_then(corral: Corral) -> None:
    happened = [
        Happened(id="e1", at=1000.0, kind="task_failed", severity="error", message="\x1b[2J", task="7.0")
    ]
    corral.answer = lambda request: Events(events=happened)
    code, out, _ = corral(
        "events", "7.0", "--since", "2026-11-22T10:00Z", "--until", "2026-11-22T11:00+01:00"
    )
    asked = corral.asked[0]
    assert isinstance(asked, EventList)
    assert (asked.task, asked.job) == ("7.0", None)
    assert (asked.since, asked.until) == (1795341600.0, 1795341600.0)
    assert code == Exit.OK
    assert "task_failed" in out and "\x1b" not in out


def test_the_usual_form_can_be_set(corral: Corral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corral.answer = five_jobs
    monkeypatch.setenv("CORRAL_OUTPUT", "name")
    assert corral("jobs", "--limit", "1")[1] == "5\n"
    assert corral("jobs", "--limit", "1", "-o", "jsonl")[1].startswith("{")
    assert "E_RANGE" in corral("help", "E_RANGE")[1]


async def test_followed_events_come_once_each_and_oldest_first(
    corral: Corral, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also those that are committed late, but none from before the list that was shown first."""
    monkeypatch.setattr(events, "RECHECK_S", 0.01)
    times = {"a": 96.0, "b": 99.0, "c": 100.0}
    known = [Happened(id=name, at=at, kind="job_submitted") for name, at in times.items()]

    def answer(request: Struct) -> Struct | None:
        assert isinstance(request, EventList)
        if len(corral.asked) == 4:
            known.append(Happened(id="d", at=101.0, kind="job_submitted"))
        if len(corral.asked) == 6:
            known.append(Happened(id="e", at=100.5, kind="job_submitted"))
        found = [event for event in known if event.at >= (request.since or 0)]
        return Events(events=sorted(found, key=lambda event: -event.at)[: request.limit])

    corral.answer = answer
    arguments = parse(("events", "-f", "-o", "name", "--limit", "2"))
    assert arguments is not None
    following = asyncio.create_task(events.events(arguments))
    async with asyncio.timeout(20):
        while len(corral.asked) < 10:
            await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.wait([following])
    assert capfd.readouterr().out == "b\nc\nd\ne\n"
