"""A leading store on a database of the module's own, and one batch number after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import asyncpg
import pytest

from bus.values import Role
from coordinator.store.reads import Reads
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import Batch
from tests.store_rows import ALICE


class Leader:
    """A store that leads, with its epoch's batch numbers."""

    def __init__(self, store: RelationalStore) -> None:
        self.store = store
        self.numbers = count(1)

    async def commit(self, **rows: Any) -> int:
        batch = Batch(number=next(self.numbers), **rows)
        await self.store.commit(batch)
        return batch.number


@pytest.fixture
async def leader(coordinator_dsn: str) -> AsyncIterator[Leader]:
    store = await RelationalStore.connect(coordinator_dsn)
    await store.ensure_user(ALICE, Role.USER)
    await store.lead("test", 10)
    yield Leader(store)
    await store.resign()
    await store.close()


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def reads(coordinator_dsn: str) -> AsyncIterator[Reads]:
    made = Reads(coordinator_dsn)
    yield made
    await made.close()
