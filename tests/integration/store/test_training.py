"""Gangs in a real database: how far they are, rank by rank, and which ranks nobody has."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bus.values import NodeName, TaskState
from coordinator.core.effects import NewTask, NodeRow
from coordinator.store.checkpoints import CheckpointStore
from coordinator.store.training import GangRow, TrainingStore
from tests.integration.store.conftest import Leader
from tests.integration.store.test_checkpoints import saved, settle
from tests.integration.store.test_results import running
from tests.store_rows import node


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[TrainingStore]:
    made = TrainingStore(coordinator_dsn)
    yield made
    await made.close()


@pytest.fixture
async def checkpoints(coordinator_dsn: str) -> AsyncIterator[CheckpointStore]:
    made = CheckpointStore(coordinator_dsn)
    yield made
    await made.close()


async def add_rank(
    database: asyncpg.Connection,
    task: NewTask,
    on: NodeRow,
    rank: int,
    *,
    state: str = "running",
    fence: int = 1,
) -> None:
    """Another rank of a try, at a node."""
    await database.execute(
        "insert into corral.attempts (task_id, rank, fence, node_id, node_name, state, started_at, ended_at) "
        "values ($1, $2, $3, (select id from corral.nodes where name = $4), $4, $5, now(), "
        "case when $5 in ('assigned', 'running') then null else now() end)",
        task.id,
        rank,
        fence,
        on.name,
        state,
    )


async def only(store: TrainingStore, task: NewTask, *, viewer: str | None = None) -> GangRow:
    (found,) = await store.gangs(viewer=viewer, job=task.task.job, index=task.task.index, after=-1, limit=2)
    return found


@pytest.mark.contract("S1.47")
async def test_how_far_a_gang_is(
    leader: Leader, store: TrainingStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    here, there = node("tr-1"), node("tr-2")
    await leader.commit(nodes=[there])
    task = await running(leader, here)
    await settle(database, task, gang=4)
    await add_rank(database, task, here, 1, state="completed")
    await add_rank(database, task, there, 2)
    await add_rank(database, task, there, 3, state="assigned")
    shown = (await only(store, task, viewer="alice")).shown
    assert (shown.task, shown.state, shown.attempt) == (str(task.task), TaskState.RUNNING, 1)
    assert (shown.ranks, shown.nodes, shown.live, shown.running, shown.completed) == (4, 2, 3, 2, 1)
    assert (shown.step, shown.saving, shown.shards, shown.progress) == (None, None, 0, None)
    await checkpoints.keep(NodeName("tr-1"), saved(task, 10, "all of it", metrics={"loss": 0.5}))
    await checkpoints.keep(NodeName("tr-1"), saved(task, 20, "part 0", shard=True))
    await checkpoints.keep(NodeName("tr-2"), saved(task, 20, "part 2", rank=2, shard=True))
    shown = (await only(store, task)).shown
    assert (shown.step, shown.saving, shown.shards) == (10, 20, 2)
    assert shown.saved_at is not None and abs(shown.saved_at - time.time()) < 60
    assert await store.gangs(viewer="bob", job=task.task.job, index=None, after=-1, limit=2) == []


@pytest.mark.contract("S1.47", "S1.23")
async def test_the_ranks_of_the_newest_try(
    leader: Leader, store: TrainingStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    here = node("tr-3")
    task = await running(leader, here)
    await settle(database, task, gang=2)
    await add_rank(database, task, here, 1)
    await checkpoints.keep(
        NodeName("tr-3"), saved(task, 7, "part 1", rank=1, shard=True, metrics={"loss": 2})
    )
    gang = await only(store, task)
    ranks = await store.ranks(gang)
    assert [(each.rank, each.node, each.state) for each in ranks] == [
        (0, "tr-3", "running"),
        (1, "tr-3", "running"),
    ]
    assert [(each.checkpoint, each.metrics) for each in ranks] == [("", {}), ("step-7", {"loss": 2.0})]


@pytest.mark.contract("S1.48")
async def test_the_ranks_that_nobody_has(
    leader: Leader, store: TrainingStore, database: asyncpg.Connection
) -> None:
    """A gang of 5 with ranks 0 and 2 taken; whose rank is over has it no more."""
    here = node("tr-4")
    task = await running(leader, here)
    await settle(database, task, gang=5)
    await add_rank(database, task, here, 1, state="completed")
    await add_rank(database, task, here, 2)
    await add_rank(database, task, here, 4, state="lost")
    assert await store.available(await only(store, task)) == [1, 3, 4]


async def test_what_is_no_gang_is_not_there(
    leader: Leader, store: TrainingStore, database: asyncpg.Connection
) -> None:
    task = await running(leader, node("tr-5"))
    assert await store.gangs(viewer=None, job=task.task.job, index=None, after=-1, limit=2) == []
    rows = await database.fetch("select rank from corral.available_ranks($1) as rank", task.id)
    assert rows == []
