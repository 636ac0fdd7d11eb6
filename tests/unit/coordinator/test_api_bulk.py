"""One verb for all that a filter matches: who is changed, who is not and why, and what nobody had seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from bus import api
from bus.bulk import VERBS, revision_of, total_of
from bus.values import Ended, Outcome, Started
from coordinator.api import bulk, undoing
from coordinator.core.model import Brake
from coordinator.store.events import Notice
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.fakes import USERS
from tests.unit.coordinator.shell import Shell, running_shell, until


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def ask(shell: Shell, user: str, noun: str, verb: str, filter: str = "", **fields: Any) -> Any:
    return await shell.ask(user, "bulk.steer", noun=noun, verb=verb, filter=filter, **fields)


async def running(shell: Shell, agent: FakeAgent, number: int) -> None:
    """The job's first task runs."""
    await until(lambda: any(ref.job == number for ref in agent.assigned()))
    ref = next(ref for ref in agent.assigned() if ref.job == number)
    await agent.report(Started(attempt=ref, started_at=1.0, pid=1), sequence=number)
    await until(lambda: shell.cluster.jobs[number].running)


def counted(answer: Any) -> None:
    """Everybody who matched is accounted for."""
    assert answer["matched"] == answer["changed"] + sum(answer["skipped"].values()) + answer["left"]


async def test_a_dry_run_says_what_then_happens(shell: Shell) -> None:
    agent = await shell.agent()
    first = await shell.submit(array="0-9")
    await running(shell, agent, first)
    await shell.submit()
    batches = len(shell.store.batches)
    told = await ask(shell, "alice", "job", "cancel", "user=me", dry_run=True)
    assert (told["matched"], told["changed"], told["tasks"]) == (2, 2, 11) and told["dry_run"]
    assert told["running"] + told["waiting"] == 11 and told["running"] >= 1
    assert len(shell.store.batches) == batches and told["audit"] == ""
    done = await ask(shell, "alice", "job", "cancel", "user=me", revision=told["revision"])
    assert (done["changed"], done["tasks"]) == (2, 11)
    counted(done)
    (row,) = (await shell.ask("alice", "audit.list", id=done["audit"]))["audits"]
    assert (row["actor"], row["action"], row["object"]) == ("alice", "job.cancel", "all 2 jobs that match")
    assert row["details"]["filter"] == "user=me" and row["details"]["matched"] == 2


async def test_nothing_is_done_to_whom_nobody_has_seen(shell: Shell) -> None:
    for _ in range(3):
        await shell.submit()
    seen = await ask(shell, "alice", "job", "hold", dry_run=True)
    await shell.submit()
    error = (await ask(shell, "alice", "job", "hold", revision=seen["revision"]))["error"]
    assert (error["code"], error["status"], error["field"]) == ("E_STALE", 409, "/revision")
    assert "3 → 4 now" in error["message"]
    assert not any(job.held_by for job in shell.cluster.jobs.values())
    assert (await ask(shell, "alice", "job", "hold", revision=0))["changed"] == 4


async def test_asked_twice_it_is_done_once(shell: Shell) -> None:
    for _ in range(3):
        await shell.submit()
    first = await ask(shell, "alice", "job", "hold")
    again = await ask(shell, "alice", "job", "hold")
    assert (first["changed"], again["changed"], again["skipped"]) == (3, 0, {"already": 3})
    assert first["audit"] and not again["audit"]


async def test_everybody_steers_what_they_may_see(shell: Shell) -> None:
    await shell.submit("alice")
    await shell.submit("olga")
    assert (await ask(shell, "alice", "job", "hold"))["matched"] == 1
    assert (await ask(shell, "olga", "job", "hold"))["skipped"] == {"already": 1}
    error = (await ask(shell, "alice", "node", "cordon"))["error"]
    assert (error["code"], error["expected"]) == ("E_FORBIDDEN", "operator or above")
    assert (await ask(shell, "rita", "job", "hold"))["error"]["code"] == "E_FORBIDDEN"


@pytest.mark.parametrize("verb", ["hold", "release", "pause", "resume", "priority", "requeue", "cancel"])
async def test_what_is_over_stays(shell: Shell, verb: str) -> None:
    number = await shell.submit()
    await shell.ask("alice", "job.cancel", target=str(number))
    fields = {"priority": 7} if verb == "priority" else {}
    answer = await ask(shell, "alice", "job", verb, **fields)
    assert (answer["changed"], answer["skipped"]) == (0, {"over": 1})


async def test_a_job_that_is_being_cancelled_is_left_to_its_end(shell: Shell) -> None:
    agent = await shell.agent()
    number = await shell.submit()
    await running(shell, agent, number)
    await shell.ask("alice", "job.cancel", target=str(number))
    assert (await ask(shell, "alice", "job", "hold"))["skipped"] == {"ending": 1}
    assert (await ask(shell, "alice", "job", "cancel"))["skipped"] == {"already": 1}
    assert (await ask(shell, "alice", "job", "retry"))["skipped"] == {"ending": 1}


async def test_jobs_are_paused_resumed_and_moved(shell: Shell) -> None:
    for _ in range(2):
        await shell.submit(array="0-4")
    for verb, fields in (("pause", {}), ("resume", {}), ("priority", {"priority": 9}), ("release", {})):
        told = await ask(shell, "alice", "job", verb, dry_run=True, **fields)
        done = await ask(shell, "alice", "job", verb, **fields)
        same = ("changed", "tasks", "skipped", "matched")
        assert [told[name] for name in same] == [done[name] for name in same], verb
    assert {job.priority for job in shell.cluster.jobs.values()} == {9}


async def test_what_failed_of_many_is_queued_again(shell: Shell) -> None:
    agent = await shell.agent()
    numbers = [await shell.submit(retries=0) for _ in range(2)]
    await shell.submit()
    for number in numbers:
        await until(lambda number=number: any(ref.job == number for ref in agent.assigned()))
        ref = next(ref for ref in agent.assigned() if ref.job == number)
        await agent.report(
            Ended(attempt=ref, outcome=Outcome.EXITED, ended_at=1.0, exit_code=3), sequence=number
        )
        await until(lambda number=number: number not in shell.cluster.jobs)
    answer = await ask(shell, "alice", "job", "retry")
    assert (answer["matched"], answer["changed"], answer["tasks"]) == (3, 2, 2)
    assert answer["skipped"] == {"nothing": 1}


async def test_tasks_are_cancelled_one_by_one(shell: Shell) -> None:
    """Those of an array that nobody touched yet are as many, and the index chooses among them."""
    agent = await shell.agent()
    number = await shell.submit(array="0-999")
    await running(shell, agent, number)
    untouched = shell.cluster.jobs[number].groups[0].untouched
    asked = f"job={number} state=queued index<100"
    told = await ask(shell, "alice", "task", "cancel", asked, dry_run=True)
    done = await ask(shell, "alice", "task", "cancel", asked, revision=told["revision"])
    counted(done)
    touched = 1000 - untouched
    assert done["changed"] == done["tasks"] == told["changed"] == 100 - touched
    assert shell.cluster.jobs[number].cancelled == 100 - touched
    again = await ask(shell, "alice", "task", "cancel", "state=running")
    assert (again["changed"], again["running"]) == (1, 1)
    assert (await ask(shell, "alice", "task", "cancel", "state=running"))["skipped"] == {"already": 1}


async def test_tasks_are_requeued_and_retried(shell: Shell) -> None:
    agent = await shell.agent()
    number = await shell.submit(array="0-9", retries=0)
    await running(shell, agent, number)
    answer = await ask(shell, "alice", "task", "requeue", f"job={number}")
    counted(answer)
    assert answer["changed"] >= 1 and answer["skipped"]["nothing"] >= 1
    ref = next(ref for ref in agent.assigned())
    await agent.report(Ended(attempt=ref, outcome=Outcome.EXITED, ended_at=2.0, exit_code=1), sequence=99)
    answer = await ask(shell, "alice", "task", "retry", "state=failed")
    assert answer["matched"] == answer["changed"] + sum(answer["skipped"].values())


async def test_nodes_are_steered_by_operators(shell: Shell) -> None:
    for name in ("n1", "n2", "n3"):
        await shell.agent(name, labels={"zone": "a" if name < "n3" else "b"})
    answer = await ask(shell, "olga", "node", "drain", "label.zone=a", reason="disks", deadline_s=60)
    assert (answer["matched"], answer["changed"]) == (2, 2)
    assert {name for name, node in shell.cluster.nodes.items() if node.admin_reason} == {"n1", "n2"}
    answer = await ask(shell, "olga", "node", "undrain", "")
    assert (answer["changed"], answer["skipped"]) == (2, {"already": 1})
    answer = await ask(shell, "olga", "node", "label", "name=n1,n2", labels={"rack": "7"})
    assert answer["changed"] == 2 and shell.cluster.nodes["n2"].labels == {"zone": "a", "rack": "7"}
    listed = await shell.ask("olga", "node.list", filter="label.rack=7")
    again = await ask(shell, "olga", "node", "label", "label.rack=7", labels={"rack": "7"})
    assert listed["revision"] == again["revision"] and again["skipped"] == {"already": 2}
    answer = await ask(shell, "olga", "node", "maintenance", "")
    assert answer["changed"] == 3 and shell.cluster.nodes["n3"].admin == "maintenance"
    assert (await ask(shell, "olga", "node", "drain", ""))["skipped"] == {"E_CONFLICT": 3}


async def test_what_ends_work_waits_for_the_brake(shell: Shell) -> None:
    await shell.agent()
    shell.cluster.brake = Brake(since_s=0.0, nodes=frozenset(), reason="half of the nodes vanished")
    error = (await ask(shell, "olga", "node", "drain"))["error"]
    assert error["code"] == "E_CONFLICT" and "half of the nodes" in error["message"]
    assert (await ask(shell, "olga", "node", "drain", dry_run=True))["changed"] == 1
    assert (await ask(shell, "olga", "node", "cordon"))["changed"] == 1


async def test_the_steps_of_one_request_are_bounded(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at once; and what is not reached in time is said, and done by the next request."""
    monkeypatch.setattr(bulk, "STEPS_AT_ONCE", 2)
    for _ in range(5):
        await shell.submit()
    monkeypatch.setattr(bulk, "ASKED_S", 0.0)
    answer = await ask(shell, "alice", "job", "hold")
    assert (answer["changed"], answer["left"]) == (0, 5)
    monkeypatch.setattr(bulk, "ASKED_S", 60.0)
    before = len(shell.store.batches)
    assert (await ask(shell, "alice", "job", "hold"))["changed"] == 5
    sizes = [len(batch.job_changes) for batch in shell.store.batches[before:]]
    assert max(sizes) <= 2


def ways(answer: Any) -> list[tuple[str, list[str], int | None, dict[str, str | None]]]:
    return [(each["verb"], each["targets"], each["priority"], each["labels"]) for each in answer["undo"]]


async def test_the_answer_leads_back_what_it_changed_and_no_other(shell: Shell) -> None:
    first, second, third = [str(await shell.submit()) for _ in range(3)]
    await shell.ask("alice", "job.hold", job=second)
    assert ways(await ask(shell, "alice", "job", "hold", dry_run=True)) == []
    assert ways(await ask(shell, "alice", "job", "hold")) == [("release", [first, third], None, {})]
    assert ways(await ask(shell, "alice", "job", "hold")) == []
    await shell.ask("alice", "job.priority", job=first, priority=9)
    moved = await ask(shell, "alice", "job", "priority", priority=2)
    assert ways(moved) == [("priority", [first], 9, {}), ("priority", [second, third], 5, {})]
    assert ways(await ask(shell, "alice", "job", "pause"))[0][0] == "resume"
    assert ways(await ask(shell, "alice", "task", "cancel", f"job={third}")) == [], "it does not come back"
    assert ways(await ask(shell, "alice", "job", "cancel")) == []


async def test_nodes_are_led_back_to_what_each_was(shell: Shell) -> None:
    for name in ("n1", "n2", "n3"):
        await shell.agent(name, labels={"zone": "a"})
    await shell.ask("olga", "node.cordon", node="n2")
    await shell.ask("olga", "node.label", node="n2", labels={"rack": "1"})
    drained = await ask(shell, "olga", "node", "drain")
    assert ways(drained) == [("undrain", ["n1", "n3"], None, {}), ("cordon", ["n2"], None, {})]
    labelled = await ask(shell, "olga", "node", "label", labels={"rack": "7", "zone": "b"})
    before = [({"rack": None, "zone": None}, ["n1", "n3"]), ({"rack": "1", "zone": None}, ["n2"])]
    assert [(way[3], way[1]) for way in ways(labelled)] == before
    for way in labelled["undo"]:
        names = ",".join(way["targets"])
        await ask(shell, "olga", "node", way["verb"], f"name={names}", labels=way["labels"])
    assert {name: node.set_labels for name, node in shell.cluster.nodes.items()} == {
        "n1": {}, "n2": {"rack": "1"}, "n3": {},
    }  # fmt: skip


async def test_a_part_of_the_way_back_is_none(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undoing, "UNDO_MAX", 2)
    for _ in range(3):
        await shell.submit()
    answer = await ask(shell, "alice", "job", "hold")
    assert (answer["changed"], answer["undo"]) == (3, [])


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"noun": "job", "verb": "hld"}, "E_ENUM", "/verb"),
        ({"noun": "task", "verb": "hold"}, "E_ENUM", "/verb"),
        ({"noun": "job", "verb": "priority"}, "E_RANGE", "/priority"),
        ({"noun": "job", "verb": "priority", "priority": 11}, "E_RANGE", "/priority"),
        ({"noun": "node", "verb": "label"}, "E_LABEL", "/labels"),
        ({"noun": "node", "verb": "cordon", "deadline_s": 5}, "E_CONFLICT", "/deadline_s"),
        ({"noun": "node", "verb": "drain", "reason": "x" * 501}, "E_TOO_LARGE", "/reason"),
        ({"noun": "node", "verb": "drain", "filter": "nam=n1"}, "E_FIELD", "/filter"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    shell: Shell, fields: dict[str, Any], code: str, field: str
) -> None:
    error = (await shell.ask("olga", "bulk.steer", **({"filter": ""} | fields)))["error"]
    assert (error["code"], error["field"]) == (code, field)
    assert not shell.store.batches


def test_every_verb_is_an_operation_of_its_own() -> None:
    for noun, verbs in VERBS.items():
        assert {f"{'node' if noun == 'node' else 'job'}.{verb}" for verb in verbs} <= api.OPERATIONS.keys()


@pytest.mark.parametrize("total", [0, 1, 31, 200_000])
def test_a_revision_says_how_many(total: int) -> None:
    revision = revision_of(total=total, digest=-(2**63) + 12345)
    assert total_of(revision) == total and 0 < revision < 2**53


async def test_priorities_and_labels_of_one(shell: Shell) -> None:
    await shell.agent()
    number = await shell.submit(array="0-9")
    answer = await shell.ask("alice", "job.priority", job=str(number), priority=8)
    assert answer["audit"] and shell.cluster.jobs[number].priority == 8
    error = (await shell.ask("alice", "job.priority", job=str(number), priority=0))["error"]
    assert (error["code"], error["field"]) == ("E_RANGE", "/priority")
    node = await shell.ask("olga", "node.label", node="n1", labels={"zone": "a"})
    assert node["labels"] == node["set_labels"] == {"zone": "a"} and node["audit"]
    error = (await shell.ask("olga", "node.label", node="n9", labels={"zone": "a"}))["error"]
    assert error["code"] == "E_NOT_FOUND"


NOTICE = UUID(int=7)


def notice(shell: Shell, *, owner: str | None) -> str:
    told = api.Happened(id=f"1:{NOTICE}", at=1.0, kind="node_unreachable", user=owner)
    shell.events.known[NOTICE] = Notice(told, USERS[owner].id if owner else None, owner is None)
    return told.id


async def test_who_resolves_an_event_first_stays(shell: Shell) -> None:
    ident = notice(shell, owner="alice")
    first = await shell.ask("alice", "event.resolve", event=ident, note=" a cable ")
    assert (first["event"]["resolved_by"], first["event"]["resolution"]) == ("alice", "a cable")
    assert first["audit"] == "77"
    again = await shell.ask("olga", "event.resolve", event=str(NOTICE), note="mine")
    assert (again["event"]["resolved_by"], again["audit"]) == ("alice", "")


@pytest.mark.parametrize(
    ("user", "owner", "event", "code"),
    [
        ("alice", None, "", "E_FORBIDDEN"),
        ("alice", "olga", "", "E_NOT_FOUND"),
        ("olga", None, f"1:{UUID(int=8)}", "E_NOT_FOUND"),
        ("olga", None, "2:x:1:1", "E_CONFLICT"),
        ("olga", None, "everything", "E_ID"),
        ("rita", "alice", "", "E_FORBIDDEN"),
    ],
)
async def test_whose_events_are_whose(
    shell: Shell, user: str, owner: str | None, event: str, code: str
) -> None:
    ident = notice(shell, owner=owner)
    error = (await shell.ask(user, "event.resolve", event=event or ident))["error"]
    assert error["code"] == code
    assert shell.events.known[NOTICE].told.resolved_by is None


async def test_a_long_note_is_refused(shell: Shell) -> None:
    ident = notice(shell, owner=None)
    error = (await shell.ask("olga", "event.resolve", event=ident, note="x" * 501))["error"]
    assert (error["code"], error["field"]) == ("E_TOO_LARGE", "/note")


async def test_the_audit_is_everybodys_own(shell: Shell) -> None:
    number = await shell.submit()
    held = await shell.ask("alice", "job.hold", job=str(number))
    released = await shell.ask("olga", "job.release", job=str(number))
    everything = (await shell.ask("olga", "audit.list"))["audits"]
    assert [row["id"] for row in everything] == [released["audit"], held["audit"]]
    assert [row["actor"] for row in (await shell.ask("alice", "audit.list"))["audits"]] == ["alice"]
    assert (await shell.ask("alice", "audit.list", id=released["audit"]))["audits"] == []
    error = (await shell.ask("alice", "audit.list", sort="actor"))["error"]
    assert (error["code"], error["field"]) == ("E_FIELD", "/sort")
