"""On a real server: priorities, labels, audit and notices as they are kept, and lists of all tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from bus.bulk import total_of
from bus.fields import ALL_TASK_FIELDS, AUDIT_FIELDS, EVENT_FIELDS, JOB_FIELDS
from bus.filter import Order, parse
from bus.values import AttemptState, JobState, NodeName, Resources, Role, TaskState, UserName
from coordinator.core.effects import AuditRow, EventRecord, NewJob
from coordinator.store.audit_list import AuditList
from coordinator.store.events import Events, Scope
from coordinator.store.listing import Listing, read_cursor
from coordinator.store.lists import Lists
from coordinator.store.task_lists import TaskLists
from coordinator.store.telemetry import TelemetryStore
from tests.integration.store.conftest import Leader
from tests.store_rows import ALICE, REQUEST, T0, attempt, change, job_change, ledger, new_job, new_task, node

NOW_S = T0 + 1000
NEWEST = Order("job", descending=True)
BOB = UserName("bob")


@pytest.fixture
async def tasks(coordinator_dsn: str) -> AsyncIterator[TaskLists]:
    lists = TaskLists(coordinator_dsn)
    yield lists
    await lists.close()


@pytest.fixture
async def lists(coordinator_dsn: str) -> AsyncIterator[Lists]:
    lists = Lists(coordinator_dsn)
    yield lists
    await lists.close()


def wanted(
    text: str = "",
    order: Order = NEWEST,
    *,
    fields: object = ALL_TASK_FIELDS,
    limit: int = 100,
    cursor: str = "",
) -> Listing:
    return Listing(
        scope="test",
        conditions=parse(text, fields, me="alice", now_s=NOW_S),
        order=order,
        limit=limit,
        now_s=NOW_S,
        after=read_cursor(cursor, "test", order, fields) if cursor else None,
    )


async def array(leader: Leader, *, owner: UserName = ALICE, touched: int = 0, size: int = 100) -> NewJob:
    """An array of which the first `touched` elements run."""
    job = new_job(size, owner=owner)
    whole = new_task(job, size=size)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=size)],
        new_tasks=[(whole, change(whole, 1, TaskState.QUEUED))],
    )
    if touched:
        on = node(f"many-{job.number}")
        elements = [new_task(job, index, range_id=whole.id) for index in range(touched)]
        path = (TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING)
        where = {"node": on.name, "fence": 1, "started_at": T0 + 1}
        await leader.commit(
            nodes=[on],
            new_tasks=[(each, change(each, 3, *path, **where)) for each in elements],
            task_changes=[change(whole, 2, TaskState.QUEUED, remaining=size - touched)],
            steps=[1],
            attempts=[attempt(each, on, AttemptState.RUNNING, new=True) for each in elements],
            ledgers=[ledger(on, sum((REQUEST for _ in elements), start=Resources()))],
            job_changes=[job_change(job, JobState.RUNNING, queued=size - touched, running=touched)],
        )
    return job


async def test_a_priority_is_that_of_the_job(leader: Leader, lists: Lists, tasks: TaskLists) -> None:
    """Of its tasks as well, in every list, and for the next leader."""
    job = await array(leader)
    await leader.commit(job_changes=[job_change(job, JobState.PENDING, queued=100, priority=9)])
    page = await lists.jobs(
        wanted(f"number={job.number}", fields=JOB_FIELDS, order=Order("number")), viewer=None
    )
    assert [each.priority for each in page.jobs] == [9]
    assert {
        each.priority for each in (await lists.tasks(job.number, wanted(order=Order("index")))).tasks
    } == {9}
    found = await tasks.page(wanted(f"job={job.number} priority=9"), viewer=None)
    assert found.total == 100
    loaded = next(each for each in (await leader.store.load()).jobs if each.job.number == job.number)
    assert (loaded.job.priority, loaded.change.priority) == (9, 9)


async def test_a_priority_changed_in_the_batch_of_its_submission_stands(leader: Leader, lists: Lists) -> None:
    job = new_job()
    one = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1, priority=2)],
        new_tasks=[(one, change(one, 1, TaskState.QUEUED))],
    )
    page = await lists.jobs(
        wanted(f"number={job.number}", fields=JOB_FIELDS, order=Order("number")), viewer=None
    )
    assert [each.priority for each in page.jobs] == [2]


async def test_labels_of_people_and_agents_are_kept_apart(
    leader: Leader, database: asyncpg.Connection
) -> None:
    row = node("labelled", labels={"zone": "b", "disk": "ssd"}, set_labels={"zone": "a"})
    await leader.commit(nodes=[row])
    stored = await database.fetchval(
        "select labels->>'zone' || (labels->>'disk') from corral.nodes where id = $1", row.id
    )
    assert stored == "assd"
    (loaded,) = [each for each in (await leader.store.load()).nodes if each.name == "labelled"]
    assert (loaded.labels, loaded.set_labels) == (row.labels, row.set_labels)


async def test_an_entry_of_the_audit_is_found_by_its_reference(leader: Leader, coordinator_dsn: str) -> None:
    audits = AuditList(coordinator_dsn)
    rows = [
        AuditRow(at=T0 + number, actor=actor, action="job.hold", object="1", reference=f"9-9-{number}")
        for number, actor in enumerate(("alice", "olga", "alice"))
    ]
    await leader.commit(audits=rows)
    asked = wanted("action=job.hold", Order("at", descending=True), fields=AUDIT_FIELDS, limit=1)
    try:
        (one,) = (await audits.page(asked, ident="9-9-1", actor=None)).audits
        assert (one.id, one.actor, one.at, one.outcome) == ("9-9-1", "olga", T0 + 1, "done")
        assert (await audits.page(asked, ident="9-9-1", actor="alice")).audits == []
        first = await audits.page(asked, ident="", actor="alice")
        assert [row.id for row in first.audits] == ["9-9-2"] and first.next
        order = Order("at", descending=True)
        second = wanted("action=job.hold", order, fields=AUDIT_FIELDS, limit=1, cursor=first.next)
        assert [row.id for row in (await audits.page(second, ident="", actor="alice")).audits] == ["9-9-0"]
    finally:
        await audits.close()


@pytest.mark.contract("S2.63")
async def test_who_resolved_an_event_is_kept_with_it(
    leader: Leader, coordinator_dsn: str, database: asyncpg.Connection
) -> None:
    """By the caller, once, with its row in the audit; and lists tell resolved ones from the others."""
    await leader.store.ensure_user(UserName("olga"), Role.OPERATOR)
    telemetry, events = await TelemetryStore.connect(coordinator_dsn), Events(coordinator_dsn)
    audits = AuditList(coordinator_dsn)
    order = Order("at", descending=True)
    try:
        await telemetry.write(
            [
                EventRecord(
                    at=T0 + 5, event_type="disk_full", severity="error", message="/var", node=NodeName("x")
                )
                for _ in range(2)
            ]
        )
        asked = wanted("kind=disk_full resolved=no", order, fields=EVENT_FIELDS)
        one, other = (await events.page(asked, Scope(), viewer=None)).events
        ident = UUID(one.id.removeprefix("1:"))
        audit = await events.resolve(ident, by="olga", note="cleaned up")
        assert await events.resolve(ident, by="alice", note="me too") == ""
        found = await events.notice(ident)
        assert found is not None and found.told.id == one.id
        told = found.told
        assert (told.resolved_by, told.resolution) == ("olga", "cleaned up") and told.resolved_at
        assert [each.id for each in (await events.page(asked, Scope(), viewer=None)).events] == [other.id]
        closed = wanted("kind=disk_full resolved=yes", order, fields=EVENT_FIELDS)
        assert (await events.page(closed, Scope(), viewer=None)).events == [told]
        by = await database.fetchval(
            "select u.username from corral.system_events e join corral.users u on u.id = e.resolved_by "
            "where e.id = $1",
            ident,
        )
        assert by == "olga"
        noted = wanted(order=order, fields=AUDIT_FIELDS)
        (row,) = (await audits.page(noted, ident=audit, actor=None)).audits
        assert (row.actor, row.action, row.object) == ("olga", "event.resolve", one.id)
        assert await events.notice(UUID(int=1)) is None
    finally:
        for store in (telemetry, events, audits):
            await store.close()


@pytest.mark.contract("S4.59")
async def test_what_runs_of_all_jobs_with_its_duration(leader: Leader, tasks: TaskLists) -> None:
    first, second = await array(leader, touched=2), await array(leader, touched=1)
    numbers = f"job={first.number},{second.number}"
    page = await tasks.page(
        wanted(f"state=running {numbers}", Order("runtime", descending=True)), viewer=None
    )
    assert {(each.job, each.index, each.user) for each in page.tasks} == {
        (first.number, 0, "alice"), (first.number, 1, "alice"), (second.number, 0, "alice"),
    }  # fmt: skip
    assert {each.started_at for each in page.tasks} == {T0 + 1}
    assert (page.total, page.states) == (3, {"running": 3})


async def test_all_tasks_come_in_pages_and_only_ones_own(leader: Leader, tasks: TaskLists) -> None:
    await leader.store.ensure_user(BOB, Role.USER)
    jobs = [await array(leader, owner=BOB, touched=3) for _ in range(3)]
    for order in (NEWEST, Order("state"), Order("started"), Order("job"), Order("node", descending=True)):
        rows, cursor = [], ""
        while True:
            page = await tasks.page(wanted(order=order, limit=2, cursor=cursor), viewer="bob")
            rows += page.tasks
            assert page.total == 300 and page.exact and page.revision
            cursor = page.next
            if not cursor:
                break
        assert len(rows) == len({(each.job, each.index, each.count) for each in rows}) == 12
        assert sum(each.count for each in rows) == 300
    newest = await tasks.page(wanted(limit=1), viewer="bob")
    assert newest.tasks[0].job == jobs[-1].number
    assert (await tasks.page(wanted("user=bob"), viewer="alice")).total == 0
    assert (await tasks.page(wanted(), viewer="nobody")).tasks == []


async def test_an_index_chooses_the_ranges_that_it_touches(leader: Leader, tasks: TaskLists) -> None:
    job = await array(leader, touched=3)
    found = await tasks.page(wanted(f"job={job.number} index>=2 index<50"), viewer=None)
    assert sorted((each.index, each.count) for each in found.tasks) == [(0, 97), (2, 1)]
    found = await tasks.page(wanted(f"job={job.number} index=500"), viewer=None)
    assert found.tasks == []


async def test_a_revision_is_that_of_the_set(leader: Leader, lists: Lists, tasks: TaskLists) -> None:
    """Of one job's list and of the list of all alike; another member is another revision."""
    job = await array(leader, touched=3)
    text = f"job={job.number} state=running,queued"
    everywhere = await tasks.page(wanted(text), viewer=None)
    in_job = await lists.tasks(job.number, wanted("state=running,queued", Order("index")))
    assert everywhere.revision == in_job.revision and total_of(in_job.revision) == 100
    members = await tasks.members(wanted(text), viewer=None)
    assert [(each.index, each.count, each.remaining) for each in members] == [
        (0, 1, 1), (0, 100, 97), (1, 1, 1), (2, 1, 1),
    ]  # fmt: skip
    fewer = await tasks.page(wanted(f"job={job.number} state=running"), viewer=None)
    assert fewer.revision != everywhere.revision
    numbers = f"number>={job.number}"
    before = await lists.jobs(wanted(numbers, Order("number"), fields=JOB_FIELDS), viewer=None)
    await array(leader)
    after = await lists.jobs(wanted(numbers, Order("number"), fields=JOB_FIELDS), viewer=None)
    assert before.revision != after.revision
    found = await lists.members(wanted(numbers, Order("number"), fields=JOB_FIELDS), viewer=None)
    assert [each.number for each in found] == [each.number for each in after.jobs]
