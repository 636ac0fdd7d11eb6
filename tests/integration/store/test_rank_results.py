"""What the ranks of a gang tell, in a real database: each counts for itself, rank 0 for the task."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from bus.results import Line, Point, Told
from bus.values import AttemptRef, AttemptState, TaskState
from coordinator.core.effects import NewTask, NodeRow, RemarkRecord
from coordinator.store.reads import Reads
from coordinator.store.results import ResultStore
from coordinator.store.telemetry import TelemetryStore
from coordinator.store.training import TrainingStore
from sql import queries
from tests.integration.store.conftest import Leader
from tests.integration.store.test_checkpoints import settle
from tests.integration.store.test_results import losses, place, running, wanted
from tests.store_rows import ALICE, T0, attempt, change, node

Q, A, R, LOST = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.REASSIGNED


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[ResultStore]:
    made = ResultStore(coordinator_dsn)
    yield made
    await made.close()


@pytest.fixture
async def training(coordinator_dsn: str) -> AsyncIterator[TrainingStore]:
    made = TrainingStore(coordinator_dsn)
    yield made
    await made.close()


def of_rank(task: NewTask, rank: int, fence: int = 1) -> AttemptRef:
    return AttemptRef(*task.task.of_rank(rank), fence)


def told(task: NewTask, rank: int, start: int, end: int, *, fence: int = 1, **fields: Any) -> Told:
    return Told(attempt=of_rank(task, rank, fence), start=start, end=end, **fields)


async def a_gang(leader: Leader, database: asyncpg.Connection, *nodes: NodeRow) -> NewTask:
    """Its rank r runs on the r-th node."""
    first, *others = nodes
    task = await running(leader, first)
    await settle(database, task, gang=len(nodes))
    await join(leader, task, dict(enumerate(others, start=1)))
    return task


async def join(leader: Leader, task: NewTask, ranks: dict[int, NodeRow], *, fence: int = 1) -> None:
    rows = [
        replace(
            attempt(task, on, AttemptState.RUNNING, new=True, started_at=T0 + 2),
            attempt=of_rank(task, rank, fence),
        )
        for rank, on in ranks.items()
    ]
    await leader.commit(nodes=list({each.name: each for each in ranks.values()}.values()), attempts=rows)


@pytest.mark.contract("S1.47", "S1.10")
async def test_each_rank_tells_for_itself(
    leader: Leader,
    store: ResultStore,
    reads: Reads,
    training: TrainingStore,
    database: asyncpg.Connection,
) -> None:
    first, second = node("rank-1"), node("rank-2")
    task = await a_gang(leader, database, first, second, second)
    assert await place(store, first.name, told(task, 0, 0, 9, progress=10.0, points=losses(2.0))) == 9
    both = (
        told(task, 2, 0, 9, message="third", points=losses(7.0, step=5), faults=1, fault="no JSON"),
        told(task, 1, 0, 5, progress=90.0, points=losses(6.0, 5.5, step=40)),
    )
    heard = await store.hear(second.name, both)
    assert [each.place for each in heard] == [9, 5], "in the order of the question"
    assert [each.first_fault for each in heard] == [True, False]
    assert [each.place for each in await store.hear(second.name, both)] == [9, 5], "each line counts once"
    assert await place(store, first.name, told(task, 1, 5, 9)) == -1, "it is at the other node"
    assert await place(store, second.name, told(task, 0, 9, 18, progress=90.0)) == -1
    assert await place(store, second.name, told(task, 3, 0, 9)) == -1, "there is no such rank"

    shown = await reads.task(task.task, viewer=ALICE)
    assert shown is not None and shown.result is not None
    assert (shown.result.progress, shown.result.metrics, shown.result.faults) == (10.0, {"loss": 2.0}, 0)
    alone = await reads.task(task.task.of_rank(2), viewer=ALICE)
    assert alone is not None and alone.result is not None, "a rank that is asked for has what it told itself"
    assert (alone.result.message, alone.result.metrics, alone.result.faults) == ("third", {"loss": 7.0}, 1)
    (gang,) = await training.gangs(viewer=ALICE, job=task.task.job, index=None, after=-1, limit=9)
    assert (gang.shown.progress, gang.shown.metrics) == (10.0, {"loss": 2.0})
    ranks = [each.told for each in await training.ranks(gang)]
    assert [
        each and (each.progress, each.step, each.message, each.metrics, each.fault) for each in ranks
    ] == [
        (10.0, 0, "", {"loss": 2.0}, ""),
        (90.0, 41, "", {"loss": 5.5}, ""),
        (None, 5, "third", {"loss": 7.0}, "no JSON"),
    ]
    for rank, values in ((0, [2.0]), (1, [6.0, 5.5]), (2, [7.0])):
        (loss,) = await store.metrics(task.task.of_rank(rank), viewer=ALICE, names=["loss"], points=9)
        assert loss.values == values
    assert await store.metrics(task.task.of_rank(1), viewer="bob", names=None, points=9) == []


async def test_a_step_stays_until_another_is_told(leader: Leader, store: ResultStore, reads: Reads) -> None:
    on = node("rank-3")
    task = await running(leader, on)
    points = (*losses(1.0, step=8), Point("odd", 2.0, time.time()))
    for start, told_points in ((0, points), (1, ()), (2, points[1:])):
        assert await place(store, on.name, told(task, 0, start, start + 1, points=told_points)) == start + 1
    shown = await reads.task(task.task, viewer=ALICE)
    assert shown is not None and shown.result is not None and shown.result.step == 8


async def test_a_new_try_begins_anew_for_every_rank(
    leader: Leader, store: ResultStore, training: TrainingStore, database: asyncpg.Connection
) -> None:
    first, second = node("rank-4"), node("rank-5")
    task = await a_gang(leader, database, first, second)
    for rank, on in enumerate((first, second)):
        one = told(task, rank, 0, 9, progress=80.0, points=losses(2.0 + rank, step=3), faults=1, fault="x")
        assert await place(store, on.name, one) == 9
    await leader.commit(
        task_changes=[change(task, 7, R, LOST, Q, A, R, node=first.name, fence=2, started_at=T0 + 9)],
        steps=[4],
        attempts=[
            attempt(task, first, AttemptState.FAILED, started_at=T0 + 2, ended_at=T0 + 8),
            replace(
                attempt(task, second, AttemptState.LOST, started_at=T0 + 2, ended_at=T0 + 8),
                attempt=of_rank(task, 1),
            ),
            attempt(task, first, AttemptState.RUNNING, new=True, fence=2, started_at=T0 + 9),
        ],
    )
    await join(leader, task, {1: first}, fence=2)
    (gang,) = await training.gangs(viewer=None, job=task.task.job, index=None, after=-1, limit=9)
    assert [each.told for each in await training.ranks(gang)] == [None, None], "nothing of the try before"
    assert await place(store, second.name, told(task, 1, 9, 18)) == -1, "it was lost"
    assert await place(store, first.name, told(task, 1, 9, 18, fence=2)) == 0, (
        "the next one's file is another"
    )
    assert await place(store, first.name, told(task, 1, 0, 4, fence=2, message="anew")) == 4
    told_0, told_1 = [each.told for each in await training.ranks(gang)]
    assert told_0 is None and told_1 is not None
    assert (told_1.progress, told_1.step, told_1.metrics, told_1.faults) == (None, None, {}, 0)
    assert (told_1.message, told_1.fence) == ("anew", 2)


async def test_lines_say_their_rank_and_are_bounded_together(
    leader: Leader, store: ResultStore, reads: Reads, database: asyncpg.Connection
) -> None:
    on = node("rank-6")
    task = await a_gang(leader, database, on, on, on)

    async def log(rank: int, start: int, *texts: str) -> None:
        lines = tuple(Line("info", text, time.time()) for text in texts)
        assert await place(store, on.name, told(task, rank, start, start + 1, lines=lines)) == start + 1

    async def lines(rank: int | None, limit: int = 9) -> list[tuple[int, str]]:
        asked = replace(wanted(task, limit=limit), rank=rank)
        return [(line.rank, line.text) for line in await store.logged(asked)]

    await log(2, 0, "two")
    await log(0, 0, "zero")
    await log(1, 0, "one")
    assert await lines(None) == [(2, "two"), (0, "zero"), (1, "one")]
    assert await lines(2) == [(2, "two")] and await lines(0) == [(0, "zero")] and await lines(3) == []
    shown = await reads.task(task.task, viewer=ALICE)
    assert shown is not None and [line.rank for line in shown.logged] == [2, 0, 1]
    shown = await reads.task(task.task.of_rank(1), viewer=ALICE)
    assert shown is not None and [line.text for line in shown.logged] == ["one"]
    for rank in range(3):
        for start in range(1, 5):
            await log(rank, start, *[f"{start}.{number}" for number in range(450)])
    assert (
        await database.fetchval("select count(*) from corral.task_logs where task_id = $1", task.id) == 5_001
    )
    ((rank, last),) = await lines(None, limit=1)
    assert rank == 2 and "5,000 lines a day" in last


async def test_what_was_noticed_of_a_rank_is_a_line_of_it(
    leader: Leader, store: ResultStore, coordinator_dsn: str, database: asyncpg.Connection
) -> None:
    first, second = node("rank-7"), node("rank-8")
    task = await a_gang(leader, database, first, second)
    writer = await TelemetryStore.connect(coordinator_dsn)
    at = time.time()
    try:
        await writer.write(
            [
                RemarkRecord(at=at, attempt=of_rank(task, rank), node=on.name, severity="warning", text=text)
                for rank, on, text in (
                    (1, second, "of rank 1"),
                    (1, first, "not its node"),
                    (0, first, "of 0"),
                )
            ]
        )
    finally:
        await writer.close()
    found = sorted((line.rank, line.text, line.node) for line in await store.logged(wanted(task)))
    assert found == [(0, "of 0", first.name), (1, "of rank 1", second.name)]
    assert await place(store, second.name, told(task, 1, 0, 5)) == 5


async def test_what_ranks_told_goes_with_their_job_and_their_lines_stay(
    leader: Leader, store: ResultStore, database: asyncpg.Connection
) -> None:
    on = node("rank-9")
    task = await a_gang(leader, database, on, on)
    line = Line("error", "no labels", time.time())
    assert await place(store, on.name, told(task, 1, 0, 9, points=losses(1.0), lines=(line,))) == 9
    await database.execute("delete from corral.jobs where number = $1", task.task.job)
    assert (
        await database.fetchval("select count(*) from corral.task_results where task_id = $1", task.id) == 0
    )
    (kept,) = await store.logged(replace(wanted(task), rank=1))
    assert (kept.rank, kept.text) == (1, "no labels")


def nodes_of(plan: Any) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)


async def test_a_ranks_newest_values_are_found_past_those_of_the_others(
    leader: Leader, store: ResultStore, database: asyncpg.Connection
) -> None:
    """By the index alone: as many rows are read as are asked for."""
    on = node("rank-10")
    task = await a_gang(leader, database, on, on)
    assert await place(store, on.name, told(task, 1, 0, 9, points=losses(1.0))) == 9
    await database.execute(
        "insert into corral.job_metrics (at, job_id, task_id, rank, name, value) "
        "select now() - (p + 1) * interval '100 milliseconds', $1, $2, r, 'loss', p "
        "from generate_series(0, 7) r, generate_series(1, 2000) p",
        task.job_id,
        task.id,
    )
    await database.execute("analyze corral.job_metrics")
    question = "explain (analyze, format json) " + queries("results")["metrics"]
    answer = await database.fetchval(question, None, task.task.job, task.task.index, 100, ["loss"], 1)
    (plan,) = json.loads(answer)
    values = ("job_metrics", "_hyper")  # TimescaleDB names its chunks, and who appends them by the whole
    scans = [
        each
        for each in nodes_of(plan["Plan"])
        if each.get("Relation Name", "").startswith(values) and each["Node Type"] != "Custom Scan"
    ]
    read = sum(each["Actual Rows"] * each["Actual Loops"] for each in scans)
    assert 100 <= read <= 110 and all("Index" in each["Node Type"] for each in scans), plan
    assert sum(each.get("Rows Removed by Filter", 0) for each in scans) == 0, plan
    (loss,) = await store.metrics(task.task.of_rank(1), viewer=None, names=["loss"], points=100)
    assert len(loss.values) == 100
