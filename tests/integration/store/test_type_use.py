"""How tasks of a type went, in a real database: of those that ended lately, one by one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest

from bus.registry import TypeAdd
from bus.values import AttemptState, JobState, TaskState
from coordinator.core.effects import NodeRow
from coordinator.store.tools import ToolStore, TypeUse
from tests.integration.store.conftest import Leader
from tests.store_rows import T0, attempt, change, job_change, new_job, new_task, node

Q, A, R = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING
DAY_S = 86_400.0


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[ToolStore]:
    made = ToolStore(coordinator_dsn)
    yield made
    await made.close()


async def ran(
    leader: Leader, on: NodeRow, kind: str, *, ago_s: float, took_s: float, state: TaskState
) -> None:
    """A task of a type that began then."""
    job = new_job()
    task = msgspec.structs.replace(new_task(job), task_type=kind)
    began = time.time() - ago_s
    end = began + took_s
    fields = {"node": on.name, "fence": 1, "started_at": began, "completed_at": end, "changed_at": end}
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
        new_tasks=[(task, change(task, 1, Q))],
    )
    done = state is TaskState.COMPLETED
    counts = {"completed": 1} if done else {"failed": 1}
    await leader.commit(
        nodes=[on],
        task_changes=[change(task, 4, Q, A, R, state, **fields)],
        steps=[3],
        attempts=[
            attempt(
                task, on, AttemptState(str(state)), new=True,
                assigned_at=began, started_at=began, ended_at=end,
            )
        ],
        job_changes=[
            job_change(job, JobState(str(state)), started_at=T0, ended_at=end, **counts)
        ],
    )  # fmt: skip


@pytest.mark.contract("S1.44")
async def test_types_are_counted_with_the_time_they_take(leader: Leader, store: ToolStore) -> None:
    kind = f"kind_{uuid4().hex[:8]}"
    await store.add_type(TypeAdd(name=kind, description="of this test"), by="alice")
    on = node("types-1")
    for took_s in (10.0, 30.0):
        await ran(leader, on, kind, ago_s=3_600.0, took_s=took_s, state=TaskState.COMPLETED)
    await ran(leader, on, kind, ago_s=3_600.0, took_s=500.0, state=TaskState.FAILED)
    await ran(leader, on, kind, ago_s=40 * DAY_S, took_s=900.0, state=TaskState.COMPLETED)
    found = (await store.type_use())[kind]
    assert (found.completed, found.failed) == (2, 1), "what ended long ago says nothing of today"
    assert found == TypeUse(2, 1, pytest.approx(20.0, abs=0.1))
