"""A batch is one transaction: all or nothing, once however often it is sent, refused if it does not fit."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from bus.values import AttemptState, JobState, NodeHealth, Resources, TaskState
from coordinator.core.scheduler.explain import Explanation
from coordinator.store.errors import Disagreement
from coordinator.store.rows import Batch
from tests.integration.store.conftest import Leader
from tests.store_rows import (
    NOTHING,
    REQUEST,
    T0,
    attempt,
    change,
    job_change,
    ledger,
    new_job,
    new_task,
    node,
)

Q, A, R, C = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED


@pytest.mark.contract("S2.20", "S2.43", "S0.21", "S0.36", "S0.59", "S0.1")
async def test_the_life_of_a_task_is_written_and_its_books_balance(
    leader: Leader, database: asyncpg.Connection
) -> None:
    on = node("life")
    job = new_job()
    task = new_task(job)
    await leader.commit(nodes=[on])
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    await leader.commit(
        task_changes=[change(task, 2, Q, A, node="life", fence=1)],
        steps=[1],
        attempts=[attempt(task, on, AttemptState.ASSIGNED, new=True, explanation=Explanation(epsilon=0.5))],
        ledgers=[ledger(on, REQUEST)],
        job_changes=[job_change(job, JobState.SCHEDULED, assigned=1)],
    )
    active = (
        "select resource, amount from corral.allocations where task_id = $1 and status = 'active' order by 1"
    )
    assert [tuple(row) for row in await database.fetch(active, task.id)] == [("cpu", 1000), ("memory", 64)]
    assert await database.fetch("select * from corral.ledger_mismatches") == []
    await leader.commit(
        task_changes=[
            change(
                task, 4, A, R, C, node="life", fence=1, started_at=T0 + 3, completed_at=T0 + 5, exit_code=0,
                output=b'{"words": 3}',
            )
        ],
        steps=[2],
        attempts=[attempt(task, on, AttemptState.COMPLETED, ended_at=T0 + 5, exit_code=0)],
        ledgers=[ledger(on, NOTHING)],
        job_changes=[job_change(job, JobState.COMPLETED, completed=1, ended_at=T0 + 5, exit_code=0)],
    )  # fmt: skip
    assert await database.fetch(active, task.id) == []
    row = await database.fetchrow("select * from corral.tasks where id = $1", task.id)
    assert (row["state"], row["version"], row["path"], row["latency_ms"]) == ("completed", 4, None, 5000)
    assert (row["execution_time"], row["wait_time"], row["output"]) == (2, 3, '{"words": 3}')
    history = await database.fetch(
        "select old_state, new_state from corral.task_events where task_id = $1 order by version, step",
        task.id,
    )
    moves = [("queued", "assigned"), ("assigned", "running"), ("running", "completed")]
    assert [tuple(move) for move in history] == moves
    assert await database.fetchval("select state = corral.rollup(id) from corral.jobs where id = $1", job.id)
    assert await database.fetch("select * from corral.ledger_mismatches") == []


async def test_the_same_batch_again_changes_nothing(leader: Leader, database: asyncpg.Connection) -> None:
    job = new_job()
    task = new_task(job)
    batch = Batch(
        number=next(leader.numbers),
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    assert not await leader.store.committed(batch.number)
    await leader.store.commit(batch)
    assert await leader.store.committed(batch.number)
    await leader.store.commit(batch)
    assert await database.fetchval("select count(*) from corral.tasks where job_id = $1", job.id) == 1


async def test_a_version_that_differs_undoes_the_whole_batch(
    leader: Leader, database: asyncpg.Connection
) -> None:
    job, other = new_job(), new_job()
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    extra = new_task(other)
    with pytest.raises(Disagreement, match="version"):
        await leader.commit(
            new_jobs=[other],
            new_tasks=[(extra, change(extra, 1, TaskState.PENDING))],
            task_changes=[change(task, 7, Q, A)],
            steps=[1],
        )
    assert await database.fetchval("select count(*) from corral.jobs where id = $1", other.id) == 0
    await leader.commit(
        task_changes=[change(task, 2, Q, TaskState.CANCELLED, completed_at=T0 + 1)], steps=[1]
    )


@pytest.mark.parametrize(
    "path", [(Q, R), (Q, A, C), (A, R), (Q, A, TaskState.TIMEOUT)], ids=lambda path: "-".join(path)
)
async def test_an_illegal_path_is_refused(leader: Leader, path: tuple[TaskState, ...]) -> None:
    job = new_job()
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    with pytest.raises(Disagreement, match="Invalid status transition"):
        await leader.commit(task_changes=[change(task, 2, *path)], steps=[1])


async def test_a_state_that_the_counters_do_not_give_is_refused(leader: Leader) -> None:
    job = new_job()
    with pytest.raises(Disagreement, match="running for the core, pending for the database"):
        await leader.commit(new_jobs=[job], job_changes=[job_change(job, JobState.RUNNING, queued=1)])


async def test_an_unknown_owner_is_refused(leader: Leader) -> None:
    with pytest.raises(Disagreement, match="owner"):
        await leader.commit(new_jobs=[new_job(owner="nobody")])


@pytest.mark.contract("S2.22")
async def test_more_than_a_node_has_is_refused(leader: Leader) -> None:
    on = node("full")
    await leader.commit(nodes=[on])
    with pytest.raises(Disagreement, match="node_resources_within_capacity"):
        await leader.commit(ledgers=[ledger(on, Resources(cpu_millis=8001))])


async def test_elements_leave_a_range_with_rows_of_their_own(
    leader: Leader, database: asyncpg.Connection
) -> None:
    on = node("ranges")
    job = new_job(tasks=10)
    whole = new_task(job, size=10)
    await leader.commit(
        nodes=[on],
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=10)],
        new_tasks=[(whole, change(whole, 1, Q))],
    )
    element = new_task(job, 3, range_id=whole.id)
    await leader.commit(
        new_tasks=[(element, change(element, 2, Q, A, node="ranges", fence=1))],
        task_changes=[change(whole, 2, Q, remaining=9)],
        steps=[1],
        attempts=[attempt(element, on, AttemptState.ASSIGNED, new=True)],
        ledgers=[ledger(on, REQUEST)],
        job_changes=[job_change(job, JobState.SCHEDULED, queued=9, assigned=1)],
    )
    rows = await database.fetch(
        "select index, state from corral.tasks_expanded where job_id = $1 order by index", job.id
    )
    assert [row["index"] for row in rows] == list(range(10))
    assert [row["index"] for row in rows if row["state"] == "assigned"] == [3]
    assert await database.fetchval("select state = corral.rollup(id) from corral.jobs where id = $1", job.id)


async def test_a_clock_set_back_does_not_make_rows_unwritable(
    leader: Leader, database: asyncpg.Connection
) -> None:
    job = new_job()
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    await leader.commit(
        task_changes=[
            change(task, 4, Q, A, R, C, started_at=T0 - 3600, completed_at=T0 - 3601, changed_at=T0 - 3600)
        ],
        steps=[3],
    )
    assert await database.fetchval("select latency_ms from corral.tasks where id = $1", task.id) == 0


async def test_hostile_text_is_stored_mended(leader: Leader, database: asyncpg.Connection) -> None:
    job = new_job()
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    await leader.commit(
        task_changes=[
            change(task, 4, Q, A, R, C, started_at=T0, completed_at=T0, message="a\0b", output=rb'"\u0000"')
        ],
        steps=[3],
    )
    row = await database.fetchrow("select error_message, output from corral.tasks where id = $1", task.id)
    assert "\0" not in row["error_message"] and row["output"] is not None


async def test_a_deadlock_is_tried_again(leader: Leader, database: asyncpg.Connection) -> None:
    first, second = node("dead-a"), node("dead-b")
    await leader.commit(nodes=[first, second])
    blocker = database.transaction()
    await blocker.start()
    await database.execute("update corral.nodes set annotations = '{}' where id = $1", second.id)
    states = [node(each.name, id=each.id, registered=False) for each in (first, second)]
    committing = asyncio.create_task(leader.commit(nodes=states))
    waiting = "select count(*) from pg_locks where not granted and pid <> pg_backend_pid()"
    async with asyncio.timeout(10):
        while await database.fetchval(waiting) == 0:
            await asyncio.sleep(0.01)
        try:
            # whichever of the two is chosen as the victim, the commit succeeds
            await database.execute("update corral.nodes set annotations = '{}' where id = $1", first.id)
        except asyncpg.DeadlockDetectedError:
            pass
        await blocker.rollback()
        await committing


async def test_health_and_heartbeat_never_go_back(leader: Leader, database: asyncpg.Connection) -> None:
    on = node("beat", last_heartbeat_at=T0 + 50)
    await leader.commit(nodes=[on])
    lost = node("beat", id=on.id, registered=False, health=NodeHealth.UNREACHABLE, last_heartbeat_at=T0 + 10)
    await leader.commit(nodes=[lost])
    row = await database.fetchrow(
        "select health, extract(epoch from last_heartbeat_at)::float8 as at from corral.nodes where id = $1",
        on.id,
    )
    assert (row["health"], row["at"]) == ("unreachable", T0 + 50)
    assert await database.fetchval("select status from corral.agents where id = 'beat'") == "inactive"


async def test_a_task_may_lose_an_attempt_and_get_the_next_in_one_batch(
    leader: Leader, database: asyncpg.Connection
) -> None:
    on = node("twice")
    job = new_job()
    task = new_task(job)
    await leader.commit(
        nodes=[on],
        new_jobs=[job],
        job_changes=[job_change(job, JobState.SCHEDULED, assigned=1)],
        new_tasks=[(task, change(task, 2, Q, A, node="twice", fence=1))],
        attempts=[attempt(task, on, AttemptState.ASSIGNED, new=True)],
        ledgers=[ledger(on, REQUEST)],
    )
    again = (A, TaskState.REASSIGNED, Q, A)
    await leader.commit(
        task_changes=[change(task, 5, *again, node="twice", fence=2)],
        steps=[3],
        attempts=[
            attempt(task, on, AttemptState.ASSIGNED, new=True, fence=2),
            attempt(task, on, AttemptState.LOST),
        ],
    )
    states = "select fence, state from corral.attempts where task_id = $1 order by fence"
    found = [tuple(row) for row in await database.fetch(states, task.id)]
    assert found == [(1, "lost"), (2, "assigned")]
    assert await database.fetch("select * from corral.ledger_mismatches") == []


@pytest.mark.contract("S2.28", "S2.35")
async def test_a_job_has_the_image_and_the_network_that_its_spec_asks_for(
    leader: Leader, database: asyncpg.Connection
) -> None:
    asking = new_job(spec=b'{"command": ["true"], "image": "python:3.11", "network_policy": "none"}')
    plain = new_job()
    for job in (asking, plain):
        await leader.commit(new_jobs=[job], job_changes=[job_change(job, JobState.PENDING, queued=1)])
    rows = "select image, network_policy from corral.jobs where id = any($1) order by number"
    found = [tuple(row) for row in await database.fetch(rows, [asking.id, plain.id])]
    assert found == [("python:3.11", "none"), (None, "default")]
