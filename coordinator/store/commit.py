"""A batch as one transaction: who leads, then one statement for each table that changes.

The order is the one the foreign keys ask for. Each statement counts what it wrote, so that a row which is
not as the core believes (another version, an unknown user) undoes the whole batch instead of being skipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from asyncpg.connection import Connection
from asyncpg.protocol import Record

from coordinator.core.effects import AttemptChange, JobChange, NewJob, NewTask, TaskChange
from coordinator.store import columns, node_rows
from coordinator.store.connection import LOST, Session
from coordinator.store.errors import Disagreement, NotLeader, OutcomeUnknown
from coordinator.store.rows import Batch
from sql import queries

TASKS_A_STATEMENT = 5_000
"""A submission of 100,000 tasks goes in pieces: parameters of bounded size, all in the one transaction."""

_LEADERSHIP = queries("leadership")
_JOBS = queries("jobs")
_TASKS = queries("tasks")
_ATTEMPTS = queries("attempts")
_ALLOCATIONS = queries("allocations")


async def write(writer: Session, epoch: int, batch: Batch) -> None:
    """Commit `batch`, unless it is committed already.

    Raises NotLeader, Disagreement, StoreUnavailable (nothing committed) or OutcomeUnknown; a deadlock or
    serialization failure comes through as asyncpg raises it.
    """
    async with writer.use() as connection:
        await connection.execute("begin")
        try:
            if await _claim(connection, epoch, batch.number):
                await _write_rows(connection, batch)
            else:
                await connection.execute("rollback")
                return
        except (asyncpg.PostgresError, Disagreement, NotLeader):
            if not connection.is_closed():
                await connection.execute("rollback")
            raise
        try:
            await connection.execute("commit")
        except LOST as fault:
            writer.cut()
            raise OutcomeUnknown(f"the connection broke during the commit of batch {batch.number}") from fault


async def is_committed(session: Session, epoch: int, number: int) -> bool:
    """Whether batch `number` of `epoch` is in the database; waits for a commit still under way."""
    row = await session.fetchrow(_LEADERSHIP["newest_batch"], epoch)
    return row is not None and int(row["number"]) >= number


async def _claim(connection: Connection[Record], epoch: int, number: int) -> bool:
    """Whether the batch is new. Raises NotLeader."""
    if await connection.fetchval(_LEADERSHIP["claim_batch"], epoch, number) is not None:
        return True
    current = await connection.fetchrow(_LEADERSHIP["current"])
    if current is None or current["epoch"] != epoch:
        raise NotLeader(f"epoch {epoch} is over")
    return False


async def _write_rows(connection: Connection[Record], batch: Batch) -> None:
    await node_rows.write_nodes(connection, batch.nodes)
    if batch.new_jobs:
        await _insert_jobs(connection, batch.new_jobs)
    for start in range(0, len(batch.new_tasks), TASKS_A_STATEMENT):
        await _insert_tasks(connection, batch.new_tasks[start : start + TASKS_A_STATEMENT])
    if batch.task_changes:
        await _update_tasks(connection, batch.task_changes, batch.steps)
    if batch.attempts:
        await _write_attempts(connection, batch.attempts)
    await node_rows.write_ledgers(connection, batch.nodes, batch.ledgers)
    if batch.job_changes:
        await _update_jobs(connection, batch.job_changes)


async def _insert_jobs(connection: Connection[Record], jobs: Sequence[NewJob]) -> None:
    written = await connection.fetchval(_JOBS["insert_jobs"], *columns.new_jobs(jobs))
    _expect(written, len(jobs), "new jobs (is every owner a user?)")


async def _insert_tasks(connection: Connection[Record], tasks: Sequence[tuple[NewTask, TaskChange]]) -> None:
    written = await connection.fetchval(_TASKS["insert_tasks"], *columns.new_tasks(tasks))
    _expect(written, len(tasks), "new tasks")


async def _update_tasks(
    connection: Connection[Record], changes: Sequence[TaskChange], steps: Sequence[int]
) -> None:
    written = await connection.fetchval(_TASKS["update_tasks"], *columns.task_changes(changes, steps))
    _expect(written, len(changes), "changed tasks (a version differs)")


async def _update_jobs(connection: Connection[Record], changes: Sequence[JobChange]) -> None:
    rows = await connection.fetch(_JOBS["update_jobs"], *columns.job_changes(changes))
    _expect(len(rows), len(changes), "changed jobs")
    derived = {row["id"]: row["state"] for row in rows}
    for change in changes:
        if derived[change.id] != change.state:
            raise Disagreement(
                f"job {change.number} is {change.state} for the core, {derived[change.id]} for the database"
            )


async def _write_attempts(connection: Connection[Record], attempts: Sequence[AttemptChange]) -> None:
    # the old attempt of a task ends before its next one begins: only one may be live
    known = [each for each in attempts if not each.new]
    if known:
        written = await connection.fetchval(_ATTEMPTS["update_attempts"], *columns.attempt_changes(known))
        _expect(written, len(known), "changed attempts")
    new = [each for each in attempts if each.new]
    if new:
        written = await connection.fetchval(_ATTEMPTS["insert_attempts"], *columns.new_attempts(new))
        _expect(written, len(new), "new attempts")
    holding = [each for each in attempts if columns.holding(each)]
    if holding:
        await connection.execute(_ALLOCATIONS["open_allocations"], *columns.held(holding))
    released = [each for each in known if not columns.holding(each)]
    if released:
        await connection.execute(_ALLOCATIONS["close_allocations"], *columns.released(released))


def _expect(written: int, meant: int, what: str) -> None:
    if written != meant:
        raise Disagreement(f"{written} of {meant} {what} could be written")
