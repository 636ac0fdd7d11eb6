"""What was saved is there after a restart, and what cancels out is never written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent import spool as module
from agent.core import effects
from agent.core.events import Restored, Start
from agent.core.model import Order, Work
from agent.spool import Spool, SpoolError
from bus.messages import UsageReport
from bus.values import AttemptRef, Ended, Outcome, Resources, Started, TaskRef, TaskSettings, Usage

A, B, C = (AttemptRef(1, index, 2) for index in range(3))
WORK = Work(settings=TaskSettings(resources=Resources(cpu_millis=500)))
STARTED = Started(attempt=A, started_at=5.0, pid=77)
ENDED = Ended(attempt=B, outcome=Outcome.EXITED, ended_at=6.0, exit_code=0, output=b"{}")


class Opened:
    """A spool whose writer runs; `saved` collects what it was told is on the disk."""

    def __init__(self, path: Path) -> None:
        self.spool = Spool(str(path), "boot-1")
        self.ended: list[AttemptRef] = []
        self.writer = asyncio.create_task(self.spool.run(self.ended.extend))

    async def close(self) -> None:
        self.writer.cancel()
        await asyncio.gather(self.writer, return_exceptions=True)
        self.spool.close()


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opened]:
    made = Opened(tmp_path / "state.db")
    yield made
    await made.close()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


async def test_a_restart_finds_everything(opened: Opened, tmp_path: Path) -> None:
    opened.spool.add(
        [effects.SaveEpoch(9), *(effects.SaveOrder(Order(attempt=r, work=WORK)) for r in (A, B, C))]
    )
    await opened.spool.saved()
    opened.spool.add([effects.SaveStart(A, 77, 5.0), effects.SaveEvent(3, STARTED)])
    opened.spool.add([effects.SaveEnd(B), effects.SaveEvent(4, ENDED)])
    await opened.spool.saved()
    assert opened.ended == [B]
    await opened.close()
    assert rows(tmp_path / "state.db", "pragma integrity_check") == [("ok",)]
    again = Spool(str(tmp_path / "state.db"), "boot-1")
    assert again.load() == Restored(
        epoch=9,
        sequence=4,
        starts=(Start(A, 77, 5.0),),
        unstarted=(C,),
        fences=tuple((TaskRef(1, index), 2) for index in (1, 0, 2)),
        events=((3, STARTED), (4, ENDED)),
    )
    again.close()


async def test_acknowledged_events_leave_and_their_numbers_do_not_come_again(
    opened: Opened, tmp_path: Path
) -> None:
    opened.spool.add([effects.SaveEvent(1, STARTED)])
    await opened.spool.saved()
    opened.spool.add([effects.SaveEvent(2, ENDED), effects.RemoveEvents((1, 2))])
    await opened.spool.saved()
    await opened.close()
    again = Spool(str(tmp_path / "state.db"), "boot-1")
    restored = again.load()
    assert (restored.events, restored.sequence) == ((), 1), "2 was never written"
    again.close()


async def test_a_short_task_is_one_write(opened: Opened, tmp_path: Path) -> None:
    opened.spool.add(
        [effects.SaveOrder(Order(attempt=A, work=WORK)), effects.SaveStart(A, 77, 5.0), effects.SaveEnd(A)]
    )
    await opened.spool.saved()
    found = rows(
        tmp_path / "state.db", "select session_id, status, pid, resource_limits, boot_id from local_sessions"
    )
    assert found == [("1.0#2", "ended", 77, "[500,0,0,0,0]", "boot-1")]


async def test_waiting_with_nothing_to_write_returns(opened: Opened) -> None:
    await asyncio.wait_for(opened.spool.saved(), 5)


async def test_a_failing_disk_delays_and_loses_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    write, failures = opened.spool._write, [sqlite3.OperationalError("database or disk is full")] * 3

    def failing(batch: object) -> None:
        if failures:
            raise failures.pop()
        write(batch)  # type: ignore[arg-type]

    monkeypatch.setattr(opened.spool, "_write", failing)
    opened.spool.add([effects.SaveEnd(A)])
    await asyncio.wait_for(opened.spool.saved(), 10)
    assert opened.ended == [A] and not failures
    assert "disk is full" in caplog.text


async def test_samples_of_an_outage_are_found_until_told(opened: Opened) -> None:
    reports = [
        UsageReport(node="n", sampled_at=100.0 + n, usage=Usage(cpu_millis=1.0, mem_mib=2.0), load=0.5)
        for n in range(3)
    ]
    for number, report in enumerate(reports):
        await opened.spool.add_sample(report, sent=number == 1)
    assert await opened.spool.unsent_samples() == [reports[0], reports[2]]
    await opened.spool.mark_sent([reports[0]])
    assert await opened.spool.unsent_samples() == [reports[2]]


async def test_the_oldest_tombstones_go_first(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ATTEMPTS_KEPT", 2)
    opened.spool.add([effects.SaveOrder(Order(attempt=AttemptRef(2, 0, 1), work=WORK))])
    for index in range(5):
        opened.spool.add([effects.SaveEnd(AttemptRef(1, index, 1))])
        await opened.spool.saved()
    assert await opened.spool.prune() == [AttemptRef(1, 0, 1), AttemptRef(1, 1, 1)]
    assert await opened.spool.prune() == []


def test_a_file_from_the_future_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as database:
        database.execute("pragma user_version = 99")
    database.close()
    with pytest.raises(SpoolError, match="schema 99"):
        Spool(str(path), "boot-1")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database, certainly not one" * 100)
    with pytest.raises(SpoolError, match="not a database"):
        Spool(str(path), "boot-1")
