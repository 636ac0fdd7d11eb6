"""A migrated database; every test runs in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest


class Contract:
    """A connection inside a transaction, with the rows that most tests need."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self.connection.fetchval(query, *arguments)

    async def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.connection.fetch(query, *arguments)]

    async def run(self, statement: str, *arguments: Any) -> None:
        await self.connection.execute(statement, *arguments)

    async def refused(self, statement: str, *arguments: Any) -> str:
        """The message with which PostgreSQL refuses `statement`, which then has changed nothing."""
        with pytest.raises(asyncpg.PostgresError) as refusal:
            async with self.connection.transaction():
                await self.connection.execute(statement, *arguments)
        return str(refusal.value)

    async def user(self, name: str = "alice", **columns: Any) -> UUID:
        return await self._insert("users", username=name, **columns)

    async def node(self, name: str = "n1", **columns: Any) -> UUID:
        return await self._insert("nodes", **({"name": name, "hostname": name, "ip": "10.0.0.1"} | columns))

    async def job(self, **columns: Any) -> UUID:
        if "user_id" not in columns:
            columns["user_id"] = await self.value("select id from corral.users limit 1") or await self.user()
        return await self._insert("jobs", **columns)

    async def task(self, job: UUID | None = None, **columns: Any) -> UUID:
        columns["job_id"] = job or await self.job()
        return await self._insert("tasks", **({"input": '{"a": 1}'} | columns))

    async def attempt(self, task: UUID, *, fence: int = 1, **columns: Any) -> None:
        await self.run(
            "insert into corral.attempts (task_id, fence, node_name, node_id, state)"
            " values ($1, $2, 'n1', $3, $4)",
            task,
            fence,
            columns.get("node_id"),
            columns.get("state", "assigned"),
        )

    async def _insert(self, table: str, **columns: Any) -> UUID:
        names, marks = ", ".join(columns), ", ".join(f"${number + 1}" for number in range(len(columns)))
        return await self.value(
            f"insert into corral.{table} ({names}) values ({marks}) returning id", *columns.values()
        )


@pytest.fixture
async def corral(postgres_dsn: str) -> AsyncIterator[Contract]:
    connection = await asyncpg.connect(postgres_dsn)
    transaction = connection.transaction()
    await transaction.start()
    yield Contract(connection)
    await transaction.rollback()
    await connection.close()
