"""A batch in one call, or in pieces within a transaction: either way all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from bus.values import AttemptState, JobState, NodeHealth, Resources, TaskState
from coordinator.core.effects import NewJob, NewTask, NodeRow
from coordinator.store import commit
from coordinator.store.errors import Disagreement
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

COUNTS = """select
    (select count(*) from corral.jobs), (select count(*) from corral.tasks),
    (select count(*) from corral.attempts), (select count(*) from corral.task_events),
    (select count(*) from corral.allocations where status = 'active'),
    (select count(*) from corral.allocations), (select max(number) from corral.batches),
    (select sum(version) from corral.tasks), (select sum(allocated) from corral.node_resources),
    (select count(*) from corral.nodes where health <> 'healthy')"""


class Scene:
    """A node on which a task runs; the next batch ends it and starts another, of a new job."""

    def __init__(self) -> None:
        self.on: NodeRow = node(f"scene-{uuid4().hex[:8]}")
        self.job: NewJob = new_job()
        self.task: NewTask = new_task(self.job)
        self.next_job: NewJob = new_job()
        self.next_task: NewTask = new_task(self.next_job)

    async def set(self, leader: Leader) -> None:
        await leader.commit(
            nodes=[self.on],
            new_jobs=[self.job],
            job_changes=[job_change(self.job, JobState.SCHEDULED, assigned=1)],
            new_tasks=[(self.task, change(self.task, 2, Q, A, node=self.on.name, fence=1))],
            attempts=[attempt(self.task, self.on, AttemptState.ASSIGNED, new=True)],
            ledgers=[ledger(self.on, REQUEST)],
        )

    def rows(self) -> dict[str, Any]:
        """Something of every kind."""
        done = {
            "node": self.on.name,
            "fence": 1,
            "started_at": T0 + 3,
            "completed_at": T0 + 5,
            "exit_code": 0,
        }
        started = change(self.next_task, 2, Q, A, node=self.on.name, fence=1)
        return {
            "nodes": [replace(self.on, registered=False, health=NodeHealth.DEGRADED)],
            "new_jobs": [self.next_job],
            "new_tasks": [(self.next_task, started)],
            "task_changes": [change(self.task, 4, A, R, C, **done)],
            "steps": [2],
            "attempts": [
                attempt(self.next_task, self.on, AttemptState.ASSIGNED, new=True),
                attempt(self.task, self.on, AttemptState.COMPLETED, ended_at=T0 + 5, exit_code=0),
            ],
            "ledgers": [ledger(self.on, REQUEST)],
            "job_changes": [
                job_change(self.next_job, JobState.SCHEDULED, assigned=1),
                job_change(self.job, JobState.COMPLETED, completed=1, ended_at=T0 + 5, exit_code=0),
            ],
        }


WRONG: dict[str, tuple[Callable[[Scene, dict[str, Any]], dict[str, Any]], str]] = {
    "node": (
        lambda scene, _: {"nodes": [node("nobody-knows-me", registered=False)]},
        "0 of 1 changed nodes",
    ),
    "new job": (
        lambda scene, rows: {"new_jobs": [*rows["new_jobs"], new_job(owner="nobody")]},
        "1 of 2 new jobs .is every owner a user",
    ),
    "new job's state": (
        lambda scene, rows: {
            "job_changes": [
                job_change(scene.next_job, JobState.RUNNING, assigned=1),
                rows["job_changes"][1],
            ]
        },
        "running for the core, scheduled for the database",
    ),
    "new job's counters": (
        lambda scene, rows: {
            "job_changes": [
                job_change(scene.next_job, JobState.SCHEDULED, assigned=2),
                rows["job_changes"][1],
            ]
        },
        "jobs_counts_add_up",
    ),
    "new task": (
        lambda scene, rows: {
            "new_tasks": [*rows["new_tasks"], (scene.task, change(scene.task, 1, Q))],
        },
        "tasks_pkey",
    ),
    "task": (
        lambda scene, rows: {"task_changes": [replace(rows["task_changes"][0], version=9)]},
        "0 of 1 changed tasks .a version differs",
    ),
    "new attempt": (
        lambda scene, rows: {
            "attempts": [
                *rows["attempts"],
                attempt(scene.next_task, scene.on, AttemptState.ASSIGNED, new=True, fence=2),
            ]
        },
        "attempts_live",
    ),
    "attempt": (
        lambda scene, rows: {
            "attempts": [
                *rows["attempts"],
                attempt(scene.task, scene.on, AttemptState.COMPLETED, fence=7, ended_at=T0 + 5),
            ]
        },
        "1 of 2 changed attempts",
    ),
    "ledger": (
        lambda scene, _: {"ledgers": [ledger(scene.on, Resources(cpu_millis=10**6))]},
        "node_resources_within_capacity",
    ),
    "job": (
        lambda scene, rows: {
            "job_changes": [
                *rows["job_changes"],
                job_change(new_job(), JobState.PENDING, queued=1),
            ]
        },
        "1 of 2 changed jobs",
    ),
    "job's state": (
        lambda scene, rows: {
            "job_changes": [
                rows["job_changes"][0],
                job_change(scene.job, JobState.FAILED, completed=1, ended_at=T0 + 5),
            ]
        },
        "failed for the core, completed for the database",
    ),
}


@pytest.fixture(params=["one call", "pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as usual, and once as if every task were too many for one call."""
    if request.param == "pieces":
        monkeypatch.setattr(commit, "TASKS_A_CALL", 1)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("wrong", WRONG)
async def test_one_row_that_does_not_fit_undoes_every_other(
    leader: Leader, database: asyncpg.Connection, wrong: str
) -> None:
    scene = Scene()
    await scene.set(leader)
    if commit.TASKS_A_CALL == 1:
        others = [new_task(scene.next_job, index) for index in (1, 2)]
        extra = [(task, change(task, 1, Q)) for task in others]
    else:
        extra = []
    rows = scene.rows()
    rows["new_tasks"] = [*rows["new_tasks"], *extra]
    before = tuple(await database.fetchrow(COUNTS))
    spoil, message = WRONG[wrong]
    with pytest.raises(Disagreement, match=message):
        await leader.commit(**(rows | spoil(scene, rows)))
    assert tuple(await database.fetchrow(COUNTS)) == before
    await leader.commit(**rows)
    assert (
        await database.fetch("select * from corral.ledger_mismatches where node_id = $1", scene.on.id) == []
    )


async def test_every_kind_of_row_in_one_call(leader: Leader, database: asyncpg.Connection) -> None:
    scene = Scene()
    await scene.set(leader)
    await leader.commit(**scene.rows())
    states = (
        "select number, state, created_at <= updated_at from corral.jobs where id = any($1) order by number"
    )
    assert [tuple(row) for row in await database.fetch(states, [scene.job.id, scene.next_job.id])] == [
        (scene.job.number, "completed", True),
        (scene.next_job.number, "scheduled", True),
    ]
    held = (
        "select task_id, resource from corral.allocations where node_id = $1 and status = 'active' order by 2"
    )
    assert [tuple(row) for row in await database.fetch(held, scene.on.id)] == [
        (scene.next_task.id, "cpu"),
        (scene.next_task.id, "memory"),
    ]
    assert await database.fetchval("select health from corral.nodes where id = $1", scene.on.id) == "degraded"


async def test_a_submission_of_many_tasks_goes_in_pieces(
    leader: Leader, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "TASKS_A_CALL", 3)
    on, job = node("pieces"), new_job(tasks=10)
    tasks = [new_task(job, index) for index in range(10)]
    last = tasks[-1]
    await leader.commit(
        nodes=[on],
        new_jobs=[job],
        job_changes=[job_change(job, JobState.SCHEDULED, queued=9, assigned=1)],
        new_tasks=[
            *((task, change(task, 1, Q)) for task in tasks[:-1]),
            (last, change(last, 2, Q, A, node="pieces", fence=1)),
        ],
        attempts=[attempt(last, on, AttemptState.ASSIGNED, new=True)],
        ledgers=[ledger(on, REQUEST)],
    )
    assert await database.fetchval("select count(*) from corral.tasks where job_id = $1", job.id) == 10
    assert await database.fetchval("select state = corral.rollup(id) from corral.jobs where id = $1", job.id)


async def test_a_prefilled_attempt_takes_its_request_when_it_starts(
    leader: Leader, database: asyncpg.Connection
) -> None:
    on, job = node("prefilled"), new_job()
    task = new_task(job)
    waiting = attempt(task, on, AttemptState.ASSIGNED, new=True, waiting=True, holds=NOTHING)
    await leader.commit(
        nodes=[on],
        new_jobs=[job],
        job_changes=[job_change(job, JobState.SCHEDULED, assigned=1)],
        new_tasks=[(task, change(task, 2, Q, A, node="prefilled", fence=1))],
        attempts=[waiting],
    )
    held = "select count(*) from corral.allocations where task_id = $1 and status = 'active'"
    assert await database.fetchval(held, task.id) == 0
    running = attempt(task, on, AttemptState.RUNNING, started_at=T0 + 3)
    for _ in range(2):  # taken once, however often it is said
        await leader.commit(attempts=[running], ledgers=[ledger(on, REQUEST)])
        assert await database.fetchval(held, task.id) == 2
    # given back before it started after all, and taken again
    await leader.commit(attempts=[msgspec.structs.replace(waiting, new=False)], ledgers=[ledger(on, NOTHING)])
    assert await database.fetchval(held, task.id) == 0
    await leader.commit(attempts=[running], ledgers=[ledger(on, REQUEST)])
    assert await database.fetchval(held, task.id) == 2
