"""Into the archive and nothing lost on the way: every column, every count, only what is old enough."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from bus.values import AttemptState, JobState, TaskState
from coordinator.core.effects import NewJob
from coordinator.core.job_ends import JobEnd, bits_of
from coordinator.store.archive import Archive, Before, Moved, Old
from coordinator.store.reads import Reads
from sql import queries
from tests.integration.store.conftest import Leader
from tests.store_rows import T0, attempt, change, job_change, new_job, new_task, node

LATER = T0 + 100
QUEUED = TaskState.QUEUED


@pytest.fixture
async def archive(coordinator_dsn: str, database: asyncpg.Connection) -> AsyncIterator[Archive]:
    await database.execute("delete from corral.jobs")
    made = Archive(coordinator_dsn)
    yield made
    await made.close()


ENDS = {
    JobState.COMPLETED: (TaskState.COMPLETED, AttemptState.COMPLETED),
    JobState.FAILED: (TaskState.FAILED, AttemptState.FAILED),
    JobState.CANCELLED: (TaskState.CANCELLED, AttemptState.CANCELLED),
}


async def over(
    leader: Leader, state: JobState, *, ended_at: float = T0 + 9, more: int = 0, **other: Any
) -> NewJob:
    """A job whose one task ran and is over; `more` tasks in a range were cancelled before they ran."""
    job = new_job(1 + more, **other)
    n1, task = node(f"n{job.number}"), new_task(job, 0)
    end, attempt_end = ENDS[state]
    path = (QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, end)
    tasks = [(task, change(task, 4, *path, node=n1.name, fence=1, started_at=T0 + 2, completed_at=ended_at))]
    counts = {end.value: 1}
    if more:
        array = new_task(job, 1, size=more)
        tasks.append((array, change(array, 2, QUEUED, TaskState.CANCELLED, completed_at=ended_at)))
        counts["cancelled"] = counts.get("cancelled", 0) + more
    times = {"started_at": T0 + 2, "ended_at": ended_at}
    await leader.commit(nodes=[n1])
    await leader.commit(
        new_jobs=[job],
        job_changes=[
            job_change(
                job, state, **counts, **times, reason="why", cancel_requested=state is JobState.CANCELLED
            )
        ],
        new_tasks=tasks,
        attempts=[attempt(task, n1, attempt_end, new=True, **times)],
    )
    return job


async def row(database: asyncpg.Connection, table: str, number: int) -> dict[str, Any] | None:
    text = await database.fetchval(
        f"select to_jsonb(j)::text from corral.{table} j where number = $1", number
    )
    return None if text is None else json.loads(text)


async def count(database: asyncpg.Connection) -> tuple[int, ...]:
    tables = ("jobs", "tasks", "attempts", "allocations", "dedupe_keys")
    return tuple([await database.fetchval(f"select count(*) from corral.{table}") for table in tables])


@pytest.mark.contract("S1.49")
async def test_a_job_goes_whole(leader: Leader, archive: Archive, database: asyncpg.Connection) -> None:
    job = await over(leader, JobState.FAILED, more=3, dedupe_key="once", metadata=b'{"a": 1}')
    before = await row(database, "jobs", job.number)
    assert await count(database) == (1, 2, 1, 0, 1)
    old = Before(failed=LATER)
    assert await archive.count(old) == [Moved(JobState.FAILED, 1, 4)]
    assert await archive.oldest(old, but=[], limit=9) == [Old(job.number, 4)]
    moved = await archive.move([job.number], old, epoch=leader.store.epoch, by="olga")
    assert moved == [Moved(JobState.FAILED, 1, 4)]
    after = await row(database, "jobs_archive", job.number)
    assert before is not None and after is not None
    assert after.pop("archived_at") and after.pop("completed_tasks") == "{}" and after == before
    assert await count(database) == (0, 0, 0, 0, 0)
    noted = await database.fetchrow("select * from corral.audit where action = 'cluster.gc' order by id desc")
    assert noted is not None and noted["actor"] == "olga"
    assert json.loads(noted["details"]) == {"jobs": 1, "tasks": 4}
    assert await archive.move([job.number], old, epoch=leader.store.epoch, by="olga") == []


async def test_the_query_names_every_column(database: asyncpg.Connection) -> None:
    """A column that a later migration adds to one of the tables must not be lost on the way."""
    rows = await database.fetch(
        "select table_name, column_name from information_schema.columns where table_schema = 'corral'"
        " and table_name in ('jobs', 'jobs_archive') and is_generated = 'NEVER'"
    )
    columns = {
        name: {row["column_name"] for row in rows if row["table_name"] == name}
        for name in ("jobs", "jobs_archive")
    }
    assert columns["jobs_archive"] - {"archived_at"} == columns["jobs"] | {"completed_tasks"}
    named = queries("archive")["move"].split("insert into corral.jobs_archive (")[1].split(")")[0]
    assert {name.strip() for name in named.split(",")} == columns["jobs"] | {"completed_tasks"}


async def test_only_what_ended_that_way_and_long_enough_ago(
    leader: Leader, archive: Archive, database: asyncpg.Connection
) -> None:
    first = await over(leader, JobState.COMPLETED)
    failed = await over(leader, JobState.FAILED, ended_at=T0 + 5)
    late = await over(leader, JobState.CANCELLED, ended_at=LATER + 1)
    live = new_job()
    task = new_task(live)
    await leader.commit(
        new_jobs=[live],
        job_changes=[job_change(live, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, QUEUED))],
    )
    every = Before(LATER, LATER, LATER)
    assert await archive.oldest(every, but=[], limit=9) == [Old(failed.number, 1), Old(first.number, 1)]
    assert await archive.oldest(every, but=[failed.number], limit=9) == [Old(first.number, 1)]
    assert await archive.oldest(every, but=[], limit=1) == [Old(failed.number, 1)]
    assert await archive.oldest(Before(completed=LATER), but=[], limit=9) == [Old(first.number, 1)]
    assert await archive.oldest(Before(), but=[], limit=9) == await archive.count(Before()) == []
    numbers = [job.number for job in (first, failed, late, live)]
    assert await archive.move(numbers, every, epoch=leader.store.epoch + 1, by="x") == []
    moved = await archive.move(numbers, every, epoch=leader.store.epoch, by="x")
    assert {each.state for each in moved} == {JobState.COMPLETED, JobState.FAILED}
    left = {row["number"] for row in await database.fetch("select number from corral.jobs")}
    assert left == {late.number, live.number}


async def test_what_is_archived_keeps_its_number_and_its_end(leader: Leader, archive: Archive) -> None:
    """No number comes twice, and who runs after it still learns how it ended."""
    job = await over(leader, JobState.COMPLETED)
    await archive.move([job.number], Before(completed=LATER), epoch=leader.store.epoch, by="x")
    snapshot = await leader.store.load()
    assert snapshot.next_number > job.number


async def test_which_tasks_completed_is_known_for_ever(
    leader: Leader, archive: Archive, coordinator_dsn: str, database: asyncpg.Connection
) -> None:
    partly = await over(leader, JobState.FAILED)
    await database.execute("alter table corral.tasks disable trigger user")
    await database.execute(
        "insert into corral.tasks (job_id, index, input, state, started_at, completed_at)"
        " select $1, i, '{\"a\": 1}', case when i in (4, 5, 9) then 'completed' else 'cancelled' end,"
        " now(), now() from generate_series(1, 9) i",
        partly.id,
    )
    await database.execute("alter table corral.tasks enable trigger user")
    await database.execute(
        "update corral.jobs set total = 10, completed = 3, cancelled = 6 where id = $1", partly.id
    )
    done = await over(leader, JobState.COMPLETED)
    reads = Reads(coordinator_dsn)
    numbers = [partly.number, done.number]
    expected = {
        partly.number: JobEnd(False, 10, bits_of([(4, 6), (9, 10)], 10)),
        done.number: JobEnd(True, 1),
    }
    try:
        assert await reads.ended(numbers, viewer=None, one_by_one=numbers) == expected
        assert (await reads.ended(numbers, viewer=None))[partly.number] == JobEnd(False, 10)
        before = Before(LATER, LATER, LATER)
        await archive.move(numbers, before, epoch=leader.store.epoch, by="op")
        assert await reads.ended(numbers, viewer=None, one_by_one=numbers) == expected
        await database.execute("update corral.jobs_archive set completed_tasks = null")
        found = await reads.ended(numbers, viewer=None, one_by_one=numbers)
        assert found[partly.number] == JobEnd(False, 10), "archived by an older version"
    finally:
        await reads.close()
