"""What webhooks cost a commit: one job accepted, then the same job ended, as the coordinator commits them.

On a PostgreSQL of its own, in turns: with the triggers off, with nobody to tell, and with webhooks that want
every event of it. A turn's figure is the median of what both commits took together.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from bus.values import JobState, Role, TaskState, UserName
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import Batch, UserRow
from coordinator.store.webhooks import Webhooks
from sql import server as postgres
from sql.migrate import migrate
from tests.bench.cluster import Cluster
from tests.bench.figures import Figure, Sizes
from tests.store_rows import T0, change, job_change, new_job, new_task

OWNER = UserName("alice")  # of the builders' rows
ON = ("job.submitted", "job.started", "job.completed")
TURNS: dict[str, int | None] = {"off": None, "none": 0, "one": 1, "hundred": 100}
"""How many webhooks there are; None: no triggers either."""

ROUNDS = 5
WARM_UP = 5
_TRIGGERS = (("jobs", "jobs_webhooks_new"), ("jobs", "jobs_webhooks"), ("tasks", "tasks_webhooks"))
_Q, _A, _R, _C = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED


async def measure(cluster: Cluster, sizes: Sizes) -> list[Figure]:
    """Milliseconds of both commits together; `off` is what the others are to be compared with."""
    with _server() as server:
        await migrate(server.dsn)
        store = await RelationalStore.connect(server.coordinator_dsn)
        webhooks = Webhooks(server.coordinator_dsn)
        owner = await asyncpg.connect(server.dsn)
        try:
            person = UserRow(await store.ensure_user(OWNER, Role.USER), OWNER, Role.USER, True)
            await store.lead("bench", 1)
            numbers = itertools.count(1)
            times: dict[str, list[float]] = {turn: [] for turn in TURNS}
            for _ in range(ROUNDS):
                for turn, many in TURNS.items():
                    await _prepare(owner, webhooks, person, many)
                    took = [await _milliseconds(store, numbers) for _ in range(sizes.hooked_jobs + WARM_UP)]
                    times[turn] += took[WARM_UP:]
        finally:
            await owner.close()
            await webhooks.close()
            await store.close()
    return [
        Figure(
            name=f"webhooks.commit.{turn}",
            value=statistics.median(took),
            unit="ms",
            note="accepted and ended, two commits",
            samples=tuple(took),
        )
        for turn, took in times.items()
    ]


async def _prepare(
    connection: asyncpg.Connection, webhooks: Webhooks, person: UserRow, many: int | None
) -> None:
    await connection.execute("delete from corral.webhooks")
    what = "disable" if many is None else "enable"
    for table, trigger in _TRIGGERS:
        await connection.execute(f"alter table corral.{table} {what} trigger {trigger}")
    for number in range(many or 0):
        url = f"https://hooks.example.com/{number}"
        await webhooks.add(person, url=url, on=ON, of_user=None, job=None, tag=None, secret=b"sealed")


async def _milliseconds(store: RelationalStore, numbers: Iterator[int]) -> float:
    job = new_job()
    task = new_task(job)
    accepted = Batch(
        number=next(numbers),
        new_jobs=[job],
        new_tasks=[(task, change(task, 1, _Q))],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
    )
    over = {"started_at": T0 + 1, "exit_code": 0}
    ended = Batch(
        number=next(numbers),
        task_changes=[change(task, 2, _Q, _A, _R, _C, completed_at=T0 + 2, **over)],
        steps=[1],
        job_changes=[job_change(job, JobState.COMPLETED, completed=1, ended_at=T0 + 2, **over)],
    )
    begin = time.perf_counter()
    await store.commit(accepted)
    await store.commit(ended)
    return (time.perf_counter() - begin) * 1000


@contextmanager
def _server() -> Iterator[postgres.PostgresProcess]:
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        process = postgres.prepare(folder / "postgres", port=postgres.free_port())
        child = postgres.start(process)
        try:
            yield process
        finally:
            postgres.stop(child)
