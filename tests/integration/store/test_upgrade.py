"""A database of an older release is taken over: its jobs go on, its books hold, its history can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copy
from urllib.parse import urlsplit

import asyncpg
import pytest
from msgspec.structs import replace

from bus.values import AttemptState, JobState, Resources, TaskRef, TaskState
from coordinator.api.placed import explanation_of
from coordinator.core import why
from coordinator.core.effects import NodeLedger, TaskChange
from coordinator.store.books import Books
from coordinator.store.reads import Reads
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import Snapshot
from sql import MIGRATIONS
from sql.migrate import migrate, migrations
from tests.fixtures_postgres import TestServer, database
from tests.integration.store.conftest import Leader
from tests.store_rows import NOTHING, T0, job_change

OLD = 22
ROWS = Path(__file__).with_name(f"rows_at_{OLD:04d}.sql")
NODE, WHOLE = "n1", Resources(1000, 64, 1)


@pytest.fixture
async def upgraded(postgres_server: TestServer, empty_dsn: str, tmp_path: Path) -> str:
    """The address for a coordinator of a database that an older one left, migrated since."""
    for path in sorted(MIGRATIONS.glob("*.sql"))[:OLD]:
        copy(path, tmp_path)
    connection = await asyncpg.connect(empty_dsn)
    try:
        await connection.execute("drop schema if exists corral cascade")
        assert len(await migrate(empty_dsn, folder=tmp_path)) == OLD
        await connection.execute(ROWS.read_text())
    finally:
        await connection.close()
    assert len(await migrate(empty_dsn)) == len(migrations()) - OLD
    return database(postgres_server.coordinator_dsn, urlsplit(empty_dsn).path[1:])


@pytest.fixture
async def heir(upgraded: str) -> AsyncIterator[Leader]:
    store = await RelationalStore.connect(upgraded)
    await store.lead("new", 10)
    yield Leader(store)
    await store.resign()
    await store.close()


async def flaws(dsn: str, epoch: int) -> list[str]:
    books = Books(dsn)
    async with books.opened() as opened:
        found = [repr(flaw) for flaw in await opened.flaws(epoch=epoch)]
    await books.close()
    return found


def of(snapshot: Snapshot, job: int) -> tuple[JobState, list[TaskState], list[AttemptState]]:
    (live,) = (each for each in snapshot.jobs if each.job.number == job)
    tasks = [each.state for each in snapshot.tasks if each.task.job == job]
    return live.change.state, tasks, [each.state for each in snapshot.attempts if each.attempt.job == job]


async def test_live_jobs_are_loaded_with_what_they_hold(heir: Leader, upgraded: str) -> None:
    snapshot = await heir.store.load()
    assert of(snapshot, 2) == (JobState.RUNNING, [TaskState.RUNNING], [AttemptState.RUNNING])
    assert of(snapshot, 3) == (
        JobState.SCHEDULED,
        [TaskState.ASSIGNED, TaskState.QUEUED],
        [AttemptState.ASSIGNED],
    )
    (node,) = snapshot.nodes
    assert (node.capacity, node.allocated) == (Resources(8000, 16384, 2), WHOLE)
    (running,) = (each for each in snapshot.attempts if each.attempt.job == 2)
    assert (running.holds, running.gpus) == (WHOLE, ("GPU-2",))
    assert (snapshot.learned, *snapshot.notes, *snapshot.accounts) == (None,)
    assert await flaws(upgraded, heir.store.epoch) == []


async def test_what_ran_through_it_ends_as_any_other(heir: Leader, upgraded: str) -> None:
    """Its GPU is counted in thousandths since, and is free again to the last one."""
    snapshot = await heir.store.load()
    (node,) = snapshot.nodes
    (running,) = (each for each in snapshot.attempts if each.attempt.job == 2)
    (job,) = (each.job for each in snapshot.jobs if each.job.number == 2)
    (task,) = (each for each in snapshot.tasks if each.task.job == 2)
    ended = replace(
        running, state=AttemptState.COMPLETED, holds=NOTHING, ended_at=T0 + 9, exit_code=0, explanation=None
    )
    over = TaskChange(
        task=task.task,
        id=task.id,
        owner=job.owner,
        version=4,
        path=(TaskState.RUNNING, TaskState.COMPLETED),
        remaining=1,
        node=node.name,
        fence=1,
        retries=0,
        started_at=T0 + 3,
        completed_at=T0 + 9,
        exit_code=0,
        signal=None,
        message="",
        output=None,
        changed_at=T0 + 9,
    )
    await heir.commit(
        task_changes=[over],
        steps=[1],
        attempts=[ended],
        job_changes=[
            job_change(job, JobState.COMPLETED, completed=1, started_at=T0 + 3, ended_at=T0 + 9, exit_code=0)
        ],
        ledgers=[NodeLedger(name=node.name, id=node.id, allocated=NOTHING)],
    )
    assert await flaws(upgraded, heir.store.epoch) == []
    (node,) = (await heir.store.load()).nodes
    assert node.allocated == NOTHING


async def test_it_still_says_why_a_task_of_then_ran_where_it_did(upgraded: str) -> None:
    reads = Reads(upgraded)
    task = await reads.task(TaskRef(1, 0), viewer=None)
    await reads.close()
    assert task is not None
    assert (task.resources, task.state) == (WHOLE, TaskState.COMPLETED)
    explanation = explanation_of(task.attempts[-1])
    assert (explanation.order, explanation.rank, explanation.feasible) == ("fcfs", "best_fit", 2)
    seen = [(each.node, each.score, each.chosen) for each in why.decided(explanation, NODE)]
    assert seen == [("n1", 0.25, True), ("n2", 0.5, False), ("n3", None, False)]
