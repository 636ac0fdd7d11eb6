"""Every field with every operator, and every order, is SQL that the database takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from bus.errors import ApiError
from bus.fields import EVENT_FIELDS, JOB_FIELDS, TASK_FIELDS, Field, Kind
from bus.filter import Condition, Order, parse
from coordinator.store.events import Events, Scope
from coordinator.store.listing import Listing, Position
from coordinator.store.lists import Lists
from tests.integration.store.conftest import Leader
from tests.store_rows import T0

SIGNS = ("=", "!=", "~", "!~", "<", "<=", ">", ">=")
VALUES = {
    Kind.TEXT: "'a\\'b%',\"\\\\\",Ä",
    Kind.FLAG: "yes,no",
    Kind.INTEGER: "-999999999999999999",
    Kind.NUMBER: "0.5",
    Kind.CPU: "500m",
    Kind.GPU: "1.5",
    Kind.SIZE: "1PiB",
    Kind.RATE: "1Gbit",
    Kind.DURATION: "365d",
    Kind.INSTANT: "0001-01-01T00:00:00+14:00",
}
LISTED = {"jobs": JOB_FIELDS, "tasks": TASK_FIELDS, "events": EVENT_FIELDS}


@pytest.fixture
async def lists(coordinator_dsn: str, leader: Leader) -> AsyncIterator[Lists]:
    lists = Lists(coordinator_dsn)
    yield lists
    await lists.close()


@pytest.fixture
async def events(coordinator_dsn: str, leader: Leader) -> AsyncIterator[Events]:
    events = Events(coordinator_dsn)
    yield events
    await events.close()


async def ask(kind: str, lists: Lists, events: Events, listing: Listing) -> None:
    match kind:
        case "jobs":
            await lists.jobs(listing, viewer="alice")
        case "tasks":
            await lists.tasks(1, listing)
        case _:
            await events.page(listing, Scope(job=1, node="n1", since=0.0, until=1e11), viewer="alice")


def listing_of(
    order: Order, conditions: tuple[Condition, ...] = (), after: Position | None = None
) -> Listing:
    return Listing(scope="", conditions=conditions, order=order, limit=1, now_s=T0, after=after)


def readable(fields: Mapping[str, Field]) -> list[Condition]:
    """What the grammar lets through of each field with each operator, with none where it may be absent."""
    found: list[Condition] = []
    for name, field in fields.items():
        value = ",".join(field.choices[:2]) or VALUES[field.kind]
        for sign in SIGNS:
            for text in (value, value.split(",")[0], "none", "none,1"):
                try:
                    found += parse(f"{name}{sign}{text}", fields, me="ann", now_s=T0)
                except ApiError:
                    continue
    return found


@pytest.mark.parametrize("kind", LISTED)
async def test_every_condition_is_taken(kind: str, lists: Lists, events: Events) -> None:
    fields = LISTED[kind]
    order = {"jobs": Order("number"), "tasks": Order("index"), "events": Order("at")}[kind]
    conditions = readable(fields)
    assert {each.field for each in conditions} >= {name for name in fields if name != "age"}
    for condition in conditions:
        await ask(kind, lists, events, listing_of(order, (condition,)))


@pytest.mark.parametrize("kind", LISTED)
async def test_every_order_goes_on_from_every_kind_of_place(kind: str, lists: Lists, events: Events) -> None:
    keys = {
        Kind.TEXT: "a", Kind.CHOICE: "a", Kind.FLAG: True, Kind.NUMBER: 0.5, Kind.DURATION: 0.5,
        Kind.INSTANT: -1e11,
    }  # fmt: skip
    tie = "id" if kind == "events" else 1
    for name, field in LISTED[kind].items():
        if field.since or (kind == "events" and name != "at"):
            continue
        places = [keys.get(field.kind, 10**17), *([None] if field.optional else [])]
        for descending in (False, True):
            for key in places:
                await ask(
                    kind, lists, events, listing_of(Order(name, descending), (), Position(T0, key, tie))
                )
