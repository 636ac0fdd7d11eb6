"""Schedules on a real server: what is due, what is noted once, what is left out, and who did what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256

import asyncpg
import pytest

from bus.schedules import Schedule
from bus.spec import JobSpec
from bus.values import Role, UserName
from coordinator.api.jobs import seal
from coordinator.registry import Resolved
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import UserRow
from coordinator.store.schedules import Firing, Kept, Schedules

T0 = 1_750_000_000.0
MINUTE_S = 60.0
SPEC = JobSpec(command=["echo", "ünï"], name="n")
OPERATOR = UserName("operator")


@pytest.fixture
async def schedules(coordinator_dsn: str, database: asyncpg.Connection) -> AsyncIterator[Schedules]:
    store = Schedules(coordinator_dsn)
    yield store
    await store.close()
    await database.execute("delete from corral.schedules")


@pytest.fixture
async def other(coordinator_dsn: str) -> AsyncIterator[Schedules]:
    """Another coordinator."""
    store = Schedules(coordinator_dsn)
    yield store
    await store.close()


async def user(dsn: str, name: str) -> UserRow:
    keeper = await RelationalStore.connect(dsn)
    try:
        return UserRow(await keeper.ensure_user(UserName(name), Role.USER), UserName(name), Role.USER, True)
    finally:
        await keeper.close()


@pytest.fixture
async def ann(coordinator_dsn: str) -> UserRow:
    return await user(coordinator_dsn, "ann")


async def made(store: Schedules, owner: UserRow, name: str, *, next_at_s: float = T0) -> Kept:
    told = Schedule(
        name=name, user=owner.name, cron="* * * * *", zone="Europe/Zurich", overlap="replace",
        paused=False, created_at=T0,
    )  # fmt: skip
    digest = sha256(name.encode()).digest()
    identity = await store.create(
        owner, told, spec=seal(Resolved(SPEC)).json, digest=digest, next_at_s=next_at_s
    )
    kept = await store.find(owner.name, name)
    assert kept is not None and kept.id == identity and kept.digest == digest
    return kept


async def found(store: Schedules, kept: Kept) -> Schedule:
    there = await store.find(kept.told.user, kept.told.name)
    assert there is not None
    return there.told


async def audit(database: asyncpg.Connection, name: str) -> list[tuple[str, str, dict[str, str]]]:
    rows = await database.fetch(
        "select actor, action, details from corral.audit where object = $1 order by id", name
    )
    return [(row["actor"], row["action"], json.loads(row["details"])) for row in rows]


async def test_one_is_kept_as_it_was_told_and_once_for_each_owner(
    schedules: Schedules, ann: UserRow, coordinator_dsn: str, database: asyncpg.Connection
) -> None:
    kept = await made(schedules, ann, "once", next_at_s=T0 + 0.25)
    assert kept.spec == SPEC and kept.next_at_s == kept.told.next_at == T0 + 0.25
    assert (kept.told.zone, kept.told.overlap, kept.told.fired) == ("Europe/Zurich", "replace", 0)
    again = await schedules.create(ann, kept.told, spec=b"{}", digest=b"other", next_at_s=T0)
    assert again is None and await schedules.find("ann", "once") == kept
    bea = await user(coordinator_dsn, "bea")
    assert (await made(schedules, bea, "once")).id != kept.id
    assert await schedules.count_of(ann) == await schedules.count_of(bea) == 1
    assert [each.user for each in await schedules.every(None, limit=10)] == ["ann", "bea"]
    assert [each.user for each in await schedules.every("bea", limit=10)] == ["bea"]
    assert len(await schedules.every(None, limit=1)) == 1
    about = {"cron": "* * * * *", "zone": "Europe/Zurich"}
    assert await audit(database, "once") == [
        ("ann", "schedule.create", about),
        ("bea", "schedule.create", about),
    ], "the refused one left no row"


async def test_what_is_due_comes_most_overdue_first_and_only_then(schedules: Schedules, ann: UserRow) -> None:
    late = await made(schedules, ann, "late", next_at_s=T0 - 5 * MINUTE_S)
    now = await made(schedules, ann, "now", next_at_s=T0)
    await made(schedules, ann, "later", next_at_s=T0 + 0.001)
    paused = await made(schedules, ann, "paused", next_at_s=T0 - MINUTE_S)
    await schedules.set_paused("ann", "paused", paused=True, next_at_s=paused.next_at_s, by=ann.name)
    assert [each.id for each in await schedules.due(T0, limit=10)] == [late.id, now.id]
    assert [each.id for each in await schedules.due(T0, limit=1)] == [late.id]
    assert await schedules.due(T0 - 6 * MINUTE_S, limit=10) == []


async def test_a_turn_that_two_note_counts_once(schedules: Schedules, other: Schedules, ann: UserRow) -> None:
    kept = await made(schedules, ann, "twice")
    (mine,), (theirs,) = await schedules.due(T0, limit=9), await other.due(T0, limit=9)
    firing = Firing(at_s=T0, next_at_s=T0 + MINUTE_S, job=41)
    await asyncio.gather(schedules.note(mine, firing), other.note(theirs, firing))
    told = await found(schedules, kept)
    assert (told.fired, told.last_job, told.last_at, told.next_at) == (1, 41, T0, T0 + MINUTE_S)
    await other.note(theirs, Firing(at_s=T0, next_at_s=T0 + 9 * MINUTE_S, error="came late", skipped=4))
    assert await found(schedules, kept) == told
    assert await schedules.due(T0, limit=9) == []


async def test_missed_and_failed_turns_are_counted_and_keep_the_newest_job(
    schedules: Schedules, ann: UserRow
) -> None:
    kept = await made(schedules, ann, "missed", next_at_s=T0 - 9 * MINUTE_S)
    firing = Firing(at_s=T0, next_at_s=T0 + MINUTE_S, job=7, skipped=1)
    await schedules.note(kept, firing)
    told = await found(schedules, kept)
    assert (told.fired, told.skipped, told.last_at, told.last_error) == (1, 1, T0, "")
    for place in (1, 2):
        (due,) = await schedules.due(T0 + place * MINUTE_S, limit=9)
        turn = Firing(
            at_s=T0 + place * MINUTE_S,
            next_at_s=T0 + (place + 1) * MINUTE_S,
            skipped=place - 1,
            error="ü" * 600 if place == 1 else "",
        )
        await schedules.note(due, turn)
        told = await found(schedules, kept)
        assert (told.fired, told.last_job) == (1, 7), "what gave no job counts as none"
        assert told.last_error == ("ü" * 500 if place == 1 else "")
    assert (told.skipped, told.next_at) == (2, T0 + 3 * MINUTE_S)


async def test_a_paused_one_has_no_next_turn_and_goes_on_after_what_it_left_out(
    schedules: Schedules, ann: UserRow, database: asyncpg.Connection
) -> None:
    kept = await made(schedules, ann, "held")
    told = await schedules.set_paused("ann", "held", paused=True, next_at_s=T0, by=OPERATOR)
    assert told is not None and told.paused and told.next_at is None
    assert await schedules.due(T0 + MINUTE_S, limit=9) == []
    later_s = T0 + 60 * MINUTE_S
    told = await schedules.set_paused("ann", "held", paused=False, next_at_s=later_s, by=ann.name)
    assert told is not None and not told.paused and told.next_at == later_s
    assert await schedules.due(later_s - 1, limit=9) == []
    assert [each.id for each in await schedules.due(later_s, limit=9)] == [kept.id]
    assert (await audit(database, "held"))[1:] == [
        ("operator", "schedule.pause", {"user": "ann"}),
        ("ann", "schedule.resume", {"user": "ann"}),
    ]


async def test_a_removed_one_is_not_fired_by_whoever_had_seen_it(
    schedules: Schedules, other: Schedules, ann: UserRow, database: asyncpg.Connection
) -> None:
    kept = await made(schedules, ann, "gone")
    (seen,) = await other.due(T0, limit=9)
    assert await schedules.remove("ann", "gone", by=OPERATOR) == kept.told
    await other.note(seen, Firing(at_s=T0, next_at_s=T0 + MINUTE_S, job=3))
    assert await schedules.find("ann", "gone") is None and await schedules.count_of(ann) == 0
    assert await schedules.remove("ann", "gone", by=OPERATOR) is None
    assert await schedules.set_paused("ann", "gone", paused=True, next_at_s=T0, by=OPERATOR) is None
    assert (await audit(database, "gone"))[1:] == [("operator", "schedule.remove", {"user": "ann"})]
