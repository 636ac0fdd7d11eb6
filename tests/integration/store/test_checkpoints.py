"""Checkpoints in a real database: complete or absent, of the attempt that counts, the newest kept."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from bus.checkpointing import Checkpointing
from bus.checkpoints import CheckpointKind, Saved, SavedFile, digest
from bus.values import (
    RANK_STRIDE,
    AttemptRef,
    Gang,
    NodeName,
    Resources,
    TaskSettings,
    TaskState,
    UserName,
)
from coordinator.core.effects import NewTask, NodeRow
from coordinator.store.checkpoints import CheckpointStore, Kept
from tests.integration.store.conftest import Leader
from tests.integration.store.test_results import running
from tests.store_rows import ALICE, T0, change, node

Q, A, R, DONE = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[CheckpointStore]:
    made = CheckpointStore(coordinator_dsn)
    yield made
    await made.close()


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def files(*texts: str) -> tuple[SavedFile, ...]:
    return tuple(SavedFile(f"step/{place}", sha(text), len(text)) for place, text in enumerate(texts))


def saved(task: NewTask, step: int, *texts: str, rank: int = 0, fence: int = 1, **fields: Any) -> Saved:
    ref = AttemptRef(task.task.job, task.task.index + rank * RANK_STRIDE, fence)
    made = {"path": f"step-{step}", "files": files(*(texts or (f"weights {task.id} {step}",)))} | fields
    return Saved(node="", attempt=ref, step=step, **made)  # type: ignore[arg-type]


async def settle(database: asyncpg.Connection, task: NewTask, *, gang: int = 0, **fields: Any) -> None:
    """The task's settings, as its group's row has them."""
    settings = TaskSettings(
        resources=Resources(),
        checkpoint=Checkpointing(**fields),
        gang=Gang(size=gang) if gang else None,
    )
    text = msgspec.json.encode(settings).decode()
    await database.execute("update corral.tasks set parameters = $2 where id = $1", task.id, text)


async def steps_of(store: CheckpointStore, task: NewTask) -> list[tuple[int, bool]]:
    found = await store.page(viewer=None, job=task.task.job, index=task.task.index, limit=100, before=None)
    return [(one.step, one.complete) for one in found]


async def ends(leader: Leader, task: NewTask, on: NodeRow) -> None:
    await leader.commit(
        task_changes=[
            change(task, 4, R, DONE, node=on.name, fence=1, started_at=T0 + 2, completed_at=T0 + 9)
        ],
        steps=[1],
    )


@pytest.mark.contract("S1.14", "S1.34")
async def test_what_a_task_saved_is_a_checkpoint(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-1")
    task = await running(leader, on)
    await settle(database, task)
    one = saved(task, 100, "weights", "state", metrics={"loss": 0.5})
    kept = await store.keep(NodeName("ck-1"), one)
    assert kept.complete and not kept.refused
    assert await store.keep(NodeName("ck-1"), one) == kept  # its answer was lost
    (found,) = await store.page(viewer=ALICE, job=task.task.job, index=None, limit=9, before=None)
    assert (found.id, found.task, found.step, found.kind) == (
        kept.id, str(task.task), 100, CheckpointKind.REGULAR,
    )  # fmt: skip
    assert (found.size, found.files, found.copies, found.durable) == (12, 2, 1, False)
    assert (found.metrics, found.nodes) == ({"loss": 0.5}, ["ck-1"])
    assert found.digest == digest((0, file) for file in one.files)
    pointer = await database.fetchval("select checkpoint_path from corral.tasks where id = $1", task.id)
    assert pointer == f"corral://{found.digest}"


async def test_it_is_durable_with_its_copies(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on, other = node("ck-2"), node("ck-3")
    task, _ = await running(leader, on), await running(leader, other)
    await settle(database, task, replicas=1)
    await store.keep(NodeName("ck-2"), saved(task, 1, "a 2", "b 2"))
    copy = """insert into corral.blobs (sha256, node_id, size_bytes)
        select $1, id, 3 from corral.nodes where name = 'ck-3'"""
    durable = []
    for text in ("a 2", "b 2"):
        await database.execute(copy, sha(text))
        (found,) = await store.page(viewer=None, job=task.task.job, index=None, limit=9, before=None)
        durable.append((found.copies, found.durable))
    assert durable == [(1, False), (2, True)]


async def test_stale_attempts_and_other_nodes_save_nothing(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on, other = node("ck-4"), node("ck-5")
    task = await running(leader, on)
    await running(leader, other)
    for where, said in (("ck-4", saved(task, 1, fence=2)), ("ck-5", saved(task, 1))):
        assert await store.keep(NodeName(where), said) == Kept(refused="E_FENCED")
    assert await steps_of(store, task) == []


@pytest.mark.contract("S1.37")
async def test_shards_are_complete_together_or_absent(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-6")
    task = await running(leader, on)
    await settle(database, task, gang=2)
    rank_1 = (
        "insert into corral.attempts (task_id, rank, fence, node_id, node_name, state) "
        "select task_id, 1, fence, node_id, node_name, 'running' from corral.attempts where task_id = $1"
    )
    await database.execute(rank_1, task.id)
    here = NodeName("ck-6")
    assert (await store.keep(here, saved(task, 10, "r0 s10", shard=True))).complete is False
    assert (await store.keep(here, saved(task, 10, "r1 s10", rank=1, shard=True))).complete is True
    # rank 1 dies within its save of step 20: that checkpoint is absent, and the one before is gone on from
    assert (await store.keep(here, saved(task, 20, "r0 s20", shard=True))).complete is False
    assert await steps_of(store, task) == [(20, False), (10, True)]
    ref = AttemptRef(task.task.job, task.task.index, 1)
    found = await store.resume(here, ref, live=["ck-6"])
    assert (found.step, found.sharded, found.world_size) == (10, True, 2)
    assert [file.sha256 for file in await store.files(found.id, rank=1)] == [sha("r1 s10")]
    # what was half saved goes with the next complete one
    await store.keep(here, saved(task, 30, "r0 s30", shard=True))
    last = await store.keep(here, saved(task, 30, "r1 s30", rank=1, shard=True))
    assert last.freed == (sha("r0 s20"),)
    assert await steps_of(store, task) == [(30, True), (10, True)]
    path = "select checkpoint_path from corral.attempts where task_id = $1 and rank = 1"
    assert await database.fetchval(path, task.id) == "step-30"


async def test_ranks_that_disagree_about_a_step_are_refused(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-7")
    task = await running(leader, on)
    await settle(database, task)
    here = NodeName("ck-7")
    await store.keep(here, saved(task, 10, "one"))
    assert await store.keep(here, saved(task, 10, "two")) == Kept(refused="E_CONFLICT")
    assert await store.keep(here, saved(task, 10, "one", shard=True)) == Kept(refused="E_CONFLICT")


async def test_the_newest_are_kept(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-8")
    task = await running(leader, on)
    await settle(database, task, keep=2)
    here = NodeName("ck-8")
    gone = []
    for step in (1, 2, 3, 4):
        shared = await store.keep(here, saved(task, step, "the same in all", f"step {step}"))
        gone.append((shared.freed, shared.gone))
    assert gone == [((), ()), ((), ()), ((sha("step 1"),), ("step-1",)), ((sha("step 2"),), ("step-2",))]
    # an agent that starts again finds in its folder what is not kept any more
    again = await store.keep(here, saved(task, 1, "the same in all", "step 1"))
    assert again == Kept(refused="E_CONFLICT")
    assert await steps_of(store, task) == [(4, True), (3, True)]


@pytest.mark.contract("S1.35")
@pytest.mark.parametrize(("keep_best", "stays"), [("loss:min", 2), ("loss:max", 1), ("", 0), ("f1:max", 0)])
async def test_the_best_stays_beside_the_newest(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection, keep_best: str, stays: int
) -> None:
    name = f"best-{keep_best.replace(':', '-') or 'none'}"
    task = await running(leader, node(name))
    await settle(database, task, keep=1, keep_best=keep_best)
    losses = {1: 0.9, 2: 0.1, 3: 0.5, 4: None, 5: 0.4}
    gone: list[str] = []
    for step, loss in losses.items():
        metrics = {} if loss is None else {"loss": loss}
        kept = await store.keep(NodeName(name), saved(task, step, metrics=metrics))
        assert kept.complete
        gone += kept.gone
    page = await store.page(viewer=None, job=task.task.job, index=task.task.index, limit=100, before=None)
    assert [one.step for one in page if one.complete] == [5, stays][: 1 + bool(stays)]
    assert [one.step for one in page if one.best] == ([stays] if stays else [])
    assert gone == [f"step-{step}" for step in (1, 2, 3, 4) if step != stays], "the task's folder follows"


async def test_of_equals_the_newest_is_the_best(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    task = await running(leader, node("best-equal"))
    await settle(database, task, keep=2, keep_best="loss:min")
    for step in (1, 2, 3):
        await store.keep(NodeName("best-equal"), saved(task, step, metrics={"loss": 0.5}))
    page = await store.page(viewer=None, job=task.task.job, index=task.task.index, limit=100, before=None)
    assert [(one.step, one.best) for one in page] == [(3, True), (2, False)]


async def test_the_newest_of_a_completed_task_is_final(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-9")
    task = await running(leader, on)
    await settle(database, task)
    here = NodeName("ck-9")
    await store.keep(here, saved(task, 1))
    await store.keep(here, saved(task, 2, emergency=True))
    await store.keep(here, saved(task, 3))
    await ends(leader, task, on)
    found = await store.page(viewer=None, job=task.task.job, index=None, limit=9, before=None)
    kinds = [(one.step, one.kind.value) for one in found]
    assert kinds == [(3, "final"), (2, "emergency"), (1, "regular")]


@pytest.mark.contract("S1.33")
async def test_the_row_outlives_its_node(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-10")
    task = await running(leader, on)
    kept = await store.keep(NodeName("ck-10"), saved(task, 1))
    async with database.transaction():
        await database.execute("set local session_replication_role = replica")
        await database.execute("delete from corral.blobs")
        await database.execute("delete from corral.attempts where task_id = $1", task.id)
        await database.execute("set local session_replication_role = origin")
        transaction = database.transaction()
        await transaction.start()
        await database.execute("delete from corral.nodes where name = 'ck-10'")
        row = await database.fetchrow("select node_id from corral.checkpoints where id = $1", UUID(kept.id))
        await transaction.rollback()
    assert row is not None and row["node_id"] is None


@pytest.mark.contract("S1.36")
async def test_the_best_by_a_metric(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-11")
    task = await running(leader, on)
    here = NodeName("ck-11")
    for step, loss in ((1, 0.5), (2, 0.125), (3, 0.25)):
        await store.keep(here, saved(task, step, metrics={"loss": loss}))
    asked: dict[str, Any] = {"viewer": ALICE, "job": task.task.job, "index": None}
    least = await store.best(**asked, metric="loss", most=False)
    largest = await store.best(**asked, metric="loss", most=True)
    assert least is not None and largest is not None and (least.step, largest.step) == (2, 1)
    assert await store.best(**asked, metric="accuracy", most=False) is None
    assert await store.metrics(**asked) == ["loss"]
    assert await store.best(**asked | {"viewer": "bob"}, metric="loss", most=False) is None


async def test_an_attempt_goes_on_from_the_newest_that_a_node_has(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-12")
    task = await running(leader, on)
    here, ref = NodeName("ck-12"), AttemptRef(task.task.job, task.task.index, 1)
    for step in (1, 2):
        await store.keep(here, saved(task, step))
    nobody = await store.resume(here, AttemptRef(*ref[:2], 2), live=["ck-12"])
    assert nobody.refused == "E_FENCED"
    found = await store.resume(here, ref, live=["ck-12"])
    assert (found.step, found.path, found.passed) == (2, "step-2", 0)
    # asked again, by whichever rank, the answer stays: whatever was saved or lost meanwhile
    await store.keep(here, saved(task, 3))
    assert (await store.resume(here, ref, live=[])).step == 2


async def test_what_no_node_has_is_passed_over(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-13")
    task = await running(leader, on)
    here, ref = NodeName("ck-13"), AttemptRef(task.task.job, task.task.index, 1)
    for step in (1, 2):
        await store.keep(here, saved(task, step))
    await database.execute("delete from corral.blobs where sha256 = $1", sha(f"weights {task.id} 2"))
    found = await store.resume(here, ref, live=["ck-13"])
    assert (found.step, found.passed) == (1, 1)


async def test_with_none_left_it_begins_anew(
    leader: Leader, store: CheckpointStore, database: asyncpg.Connection
) -> None:
    on = node("ck-14")
    task = await running(leader, on)
    here, ref = NodeName("ck-14"), AttemptRef(task.task.job, task.task.index, 1)
    await store.keep(here, saved(task, 1))
    found = await store.resume(here, ref, live=["another"])
    assert (found.id, found.passed) == ("", 1)


async def test_a_chosen_one_goes_before_the_newest(leader: Leader, store: CheckpointStore) -> None:
    on = node("ck-15")
    task = await running(leader, on)
    here, ref = NodeName("ck-15"), AttemptRef(task.task.job, task.task.index, 1)
    first, *_ = [await store.keep(here, saved(task, step)) for step in (1, 2, 3)]
    await store.choose(first.id, by=ALICE)
    await store.choose(first.id, by=ALICE)
    found = await store.resume(here, ref, live=["ck-15"])
    assert (found.step, found.passed) == (1, 0)
    # with the next one that it saves, the newest counts again
    await store.keep(here, saved(task, 4))
    page = await store.page(viewer=None, job=task.task.job, index=None, limit=9, before=None)
    assert not any(one.chosen for one in page)


async def test_removed_content_is_named_no_more(leader: Leader, store: CheckpointStore) -> None:
    on = node("ck-16")
    task = await running(leader, on)
    here = NodeName("ck-16")
    one = await store.keep(here, saved(task, 1, "shared 16", "own 16"))
    await store.keep(here, saved(task, 2, "shared 16"))
    assert await store.remove(one.id, by=ALICE) == [sha("own 16")]
    assert await store.remove(one.id, by=ALICE) == []
    assert await steps_of(store, task) == [(2, True)]


async def test_ids_tasks_and_steps_find_it(leader: Leader, store: CheckpointStore) -> None:
    on = node("ck-17")
    task = await running(leader, on)
    here = NodeName("ck-17")
    one, two = [await store.keep(here, saved(task, step)) for step in (1, 2)]
    asked: dict[str, Any] = {"viewer": ALICE, "prefix": "", "task": None, "step": None}
    assert [c.id for c in await store.find(**asked | {"prefix": one.id.replace("-", "")})] == [one.id]
    assert [c.id for c in await store.find(**asked | {"task": task.task})] == [two.id, one.id]
    assert [c.id for c in await store.find(**asked | {"task": task.task, "step": 1})] == [one.id]
    assert await store.find(**asked | {"task": task.task, "viewer": "bob"}) == []
    assert await store.find(**asked | {"viewer": UserName("bob"), "prefix": one.id.replace("-", "")}) == []
