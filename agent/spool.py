"""The node's SQLite file: what must outlive the agent, written in batches away from the event loop.

Everything that arrives while a transaction is on its way to the disk goes into the next one, and what
cancels out in between (an event queued and acknowledged, the states that a short task passes) is never
written. A full disk delays: the batch is tried again, and whoever waits for it waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib import resources
from typing import ParamSpec, TypeVar

import msgspec
from msgspec import Struct, field

from agent.core import effects
from agent.core.effects import Effect
from agent.core.events import Restored, Start
from bus.messages import UsageReport
from bus.values import AttemptRef, Resources, TaskEvent, TaskRef

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)

_RETRY_S = 1.0
_GATHER_S = 0.02
"""Between two writes: an idle node writes at once, a busy one many events for one flush of the disk."""
_RING_S = 24 * 3600.0
_ATTEMPTS_KEPT = 100_000
_ATTEMPTS_KEPT_S = 7 * 24 * 3600.0
_PRUNED_AT_ONCE = 1000
_BACKFILLED_AT_ONCE = 200

_EVENT = msgspec.msgpack.Decoder(TaskEvent)
_SAMPLE = msgspec.msgpack.Decoder(UsageReport)
_pack = msgspec.msgpack.Encoder().encode


class SpoolError(Exception):
    """The node's file cannot be used: it is newer than this program, or broken."""


class _Session(Struct):
    status: str = "assigned"
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    limits: Resources = Resources()


class _Batch(Struct):
    sessions: dict[AttemptRef, _Session] = field(default_factory=dict)
    events: dict[int, TaskEvent] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)
    config: dict[str, str] = field(default_factory=dict)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def session(self, attempt: AttemptRef) -> _Session:
        found = self.sessions.get(attempt)
        if found is None:
            found = self.sessions[attempt] = _Session()
        return found


class Spool:
    """Open it, `load` once, then `add` effects; `on_saved` hears of ends that are on the disk."""

    def __init__(self, path: str, boot_id: str) -> None:
        self._boot_id = boot_id
        self._sql = _named_queries()
        self._database = _open(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._batch = _Batch()
        self._writing: _Batch | None = None
        self._written_at = 0.0
        self._has_work = asyncio.Event()

    def load(self) -> Restored:
        """What was here when the agent died."""
        rows = self._database.execute(self._sql["live_sessions"]).fetchall()
        sessions = [(AttemptRef(job, index, fence), pid, at) for job, index, fence, pid, at in rows]
        fences = self._database.execute(self._sql["newest_fences"]).fetchall()
        events = self._database.execute(self._sql["events"]).fetchall()
        return Restored(
            epoch=int(self.config("epoch") or 0),
            sequence=self._database.execute(self._sql["last_sequence"]).fetchone()[0],
            starts=tuple(Start(ref, pid or 0, at) for ref, pid, at in sessions if at is not None),
            unstarted=tuple(ref for ref, _, at in sessions if at is None),
            fences=tuple((TaskRef(job, index), fence) for job, index, fence in fences),
            events=tuple((number, _EVENT.decode(event)) for number, event in events),
        )

    def config(self, key: str) -> str | None:
        """A value of `local_config`; only before `run`."""
        row = self._database.execute(self._sql["get_config"], {"key": key}).fetchone()
        return None if row is None else str(row[0])

    def add(self, changes: Iterable[Effect]) -> None:
        """Note what concerns the disk; other effects are none of ours."""
        batch = self._batch
        for change in changes:
            match change:
                case effects.SaveOrder(order):
                    batch.session(order.attempt).limits = order.work.settings.resources
                case effects.SaveStart(attempt, pid, started_at):
                    session = batch.session(attempt)
                    session.status, session.pid, session.started_at = "running", pid, started_at
                case effects.SaveEnd(attempt):
                    session = batch.session(attempt)
                    session.status, session.ended_at = "ended", time.time()
                case effects.SaveEvent(sequence, event):
                    batch.events[sequence] = event
                case effects.RemoveEvents(sequences):
                    for number in sequences:
                        if batch.events.pop(number, None) is None:
                            batch.removed.append(number)
                case effects.SaveEpoch(epoch):
                    batch.config["epoch"] = str(epoch)
                case _:
                    continue
            self._has_work.set()

    async def saved(self) -> None:
        """Until everything added so far is on the disk."""
        batch = self._batch if self._has_work.is_set() else self._writing
        if batch is not None:
            waiter = asyncio.get_running_loop().create_future()
            batch.waiters.append(waiter)
            await waiter

    async def run(self, on_saved: Callable[[list[AttemptRef]], None]) -> None:
        """Write batch after batch, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._has_work.wait()
            await asyncio.sleep(max(self._written_at + _GATHER_S - loop.time(), 0.0))
            batch = self._writing = self._batch
            self._batch = _Batch()
            self._has_work.clear()
            while True:
                try:
                    await loop.run_in_executor(self._thread, self._write, batch)
                    break
                except sqlite3.Error as error:
                    _log.error("cannot write the node's file: %s; trying again", error)
                    await asyncio.sleep(_RETRY_S)
            self._writing = None
            self._written_at = loop.time()
            for waiter in batch.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            on_saved([ref for ref, session in batch.sessions.items() if session.status == "ended"])

    async def add_sample(self, report: UsageReport, *, sent: bool) -> None:
        """Into the ring; what could not be sent is found by `unsent_samples`."""
        await self._in_thread(self._write_sample, report, sent)

    async def unsent_samples(self) -> list[UsageReport]:
        """Some samples of an outage, oldest first."""
        return await self._in_thread(self._read_unsent)

    async def mark_sent(self, reports: Iterable[UsageReport]) -> None:
        times = [{"timestamp": report.sampled_at} for report in reports]
        await self._in_thread(self._execute_many, "mark_sent", times)

    async def prune(self) -> list[AttemptRef]:
        """Forget some attempts that are long over; returns those whose files can go."""
        return await self._in_thread(self._prune)

    def close(self) -> None:
        """Write what is left and close. Twice is fine."""
        if self._has_work.is_set():
            self._thread.submit(self._write, self._batch).result()
            self._has_work.clear()
        self._thread.shutdown()
        self._database.close()

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(call, *args, **kwargs))

    def _write(self, batch: _Batch) -> None:
        now = time.time()
        with self._database as database:
            database.executemany(
                self._sql["put_session"], [self._row(*pair) for pair in batch.sessions.items()]
            )
            database.executemany(
                self._sql["add_event"],
                [
                    {"event_id": n, "session_id": str(e.attempt), "event": _pack(e), "now": now}
                    for n, e in batch.events.items()
                ],
            )
            database.executemany(self._sql["remove_event"], [{"event_id": n} for n in batch.removed])
            database.executemany(
                self._sql["put_config"],
                [{"key": key, "value": value, "now": now} for key, value in batch.config.items()],
            )

    def _row(self, attempt: AttemptRef, session: _Session) -> dict[str, object]:
        return {
            "session_id": str(attempt),
            "job": attempt.job,
            "task_index": attempt.index,
            "fence": attempt.fence,
            "status": session.status,
            "pid": session.pid,
            "started_at": session.started_at,
            "ended_at": session.ended_at,
            "resource_limits": _limits_text(session.limits),
            "boot_id": self._boot_id,
        }

    def _write_sample(self, report: UsageReport, sent: bool) -> None:
        usage = report.usage
        with self._database as database:
            database.execute(
                self._sql["add_sample"],
                {
                    "timestamp": report.sampled_at,
                    "cpu": usage.cpu_millis,
                    "memory": usage.mem_mib,
                    "disk": usage.storage_mib,
                    "network_rx": usage.net_rx_mbps,
                    "network_tx": usage.net_tx_mbps,
                    "gpu": usage.gpus,
                    "temperature": usage.temperature_c,
                    "load": report.load,
                    "sample": _pack(report),
                    "sent": int(sent),
                },
            )
            database.execute(self._sql["trim_samples"], {"before": report.sampled_at - _RING_S})

    def _read_unsent(self) -> list[UsageReport]:
        rows = self._database.execute(self._sql["unsent_samples"], {"limit": _BACKFILLED_AT_ONCE})
        return [_SAMPLE.decode(sample) for _, sample in rows]

    def _execute_many(self, name: str, rows: list[dict[str, float]]) -> None:
        with self._database as database:
            database.executemany(self._sql[name], rows)

    def _prune(self) -> list[AttemptRef]:
        limits = {
            "before": time.time() - _ATTEMPTS_KEPT_S,
            "keep": _ATTEMPTS_KEPT,
            "limit": _PRUNED_AT_ONCE,
        }
        with self._database as database:
            rows = database.execute(self._sql["oldest_ended"], limits).fetchall()
            database.executemany(self._sql["remove_session"], [{"session_id": row[0]} for row in rows])
        return [AttemptRef(*row[1:]) for row in rows]


@lru_cache(maxsize=64)
def _limits_text(limits: Resources) -> str:
    return msgspec.json.encode(limits).decode()


def _named_queries() -> dict[str, str]:
    """The statements of sql/agent/queries by name."""
    named: dict[str, str] = {}
    for file in (resources.files("sql") / "agent" / "queries").iterdir():
        for part in file.read_text("utf-8").split("-- name: ")[1:]:
            name, _, text = part.partition("\n")
            named[name.strip()] = text.strip().removesuffix(";")
    return named


def _open(path: str) -> sqlite3.Connection:
    """The database in WAL mode, every transaction on the disk, migrated. Raises SpoolError."""
    scripts = sorted((resources.files("sql") / "agent" / "migrations").iterdir(), key=lambda file: file.name)
    try:
        database = sqlite3.connect(path, check_same_thread=False, isolation_level="IMMEDIATE")
        os.chmod(path, 0o600)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        (version,) = database.execute("pragma user_version").fetchone()
        if version > len(scripts):
            raise SpoolError(f"{path} has schema {version}, this program knows {len(scripts)}")
        for number, script in enumerate(scripts[version:], version + 1):
            text = script.read_text("utf-8")
            database.executescript(f"begin; {text}; pragma user_version = {number}; commit")
    except sqlite3.Error as error:
        raise SpoolError(f"{path}: {error}") from error
    return database
