"""What ran where and when, out of a real database: nothing of the window is missing, or told to others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from bus.timeline import SpanKind
from bus.values import AttemptState, JobState, NodeName, Resources, Role, TaskState, UserName
from coordinator.core.effects import EventRecord, NewTask, NodeRow
from coordinator.store.telemetry import TelemetryStore
from coordinator.store.timeline import Timelines, Window
from tests.integration.store.conftest import Leader
from tests.store_rows import (
    ALICE,
    REQUEST,
    T0,
    attempt,
    change,
    job_change,
    new_job,
    new_task,
    node,
)

P, Q, A, R, C = (
    TaskState.PENDING, TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED
)  # fmt: skip
BOB = UserName("bob")


@pytest.fixture
async def timelines(coordinator_dsn: str) -> AsyncIterator[Timelines]:
    timelines = Timelines(coordinator_dsn)
    yield timelines
    await timelines.close()


@pytest.fixture
async def telemetry(coordinator_dsn: str) -> AsyncIterator[TelemetryStore]:
    store = await TelemetryStore.connect(coordinator_dsn)
    yield store
    await store.close()


def window(since: float, until: float, *nodes: str, job: int | None = None, limit: int = 100) -> Window:
    return Window(since=T0 + since, until=T0 + until, nodes=nodes, job=job, limit=limit)


async def ran(
    leader: Leader, on: NodeRow, *, start: float, end: float | None, owner: UserName = ALICE
) -> NewTask:
    """A task that was queued from T0 on, assigned `start` after it, and over `end` after it."""
    job = new_job(owner=owner, name="train")
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    path = (Q, A, R) if end is None else (Q, A, R, C)
    over_at = None if end is None else T0 + end
    at = {
        "node": on.name, "fence": 1, "started_at": T0 + start + 1, "completed_at": over_at,
        "changed_at": T0 + start,
    }  # fmt: skip
    state = AttemptState.RUNNING if end is None else AttemptState.COMPLETED
    await leader.commit(
        nodes=[on],
        task_changes=[change(task, 3 if end is None else 4, *path, **at)],
        steps=[2 if end is None else 3],
        attempts=[
            attempt(
                task, on, state, new=True, assigned_at=T0 + start, started_at=T0 + start + 1, ended_at=over_at
            )
        ],
        job_changes=[
            job_change(job, JobState.RUNNING, running=1, started_at=T0 + start)
            if end is None
            else job_change(job, JobState.COMPLETED, completed=1, started_at=T0 + start, ended_at=over_at)
        ],
    )
    return task


async def test_what_touches_the_window_is_told_and_nothing_else(leader: Leader, timelines: Timelines) -> None:
    on = node("time-1")
    before = await ran(leader, on, start=10, end=20)
    across = await ran(leader, on, start=15, end=40)
    inside = await ran(leader, on, start=35, end=45)
    live = await ran(leader, on, start=30, end=None)
    later = await ran(leader, on, start=50, end=60)
    found = await timelines.read(window(20, 50, "time-1"), viewer=None)
    assert [each.task for each in found.attempts] == [str(t.task) for t in (across, live, inside)]
    assert {str(before.task), str(later.task)}.isdisjoint(each.task for each in found.attempts)
    first = found.attempts[0]
    assert (first.start, first.started_at, first.end) == (T0 + 15, T0 + 16, T0 + 40)
    assert (first.resources, first.state, first.user, first.name) == (REQUEST, "completed", "alice", "train")
    assert found.attempts[1].end is None and not found.truncated
    only = await timelines.read(window(0, 100, "time-1", job=inside.task.job), viewer=None)
    assert [each.task for each in only.attempts] == [str(inside.task)]
    few = await timelines.read(window(0, 100, "time-1", limit=2), viewer=None)
    assert [each.start for each in few.attempts] == [T0 + 10, T0 + 15] and few.truncated


async def test_others_work_is_a_time_and_an_amount(leader: Leader, timelines: Timelines) -> None:
    await leader.store.ensure_user(BOB, Role.USER)
    on = node("time-2")
    own = await ran(leader, on, start=1, end=5)
    await ran(leader, on, start=2, end=6, owner=BOB)
    mine, others = (await timelines.read(window(0, 9, "time-2"), viewer="alice")).attempts
    assert mine.task == str(own.task)
    assert (others.task, others.job, others.user, others.name, others.state) == ("", None, "", "", "")
    assert (others.start, others.end, others.resources) == (T0 + 2, T0 + 6, REQUEST)


async def test_nodes_are_told_with_what_kept_them_from_work(
    leader: Leader, timelines: Timelines, telemetry: TelemetryStore
) -> None:
    on = node("time-3")
    await leader.commit(nodes=[on])
    words = (
        (1, "node_unreachable"), (3, "node_back"), (5, "node_draining"), (7, "node_drained"),
        (7.5, "node_maintenance"), (12, "node_undrained"), (20, "node_cordoned"),
    )  # fmt: skip
    await telemetry.write([said(on, kind, at) for at, kind in words])
    await telemetry.write([said(None, "brake_on", 2), said(None, "brake_off", 4)])
    found = await timelines.read(window(2, 15, "time-3"), viewer=None)
    spans = {span.kind: (span.start - T0, span.end and span.end - T0) for span in found.spans}
    spans.pop(SpanKind.ABSENT)  # the row of the node was made just now, long after these events
    assert spans == {
        SpanKind.UNREACHABLE: (2, 3),
        SpanKind.DRAINING: (5, 7),
        SpanKind.DRAINED: (7, 7.5),
        SpanKind.MAINTENANCE: (7.5, 12),
    }
    assert [(each.start - T0, each.end and each.end - T0) for each in found.brakes] == [(2, 4)]
    still = await timelines.read(window(30, 40, "time-3"), viewer=None)
    assert [(s.kind, s.start - T0, s.end) for s in still.spans if s.kind is not SpanKind.ABSENT] == [
        (SpanKind.CORDONED, 30, None)
    ]
    assert still.brakes == []


def said(on: NodeRow | None, kind: str, at: float) -> EventRecord:
    return EventRecord(
        at=T0 + at, event_type=kind, severity="info", message=kind,
        node=None if on is None else on.name, node_id=None if on is None else on.id,
    )  # fmt: skip


async def test_it_is_known_when_what_waited(
    leader: Leader, timelines: Timelines, database: asyncpg.Connection
) -> None:
    """A queued task until it got its place, one that is still queued, and one that needs another."""
    await database.execute("update corral.jobs set held = true where state = 'pending'")  # of other tests
    on = node("time-4")
    await ran(leader, on, start=50, end=60)
    job = new_job(tasks=2)
    waiting, needing = new_task(job, 0), new_task(job, 1)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1, pending=1)],
        new_tasks=[(waiting, change(waiting, 1, Q)), (needing, change(needing, 1, P))],
    )
    # both were made at T0; in the window of this test alone they are all that waits
    await database.execute(
        "update corral.tasks set created_at = to_timestamp($1) where job_id = $2", T0 + 80, UUID(str(job.id))
    )
    found = await timelines.read(window(10, 100, "time-4"), viewer=None)
    assert [shape.resources for shape in found.shapes] == [Resources(REQUEST.cpu_millis, REQUEST.mem_mib)]
    assert [(s.start - T0, s.end and s.end - T0) for s in found.shapes[0].stretches] == [(10, 50), (80, 100)]
    assert [(s.start - T0, s.end and s.end - T0) for s in found.needing] == [(80, 100)]
    assert found.all_shapes


async def test_room_kept_for_a_task_is_told_by_those_who_ran_ahead(
    leader: Leader, timelines: Timelines, database: asyncpg.Connection
) -> None:
    on = node("time-5")
    task = await ran(leader, on, start=5, end=8)
    await database.execute(
        "update corral.attempts set explanation = jsonb_build_object('backfill', jsonb_build_object("
        "'behind', '77.0', 'node', $1::text, 'reserved_s', $2::double precision)) where task_id = $3",
        NodeName("time-5"), T0 + 30, task.id,
    )  # fmt: skip
    found = await timelines.read(window(0, 50, "time-5"), viewer=None)
    kept = [span for span in found.spans if span.kind is SpanKind.RESERVED]
    assert [(s.start - T0, s.end and s.end - T0, s.message) for s in kept] == [(5, 30, "77.0")]


async def test_the_window_is_found_without_reading_everything(
    database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    """The plan uses the summary of the pages, where there is much to read."""
    await database.execute("set enable_seqscan = off")
    plan = await database.fetch(
        "explain select * from corral.attempts "
        "where assigned_at < to_timestamp(2) and ended_at > to_timestamp(1)"
    )
    assert any("attempts_times" in row[0] for row in plan)
