"""Shares of GPUs as rows: each GPU is given to its thousandths and no further, and freed again."""

from __future__ import annotations

import asyncpg
import pytest
from msgspec.structs import replace

from bus.values import AttemptState, GpuInfo, JobState, Resources, TaskState
from coordinator.core.effects import AttemptChange, NewTask, NodeRow
from coordinator.store.errors import Disagreement
from tests.integration.store.conftest import Leader
from tests.store_rows import NOTHING, T0, attempt, change, job_change, ledger, new_job, new_task, node

QUEUED, ASSIGNED = TaskState.QUEUED, TaskState.ASSIGNED
TAKEN = "select taken_milli from corral.gpus where node_id = $1 and uuid = $2"


def with_gpus(name: str, *uuids: str) -> NodeRow:
    on = node(name, capacity=Resources(8000, 16384, len(uuids)))
    gpus = tuple(GpuInfo(uuid=uuid, model="NVIDIA A100", mem_mib=81920, shareable=True) for uuid in uuids)
    return replace(on, inventory=replace(on.inventory, gpus=gpus))


async def place(leader: Leader, on: NodeRow, amounts: Resources, gpus: tuple[str, ...]) -> AttemptChange:
    """One task on `on` that holds `amounts`; the ledger is written by who calls."""
    job = new_job()
    task: NewTask = replace(new_task(job), resources=amounts, gpu_types=("a100",), gpu_mem_mib=40960)
    live = attempt(task, on, AttemptState.ASSIGNED, new=True, gpus=gpus, requested=amounts, holds=amounts)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.SCHEDULED, assigned=1)],
        new_tasks=[(task, change(task, 2, QUEUED, ASSIGNED, node=on.name, fence=1))],
        attempts=[live],
    )
    return live


async def test_shares_fill_a_gpu_and_no_more(leader: Leader, database: asyncpg.Connection) -> None:
    on = with_gpus("shares", "GPU-1", "GPU-2")
    await leader.commit(nodes=[on])
    small, large = Resources(100, 1, gpu_milli=300), Resources(100, 1, gpu_milli=700)
    first = await place(leader, on, small, ("GPU-1",))
    await place(leader, on, large, ("GPU-1",))
    await leader.commit(ledgers=[ledger(on, small + large)])
    assert await database.fetchval(TAKEN, on.id, "GPU-1") == 1000
    for amounts in (Resources(100, 1, gpu_milli=1), Resources(100, 1, 1)):
        with pytest.raises(Disagreement, match="gpus_within_one"):
            await place(leader, on, amounts, ("GPU-1",))
    ended = replace(first, new=False, state=AttemptState.COMPLETED, holds=NOTHING, ended_at=T0 + 9)
    await leader.commit(attempts=[ended], ledgers=[ledger(on, large)])
    assert await database.fetchval(TAKEN, on.id, "GPU-1") == 700
    assert (
        await database.fetchval("select count(*) from corral.ledger_mismatches where node_id = $1", on.id)
        == 0
    )
    row = await database.fetchrow(
        "select gpus, gpus_available, gpu_millis_available from corral.node_overview where id = $1", on.id
    )
    assert tuple(row) == (2, 1, 1300)


async def test_a_gpu_that_was_away_is_as_taken_as_before(
    leader: Leader, database: asyncpg.Connection
) -> None:
    on = with_gpus("away", "GPU-1")
    await leader.commit(nodes=[on])
    whole = Resources(100, 1, 1)
    await place(leader, on, whole, ("GPU-1",))
    held = replace(on, allocated=whole)
    await leader.commit(nodes=[replace(held, inventory=replace(on.inventory, gpus=()))])
    assert await database.fetchval(TAKEN, on.id, "GPU-1") is None
    await leader.commit(nodes=[held])
    assert await database.fetchval(TAKEN, on.id, "GPU-1") == 1000


async def test_what_was_asked_for_comes_back(leader: Leader, database: asyncpg.Connection) -> None:
    on = with_gpus("asked", "GPU-1")
    await leader.commit(nodes=[on])
    half = Resources(100, 1, gpu_milli=500)
    live = await place(leader, on, half, ("GPU-1",))
    await leader.commit(ledgers=[ledger(on, half)])
    snapshot = await leader.store.load()
    [seen] = [each for each in snapshot.attempts if each.task_id == live.task_id]
    assert (seen.requested, seen.holds, seen.gpus) == (half, half, ("GPU-1",))
    [machine] = [each for each in snapshot.nodes if each.id == on.id]
    assert (machine.capacity, machine.allocated) == (on.capacity, half)
    assert machine.inventory.gpus[0].shareable
    row = await database.fetchrow(
        "select gpus, gpu_milli, gpu_type, gpu_mem_mib from corral.tasks where id = $1", live.task_id
    )
    assert tuple(row) == (0, 500, "a100", 40960)
    units = await database.fetch(
        "select distinct unit from corral.node_resources where resource = 'gpu'"
        " union select distinct unit from corral.allocations where resource = 'gpu'"
    )
    assert [unit for (unit,) in units] == ["milligpu"]
