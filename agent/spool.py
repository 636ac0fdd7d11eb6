"""The node's SQLite file: what must outlive the agent, written in batches away from the event loop.

Everything that arrives while a transaction is on its way to the disk goes into the next one, and what
cancels out in between (an event queued and acknowledged, the states that a short task passes) is never
written. A full disk delays: the batch is tried again, and whoever waits for it waits. A file that is taken
away while we run is put back with all that it held; one that is damaged is set aside at the start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
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
_TOLD_S = 60.0
_GATHER_S = 0.02
"""Between two writes: an idle node writes at once, a busy one many events for one flush of the disk."""
SAMPLES_KEPT = 17_280
"""The ring: a day of samples each five seconds; the oldest make room."""

_ATTEMPTS_KEPT = 100_000
_ATTEMPTS_KEPT_S = 7 * 24 * 3600.0
_PRUNED_AT_ONCE = 1000
_BACKFILLED_AT_ONCE = 200
_SIDE_FILES = ("-wal", "-shm")

_ROTTEN = (ValueError, RecursionError)
"""What the decoding of bytes raises that we never wrote."""

_EVENT = msgspec.msgpack.Decoder(TaskEvent)
_SAMPLE = msgspec.msgpack.Decoder(UsageReport)
_pack = msgspec.msgpack.Encoder().encode


class SpoolError(Exception):
    """The node's file cannot be used: it is newer than this program, or was damaged while in use."""


class NotWritten(Exception):
    """The disk takes nothing now; `Spool.fault` says why."""


class _Session(Struct):
    status: str = "assigned"
    pid: int | None = None
    started_at: float | None = None
    ticks: int = 0
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
    """Open it, `load` once, then `add` effects; `on_saved` hears of ends that are on the disk.

    `fault` says why nothing can be written, while that is so; `lost` what was found damaged at the start.
    `cgroup` is where the tasks' processes live.
    """

    def __init__(self, path: str, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._sql = _named_queries()
        self._told_until_s = time.monotonic() + _TOLD_S
        self._remove_leftovers()
        self._database, self.lost = _open_or_set_aside(path)
        self._place = _place_of(path)
        self.fault = ""
        self.cgroup = ""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._batch = _Batch()
        self._writing: _Batch | None = None
        self._written_at = 0.0
        self._has_work = asyncio.Event()

    @property
    def trouble(self) -> str:
        """In a few words for people; empty: nothing. What was lost is told for a while: none can mend it."""
        if self.fault:
            return f"state.db cannot be written: {self.fault}"
        return self.lost if time.monotonic() < self._told_until_s else ""

    def load(self) -> Restored:
        """What was here when the agent died; nothing, where the rows are not what we wrote."""
        try:
            return self._load()
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            self._database.close()
            self._database, self.lost = _set_aside(self._path, str(error))
            self._place = _place_of(self._path)
            return self._load()

    def _load(self) -> Restored:
        rows = self._database.execute(self._sql["live_sessions"], {"boot_id": self._boot_id}).fetchall()
        sessions = [(AttemptRef(*row[:3]), *row[3:]) for row in rows]
        fences = self._database.execute(self._sql["newest_fences"]).fetchall()
        events = self._database.execute(self._sql["events"]).fetchall()
        return Restored(
            epoch=_number(self.config("epoch")),
            sequence=self._database.execute(self._sql["last_sequence"]).fetchone()[0],
            starts=tuple(Start(ref, pid, at, ticks) for ref, pid, at, ticks in sessions if at is not None),
            unstarted=tuple(ref for ref, _, at, _ in sessions if at is None),
            fences=tuple((TaskRef(job, index), fence) for job, index, fence in fences),
            events=tuple(self._sound(events)),
        )

    def _sound(self, rows: Iterable[tuple[int, str, bytes]]) -> Iterator[tuple[int, TaskEvent]]:
        """Without reports that rot has got at: the coordinator asks again what became of such attempts."""
        for number, attempt, packed in rows:
            try:
                yield number, _EVENT.decode(packed)
            except _ROTTEN as error:
                self.lost = f"{self._path}: a report of attempt {attempt} is damaged and was left out"
                _log.error("%s: %s", self.lost, error)
                self._batch.removed.append(number)
                self._has_work.set()

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
                case effects.SaveStart(attempt, pid, started_at, ticks):
                    session = batch.session(attempt)
                    session.status, session.pid = "running", pid
                    session.started_at, session.ticks = started_at, ticks
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

    def set_config(self, values: Mapping[str, str]) -> None:
        """Keep these in `local_config`, where people find them."""
        self._batch.config.update(values)
        self._has_work.set()

    async def saved(self) -> None:
        """Until everything added so far is on the disk."""
        batch = self._batch if self._has_work.is_set() else self._writing
        if batch is not None:
            waiter = asyncio.get_running_loop().create_future()
            batch.waiters.append(waiter)
            await waiter

    async def run(self, on_saved: Callable[[list[AttemptRef]], None]) -> None:
        """Write batch after batch, for ever. Raises SpoolError where the file was damaged."""
        loop = asyncio.get_running_loop()
        while True:
            await self._has_work.wait()
            await asyncio.sleep(max(self._written_at + _GATHER_S - loop.time(), 0.0))
            batch = self._writing = self._batch
            self._batch = _Batch()
            self._has_work.clear()
            while True:
                try:
                    await self._in_thread(self._write, batch)
                    break
                except NotWritten:
                    await asyncio.sleep(_RETRY_S)
            self._writing = None
            self._written_at = loop.time()
            for waiter in batch.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            on_saved([ref for ref, session in batch.sessions.items() if session.status == "ended"])

    async def add_samples(self, fresh: Sequence[UsageReport], *, heard: Iterable[float]) -> None:
        """These into the ring; the samples of the instants `heard` have reached the coordinator.

        Raises NotWritten.
        """
        await self._in_thread(self._write_samples, fresh, [{"timestamp": at} for at in heard])

    async def unheard_samples(self, after: float) -> list[UsageReport]:
        """Some samples later than `after` that have not reached the coordinator, oldest first."""
        return await self._in_thread(self._read_unheard, after)

    async def prune(self) -> list[AttemptRef]:
        """Forget some attempts that are long over; returns those whose files can go. Raises NotWritten."""
        return await self._in_thread(self._prune)

    def close(self) -> None:
        """Write what is left, if the disk takes it, and close. Twice is fine."""
        if self._has_work.is_set():
            self._has_work.clear()
            try:
                self._thread.submit(self._written, partial(self._write, self._batch)).result()
            except (NotWritten, SpoolError) as error:
                _log.error("what was not written is gone, the guard keeps the ends: %s", error)
        self._thread.shutdown()
        self._database.close()

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._written, partial(call, *args, **kwargs))

    def _written(self, call: Callable[[], R]) -> R:
        """Raises NotWritten where it may go well later, SpoolError where it never will."""
        try:
            if _place_of(self._path) != self._place:
                self._put_back()
            result = call()
        except (sqlite3.OperationalError, OSError) as error:
            if str(error) != self.fault:
                _log.error("cannot write %s: %s; trying again", self._path, error)
            self.fault = str(error)
            raise NotWritten(self.fault) from error
        except sqlite3.DatabaseError as error:
            raise SpoolError(f"{self._path}: {error}") from error
        if self.fault:
            _log.info("%s can be written again", self._path)
        self.fault = ""
        return result

    def _put_back(self) -> None:
        """Somebody removed or replaced the file: what we hold is newer than whatever is there now."""
        _log.error("%s was taken away or replaced; it is put back as it was", self._path)
        fresh = f"{self._path}.new"
        self._remove_leftovers()
        with closing(sqlite3.connect(fresh)) as copy:
            self._database.backup(copy)
        self._database.close()  # it removes its own log by name: before there is another of that name
        for suffix in _SIDE_FILES:
            with suppress(FileNotFoundError):
                os.unlink(self._path + suffix)
        os.replace(fresh, self._path)
        self._database = _open(self._path)
        self._place = _place_of(self._path)

    def _remove_leftovers(self) -> None:
        """Of a file that was being put back."""
        for leftover in (f"{self._path}.new", f"{self._path}.new-journal"):
            with suppress(FileNotFoundError):
                os.unlink(leftover)

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
            "start_ticks": session.ticks,
            "cgroup": self.cgroup,
        }

    def _write_samples(self, fresh: Sequence[UsageReport], heard: list[dict[str, float]]) -> None:
        with self._database as database:
            database.executemany(self._sql["add_sample"], [_sample_row(report) for report in fresh])
            database.executemany(self._sql["mark_sent"], heard)
            if fresh:
                database.execute(self._sql["trim_samples"], {"keep": SAMPLES_KEPT})

    def _read_unheard(self, after: float) -> list[UsageReport]:
        limits = {"after": after, "limit": _BACKFILLED_AT_ONCE}
        found: list[UsageReport] = []
        rotten: list[dict[str, float]] = []
        for at, packed in self._database.execute(self._sql["unsent_samples"], limits).fetchall():
            try:
                found.append(_SAMPLE.decode(packed))
            except _ROTTEN as error:
                _log.error("%s: the sample of %s is damaged and was left out: %s", self._path, at, error)
                rotten.append({"timestamp": at})
        if rotten:  # else they would be read for ever
            with self._database as database:
                database.executemany(self._sql["mark_sent"], rotten)
        return found or (self._read_unheard(after) if rotten else [])

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


def _sample_row(report: UsageReport) -> dict[str, object]:
    usage = report.usage
    return {
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
    }


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


def _place_of(path: str) -> tuple[int, int] | None:
    """What tells a file from another of the same name; None if there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _open_or_set_aside(path: str) -> tuple[sqlite3.Connection, str]:
    """The database; a new one, and why, where the old one is damaged. Raises SpoolError.

    Without it the guard still knows what runs and what ended; the coordinator gives out again, under a new
    fence, whatever was lost with it.
    """
    lost = ""
    with suppress(OSError):
        if os.stat(path).st_size == 0:
            lost = f"{path} was empty: what it held, if it held anything, is lost"
            _log.error("%s", lost)
    try:
        database = _open(path)
        (verdict,) = database.execute("pragma quick_check(1)").fetchone()
        if verdict == "ok":
            return database, lost
        database.close()
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    return _set_aside(path, verdict)


def _set_aside(path: str, verdict: str) -> tuple[sqlite3.Connection, str]:
    """A new database in the place of a damaged one, which is kept; and what is to be told of it."""
    aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    why = " ".join(verdict.split())
    lost = f"{path} is damaged ({why}): it is kept as {aside}, and a new one begins"
    _log.error("%s", lost)
    os.replace(path, aside)
    for suffix in _SIDE_FILES:
        with suppress(FileNotFoundError):
            os.replace(path + suffix, aside + suffix)
    try:
        return _open(path), lost
    except sqlite3.DatabaseError as error:
        raise SpoolError(f"{path}: {error}") from error


def _number(text: str | None) -> int:
    """0 where there is none, or rot has made something else of it."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0


def _open(path: str) -> sqlite3.Connection:
    """The database in WAL mode, every transaction on the disk, migrated.

    Raises SpoolError where it is no fault of the file's content, DatabaseError where it is.
    """
    with ExitStack() as on_failure:
        try:
            database = sqlite3.connect(path, check_same_thread=False, isolation_level="IMMEDIATE")
            on_failure.callback(database.close)
            os.chmod(path, 0o600)
            _migrate(database, path)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # its tables are not those of its version
                raise sqlite3.DatabaseError(str(error)) from error
            hint = "see to it, or move the file away: the agent begins a new one then"
            raise SpoolError(f"{path}: {error}; {hint}") from error
        on_failure.pop_all()
    return database


def _migrate(database: sqlite3.Connection, path: str) -> None:
    scripts = sorted((resources.files("sql") / "agent" / "migrations").iterdir(), key=lambda file: file.name)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = full")
    (version,) = database.execute("pragma user_version").fetchone()
    if version > len(scripts):
        raise SpoolError(f"{path} has schema {version}, this program knows {len(scripts)}")
    for number, script in enumerate(scripts[version:], version + 1):
        text = script.read_text("utf-8")
        database.executescript(f"begin; {text}; pragma user_version = {number}; commit")
