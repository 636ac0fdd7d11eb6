"""Usage and events reach their tables, whatever their day; what cannot be written waits, and is bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from bus.values import AttemptRef, NodeName, Role, Usage
from coordinator.core.effects import EventRecord, LogRecord, Record, UsageRecord
from coordinator.store import telemetry
from coordinator.store.errors import StoreUnavailable
from coordinator.store.relational import RelationalStore
from coordinator.store.series import SeriesStore
from coordinator.store.telemetry import TelemetryStore, TelemetryWriter
from tests.store_rows import ALICE

N1 = NodeName("n1")


@pytest.fixture
async def store(coordinator_dsn: str) -> AsyncIterator[TelemetryStore]:
    store = await TelemetryStore.connect(coordinator_dsn)
    yield store
    await store.close()


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


def usage(at: float, **other: object) -> UsageRecord:
    gauges = Usage(cpu_millis=500, mem_mib=100, net_rx_mbps=1, net_tx_mbps=2, temperature_c=40)
    return UsageRecord(at=at, node=N1, node_id=uuid4(), usage=gauges, load=0.5, **other)  # type: ignore[arg-type]


@pytest.mark.contract("S0.41", "S0.42", "S2.57", "S2.60", "S2.62")
async def test_records_reach_their_tables(
    store: TelemetryStore, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    relational = await RelationalStore.connect(coordinator_dsn)
    user_id = await relational.ensure_user(ALICE, Role.USER)
    await relational.close()
    now = time.time()
    of_node = usage(now)
    of_task = usage(now, attempt=AttemptRef(1, 0, 2), task_id=uuid4())
    event = EventRecord(
        at=now, event_type="node_lost", severity="error", message="gone\0", user=ALICE, details={"k": "\0"}
    )
    await store.write([of_node, of_task, event])
    row = await database.fetchrow("select * from corral.node_usage where node_id = $1", of_node.node_id)
    assert (row["cpu_millis"], row["net_mbps"], row["temperature_c"], row["load"]) == (500, 3, 40, 0.5)
    fence = await database.fetchval("select fence from corral.task_usage where task_id = $1", of_task.task_id)
    assert fence == 2
    assert (
        await database.fetchval("select count(*) from corral.node_usage where node_id = $1", of_task.node_id)
        == 0
    )
    assert await database.fetchval("select user_id from corral.system_events") == user_id


async def test_a_record_of_a_strange_day_is_kept(store: TelemetryStore, database: asyncpg.Connection) -> None:
    strange = [usage(1_000_000.0), usage(time.time() + 400 * 86_400)]
    await store.write(strange)
    for record in strange:
        count = "select count(*) from corral.node_usage where node_id = $1"
        assert await database.fetchval(count, record.node_id) == 1


async def test_upkeep_makes_days_ahead_and_drops_old_ones(
    store: TelemetryStore, database: asyncpg.Connection
) -> None:
    now = time.time()
    later = now + 40 * 86_400
    old = usage(now)
    await store.write([old])
    await store.upkeep(later)
    await store.write([usage(later)])
    assert (
        await database.fetchval("select count(*) from corral.node_usage where node_id = $1", old.node_id) == 0
    )
    await store.upkeep(later)


async def test_the_writer_keeps_what_cannot_be_written(
    store: TelemetryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "QUEUE_RECORDS", 10)
    monkeypatch.setattr(telemetry, "RETRY_S", 0.01)
    monkeypatch.setattr(telemetry, "FLUSH_INTERVAL_S", 0.01)
    written: list[Record] = []
    away = True

    async def write(records: list[Record]) -> None:
        if away:
            raise StoreUnavailable("away")
        written.extend(records)

    monkeypatch.setattr(store, "write", write)
    heard: list[int] = []
    writer = TelemetryWriter(store, noticed=lambda: heard.append(len(written)))
    running = asyncio.create_task(writer.run())
    records = [usage(float(index)) for index in range(25)]
    for record in records:
        writer.put([record])
        await asyncio.sleep(0)
    away = False
    async with asyncio.timeout(20):
        while len(written) < 10:
            await asyncio.sleep(0.01)
    assert heard == [], "no event was among them"
    happened = EventRecord(at=30.0, event_type="told", severity="info", message="so it is")
    writer.put([happened])
    await writer.close()
    await running
    assert written == [*records[-10:], happened]
    assert heard == [11], "once it is written"
    assert writer.dropped == 15


@pytest.mark.contract("S1.41")
async def test_what_an_agent_complained_of_is_kept_and_read(
    store: TelemetryStore, coordinator_dsn: str
) -> None:
    node, other, now = uuid4(), uuid4(), float(int(time.time()))
    said = [("warning", "a disk\x00 is full"), ("error", "\udcff no disk"), ("warning", "again")]
    lines = [
        LogRecord(at=now + place, node_id=node, severity=severity, text=text)
        for place, (severity, text) in enumerate(said)
    ]
    await store.write([*lines, LogRecord(at=now, node_id=other, severity="error", text="elsewhere")])
    read = SeriesStore(coordinator_dsn)
    both = ("warning", "error")
    try:
        found = await read.node_lines(node, since_s=0.0, until_s=1e11, severities=both, limit=9)
        assert [(each.at, each.severity) for each in found] == [
            (now + place, severity) for place, (severity, _) in enumerate(said)
        ]
        assert found[0].text.startswith("a disk") and "\x00" not in found[0].text
        newest = await read.node_lines(node, since_s=0.0, until_s=now + 2, severities=both, limit=1)
        assert [each.at for each in newest] == [now + 1]
        errors = await read.node_lines(node, since_s=now, until_s=1e11, severities=("error",), limit=9)
        assert [each.at for each in errors] == [now + 1]
    finally:
        await read.close()
