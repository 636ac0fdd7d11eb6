"""Which published submissions are jobs: found by their keys alone, however the table has grown."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from bus.values import Role, UserName
from coordinator.store.published import PublishedKeys
from sql import queries
from tests.integration.store.conftest import Leader
from tests.store_rows import ALICE, new_job

BOB = UserName("bob")
KEYS = ("message_keys", "dedupe_keys")


async def test_a_key_names_the_job_of_its_owner(leader: Leader, coordinator_dsn: str) -> None:
    await leader.store.ensure_user(BOB, Role.USER)
    mine = new_job(message_key="one", dedupe_key="name", digest=b"m" * 32)
    theirs = new_job(owner=BOB, message_key="one", digest=b"t" * 32)
    await leader.commit(new_jobs=[mine, theirs, new_job(message_key="two"), new_job()])
    keys = PublishedKeys(coordinator_dsn)
    try:
        found = await keys.by_message([(ALICE, "one"), (BOB, "one"), (BOB, "two"), (UserName("zoe"), "one")])
        assert {key: (each.number, each.digest) for key, each in found.items()} == {
            (ALICE, "one"): (mine.number, mine.digest),
            (BOB, "one"): (theirs.number, theirs.digest),
        }
        named = await keys.by_dedupe_key([(ALICE, "name"), (BOB, "name"), (ALICE, "one")])
        assert {key: each.number for key, each in named.items()} == {(ALICE, "name"): mine.number}
        assert await keys.by_message([]) == {}
    finally:
        await keys.close()


@pytest.mark.parametrize("table", KEYS)
async def test_a_batch_reads_its_keys_and_not_the_table(table: str, database: asyncpg.Connection) -> None:
    """Planned while the table is empty, kept while a flood fills it: each key is one look into the index."""
    query = queries("messages")[f"by_{table}"]
    await database.execute("set plan_cache_mode = force_generic_plan")
    await database.execute(f"prepare keys (text[], text[]) as {query}")
    plan = json.loads(await database.fetchval("explain (format json) execute keys ('{a}', '{k}')"))
    (look,) = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == table]
    assert look["Node Type"] in ("Index Scan", "Index Only Scan") and look["Index Name"] == f"{table}_pkey"
    assert "user_id =" in look["Index Cond"] and "key =" in look["Index Cond"]


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan's nodes, from the top."""
    return [plan, *(node for inner in plan.get("Plans", ()) for node in nodes(inner))]
