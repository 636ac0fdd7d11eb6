"""The audit beside the commits: first refusals at once, floods counted, rows kept while nobody takes them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from coordinator.core.effects import EventRecord
from coordinator.store.audit import Audit, Refused


def refused(actor: str, code: str = "E_REPLY") -> Refused:
    return Refused(actor=actor, action="request", object="corral.u.x.job.list", code=code)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


async def counts(dsn: str, actor: str) -> list[int]:
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch("select details from corral.audit where actor = $1 order by id", actor)
        return [json.loads(row["details"])["count"] for row in found]
    finally:
        await connection.close()


async def until_counts(dsn: str, actor: str, expected: list[int]) -> None:
    async with asyncio.timeout(10):
        while await counts(dsn, actor) != expected:
            await asyncio.sleep(0.02)


async def test_a_flood_is_a_row_a_minute(coordinator_dsn: str, postgres_dsn: str) -> None:
    clock, events = Clock(), []
    audit = Audit(coordinator_dsn, now_s=clock, record=events.extend)
    running = asyncio.create_task(audit.run())
    for _ in range(1_000):
        audit.refused(refused("mallory"))
    await until_counts(postgres_dsn, "mallory", [1])
    clock.now_s += 60
    await until_counts(postgres_dsn, "mallory", [1, 999])
    audit.refused(refused("mallory"))
    audit.refused(refused("mallory", "E_JSON"))  # another kind is told at once
    await until_counts(postgres_dsn, "mallory", [1, 999, 1])
    running.cancel()
    await audit.close()
    assert await counts(postgres_dsn, "mallory") == [1, 999, 1, 1]  # closing writes what was counted
    assert [type(event) for event in events] == [EventRecord] * 4
    assert events[1].message.endswith("E_REPLY, 999 times")


async def test_a_window_without_a_refusal_is_forgotten(coordinator_dsn: str, postgres_dsn: str) -> None:
    clock, events = Clock(), []
    audit = Audit(coordinator_dsn, now_s=clock, record=events.extend)
    running = asyncio.create_task(audit.run())
    for _ in range(3):
        audit.refused(refused("once"))
        await until_counts(postgres_dsn, "once", [1] * len(events))
        clock.now_s += 61
        async with asyncio.timeout(10):
            while audit.open_windows:
                await asyncio.sleep(0.02)
    running.cancel()
    await audit.close()
    assert len(events) == 3


async def test_rows_wait_for_the_database_and_are_bounded(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.store.audit.WAITING_MAX", 5)
    taken: list[Any] = []
    audit = Audit("postgresql://nobody@127.0.0.1:1/none", now_s=Clock(), record=taken.extend)
    for number in range(8):
        audit.refused(refused(f"u{number}"))
    assert audit.dropped == 3 and len(taken) == 5
    await audit.close()  # away: said in the log, no exception


async def test_what_no_text_can_hold_is_mended(coordinator_dsn: str, postgres_dsn: str) -> None:
    audit = Audit(coordinator_dsn, now_s=Clock(), record=lambda records: None)
    audit.refused(
        Refused(actor="odd", action="request", object="a\x00b", code="E_REPLY", details={"reply": "\x00"})
    )
    await audit.close()
    assert await counts(postgres_dsn, "odd") == [1]
