"""Lists of items in a real database: a row each, come back with their jobs, gone when nobody names them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from bus.contents import KeptList
from bus.item_lists import ItemList, ItemReader
from bus.spec import JobSpec
from coordinator.store.connection import Session
from coordinator.store.errors import Disagreement
from coordinator.store.item_lists import ItemListStore
from coordinator.store.load import load
from coordinator.store.over import Over


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[ItemListStore]:
    made = ItemListStore(coordinator_dsn)
    yield made
    await made.close()


def items(count: int) -> ItemList:
    reader = ItemReader()
    reader.feed(b"".join(b"item %d\n" % number for number in range(count)))
    return reader.finish()


async def named(database: asyncpg.Connection, sha256: str, *, over: bool) -> int:
    """The number of a job that names a list."""
    user = await database.fetchval(
        "insert into corral.users (username, role) values ($1, 'user') returning id", f"u{uuid4().hex[:12]}"
    )
    spec = JobSpec(command=["a"], for_each="corral://x", lists={"corral://x": KeptList(sha256, 1)})
    number: int = await database.fetchval(
        "insert into corral.jobs (user_id, spec, pending, completed) values ($1, $2, $3, $4)"
        " returning number",
        user,
        msgspec.json.encode(spec).decode(),
        int(not over),
        int(over),
    )
    return number


async def test_a_list_is_kept_once_and_comes_back(store: ItemListStore) -> None:
    sha256, kept = "b1" * 32, items(2_345)
    assert await store.find(sha256) is None
    await store.keep(sha256, kept)
    await store.keep(sha256, kept)
    found = await store.find(sha256)
    assert found == kept and found.at(2_344) == "item 2344"
    with pytest.raises(Disagreement):
        await store.keep("b2" * 32, ItemList(2_345, kept.blocks[:1]))


async def test_it_comes_back_with_its_jobs_and_goes_after_them(
    store: ItemListStore, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    live, over, neither, new = ("c1" * 32, "c2" * 32, "c3" * 32, "c4" * 32)
    for sha256 in (live, over, neither, new):
        await store.keep(sha256, items(1))
    await named(database, live, over=False)
    ended = await named(database, over, over=True)
    session, finished = Session(coordinator_dsn), Over(coordinator_dsn)
    try:
        assert set((await load(session)).lists) >= {live} and over not in (await load(session)).lists
        job = await finished.job(ended)
        assert job is not None and job.lists == {over: items(1)}
        await database.execute(
            "update corral.item_lists set kept_at = kept_at - interval '2 hours' where sha256 <> $1", new
        )
        await store.drop(unused_s=3_600.0)
        kept = [await store.find(sha256) is not None for sha256 in (live, over, neither, new)]
        assert kept == [True, True, False, True]
    finally:
        await session.close()
        await finished.close()
        await database.execute("delete from corral.jobs where spec ? 'lists'")


async def test_nobody_reads_the_lists_of_others(database: asyncpg.Connection) -> None:
    for role in ("corral_readonly", "corral_user", "corral_operator", "corral_admin"):
        allowed = await database.fetchval(
            "select has_table_privilege($1, 'corral.item_lists', 'select')", role
        )
        assert not allowed, role
