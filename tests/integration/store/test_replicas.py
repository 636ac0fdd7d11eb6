"""Copies in a real database: who has what, what is planned of it, and what a node's word changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from bus.replication import HeldBlob
from bus.values import NodeName, Role, TaskRef, UserName
from coordinator.core.effects import NewTask, NodeRow
from coordinator.core.replication import Copy, Plan, ReplicaState
from coordinator.store.checkpoints import CheckpointStore
from coordinator.store.replicas import Asked, ReplicaStore
from tests.integration.store.conftest import Leader
from tests.integration.store.test_checkpoints import saved, sha
from tests.integration.store.test_results import running
from tests.store_rows import ALICE, node

ACTIVE, OUT_OF_SYNC, FAILED = ReplicaState


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[ReplicaStore]:
    made = ReplicaStore(coordinator_dsn)
    yield made
    await made.close()


@pytest.fixture
async def checkpoints(coordinator_dsn: str) -> AsyncIterator[CheckpointStore]:
    made = CheckpointStore(coordinator_dsn)
    yield made
    await made.close()


class Saved:
    """A checkpoint of one file that a task saved on the first of three nodes."""

    def __init__(self, task: NewTask, sha256: str, nodes: list[NodeRow]) -> None:
        self.task = task
        self.sha256 = sha256
        self.first, self.second, self.third = (each.name for each in nodes)


async def save(leader: Leader, checkpoints: CheckpointStore, name: str) -> Saved:
    nodes = [node(f"{name}-{place}") for place in (1, 2, 3)]
    for other in nodes[1:]:
        await running(leader, other)
    task = await running(leader, nodes[0])
    kept = await checkpoints.keep(nodes[0].name, saved(task, 1, f"content of {name}"))
    assert kept.complete, kept
    return Saved(task, sha(f"content of {name}"), nodes)


async def epoch(database: asyncpg.Connection) -> int:
    return int(await database.fetchval("select epoch from corral.leadership"))


def planned(made: Saved, primary: str, **places: ReplicaState) -> Plan:
    names = {"first": made.first, "second": made.second, "third": made.third}
    return Plan(
        sha256=made.sha256,
        size=7,
        primary=names[primary],
        places={names[name]: state for name, state in places.items()},
    )


async def seen(store: ReplicaStore, made: Saved, *, away: tuple[NodeName, ...] = ()) -> list[Copy] | None:
    """The rows of its content where something is wrong with it; None where nothing is."""
    found = await store.troubled(away, after="", limit=1000)
    return next((list(each.places) for each in found if each.sha256 == made.sha256), None)


@pytest.mark.contract("S0.45", "S0.46")
async def test_a_copy_comes_is_damaged_and_is_repaired(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    made = await save(leader, checkpoints, "rep-a")
    number = await epoch(database)
    assert await seen(store, made) == []
    assert await store.settle([planned(made, "first", second=OUT_OF_SYNC)], epoch=number)
    assert await seen(store, made) == [Copy(node=made.second, state=OUT_OF_SYNC)]
    good, damaged = HeldBlob(made.sha256, 7), HeldBlob(made.sha256, 7, "E_HASH")
    assert await store.held(made.third, [good]) == [False]  # nobody asked that node
    assert await store.held(made.second, [good]) == [True]
    assert set((await store.holders([made.sha256]))[made.sha256]) == {made.first, made.second}
    assert await seen(store, made) is None
    row = await database.fetchrow("select * from corral.replicas where blob_sha256 = $1", made.sha256)
    assert row is not None and (row["state"], row["fault"]) == ("active", "")
    assert row["verified_at"] is not None and row["task_id"] == made.task.id
    assert await store.held(made.second, [damaged]) == [True]
    assert await seen(store, made) == [Copy(node=made.second, state=OUT_OF_SYNC)]
    assert set((await store.holders([made.sha256]))[made.sha256]) == {made.first}
    assert await store.held(made.second, [good, good]) == [True, True]
    assert await seen(store, made) is None


async def test_failures_are_counted_and_forgotten_after_success(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    made = await save(leader, checkpoints, "rep-b")
    await store.settle([planned(made, "first", second=OUT_OF_SYNC)], epoch=await epoch(database))
    full = HeldBlob(made.sha256, 7, "E_SPACE")
    for tries in (1, 2):
        assert await store.held(made.second, [full]) == [True]
        assert await seen(store, made) == [Copy(node=made.second, state=OUT_OF_SYNC, tries=tries)]
    await database.execute(
        "update corral.replicas set updated_at = now() - interval '1 hour' where blob_sha256 = $1",
        made.sha256,
    )
    assert await seen(store, made) == [Copy(node=made.second, state=OUT_OF_SYNC)]  # it may have room by now
    await store.held(made.second, [HeldBlob(made.sha256, 7)])
    assert (
        await database.fetchval("select tries from corral.replicas where blob_sha256 = $1", made.sha256) == 0
    )
    assert await store.held(made.second, [HeldBlob("f" * 64, 7, "E_NOT_FOUND")]) == [False]


async def test_a_damaged_primary_changes_its_part(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    made = await save(leader, checkpoints, "rep-c")
    number = await epoch(database)
    await store.settle([planned(made, "first", second=OUT_OF_SYNC)], epoch=number)
    await store.held(made.second, [HeldBlob(made.sha256, 7)])
    assert await store.held(made.first, [HeldBlob(made.sha256, 7, "E_NOT_FOUND")]) == [True]
    (content,) = [c for c in await store.troubled((), after="", limit=999) if c.sha256 == made.sha256]
    assert (content.primary, content.holders, content.copies) == (made.first, {made.second}, 1)
    assert await store.settle([planned(made, "second", first=OUT_OF_SYNC)], epoch=number)
    assert await seen(store, made) == [Copy(node=made.first, state=OUT_OF_SYNC)]
    assert await store.held(made.first, [HeldBlob(made.sha256, 7)]) == [True]
    assert await seen(store, made) is None


async def test_a_node_that_is_away_does_not_count(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    made = await save(leader, checkpoints, "rep-d")
    number = await epoch(database)
    await store.settle([planned(made, "first", second=OUT_OF_SYNC)], epoch=number)
    await store.held(made.second, [HeldBlob(made.sha256, 7)])
    before = await store.counts([])
    away = await store.counts([made.second])
    assert (away.total, away.under) == (before.total, before.under + 1)
    assert (await store.counts([made.first, made.second])).unheld == before.unheld + 1
    assert await seen(store, made, away=(made.second,)) == [Copy(node=made.second, state=ACTIVE)]
    await store.settle([planned(made, "first", second=FAILED, third=ACTIVE)], epoch=number)
    await store.held(made.third, [HeldBlob(made.sha256, 7)])
    assert await seen(store, made, away=(made.second,)) is None
    assert len(await seen(store, made) or []) == 2  # it is back: one too many
    assert await store.away() == []


async def test_what_is_too_many_is_let_go_and_only_that(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    made = await save(leader, checkpoints, "rep-e")
    number = await epoch(database)
    await store.settle([planned(made, "first", second=ACTIVE, third=ACTIVE)], epoch=number)
    for name in (made.second, made.third):
        await store.held(name, [HeldBlob(made.sha256, 7)])
    await store.settle([planned(made, "first", second=ACTIVE)], epoch=number)
    for name in (made.first, made.second):
        assert await store.spare(name, [made.sha256], epoch=number) == []
    assert await store.spare(made.third, [made.sha256], epoch=number - 1) == []
    assert await store.spare(made.third, [made.sha256], epoch=number) == [made.sha256]
    assert await store.held(made.third, [HeldBlob(made.sha256, 7)]) == [False]
    assert await store.believed(made.third, after="", limit=9) == []
    await store.dropped(made.third, [made.sha256])
    assert set((await store.holders([made.sha256]))[made.sha256]) == {made.first, made.second}
    assert await store.believed(made.second, after="", limit=9) == [made.sha256]


async def test_only_the_leader_plans(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    made = await save(leader, checkpoints, "rep-f")
    number = await epoch(database)
    assert not await store.settle([planned(made, "first", second=OUT_OF_SYNC)], epoch=number - 1)
    assert await seen(store, made) == []
    await store.settle([planned(made, "first", second=OUT_OF_SYNC)], epoch=number)
    await database.execute("delete from corral.checkpoints where task_id = $1", made.task.id)
    assert await store.forget(epoch=number - 1) == 0
    assert await store.forget(epoch=number) >= 1
    assert await seen(store, made) is None
    nothing = Plan(sha256=made.sha256, size=7, primary=None, places={})
    assert await store.settle([nothing], epoch=number)


async def test_who_may_fetch(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    made, other = await save(leader, checkpoints, "rep-g"), await save(leader, checkpoints, "rep-h")
    hashes, task = [made.sha256, other.sha256], made.task.task
    assert await store.allowed(made.second, hashes, task=None) == set()
    assert await store.allowed(made.second, hashes, task=task) == {made.sha256}
    assert await store.allowed(made.second, hashes, task=TaskRef(task.job, task.index + 1)) == set()
    await store.settle([planned(other, "first", second=OUT_OF_SYNC)], epoch=await epoch(database))
    assert await store.allowed(other.second, hashes, task=None) == {other.sha256}
    assert await store.allowed(other.third, hashes, task=None) == set()


@pytest.mark.contract("S0.60")
async def test_lists_show_what_may_be_seen(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    await leader.store.ensure_user(UserName("bob"), Role.USER)
    made = await save(leader, checkpoints, "rep-i")
    await store.settle([planned(made, "first", second=OUT_OF_SYNC)], epoch=await epoch(database))
    job = made.task.task.job
    (row,) = await store.page(Asked(viewer=ALICE, job=job), before=None)
    assert (row.sha256, row.task, row.primary) == (made.sha256, str(made.task.task), made.first)
    assert (row.node, row.state, row.size, row.verified_at) == (
        made.second,
        "out_of_sync",
        len("content of rep-i"),
        None,
    )
    assert await store.page(Asked(viewer="bob", job=job), before=None) == []
    assert await store.page(Asked(job=job), before=UUID(row.id)) == []
    assert await store.page(Asked(job=job, index=77), before=None) == []
    for node_, state, count in ((made.second, None, 1), (made.third, None, 0), (None, "active", 0)):
        assert len(await store.page(Asked(job=job, node=node_, state=state), before=None)) == count
    (under,) = await store.page_under(Asked(viewer=ALICE, job=job), away=[], after="")
    assert (under.sha256, under.copies, under.nodes) == (made.sha256, 1, [made.first])
    assert await store.page_under(Asked(viewer="bob", job=job), away=[], after="") == []
    assert await store.page_under(Asked(job=job), away=[], after=made.sha256) == []
    await store.held(made.second, [HeldBlob(made.sha256, 7)])
    assert await store.page_under(Asked(job=job), away=[], after="") == []
    assert len(await store.page_under(Asked(job=job), away=[made.second], after="")) == 1


@pytest.mark.contract("S0.47")
async def test_nobody_is_the_copy_of_itself(
    leader: Leader, store: ReplicaStore, checkpoints: CheckpointStore, database: asyncpg.Connection
) -> None:
    made = await save(leader, checkpoints, "rep-j")
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute(
            "insert into corral.replicas (task_id, primary_node_id, replica_node_id) "
            "select $1, id, id from corral.nodes where name = $2",
            made.task.id,
            made.first,
        )
