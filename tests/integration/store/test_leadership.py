"""One coordinator writes at a time, whatever the others believe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bus.values import Role
from coordinator.store import leadership
from coordinator.store.errors import NotLeader, OutcomeUnknown, StoreUnavailable
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import Batch
from tests.store_rows import ALICE, new_job, node


@pytest.fixture
async def stores(coordinator_dsn: str) -> AsyncIterator[list[RelationalStore]]:
    """Two coordinators; the first leads."""
    pair = [await RelationalStore.connect(coordinator_dsn) for _ in range(2)]
    await pair[0].ensure_user(ALICE, Role.USER)
    await pair[0].lead("first", 10)
    yield pair
    for store in pair:
        try:
            await store.resign()
        except (NotLeader, StoreUnavailable):
            pass
        await store.close()


async def step_clock(dsn: str, seconds: float) -> None:
    """What a step of the database's clock does to the row, as who compares it with that clock sees it."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "update corral.leadership set renewed_at = renewed_at - make_interval(secs => $1)", seconds
    )
    await connection.close()


async def renewing(store: RelationalStore) -> None:
    while True:
        await store.renew()
        await asyncio.sleep(0.5)


async def test_a_living_leader_is_not_replaced(
    stores: list[RelationalStore], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = stores
    await first.renew()
    caplog.set_level(logging.INFO)
    with pytest.raises(NotLeader):
        await second.lead("second", 0.3)
    assert [
        text for text in caplog.messages if text.startswith("standing by: first leads, epoch ")
    ] == caplog.messages
    await first.commit(Batch(number=1, nodes=[node("kept")]))


@pytest.mark.parametrize("step_s", [3600, -3600])
async def test_a_stepped_clock_of_the_database_neither_unseats_nor_seats(
    stores: list[RelationalStore], postgres_dsn: str, step_s: float
) -> None:
    first, second = stores
    epoch = first.epoch
    await step_clock(postgres_dsn, step_s)
    async with asyncio.TaskGroup() as group:
        alive = group.create_task(renewing(first))
        with pytest.raises(NotLeader):
            await second.lead("second", 1)
        alive.cancel()
    await step_clock(postgres_dsn, step_s)
    assert await second.lead("second", 10) == epoch + 1


async def test_who_could_lead_at_once_is_seen_by_the_leader(stores: list[RelationalStore]) -> None:
    first, second = stores
    fit = True
    waiting = asyncio.create_task(second.lead("second", 60, fit=lambda: fit))
    try:
        async with asyncio.timeout(10):
            while not await first.someone_stands_by():
                await first.renew()
            fit = False
            while await first.someone_stands_by():
                await first.renew()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_who_is_not_fit_takes_nothing(stores: list[RelationalStore]) -> None:
    first, second = stores
    await first.resign()
    with pytest.raises(NotLeader):
        await second.lead("second", 0.5, fit=lambda: False)


async def test_a_leader_back_within_a_second_keeps_its_place(
    stores: list[RelationalStore], postgres_dsn: str
) -> None:
    """As after a restart of the database: all sessions are gone, and the standby may be back first."""
    first, second = stores
    epoch = first.epoch
    killer = await asyncpg.connect(postgres_dsn)
    await killer.execute("select pg_terminate_backend(backend_pid, 5000) from corral.leadership")
    await killer.close()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(second.lead("second", 60))
        while first._writer.connected:  # until the client side has noticed
            await asyncio.sleep(0.01)
        await first.renew()
        alive = group.create_task(renewing(first))
        await asyncio.sleep(leadership.GONE_AFTER_S + 0.5)  # the time in which it would have been replaced
        assert not waiting.done() and first.epoch == epoch
        waiting.cancel()
        alive.cancel()


async def test_a_resigned_leader_is_followed_at_once(stores: list[RelationalStore]) -> None:
    first, second = stores
    epoch = first.epoch
    await first.resign()
    assert await second.lead("second", 1) == epoch + 1


async def test_a_stale_leader_is_ended_and_may_write_no_more(stores: list[RelationalStore]) -> None:
    first, second = stores
    await first.commit(Batch(number=1, nodes=[node("before")]))
    assert await second.lead("second", 10) == first.epoch + 1
    with pytest.raises((NotLeader, OutcomeUnknown)):  # the cut is noticed only now
        await first.commit(Batch(number=2, nodes=[node("after")]))
    with pytest.raises(NotLeader):
        await first.commit(Batch(number=2, nodes=[node("after")]))
    with pytest.raises(NotLeader):
        await first.renew()
    names = {row.name for row in (await second.load()).nodes}
    assert "before" in names and "after" not in names


async def test_a_leader_whose_session_is_gone_is_followed_soon(stores: list[RelationalStore]) -> None:
    first, second = stores
    epoch = first.epoch
    await first.close()
    assert await second.lead("second", 3) == epoch + 1


async def test_a_leader_that_lost_its_connection_goes_on(
    stores: list[RelationalStore], postgres_dsn: str
) -> None:
    first, _ = stores
    killer = await asyncpg.connect(postgres_dsn)
    await killer.execute("select pg_terminate_backend(backend_pid, 5000) from corral.leadership")
    try:
        await first.commit(Batch(number=1, nodes=[node("again")]))
    except OutcomeUnknown:  # the cut was noticed only now: nothing of the batch is there
        assert not await first.committed(1)
        await first.commit(Batch(number=1, nodes=[node("again")]))
    assert await first.committed(1)
    pid = "select exists (select from pg_stat_activity a join corral.leadership l on a.pid = l.backend_pid)"
    assert await killer.fetchval(pid)
    await killer.close()


async def test_a_takeover_waits_for_the_transaction_under_way(
    stores: list[RelationalStore], postgres_dsn: str
) -> None:
    first, second = stores
    blocker = await asyncpg.connect(postgres_dsn)
    await blocker.execute("begin; lock table corral.jobs in exclusive mode")
    committing = asyncio.create_task(first.commit(Batch(number=1, new_jobs=[new_job()])))
    async with asyncio.timeout(15):
        while not await blocker.fetchval("select exists (select from pg_locks where not granted)"):
            await asyncio.sleep(0.01)
        await first.renew()  # the leader's own renewal is not behind its commit
        epoch = await second.lead("second", 8)
        with pytest.raises(OutcomeUnknown):
            await committing
    assert epoch == first.epoch + 1
    await blocker.execute("rollback")
    await blocker.close()


async def test_a_cancelled_commit_leaves_a_usable_store(
    stores: list[RelationalStore], postgres_dsn: str
) -> None:
    first, _ = stores
    blocker = await asyncpg.connect(postgres_dsn)
    await blocker.execute("begin; lock table corral.nodes in exclusive mode")
    committing = asyncio.create_task(first.commit(Batch(number=1, nodes=[node("cancelled")])))
    async with asyncio.timeout(10):
        while not await blocker.fetchval("select exists (select from pg_locks where not granted)"):
            await asyncio.sleep(0.01)
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    await blocker.execute("rollback")
    await blocker.close()
    await first.commit(Batch(number=2, nodes=[node("later")]))
    assert "later" in {row.name for row in (await first.load()).nodes}


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        await RelationalStore.connect("postgresql://nobody@127.0.0.1:1/nothing")
