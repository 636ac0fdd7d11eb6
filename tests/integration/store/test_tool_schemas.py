"""Schemas of tools come back as their authors wrote them: a form asks for the keys in that order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from bus.builtin import BUILT_IN
from bus.registry import Json, ToolAdd
from coordinator.store.tools import ToolRow, ToolStore

WRITTEN: Json = {
    "type": "object",
    "properties": {
        "scene": {"type": "string", "description": "a \ufb01le", "minLength": 1},
        "frame": {"type": "integer"},
        "a": {"type": "object", "properties": {"zz": {}, "b": {}}},
    },
    "required": ["scene", "frame"],
}
WORDCOUNT = next(each for each in BUILT_IN if each.name == "wordcount")


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[ToolStore]:
    made = ToolStore(coordinator_dsn)
    yield made
    await made.close()


async def tool(store: ToolStore, name: str) -> ToolRow:
    return next(row for row in await store.tools() if row.name == name)


def same(one: Json | None, other: Json | None) -> bool:
    """With the keys in the same order, at every depth."""
    return json.dumps(one) == json.dumps(other)


async def test_keys_keep_the_order_in_which_the_author_wrote_them(store: ToolStore) -> None:
    added = ToolAdd(name="blender", command=["true"], input_schema=WRITTEN, output_schema=WRITTEN)
    await store.add(added, current=True, by="alice")
    found = await tool(store, "blender")
    assert same(found.input_schema, WRITTEN) and same(found.output_schema, WRITTEN)
    await store.ensure(BUILT_IN)
    built_in = await tool(store, "wordcount")
    assert same(built_in.input_schema, WORDCOUNT.input) and same(built_in.output_schema, WORDCOUNT.output)


async def test_a_built_in_tool_of_an_older_release_learns_the_order(
    store: ToolStore, database: asyncpg.Connection
) -> None:
    await store.ensure([WORDCOUNT])
    await database.execute("update corral.tools set input_schema_text = null, output_schema_text = null")
    before = await tool(store, "wordcount")
    assert before.input_schema == WORDCOUNT.input and not same(before.input_schema, WORDCOUNT.input)
    await store.ensure([WORDCOUNT])
    assert await tool(store, "wordcount") == before
    assert same((await tool(store, "wordcount")).input_schema, WORDCOUNT.input)


async def test_a_schema_that_was_changed_since_counts_and_not_its_old_text(
    store: ToolStore, database: asyncpg.Connection
) -> None:
    await store.add(ToolAdd(name="t", command=["true"], input_schema=WRITTEN), current=True, by="alice")
    await database.execute("""update corral.tools set input_schema = '{"type": "object"}'""")
    found = await tool(store, "t")
    assert (found.input_schema, found.output_schema) == ({"type": "object"}, None)
