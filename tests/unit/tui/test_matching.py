"""`--where`: what is asked of the coordinator, who is asked first, what is said; and what came with it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator

import msgspec
import pytest
from msgspec import Struct

from bus.api import Changed, Happened, Node, Resolved, Tasks
from bus.bulk import (
    Audited,
    AuditList,
    Audits,
    BulkSteer,
    BulkSteered,
    EventResolve,
    JobPriority,
    NodeLabel,
)
from bus.errors import Error
from bus.requests import TaskList
from bus.values import NodeAdmin, NodeHealth, NodeKind, Resources, TaskState
from tests.unit.tui.command import Corral, a_task
from tui.cli.diagnostics import Exit

FORETOLD = BulkSteered(
    matched=31, changed=28, skipped={"over": 2, "already": 1}, tasks=40, running=12, waiting=28, revision=77
)


def steered(request: Struct) -> Struct | None:
    if not isinstance(request, BulkSteer):
        return None
    return msgspec.structs.replace(
        FORETOLD, dry_run=request.dry_run, audit="" if request.dry_run else "3-12-1"
    )


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Somebody sits there, and types lines."""
    opened: list[io.TextIOWrapper] = []

    def answer(line: str) -> None:
        reads, writes = os.pipe()
        os.write(writes, line.encode())
        os.close(writes)
        stream = io.TextIOWrapper(io.FileIO(reads, "r"))
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("sys.stdin", stream)
        opened.append(stream)

    yield answer
    for stream in opened:
        stream.close()


def test_a_dry_run_only_says_what_it_would_do(corral: Corral) -> None:
    corral.answer = steered
    code, out, err = corral("cancel", "--where", "state=pending user=me", "--dry-run")
    assert (code, err) == (Exit.OK, "")
    assert out.splitlines() == [
        "31 jobs match, 28 would change",
        "running: 12 tasks end; waiting: 28 tasks never start",
        "left as they are: 2 over, 1 so already",
    ]
    assert corral.asked == [
        BulkSteer(noun="job", verb="cancel", filter="state=pending user=me", dry_run=True)
    ]


def test_who_says_yes_steers_exactly_those(corral: Corral, typed: Callable[[str], None]) -> None:
    corral.answer = steered
    typed("y\n")
    code, out, err = corral("hold", "--where", "user=me")
    assert code == Exit.OK and "28 jobs of 31 held" in out and "audit: 3-12-1" in out
    assert "31 jobs match" in err and "hold 28 jobs? [y/N]" in err
    assert [request.revision for request in corral.asked if isinstance(request, BulkSteer)] == [0, 77]


@pytest.mark.parametrize("line", ["n\n", "\n", ""])
def test_anything_else_does_nothing(corral: Corral, typed: Callable[[str], None], line: str) -> None:
    corral.answer = steered
    typed(line)
    code, out, err = corral("cancel", "--where", "user=me")
    assert (code, out) == (Exit.JOB_FAILED, "") and err.endswith("nothing was done\n")
    assert len(corral.asked) == 1


def test_without_anybody_there_it_wants_a_flag(corral: Corral, monkeypatch: pytest.MonkeyPatch) -> None:
    corral.answer = steered
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, _, err = corral("cancel", "--where", "user=me")
    assert code == Exit.USAGE and "--yes" in err
    assert len(corral.asked) == 1
    code, out, _ = corral("cancel", "--where", "user=me", "--yes", "-o", "json")
    assert code == Exit.OK and json.loads(out)["audit"] == "3-12-1"
    assert corral.asked[-1] == BulkSteer(noun="job", verb="cancel", filter="user=me")


def test_a_list_that_changed_is_asked_about_again(corral: Corral, typed: Callable[[str], None]) -> None:
    typed("y\ny\n")
    refusals = iter([True, False])

    def answer(request: Struct) -> Struct | None:
        assert isinstance(request, BulkSteer)
        if request.revision and next(refusals):
            return Error(code="E_STALE", message="the list has changed: 31 → 40 now", status=409)
        return steered(request)

    corral.answer = answer
    code, _, err = corral("cancel", "--where", "user=me")
    assert code == Exit.OK and "31 → 40 now" in err
    assert len(corral.asked) == 4


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("requeue --tasks", BulkSteer(noun="task", verb="requeue", filter="f")),
        ("priority 9", BulkSteer(noun="job", verb="priority", filter="f", priority=9)),
        (
            "drain --reason disks --deadline 10m",
            BulkSteer(noun="node", verb="drain", filter="f", reason="disks", deadline_s=600.0),
        ),
        ("uncordon", BulkSteer(noun="node", verb="undrain", filter="f")),
        (
            "label zone=a rack-",
            BulkSteer(noun="node", verb="label", filter="f", labels={"zone": "a", "rack": None}),
        ),
    ],
)
def test_every_verb_takes_it(corral: Corral, line: str, asked: BulkSteer) -> None:
    corral.answer = steered
    assert corral(*line.split(), "--where", "f", "--yes")[0] == Exit.OK
    assert corral.asked == [asked]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cancel 7 --where user=me", "exclude each other"),
        ("cancel 7 --yes", "does nothing with names"),
        ("hold", "no job is named"),
        ("drain", "no node is named"),
        ("label n1", "no label is given"),
        ("label zone=a", "no node is named"),
        ("priority 7", "no job is named"),
        ("priority 7 11", "1 to 10"),
        ("priority 7 high", "1 to 10"),
    ],
)
def test_what_makes_no_sense_asks_nobody(corral: Corral, line: str, words: str) -> None:
    code, out, err = corral(*line.split())
    assert (code, out, corral.asked) == (Exit.USAGE, "", []) and words in err


def test_a_bad_filter_is_told_by_its_flag(corral: Corral) -> None:
    refused = Error(code="E_FIELD", message="unknown field", field="/filter", status=422)
    corral.answer = lambda request: refused
    assert "at --where" in corral("cancel", "--where", "usr=me", "--dry-run")[2]


def test_what_was_not_reached_is_said(corral: Corral) -> None:
    corral.answer = lambda request: BulkSteered(matched=5, changed=2, left=3)
    code, out, _ = corral("cancel", "--where", "user=me", "--yes")
    assert code == Exit.TIMEOUT and "not reached in time: 3" in out


def test_jobs_are_moved_by_name(corral: Corral) -> None:
    corral.answer = lambda request: Changed(tasks=3, hint="1 task of it had a place before, and keeps it")
    code, out, err = corral("priority", "7", "8", "9")
    assert code == Exit.OK and out.splitlines()[0] == "7: 3 tasks wait at priority 9"
    assert "keeps it" in err
    assert corral.asked == [JobPriority(job="7", priority=9), JobPriority(job="8", priority=9)]


def a_node(**labels: str) -> Node:
    return Node(
        name="n1", id="i", health=NodeHealth.HEALTHY, admin=NodeAdmin.ACTIVE, kind=NodeKind.COMPUTE,
        capacity=Resources(), allocated=Resources(), running=0, waiting=0, load=0.0, last_heartbeat_s=0.0,
        labels={"disk": "ssd", **labels}, set_labels=labels, version="1",
    )  # fmt: skip


def test_labels_of_people_are_told_from_the_agents_own(corral: Corral) -> None:
    corral.answer = lambda request: a_node(zone="a")
    assert corral("label", "n1", "zone=a", "rack-")[1] == "n1: set zone=a; its own disk=ssd\n"
    assert corral.asked == [NodeLabel(node="n1", labels={"zone": "a", "rack": None})]
    corral.answer = lambda request: a_node()
    assert corral("label", "n1", "zone-")[1] == "n1: none set; its own disk=ssd\n"


@pytest.mark.contract("S2.63")
@pytest.mark.parametrize("line", ["events resolve", "resolve"])
def test_an_event_is_resolved(corral: Corral, line: str) -> None:
    told = Happened(
        id="1:a", at=1.0, kind="disk_full", resolved_at=2.0, resolved_by="olga", resolution="done"
    )
    corral.answer = lambda request: Resolved(event=told, audit="7")
    code, out, _ = corral(*line.split(), "1:a", "--note", "done")
    assert (code, out) == (Exit.OK, "1:a: disk_full resolved by olga: done\n")
    assert corral.asked == [EventResolve(event="1:a", note="done")]


@pytest.mark.contract("S4.59")
def test_what_runs_is_shown_with_its_duration(corral: Corral) -> None:
    running = a_task(7, 3, user="alice", node="n1", started_at=1_010.0, fence=1)
    corral.answer = lambda request: Tasks(tasks=[running], total=1)
    code, out, _ = corral("ps", "--user", 'a"b')
    head, row = out.splitlines()
    assert code == Exit.OK
    assert head.split() == ["TASK", "USER", "NAME", "NODE", "TRY", "TIME", "CPU", "MEM", "GPU"]
    assert row.split()[:2] == ["7.3", "alice"]
    assert corral.asked == [
        TaskList(states=[TaskState.RUNNING], filter='user="a\\"b"', sort="started", limit=100)
    ]


def test_tasks_without_a_job_are_those_of_all(corral: Corral) -> None:
    rest = a_task(8, 2, count=97, state=TaskState.QUEUED, user="bob")
    corral.answer = lambda request: Tasks(tasks=[a_task(7, 3, user="alice"), rest], total=98)
    _, out, _ = corral("tasks", "--state", "running,queued")
    assert [row.split()[0] for row in out.splitlines()] == ["TASK", "7.3", "8.*"]
    assert corral("tasks", "-o", "name")[1] == "7.3\n"
    assert isinstance(corral.asked[0], TaskList) and corral.asked[0].job == ""


def test_the_audit_is_listed_and_one_entry_is_found(corral: Corral) -> None:
    entry = Audited(
        id="3-12-1", at=1.0, actor="olga", action="node.drain", object="n1", details={"reason": "disks"}
    )
    corral.answer = lambda request: Audits(audits=[entry])
    code, out, _ = corral("audit", "--filter", "actor=olga")
    assert code == Exit.OK and out.splitlines()[1].split()[0] == "3-12-1"
    _, out, _ = corral("audit", "3-12-1")
    assert "olga: node.drain n1" in out and "reason=disks" in out
    assert corral.asked == [AuditList(filter="actor=olga", limit=50), AuditList(id="3-12-1")]
    corral.answer = lambda request: Audits(audits=[])
    assert corral("audit", "9-9-9")[0] == Exit.NOT_FOUND
