"""What a task hears of the jobs that it submitted, out of a real database: also when they are archived."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bus.children import ChildEnd
from bus.values import AttemptRef, JobState, TaskState
from coordinator.core.children import line_key
from coordinator.core.effects import NewTask
from coordinator.store.archive import Archive, Before
from coordinator.store.results import ResultStore
from tests.integration.store.conftest import Leader
from tests.store_rows import T0, change, job_change, new_job, new_task

LATER = T0 + 100


@pytest.fixture
async def results(coordinator_dsn: str) -> AsyncIterator[ResultStore]:
    made = ResultStore(coordinator_dsn)
    yield made
    await made.close()


async def submitted(leader: Leader, parent: NewTask | None, key: str | None, state: JobState) -> NewTask:
    """A job of one task that is over (PENDING: it waits)."""
    spec = {"command": ["true"]} | ({} if parent is None else {"parent": f"{parent.task.job}.0"})
    job = new_job(spec=json.dumps(spec).encode(), dedupe_key=key, name=f"of {key}")
    task = new_task(job, parent_id=parent and parent.id)
    if state is JobState.PENDING:
        ended, counts = change(task, 1, TaskState.QUEUED), job_change(job, state, queued=1)
    else:
        path = (TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState(state))
        times = {"started_at": T0 + 1, "completed_at": T0 + 2}
        ended = change(task, 4, *path, fence=1, **times)
        count = {state.value: 1}
        counts = job_change(
            job, state, **count, exit_code=int(state is JobState.FAILED), started_at=T0 + 1, ended_at=T0 + 2
        )
    await leader.commit(new_jobs=[job], job_changes=[counts], new_tasks=[(task, ended)])
    return task


async def test_its_own_and_those_with_a_key_and_what_was_refused(
    leader: Leader, results: ResultStore, coordinator_dsn: str, database: asyncpg.Connection
) -> None:
    parent = await submitted(leader, None, None, JobState.PENDING)
    attempt = AttemptRef(parent.task.job, 0, 2)
    good = await submitted(leader, parent, line_key(attempt, 30), JobState.COMPLETED)
    keyed = await submitted(leader, parent, "shard-1", JobState.FAILED)
    await submitted(leader, parent, line_key(attempt._replace(fence=1), 30), JobState.FAILED)
    await submitted(leader, None, "elsewhere", JobState.FAILED)
    for place in (40, 40, 50):
        await results.refuse(attempt, place, f"at {place}")
    await results.refuse(attempt._replace(fence=1), 40, "of another attempt")
    failed = ChildEnd(
        job=keyed.task.job,
        name="of shard-1",
        key="shard-1",
        state=JobState.FAILED,
        tasks=1,
        failed=1,
        exit_code=1,
    )
    refused = [ChildEnd(job=0, reason="at 40"), ChildEnd(job=0, reason="at 50")]
    completed = ChildEnd(
        job=good.task.job,
        name=f"of {line_key(attempt, 30)}",
        state=JobState.COMPLETED,
        tasks=1,
        completed=1,
        exit_code=0,
    )
    expected = [*refused, failed, completed]
    found = await results.children(attempt, limit=9)
    assert sorted(found[:2], key=lambda child: child.reason) + found[2:] == expected
    assert await results.children(attempt, limit=3) == found[:3], "what did not complete comes first"
    archive = Archive(coordinator_dsn)
    try:
        numbers = [good.task.job, keyed.task.job]
        await archive.move(numbers, Before(LATER, LATER, LATER), epoch=leader.store.epoch, by="x")
    finally:
        await archive.close()
    assert await database.fetchval("select count(*) from corral.jobs where number = any($1)", numbers) == 0
    found = await results.children(attempt, limit=9)
    assert sorted(found[:2], key=lambda child: child.reason) + found[2:] == expected
    assert await results.children(AttemptRef(10**9, 0, 1), limit=9) == []
