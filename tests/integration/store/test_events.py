"""What happened, merged from jobs, tasks and notices: in order, in pages, and nothing of anybody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from uuid import uuid4

import pytest

from bus import api
from bus.fields import EVENT_FIELDS
from bus.filter import Order, parse
from bus.values import AttemptState, JobState, NodeName, Role, TaskRef, TaskState, UserName
from coordinator.core.effects import EventRecord, NewJob, NodeRow
from coordinator.store.events import Events, Scope
from coordinator.store.listing import Listing, read_cursor
from coordinator.store.telemetry import TelemetryStore
from tests.integration.store.conftest import Leader
from tests.store_rows import ALICE, T0, attempt, change, job_change, new_job, new_task, node

Q, A, R, C, F = (
    TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED, TaskState.FAILED
)  # fmt: skip
BOB = UserName("bob")
NEWEST = Order("at", descending=True)


@pytest.fixture
async def events(coordinator_dsn: str) -> AsyncIterator[Events]:
    events = Events(coordinator_dsn)
    yield events
    await events.close()


@pytest.fixture
async def telemetry(coordinator_dsn: str) -> AsyncIterator[TelemetryStore]:
    store = await TelemetryStore.connect(coordinator_dsn)
    yield store
    await store.close()


def wanted(text: str = "", *, limit: int = 100, cursor: str = "", order: Order = NEWEST) -> Listing:
    return Listing(
        scope="test",
        conditions=parse(text, EVENT_FIELDS, me="alice", now_s=T0 + 100),
        order=order,
        limit=limit,
        now_s=T0 + 100,
        after=read_cursor(cursor, "test", order, EVENT_FIELDS) if cursor else None,
    )


async def failed_job(
    leader: Leader, owner: UserName = ALICE, *, over_at: float = T0 + 3
) -> tuple[NewJob, NodeRow]:
    """Submitted at T0, its task assigned, run and failed 2 s later, over at `over_at`."""
    job = new_job(owner=owner, name="train")
    task = new_task(job)
    on = node(f"event-{job.number}")
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    await leader.commit(
        nodes=[on],
        task_changes=[
            change(
                task, 4, Q, A, R, F, node=on.name, fence=1, started_at=T0, completed_at=T0 + 2,
                changed_at=T0 + 2,
            )
        ],
        steps=[3],
        attempts=[attempt(task, on, AttemptState.FAILED, new=True, message="exit code 1")],
        job_changes=[
            job_change(job, JobState.FAILED, failed=1, started_at=T0, ended_at=over_at, exit_code=1)
        ],
    )  # fmt: skip
    return job, on


def kinds(page: api.Events) -> list[str]:
    return [event.kind for event in page.events]


WHOLE_LIFE = ["job_failed", "task_failed", "task_running", "task_assigned", "job_submitted"]


async def test_a_jobs_life_is_told_newest_first(leader: Leader, events: Events) -> None:
    job, on = await failed_job(leader)
    page = await events.page(wanted(), Scope(job=job.number), viewer="alice")
    assert kinds(page) == WHOLE_LIFE and page.next == ""
    over, failed = page.events[:2]
    assert (over.at, over.severity, over.user, over.job) == (T0 + 3, "error", "alice", job.number)
    assert (failed.task, failed.node) == (f"{job.number}.0", on.name)
    assert failed.message == "running -> failed: exit code 1", "the cause is where one looks for it"
    assert [event.message for event in page.events[2:4]] == ["assigned -> running", "queued -> assigned"]
    assert failed.details == {"from": "running", "to": "failed", "attempt": 1, "tasks": 1}
    assert len({event.id for event in page.events}) == 5
    oldest = await events.page(wanted(order=Order("at")), Scope(job=job.number), viewer="alice")
    assert kinds(oldest) == WHOLE_LIFE[::-1]


async def test_a_task_handed_on_before_it_ran_is_no_warning(leader: Leader, events: Events) -> None:
    job = new_job()
    task = new_task(job)
    on = node(f"event-{job.number}")
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    path = (Q, A, TaskState.REASSIGNED, Q, A, R, TaskState.REASSIGNED)
    await leader.commit(
        nodes=[on], task_changes=[change(task, 7, *path, node=on.name, fence=2, changed_at=T0 + 2)], steps=[6]
    )
    found = await events.page(wanted(), Scope(job=job.number), viewer="alice")
    handed_on = [event for event in found.events if event.kind == "task_reassigned"]
    assert [event.severity for event in handed_on] == ["warning", "info"], "newest first: it ran, then not"


async def test_a_job_ends_after_its_tasks_at_the_same_instant(leader: Leader, events: Events) -> None:
    job, _ = await failed_job(leader, over_at=T0 + 2)
    page = await events.page(wanted(), Scope(job=job.number), viewer="alice")
    assert page.events[0].at == page.events[1].at
    assert kinds(page) == WHOLE_LIFE
    oldest = await events.page(wanted(order=Order("at")), Scope(job=job.number), viewer="alice")
    assert kinds(oldest) == WHOLE_LIFE[::-1]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_pages_fit_together_where_much_happened_at_once(
    leader: Leader, events: Events, limit: int, descending: bool
) -> None:
    job, _ = await failed_job(leader)
    order = Order("at", descending)
    seen: list[str] = []
    cursor = ""
    while True:
        listing = wanted(limit=limit, cursor=cursor, order=order)
        page = await events.page(listing, Scope(job=job.number), viewer=None)
        assert 1 <= len(page.events) <= limit
        seen += kinds(page)
        cursor = page.next
        if not cursor:
            break
    assert seen == (WHOLE_LIFE if descending else WHOLE_LIFE[::-1])


async def test_scope_and_conditions_narrow_it(leader: Leader, events: Events) -> None:
    job, on = await failed_job(leader)
    task = Scope(task=TaskRef(job.number, 0))
    assert kinds(await events.page(wanted(), task, viewer="alice")) == WHOLE_LIFE[1:4]
    assert kinds(await events.page(wanted(), Scope(task=TaskRef(job.number, 1)), viewer="alice")) == []
    assert kinds(await events.page(wanted(), Scope(node=on.name), viewer="alice")) == WHOLE_LIFE[1:4]
    of_job = Scope(job=job.number)
    assert kinds(await events.page(wanted("severity>=error"), of_job, viewer=None)) == [
        "job_failed", "task_failed",
    ]  # fmt: skip
    assert kinds(await events.page(wanted("kind~submitted user=me age>1s"), of_job, viewer=None)) == [
        "job_submitted"
    ]
    assert kinds(await events.page(wanted("job!=none task=''"), of_job, viewer=None)) == [
        "job_failed", "job_submitted",
    ]  # fmt: skip
    assert kinds(await events.page(wanted("kind=job_failed,task_running"), of_job, viewer=None)) == [
        "job_failed", "task_running",
    ]  # fmt: skip
    assert kinds(await events.page(wanted("kind=nothing"), of_job, viewer=None)) == []
    late = Scope(job=job.number, since=T0 + 3, until=T0 + 4)
    assert kinds(await events.page(wanted(), late, viewer=None)) == ["job_failed"]
    before = Scope(job=job.number, until=T0 + 3)
    assert kinds(await events.page(wanted(), before, viewer=None)) == WHOLE_LIFE[1:]


async def test_everybody_sees_their_jobs_and_the_nodes(
    leader: Leader, events: Events, telemetry: TelemetryStore
) -> None:
    await leader.store.ensure_user(BOB, Role.USER)
    job, on = await failed_job(leader, BOB)
    mark = f"mark_{job.number}"

    def noticed(message: str, **about: object) -> EventRecord:
        fields = {"at": T0 + 50, "event_type": mark, "severity": "warning", "message": message}
        return EventRecord(**fields | about)  # type: ignore[arg-type]

    await telemetry.write(
        [
            noticed("of the node", node=on.name, node_id=on.id),
            noticed("of bob's job", job_id=job.id, user=BOB, node=on.name, node_id=on.id,
                    details={"task": f"{job.number}.0"}),
            noticed("of bob's job, by the scheduler", job_id=job.id),
            noticed("of a stranger", node=NodeName("stranger")),
            noticed("of a job that is gone", job_id=uuid4()),
        ]
    )  # fmt: skip

    async def told(viewer: str | None) -> set[str]:
        page = await events.page(wanted(f"kind={mark}"), Scope(), viewer=viewer)
        return {event.message for event in page.events}

    assert await told("alice") == {"of the node"}
    assert await told("bob") == {"of the node", "of bob's job", "of bob's job, by the scheduler"}
    assert len(await told(None)) == 5
    assert await told("nobody") == {"of the node"}
    page = await events.page(wanted(f"kind={mark}"), Scope(task=TaskRef(job.number, 0)), viewer="bob")
    [event] = page.events
    assert (event.job, event.task, event.node, event.user) == (job.number, f"{job.number}.0", on.name, "bob")
    page = await events.page(wanted(f"kind={mark}"), Scope(node="stranger"), viewer=None)
    assert [event.message for event in page.events] == ["of a stranger"]
    assert kinds(await events.page(wanted(), Scope(job=job.number), viewer="alice")) == []


async def test_steps_of_one_instant_stay_in_their_order(leader: Leader, events: Events) -> None:
    """Versions count on past 9, and so must what tells their steps apart."""
    on = node("steps")
    job = new_job()
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 8, Q))],
    )
    states = (Q, A, TaskState.REASSIGNED, Q, A, R, C)
    await leader.commit(nodes=[on])
    for version, (before, after) in enumerate(pairwise(states), start=9):
        times = {"started_at": T0 + 5, "completed_at": T0 + 5} if after is C else {}
        moved = change(task, version, before, after, changed_at=T0 + 5, **times)
        await leader.commit(task_changes=[moved], steps=[1])
    page = await events.page(wanted("kind~task_"), Scope(job=job.number), viewer=None)
    assert kinds(page) == [f"task_{state}" for state in states[:0:-1]]
