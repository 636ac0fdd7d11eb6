"""Time-series: usage and events, written apart from the commits and never waited for.

psycopg's binary COPY, a few times a second, into hypertables or native partitions: whichever the database
has. While it is away a bounded number of records waits, and the oldest are dropped and counted: a gauge of
an hour ago is worth less than the coordinator's memory.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from coordinator.core.effects import (
    EventRecord,
    ExperienceRecord,
    GaugeRecord,
    LogRecord,
    Record,
    RemarkRecord,
    UsageRecord,
)
from coordinator.core.scheduler.learner import Situation
from coordinator.store.errors import StoreUnavailable
from coordinator.store.json_text import clean, storable
from sql import queries
from sql.secure import with_tls

log = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 0.2
BATCH_RECORDS = 5_000
QUEUE_RECORDS = 100_000
UPKEEP_INTERVAL_S = 3600.0
CONNECT_TIMEOUT_S = 2
RETRY_S = 1.0
LATE_S = 10.0
"""Of a sample that is so much older than the newest one the minute may be rolled up already."""

_GAUGES = ("float8",) * 9
_NODE_TYPES = ("timestamptz", "uuid", *_GAUGES, "float4", "float4", "float4", "bool")
_TASK_TYPES = ("timestamptz", "uuid", "uuid", "int4", *_GAUGES, "bool", "int4")
_GPU_TYPES = ("timestamptz", "uuid", "text", "float4", "float4", "float4", "float4")
_EVENT_TYPES = ("timestamptz", "varchar", "text", "text", "uuid", "uuid", "uuid", "text", "jsonb")

_EXPERIENCE_TYPES = (
    *("timestamptz", "uuid", "text", "int8"),
    *("jsonb", "jsonb", "float8", "jsonb", "bool", "float8"),
)
_METRIC_TYPES = ("timestamptz", "varchar", "float8")
_LOG_TYPES = ("timestamptz", "uuid", "text", "text")

_PLACEHOLDER = re.compile(r"\$\d+")  # in the order of their numbers, each once

Row = tuple[object, ...]


class TelemetryStore:
    """One connection that only copies in. Not for two tasks at once."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.AsyncConnection | None = None
        self._users: dict[str, UUID] = {}
        self._newest_s = 0.0
        self.edition = "none"

    @classmethod
    async def connect(cls, dsn: str) -> TelemetryStore:
        """Raises StoreUnavailable."""
        store = cls(dsn)
        try:
            connection = await store._open()
            cursor = await connection.execute(_sql("edition"))
            row = await cursor.fetchone()
        except psycopg.Error as fault:
            raise StoreUnavailable(str(fault)) from fault
        assert row is not None
        store.edition = row[0]
        await store.upkeep(time.time())
        return store

    async def write(self, records: Sequence[Record]) -> None:
        """All of them or none. Raises StoreUnavailable: nothing was written."""
        nodes = [
            _node_row(each) for each in records if isinstance(each, UsageRecord) and each.attempt is None
        ]
        tasks = [
            _task_row(each) for each in records if isinstance(each, UsageRecord) and each.task_id is not None
        ]
        gpus = [row for each in records if isinstance(each, UsageRecord) for row in _gpu_rows(each)]
        events = [each for each in records if isinstance(each, EventRecord)]
        lines: list[Row] = [
            (_instant(each.at), each.node_id, each.severity, clean(each.text))
            for each in records
            if isinstance(each, LogRecord)
        ]
        # By task, as ResultStore.hear has them: who locks the same rows in one order is never stuck.
        remarks = [each for each in records if isinstance(each, RemarkRecord)]
        remarks.sort(key=lambda each: each.attempt.task.whole)
        learned = [_experience_row(each) for each in records if isinstance(each, ExperienceRecord)]
        gauges: list[Row] = [
            (_instant(each.at), each.name, each.value) for each in records if isinstance(each, GaugeRecord)
        ]
        rolled_up = [
            each.at
            for each in records
            if isinstance(each, GaugeRecord) or (isinstance(each, UsageRecord) and each.attempt is None)
        ]
        self._newest_s = max([self._newest_s, *rolled_up])
        try:
            await self._write(
                nodes,
                tasks,
                events,
                gpus=gpus,
                learned=learned,
                gauges=gauges,
                lines=lines,
                remarks=remarks,
                oldest_s=min(rolled_up, default=None),
            )
        except (psycopg.Error, OSError) as fault:
            await self.close()
            raise StoreUnavailable(str(fault)) from fault

    async def upkeep(self, now_s: float) -> None:
        """Make partitions ahead, drop what is past its time. Raises StoreUnavailable."""
        try:
            connection = await self._open()
            await connection.execute(_sql("upkeep"), (now_s,))
        except (psycopg.Error, OSError) as fault:
            await self.close()
            raise StoreUnavailable(str(fault)) from fault

    async def close(self) -> None:
        """Twice is fine; the next write opens again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _open(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                with_tls(self._dsn),
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="corral-telemetry",
            )
        return self._connection

    async def _write(
        self,
        nodes: list[Row],
        tasks: list[Row],
        events: list[EventRecord],
        *,
        gpus: list[Row],
        learned: list[Row],
        gauges: list[Row],
        lines: list[Row],
        remarks: list[RemarkRecord],
        oldest_s: float | None,
    ) -> None:
        connection = await self._open()
        async with connection.transaction(), connection.cursor() as cursor:
            await _copy(cursor, "copy_node_usage", _NODE_TYPES, nodes)
            await _copy(cursor, "copy_gpu_usage", _GPU_TYPES, gpus)
            await _copy(cursor, "copy_task_usage", _TASK_TYPES, tasks)
            await _copy(cursor, "copy_learning_experiences", _EXPERIENCE_TYPES, learned)
            await _copy(cursor, "copy_cluster_metrics", _METRIC_TYPES, gauges)
            await _copy(cursor, "copy_node_logs", _LOG_TYPES, lines)
            for remark in remarks:
                await cursor.execute(_sql("remark"), _remark_row(remark))
            if oldest_s is not None and oldest_s < self._newest_s - LATE_S:
                await cursor.execute(_sql("mark_late"), (oldest_s,))
            if events:
                await self._learn_users(cursor, {each.user for each in events if each.user is not None})
                rows = [self._event_row(each) for each in events]
                await _copy(cursor, "copy_system_events", _EVENT_TYPES, rows)

    async def _learn_users(self, cursor: psycopg.AsyncCursor, names: set[str]) -> None:
        unknown = sorted(names - self._users.keys())
        if unknown:
            await cursor.execute(_sql("user_ids"), (unknown,))
            self._users.update(await cursor.fetchall())

    def _event_row(self, record: EventRecord) -> tuple[object, ...]:
        details = record.details
        if record.node is not None and record.node_id is None:
            details = {"node": record.node} | details  # a node that never registered has no row to point at
        return (
            _instant(record.at), record.event_type, record.severity, "coordinator", record.node_id,
            record.job_id, self._users.get(record.user or ""), clean(record.message),
            Jsonb(details, dumps=_dump),
        )  # fmt: skip


class TelemetryWriter:
    """Collects records and writes them every FLUSH_INTERVAL_S; `put` never blocks and never fails.

    `noticed` is called when events among them are written.
    """

    def __init__(self, store: TelemetryStore, *, noticed: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._noticed = noticed
        self._waiting: deque[Record] = deque(maxlen=QUEUE_RECORDS)
        self._closing = asyncio.Event()
        self._upkeep_due_s = time.monotonic() + UPKEEP_INTERVAL_S
        self.dropped = 0

    def put(self, records: Sequence[Record]) -> None:
        """Queue `records`; the oldest make room, and are counted in `dropped`."""
        self.dropped += max(0, len(self._waiting) + len(records) - QUEUE_RECORDS)
        self._waiting.extend(records)

    async def run(self) -> None:
        """Until `close`; then what still waits is written once."""
        while not self._closing.is_set():
            written = await self._flush()
            pause_s = FLUSH_INTERVAL_S if written else RETRY_S
            try:
                await asyncio.wait_for(self._closing.wait(), pause_s)
            except TimeoutError:
                pass
        await self._flush()

    async def close(self) -> None:
        """Let `run` end. Twice is fine."""
        self._closing.set()

    async def _flush(self) -> bool:
        """Write what waits, in batches. False: the database is away, and the rest still waits."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_RECORDS, len(self._waiting)))]
            try:
                await self._store.write(batch)
            except StoreUnavailable as fault:
                room = QUEUE_RECORDS - len(self._waiting)
                self.dropped += max(0, len(batch) - room)
                self._waiting.extendleft(reversed(batch[max(0, len(batch) - room) :]))
                log.warning(
                    "%d telemetry records wait, %d dropped: %s", len(self._waiting), self.dropped, fault
                )
                return False
            if any(isinstance(each, EventRecord) for each in batch):
                self._noticed()
        if time.monotonic() >= self._upkeep_due_s:
            try:
                await self._store.upkeep(time.time())
                self._upkeep_due_s = time.monotonic() + UPKEEP_INTERVAL_S
            except StoreUnavailable as fault:
                log.warning("upkeep of the time-series: %s", fault)
                return False
        return True


async def _copy(
    cursor: psycopg.AsyncCursor, name: str, types: tuple[str, ...], rows: list[tuple[object, ...]]
) -> None:
    if rows:
        async with cursor.copy(_sql(name)) as copy:
            copy.set_types(types)
            for row in rows:
                await copy.write_row(row)


def _sql(name: str) -> bytes:
    """As bytes: psycopg types its queries as literals, and these come from a file of ours."""
    return _PLACEHOLDER.sub("%s", queries("timeseries")[name]).encode()


def _instant(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


_encode = msgspec.json.Encoder().encode


def _dump(value: object) -> str:
    return storable(msgspec.json.encode(value))


def _gauges(record: UsageRecord) -> tuple[float, ...]:
    usage = record.usage
    return (
        usage.cpu_millis, usage.mem_mib, usage.gpus, usage.gpu_mem_mib, usage.storage_mib, usage.net_rx_mbps,
        usage.net_tx_mbps, usage.disk_read_mbps, usage.disk_write_mbps,
    )  # fmt: skip


def _node_row(record: UsageRecord) -> tuple[object, ...]:
    usage = record.usage
    return (
        _instant(record.at), record.node_id, *_gauges(record), usage.temperature_c, usage.gpu_temperature_c,
        record.load, record.anomaly,
    )  # fmt: skip


def _gpu_rows(record: UsageRecord) -> Iterator[Row]:
    for gpu in record.gpus:
        yield (
            _instant(record.at), record.node_id, gpu.uuid, 100 * gpu.utilisation, gpu.mem_mib,
            gpu.temperature_c, gpu.power_w,
        )  # fmt: skip


def _experience_row(record: ExperienceRecord) -> tuple[object, ...]:
    """The job as the learner knew it goes with the action: replays and trainings begin there.

    It is all numbers and names that were checked: nothing in it that jsonb would not take.
    """
    it = record.experience
    action = msgspec.to_builtins(it.action) | {"job": it.job, "run_s": it.run_s}
    return (
        _instant(it.at_s), it.task, record.policy_version, record.sequence,
        _situation(it.before) or Jsonb({}), Jsonb(action, dumps=_encode), it.reward, _situation(it.after),
        it.over, it.priority,
    )  # fmt: skip


def _remark_row(remark: RemarkRecord) -> Row:
    it = remark.attempt
    return (
        it.job, it.task.whole.index, it.rank, it.fence, remark.node, [remark.severity], [clean(remark.text)],
        [remark.at],
    )  # fmt: skip


@lru_cache(maxsize=64)
def _situation(situation: Situation | None) -> Jsonb | None:
    """Those of one second are the same."""
    return None if situation is None else Jsonb(_encode(situation._asdict()), dumps=_as_it_is)


def _as_it_is(encoded: bytes) -> bytes:
    return encoded


def _task_row(record: UsageRecord) -> tuple[object, ...]:
    assert record.attempt is not None
    return (
        _instant(record.at), record.node_id, record.task_id, record.attempt.fence, *_gauges(record),
        record.anomaly, record.attempt.rank,
    )  # fmt: skip
