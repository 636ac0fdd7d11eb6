"""What tasks tell, in a real database: each line once, of the attempt that counts, seen by whose it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from bus.results import Line, Point, Told
from bus.values import AttemptRef, AttemptState, JobState, NodeName, TaskState
from coordinator.core.effects import NewTask, NodeRow, RemarkRecord
from coordinator.store.reads import Reads
from coordinator.store.results import ResultStore, WantedLines
from coordinator.store.telemetry import TelemetryStore
from tests.integration.store.conftest import Leader
from tests.store_rows import ALICE, T0, attempt, change, job_change, new_job, new_task, node

ALL = ("info", "warning", "error")
Q, A, R, LOST = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.REASSIGNED


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[ResultStore]:
    made = ResultStore(coordinator_dsn)
    yield made
    await made.close()


async def running(leader: Leader, on: NodeRow) -> NewTask:
    """A task whose first attempt runs on a node."""
    job = new_job(owner=ALICE)
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    await leader.commit(
        nodes=[on],
        task_changes=[change(task, 3, Q, A, R, node=on.name, fence=1, started_at=T0 + 2)],
        steps=[2],
        attempts=[attempt(task, on, AttemptState.RUNNING, new=True, started_at=T0 + 2)],
        job_changes=[job_change(job, JobState.RUNNING, running=1, started_at=T0 + 2)],
    )
    return task


def told(task: NewTask, start: int, end: int, *, fence: int = 1, **fields: Any) -> Told:
    return Told(attempt=AttemptRef(task.task.job, task.task.index, fence), start=start, end=end, **fields)


def losses(*values: float, step: int = 0, at: float | None = None) -> tuple[Point, ...]:
    now_s = time.time() if at is None else at
    return tuple(Point("loss", value, now_s, step + place) for place, value in enumerate(values))


async def place(store: ResultStore, node_name: str, one: Told) -> int:
    (heard,) = await store.hear(NodeName(node_name), (one,))
    return heard.place


@pytest.mark.contract("S1.10", "S1.17", "S1.42")
async def test_what_is_told_is_shown(leader: Leader, store: ResultStore, reads: Reads) -> None:
    on = node("tell-1")
    task = await running(leader, on)
    points = (*losses(2.0, 0.0023), Point("accuracy", 0.982, time.time()))
    (heard,) = await store.hear(on.name, (told(task, 0, 90, progress=45.5, message="third", points=points),))
    assert (heard.place, heard.owner, heard.state, heard.first_fault) == (90, ALICE, R, False)
    assert await place(store, on.name, told(task, 90, 99, progress=50.0)) == 99
    shown = await reads.task(task.task, viewer=ALICE)
    assert shown is not None and shown.result is not None
    assert (shown.result.progress, shown.result.message, shown.result.fence) == (50.0, "third", 1)
    assert shown.result.metrics == {"loss": 0.0023, "accuracy": 0.982}
    accuracy, loss = await store.metrics(task.task, viewer=ALICE, names=None, points=500)
    assert (loss.name, loss.values, loss.steps) == ("loss", [2.0, 0.0023], [0, 1])
    assert (accuracy.name, accuracy.steps) == ("accuracy", [None])
    assert [one.values for one in await store.metrics(task.task, viewer=ALICE, names=["loss"], points=1)] == [
        [0.0023]
    ]
    assert await store.metrics(task.task, viewer="bob", names=None, points=500) == []


async def test_each_line_counts_once(leader: Leader, store: ResultStore) -> None:
    on = node("tell-2")
    task = await running(leader, on)
    first = told(task, 0, 50, points=losses(3.0))
    assert await place(store, on.name, first) == 50
    assert await place(store, on.name, first) == 50  # its answer was lost
    assert await place(store, on.name, told(task, 20, 80, points=losses(9.0))) == 50
    assert await place(store, on.name, told(task, 70, 80, points=losses(9.0))) == 50
    assert await place(store, on.name, told(task, 50, 80, points=losses(2.0, step=1))) == 80
    (loss,) = await store.metrics(task.task, viewer=None, names=None, points=500)
    assert loss.values == [3.0, 2.0]


async def test_only_who_counts_is_heard(leader: Leader, store: ResultStore, reads: Reads) -> None:
    on, other = node("tell-3"), node("tell-4")
    task = await running(leader, on)
    assert await place(store, on.name, told(task, 0, 10, progress=80.0)) == 10
    assert await place(store, other.name, told(task, 10, 20, progress=1.0)) == -1
    assert await place(store, on.name, told(task, 0, 20, fence=2, progress=1.0)) == -1
    await leader.commit(
        nodes=[other],
        task_changes=[
            change(task, 7, R, TaskState.REASSIGNED, Q, A, R, node=other.name, fence=2, started_at=T0 + 9)
        ],
        steps=[4],
        attempts=[
            attempt(task, on, AttemptState.LOST, started_at=T0 + 2, ended_at=T0 + 8),
            attempt(task, other, AttemptState.RUNNING, new=True, fence=2, started_at=T0 + 9),
        ],
    )
    assert await place(store, on.name, told(task, 10, 20, progress=90.0)) == -1
    shown = await reads.task(task.task, viewer=None)
    assert shown is not None and shown.result is None  # what the lost attempt told is not how far the task is
    assert await place(store, other.name, told(task, 0, 5, fence=2, progress=3.0)) == 5
    shown = await reads.task(task.task, viewer=None)
    assert shown is not None and shown.result is not None
    assert (shown.result.progress, shown.result.fence) == (3.0, 2)


async def test_faults_are_announced_once(leader: Leader, store: ResultStore, reads: Reads) -> None:
    on = node("tell-5")
    task = await running(leader, on)
    found = [
        (await store.hear(on.name, (told(task, at, at + 1, faults=2, fault=f"why {at}\x00"),)))[0]
        for at in (0, 1)
    ]
    assert [heard.first_fault for heard in found] == [True, False]
    shown = await reads.task(task.task, viewer=None)
    assert shown is not None and shown.result is not None
    assert shown.result.faults == 4 and shown.result.fault.startswith("why 0")


async def test_a_wrong_clock_dates_nothing_elsewhere(leader: Leader, store: ResultStore) -> None:
    on = node("tell-6")
    task = await running(leader, on)
    assert (
        await place(store, on.name, told(task, 0, 1, points=(*losses(1.0, at=1e9), *losses(2.0, at=4e9))))
        == 1
    )
    (loss,) = await store.metrics(task.task, viewer=None, names=None, points=500)
    assert all(time.time() - 3700 < at < time.time() + 60 for at in loss.times)


async def test_a_hundred_metrics_and_no_more(leader: Leader, store: ResultStore, reads: Reads) -> None:
    on = node("tell-7")
    task = await running(leader, on)
    for start in (0, 1):
        points = tuple(Point(f"m{start}_{number}", float(number), time.time()) for number in range(100))
        assert await place(store, on.name, told(task, start, start + 1, points=points)) == start + 1
    shown = await reads.task(task.task, viewer=None)
    assert shown is not None and shown.result is not None and len(shown.result.metrics) == 100


async def test_it_never_waits_for_the_schedulers_rows(
    leader: Leader, store: ResultStore, database: asyncpg.Connection
) -> None:
    """A batch that changes the task and is not committed yet does not hold up what the task tells."""
    on = node("tell-8")
    task = await running(leader, on)
    async with database.transaction():
        await database.execute("update corral.tasks set updated_at = now() where id = $1", task.id)
        async with asyncio.timeout(10):
            assert await place(store, on.name, told(task, 0, 10, progress=1.0)) == 10


@pytest.mark.contract("S4.19")
async def test_only_who_counts_speaks_for_the_owner_of_its_task(leader: Leader, store: ResultStore) -> None:
    on, other = node("tell-20"), node("tell-21")
    task = await running(leader, on)
    ref = AttemptRef(task.task.job, task.task.index, 1)
    assert await store.speaker(on.name, ref) == ALICE
    assert await store.speaker(other.name, ref) is None
    assert await store.speaker(on.name, ref._replace(fence=2)) is None


def wanted(
    task: NewTask, *, viewer: str | None = ALICE, severities: tuple[str, ...] = ALL, limit: int = 9
) -> WantedLines:
    return WantedLines(viewer, task.task.job, None, 0.0, 1e11, severities, 0, limit)


@pytest.mark.contract("S1.40")
async def test_what_is_logged_outlives_node_and_job(
    leader: Leader, store: ResultStore, reads: Reads, database: asyncpg.Connection
) -> None:
    on = node("log-1")
    task = await running(leader, on)
    now_s = time.time()
    lines = (Line("info", "begun", now_s), Line("warning", "odd\x00", now_s), Line("error", "over", 4e9))
    first = told(task, 0, 50, lines=lines)
    assert [await place(store, on.name, first) for _ in range(2)] == [50, 50], "each line counts once"
    found = await store.logged(wanted(task))
    assert [(line.severity, line.text[:5], line.fence, line.node) for line in found] == [
        ("info", "begun", 1, on.name),
        ("warning", "odd\ufffd"[:5], 1, on.name),
        ("error", "over", 1, on.name),
    ]
    assert all(now_s - 60 < line.at < now_s + 60 for line in found), "by a clock that may be wrong"
    shown = await reads.task(task.task, viewer=ALICE)
    assert shown is not None and shown.logged == found
    await database.execute("delete from corral.nodes where id = $1", on.id)
    await database.execute("delete from corral.jobs where number = $1", task.task.job)
    assert await store.logged(wanted(task)) == found
    assert await store.logged(wanted(task, viewer="bob")) == []
    assert await store.logged(wanted(task, viewer=None, severities=("error",))) == found[2:]
    assert await store.logged(wanted(task, limit=1)) == found[2:], "the newest"


async def test_a_task_logs_so_much_a_day(
    leader: Leader, store: ResultStore, database: asyncpg.Connection
) -> None:
    on = node("log-2")
    task = await running(leader, on)
    now_s = time.time()
    for start in range(11):
        many = tuple(Line("info", f"{start}.{number}", now_s) for number in range(499))
        assert await place(store, on.name, told(task, start, start + 1, lines=many)) == start + 1
    count = "select count(*) from corral.task_logs where task_id = $1"
    assert await database.fetchval(count, task.id) == 5_001
    (last,) = await store.logged(wanted(task, severities=("warning",)))
    assert "5,000 lines a day" in last.text
    await database.execute(
        "update corral.task_results set logged_on = '2020-01-01' where task_id = $1", task.id
    )
    await place(store, on.name, told(task, 11, 12, lines=(Line("error", "the next day", now_s),)))
    assert [line.text for line in await store.logged(wanted(task, severities=("error",)))] == ["the next day"]


async def test_what_was_noticed_of_a_task_is_in_its_log(
    leader: Leader, store: ResultStore, reads: Reads, coordinator_dsn: str
) -> None:
    on, other = node("log-3"), node("log-4")
    task = await running(leader, on)
    ref = AttemptRef(task.task.job, task.task.index, 1)
    writer = await TelemetryStore.connect(coordinator_dsn)
    try:
        at = time.time()
        await writer.write(
            [
                RemarkRecord(at=at, attempt=ref, node=on.name, severity="warning", text="a line\x00 was bad"),
                RemarkRecord(at=at, attempt=ref, node=other.name, severity="error", text="not its node"),
                RemarkRecord(
                    at=at, attempt=ref._replace(fence=9), node=on.name, severity="error", text="no such"
                ),
            ]
        )
    finally:
        await writer.close()
    (line,) = await store.logged(wanted(task))
    assert line.severity == "warning" and line.text.startswith("a line") and "\x00" not in line.text
    shown = await reads.task(task.task, viewer=ALICE)
    assert shown is not None and shown.logged == [line]
    assert await place(store, on.name, told(task, 0, 5, progress=3.0)) == 5, "it is heard from the start"
