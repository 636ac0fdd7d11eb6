"""What speaks against tasks and nodes comes back from the rows; and who looks sees whose fault it was."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import pytest

from bus.values import Outcome
from coordinator.core.rebuild import restore_loss
from coordinator.core.refusals import settle_refusals
from tests.integration.store.conftest import Leader
from tests.integration.store.test_steering import StoredWorld


@pytest.fixture
async def stored(leader: Leader, database: asyncpg.Connection) -> StoredWorld:
    return await StoredWorld.after(leader, database)


def lose(world: StoredWorld, outcome: Outcome = Outcome.LOST, message: str = "") -> None:
    """Whatever is placed next is lost, some time later."""
    world.now_s += 30
    for node in world.cluster.nodes.values():
        node.last_beat_s = node.lease_from_s = world.now_s
    for placement in world.schedule():
        node = next(name for name, held in world.held.items() if placement.attempt in held)
        world.end(placement, node, exit_code=None, outcome=outcome, started_at=None, message=message)


async def status(database: asyncpg.Connection, job: int) -> list[str]:
    rows = await database.fetch(
        "select status from corral.task_status where job_number = $1 order by index", job
    )
    return [row["status"] for row in rows]


@pytest.mark.contract("S1.7")
async def test_losses_are_counted_again_by_the_next_leader(
    stored: StoredWorld, database: asyncpg.Connection
) -> None:
    stored.register("loss-1", node_id=uuid4())
    job = stored.submit(command=["true"], retries=2, backoff=0.1)
    lose(stored)
    lose(stored, Outcome.LEASE_EXPIRED)
    lose(stored)
    await stored.commit()
    for before in (2, 1):
        cluster = await stored.loaded()
        for loss in (await stored.leader.store.load()).losses:
            if loss.task.job == job:
                restore_loss(cluster, loss)
        task = cluster.jobs[job].groups[0].find_task(0)
        assert task is not None and task.lost_on == ("loss-1",) * before
        remembered = stored.cluster.jobs[job].groups[0].find_task(0)
        assert remembered is not None and remembered.lost_on == task.lost_on
        (placement,) = stored.schedule()
        stored.end(placement, "loss-1", exit_code=1)
        stored.wait(1.0)
        lose(stored)
        await stored.commit()
    assert await status(database, job) == ["pending"]


async def test_a_node_that_could_not_start_a_task_is_known_to_the_next_leader(
    stored: StoredWorld, database: asyncpg.Connection
) -> None:
    """By its own words; silence says nothing of the kind."""
    for name in ("refuse-1", "refuse-2"):
        stored.register(name, node_id=uuid4())
    job = stored.submit(command=["true"])
    lose(stored, Outcome.NOT_STARTED, "E_IMAGE: no route")
    lose(stored)
    await stored.commit()
    losses = [loss for loss in (await stored.leader.store.load()).losses if loss.task.job == job]
    remembered = stored.cluster.jobs[job].groups[0].find_task(0)
    assert remembered is not None and remembered.refusals is not None
    (refusal,) = remembered.refusals.values()
    assert refusal.why == "E_IMAGE: no route"
    assert [(loss.node, loss.refusal) for loss in losses] == [
        (remembered.lost_on[0], refusal),
        (remembered.lost_on[1], None),
    ]
    cluster = await stored.loaded()
    for loss in losses:
        restore_loss(cluster, loss)
    settle_refusals(cluster, now_s=stored.now_s)
    task = cluster.jobs[job].groups[0].find_task(0)
    assert task is not None and task.shape.without == (remembered.lost_on[0],)
    assert remembered.lost_on[0] != remembered.lost_on[1]


@pytest.mark.contract("S1.7")
async def test_a_failure_of_the_cluster_is_an_error_and_one_of_the_task_a_failure(
    stored: StoredWorld, database: asyncpg.Connection
) -> None:
    stored.register("loss-2", node_id=uuid4())
    lost = stored.submit(command=["true"], retries=0)
    for _ in range(5):
        assert await status(database, lost) in ([], ["pending"])
        lose(stored)
        await stored.commit()
    assert await status(database, lost) == ["error"]
    assert (
        await database.fetchval("select message from corral.task_status where job_number = $1", lost)
        == "lost 5 times in a row, on loss-2: lost"
    )
    mixed = stored.submit(command=["true"], array="0-3", retries=0)
    one, two = stored.schedule()
    stored.end(one, "loss-2", exit_code=3)
    stored.end(two, "loss-2")
    three, four = stored.schedule()
    stored.start(three, "loss-2")
    stored.cancel(mixed, four.attempt.index)
    stored.end(four, "loss-2", exit_code=None, outcome=Outcome.CANCELLED)
    await stored.commit()
    assert await status(database, mixed) == ["failed", "completed", "running", "failed"]
