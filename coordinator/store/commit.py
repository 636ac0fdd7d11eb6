"""A batch as one transaction, and nearly always as one round trip: `corral.write_batch` does the rest.

The database counts what it writes, so that a row which is not as the core believes (another version, an
unknown user) undoes the whole batch instead of being skipped. What is rare and large goes in pieces: nodes
that register, accounts once a minute, and submissions of many thousand tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from asyncpg.connection import Connection
from asyncpg.protocol import Record
from msgspec.structs import replace

from coordinator.store import composites, node_rows
from coordinator.store.connection import CUT, Session
from coordinator.store.errors import NotLeader, OutcomeUnknown
from coordinator.store.rows import Batch
from sql import queries

TASKS_A_CALL = 5_000
"""A submission of 100,000 tasks goes in pieces: parameters of bounded size, all in the one transaction."""

EPOCH_OVER = "CR001"
"""The SQLSTATE with which the database says that another coordinator leads."""

_SQL = queries("batches")
_LEADERSHIP = queries("leadership")


async def write(writer: Session, epoch: int, batch: Batch) -> None:
    """Commit `batch`, unless it is committed already.

    Raises NotLeader, Disagreement, StoreUnavailable (nothing committed) or OutcomeUnknown; a deadlock or
    serialization failure comes through as asyncpg raises it.
    """
    async with writer.use() as connection:
        with _not_leader():
            registers = any(node.registered for node in batch.nodes)
            if registers or batch.accounts or len(batch.new_tasks) > TASKS_A_CALL:
                await _write_pieces(writer, connection, epoch, batch)
                return
            rows = composites.arguments(batch)
            with _undecided(writer, batch.number):
                await connection.fetchval(_SQL["write"], epoch, batch.number, *rows)


async def is_committed(session: Session, epoch: int, number: int) -> bool:
    """Whether batch `number` of `epoch` is in the database; waits for a commit still under way."""
    row = await session.fetchrow(_LEADERSHIP["newest_batch"], epoch)
    return row is not None and int(row["number"]) >= number


async def _write_pieces(writer: Session, connection: Connection[Record], epoch: int, batch: Batch) -> None:
    await connection.execute("begin")
    try:
        if await connection.fetchval(_SQL["claim"], epoch, batch.number):
            await node_rows.register(connection, batch.nodes)
            await connection.executemany(
                queries("fair_shares")["put"],
                [(each.owner, each.shares, each.usage, each.at) for each in batch.accounts],
            )
            for piece in _pieces(batch):
                await connection.fetchval(_SQL["write_piece"], *composites.arguments(piece))
    except asyncpg.PostgresError:
        if not connection.is_closed():
            await connection.execute("rollback")
        raise
    with _undecided(writer, batch.number):
        await connection.execute("commit")


def _pieces(batch: Batch) -> Iterator[Batch]:
    """Jobs, then their tasks, then what refers to those."""
    number, tasks = batch.number, batch.new_tasks
    yield Batch(number=number, new_jobs=batch.new_jobs, job_changes=batch.job_changes)
    for start in range(0, len(tasks), TASKS_A_CALL):
        yield Batch(number=number, new_tasks=tasks[start : start + TASKS_A_CALL])
    yield replace(batch, new_jobs=[], job_changes=[], new_tasks=[])


@contextmanager
def _undecided(writer: Session, number: int) -> Iterator[None]:
    """Around what commits: a connection that breaks here leaves the question whether it did."""
    try:
        yield
    except CUT as fault:
        writer.cut()
        raise OutcomeUnknown(f"the connection broke during the commit of batch {number}: {fault}") from fault


@contextmanager
def _not_leader() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as fault:
        if fault.sqlstate == EPOCH_OVER:
            raise NotLeader(str(fault)) from fault
        raise
