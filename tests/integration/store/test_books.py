"""The books of a sound database hold; whatever other hands do to its rows is found, by its invariant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import asyncpg
import pytest
from msgspec import Struct
from msgspec.structs import replace

from bus.values import AttemptState, GpuInfo, JobState, TaskState
from coordinator.core.effects import NewJob
from coordinator.store.books import _CHECKS, Books, OpenBooks
from tests.integration.store.conftest import Leader
from tests.store_rows import T0, attempt, change, job_change, ledger, new_job, new_task, node

_numbers = count(1)

QUEUED, ASSIGNED, RUNNING = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING


class Rows(Struct, frozen=True):
    """A live job with a running task, one that failed once, and a range one element of it cancelled."""

    job: NewJob
    node: str
    epoch: int


@pytest.fixture
async def rows(leader: Leader) -> Rows:
    number = next(_numbers)
    n1 = node(f"n{number}")
    gpu = GpuInfo(uuid="GPU-y", model="any", mem_mib=1)
    n1 = replace(n1, inventory=replace(n1.inventory, gpus=(gpu,)))
    job = new_job(7, dedupe_key=f"key-{number}")
    runs, failed = new_task(job, 0), new_task(job, 1)
    array = new_task(job, 2, size=5)
    element = new_task(job, 3, range_id=array.id)
    on = {"node": n1.name, "fence": 1}
    await leader.commit(nodes=[n1])
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.RUNNING, queued=4, running=1, failed=1, cancelled=1)],
        new_tasks=[
            (runs, change(runs, 3, QUEUED, ASSIGNED, RUNNING, **on, started_at=T0 + 2)),
            (failed, change(failed, 3, QUEUED, ASSIGNED, TaskState.FAILED, **on, completed_at=T0 + 3)),
            (array, change(array, 2, QUEUED, remaining=4)),
            (element, change(element, 2, QUEUED, TaskState.CANCELLED, completed_at=T0 + 3, remaining=1)),
        ],
        attempts=[
            attempt(runs, n1, AttemptState.RUNNING, new=True, started_at=T0 + 2),
            attempt(failed, n1, AttemptState.FAILED, new=True, ended_at=T0 + 3),
        ],
        ledgers=[ledger(n1, runs.resources)],
    )
    return Rows(job, n1.name, leader.store.epoch)


@pytest.fixture
async def damaged(database: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A connection on which no trigger and no foreign key minds what is done; nothing of it stays."""
    transaction = database.transaction()
    await transaction.start()
    await database.execute("set local search_path = corral; set local session_replication_role = replica")
    yield database
    await transaction.rollback()


async def test_a_sound_database_holds(rows: Rows, coordinator_dsn: str) -> None:
    books = Books(coordinator_dsn)
    async with books.opened() as opened:
        assert await opened.flaws(epoch=rows.epoch) == []
        sizes = await opened.sizes()
        assert rows.job.number in {live.job.number for live in (await opened.snapshot()).jobs}
    await books.close()
    assert sizes.keys() == {"jobs", "tasks", "attempts", "allocations", "nodes"}
    assert min(sizes.values()) >= 1


THIS_TASK = "job_id = $1 and index = 0"
THIS_ATTEMPT = f"task_id = (select id from tasks where {THIS_TASK})"
ANYWHERE = "allocated > 0 and $1::uuid is not null"

DAMAGE = [
    ("I1", "lost_tasks", "{job}", f"delete from tasks where {THIS_TASK}"),
    ("I4", "counters", "{job}", "update jobs set completed = 1, queued = 3 where id = $1"),
    ("I1", "ends", "{job}", "update jobs set ended_at = now() where id = $1"),
    ("I1", "keys", "{job}", "delete from dedupe_keys where job_id = $1"),
    ("I1", "orphans", "{task}", "delete from jobs where id = $1"),
    ("I1", "orphans", "{task}#1", f"delete from tasks where {THIS_TASK}"),
    ("I1", "orphans", "{task}#1", f"delete from attempts where {THIS_ATTEMPT}"),
    ("I2", "fences", "{job}.0#1", f"update tasks set fence = 2 where {THIS_TASK}"),
    ("I2", "fences", "{job}.0#1", f"update tasks set node_id = null where {THIS_TASK}"),
    ("I3", "alive_though_over", "{job}.0#1", f"update tasks set state = 'completed' where {THIS_TASK}"),
    ("I2", "alive_though_waiting", "{job}.0#1", f"update tasks set state = 'queued' where {THIS_TASK}"),
    ("I1", "abandoned", "{job}.0", f"delete from attempts where {THIS_ATTEMPT}"),
    (
        "I4",
        "ledgers",
        "{node}",
        f"update node_resources set allocated = 0 where {ANYWHERE}",
    ),
    ("I4", "ledgers", "{node}", f"delete from node_resources where {ANYWHERE}"),
    ("I4", "holdings", "{job}.0#1", f"update allocations set amount = amount + 1 where {THIS_ATTEMPT}"),
    ("I4", "holdings", "{job}.0#1", f"delete from allocations where {THIS_ATTEMPT}"),
    (
        "I4",
        "gpus",
        "{node} GPU-x",
        "insert into gpus (node_id, uuid, model, mem_mib, taken_milli)"
        f" select node_id, 'GPU-x', 'any', 1, 500 from attempts where {THIS_ATTEMPT}",
    ),
    ("I4", "gpus", "{node} GPU-y", f"update attempts set gpu_uuids = '{{GPU-y}}' where {THIS_ATTEMPT}"),
    ("I6", "transitions", "{job}.0", f"update tasks set state = 'completed' where {THIS_TASK}"),
    (
        "I6",
        "transitions",
        "{job}.0",
        f"update task_events set old_state = 'completed' where {THIS_ATTEMPT} and new_state = 'running'",
    ),
]


@pytest.mark.parametrize(("invariant", "check", "place", "damage"), DAMAGE)
async def test_what_other_hands_did_is_found(
    rows: Rows, damaged: asyncpg.Connection, invariant: str, check: str, place: str, damage: str
) -> None:
    task = await damaged.fetchval(f"select id from tasks where {THIS_TASK}", rows.job.id)
    await damaged.execute(damage, rows.job.id)
    found = await OpenBooks(damaged).flaws(epoch=rows.epoch)
    expected = (
        invariant,
        f"database.{check}",
        place.format(job=rows.job.number, task=task, node=rows.node),
    )
    assert expected in [(flaw.invariant, flaw.check, flaw.object) for flaw in found]
    assert all(flaw.what and flaw.hint for flaw in found)


async def test_two_live_attempts_are_found(rows: Rows, damaged: asyncpg.Connection) -> None:
    await damaged.execute("drop index attempts_live")
    await damaged.execute(
        "insert into attempts (task_id, fence, node_id, node_name, state)"
        f" select task_id, 2, node_id, 'other', state from attempts where {THIS_ATTEMPT}",
        rows.job.id,
    )
    found = {flaw.check: flaw for flaw in await OpenBooks(damaged).flaws(epoch=rows.epoch)}
    assert found["database.two_live"].what == f"has 2 live attempts: #1 on {rows.node}, #2 on other"


async def test_another_epoch_is_found(rows: Rows, damaged: asyncpg.Connection) -> None:
    (flaw,) = await OpenBooks(damaged).flaws(epoch=rows.epoch - 1)
    assert (flaw.invariant, flaw.check) == ("I2", "database.leaders")
    await damaged.execute("insert into batches (epoch, number) values ($1, 1)", rows.epoch + 1)
    (flaw,) = await OpenBooks(damaged).flaws(epoch=rows.epoch)
    assert flaw.check == "database.leaders"


def test_every_check_is_damaged_somewhere() -> None:
    assert {check for _, check, _, _ in DAMAGE} | {"two_live", "leaders"} == set(_CHECKS)
