"""What was saved is there after a restart, and what cancels out is never written."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent import spool as module
from agent.core import effects
from agent.core.events import Restored, Start
from agent.core.model import Order, Work
from agent.spool import NotWritten, Spool, SpoolError
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

    async def add(self, *reports: UsageReport, heard: Sequence[float] = ()) -> None:
        await self.spool.add_samples(reports, heard=heard)

    async def unheard(self, after: float = 0.0) -> list[float]:
        return [report.sampled_at for report in await self.spool.unheard_samples(after)]

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
    assert found == [("1.0#2", "ended", 77, "[500,0,0,0,0,0]", "boot-1")]


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


def sample(at: float) -> UsageReport:
    return UsageReport(node="n", sampled_at=at, usage=Usage(cpu_millis=1.0, mem_mib=2.0), load=0.5)


@pytest.mark.contract("S2.85")
async def test_samples_are_found_until_they_were_heard(opened: Opened) -> None:
    await opened.add(sample(102.0), sample(100.0), sample(101.0))
    assert await opened.spool.unheard_samples(0.0) == [sample(100.0), sample(101.0), sample(102.0)]
    await opened.add(sample(103.0), heard=[100.0, 102.0])
    assert await opened.unheard() == [101.0, 103.0]
    assert await opened.unheard(after=101.0) == [103.0]


@pytest.mark.contract("S2.85")
async def test_the_ring_is_bounded(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLES_KEPT", 3)
    for at in range(10):
        await opened.add(sample(float(at)))
    assert await opened.unheard() == [7.0, 8.0, 9.0]


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


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database, certainly not one" * 100)
    made = Spool(str(path), "boot-1")
    assert made.load() == Restored(epoch=0, sequence=0)
    made.close()
    (aside,) = tmp_path.glob("state.db.damaged-*")
    assert aside.read_bytes().startswith(b"not a database")
    assert "is damaged (file is not a database): it is kept as" in caplog.text


async def test_a_file_with_damaged_pages_is_set_aside(opened: Opened, tmp_path: Path) -> None:
    for index in range(200):
        opened.spool.add([effects.SaveEnd(AttemptRef(1, index, 1))])
    await opened.close()
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(content)
    again = Spool(str(path), "boot-1")
    assert again.load().fences == ()
    again.close()
    assert list(tmp_path.glob("state.db.damaged-*"))


async def test_damage_while_in_use_ends_the_writer(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent ends with it; started again it sets the file aside."""

    def damaged(batch: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(opened.spool, "_write", damaged)
    opened.spool.add([effects.SaveEnd(B)])
    with pytest.raises(SpoolError, match="malformed"):
        await asyncio.wait_for(opened.writer, 10)
    monkeypatch.undo()


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_taken_away_is_put_back_with_all_it_held(
    opened: Opened, tmp_path: Path, replaced: bool
) -> None:
    """Removed, or replaced by an older copy, while the agent runs: what it knows is newer than either."""
    path = tmp_path / "state.db"
    opened.spool.add([effects.SaveEpoch(3), effects.SaveOrder(Order(attempt=A, work=WORK))])
    await opened.spool.saved()
    older = Spool(str(tmp_path / "older.db"), "boot-0")
    older.close()
    if replaced:
        (tmp_path / "older.db").replace(path)
    else:
        path.unlink()
    opened.spool.add([effects.SaveEnd(B), effects.SaveEvent(1, ENDED)])
    await opened.spool.saved()
    await opened.spool.add_samples([sample(1.0)], heard=[])
    await opened.close()
    again = Spool(str(path), "boot-1")
    restored = again.load()
    assert (restored.epoch, restored.unstarted, restored.events) == (3, (A,), ((1, ENDED),))
    assert dict(restored.fences) == {A.task: 2, B.task: 2}
    again.close()


async def test_a_full_disk_delays_says_so_and_recovers(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real refusal by SQLite: the file may not grow."""
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    opened.spool.add([effects.SaveEnd(A)])
    await opened.spool.saved()
    pages = opened.spool._database.execute("pragma page_count").fetchone()[0]
    opened.spool._database.execute(f"pragma max_page_count = {pages}")
    big = Ended(attempt=B, outcome=Outcome.EXITED, ended_at=6.0, exit_code=0, output=b"1" * 100_000)
    opened.spool.add([effects.SaveEnd(B), effects.SaveEvent(1, big)])
    saved = asyncio.create_task(opened.spool.saved())
    async with asyncio.timeout(10):
        while not opened.spool.fault:
            await asyncio.sleep(0.01)
    assert "full" in opened.spool.fault and not saved.done() and opened.ended == [A]
    with pytest.raises(NotWritten, match="full"):
        await opened.spool.add_samples([sample(float(n)) for n in range(1000)], heard=[])
    opened.spool._database.execute("pragma max_page_count = 100000")
    await asyncio.wait_for(saved, 10)
    assert (opened.spool.fault, opened.ended) == ("", [A, B])


def test_closing_on_a_full_disk_does_not_raise(tmp_path: Path) -> None:
    async def fill() -> None:
        spool = Spool(str(tmp_path / "state.db"), "boot-1")
        pages = spool._database.execute("pragma page_count").fetchone()[0]
        spool._database.execute(f"pragma max_page_count = {pages}")
        spool.add([effects.SaveEvent(1, replace(ENDED, output=b"1" * 100_000))])
        spool.close()

    asyncio.run(fill())


@pytest.mark.contract("S2.86")
async def test_processes_of_another_boot_are_nobodys(opened: Opened, tmp_path: Path) -> None:
    """The same pid and the same ticks after a reboot mean another process."""
    opened.spool.cgroup = "/corral"
    opened.spool.add([effects.SaveOrder(Order(attempt=A, work=WORK)), effects.SaveStart(A, 77, 5.0, 4711)])
    await opened.close()
    query = "select boot_id, pid, start_ticks, fence, cgroup from local_sessions"
    assert rows(tmp_path / "state.db", query) == [("boot-1", 77, 4711, 2, "/corral")]
    for boot, known in (("boot-1", Start(A, 77, 5.0, 4711)), ("boot-2", Start(A, 0, 5.0, 0))):
        again = Spool(str(tmp_path / "state.db"), boot)
        assert again.load().starts == (known,)
        again.close()


@pytest.mark.contract("S2.84")
async def test_the_configuration_can_be_read(opened: Opened, tmp_path: Path) -> None:
    opened.spool.set_config({"node": "n1", "key": "UABC"})
    opened.spool.add([effects.SaveEpoch(4)])
    await opened.spool.saved()
    found = rows(tmp_path / "state.db", "select key, value from local_config order by key")
    assert found == [("epoch", "4"), ("key", "UABC"), ("node", "n1")]


WRITER = """
import asyncio, sys
from agent.core import effects
from agent.spool import Spool
from bus.values import AttemptRef

async def main():
    spool = Spool(sys.argv[1], "boot-1")
    writer = asyncio.create_task(spool.run(lambda ended: None))
    for number in range(1_000_000):
        spool.add([effects.SaveEnd(AttemptRef(1, number, 1))])
        await spool.saved()
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.contract("S2.87")
def test_what_was_confirmed_survives_kill_9(tmp_path: Path) -> None:
    """Three times over: the file is whole, and holds whatever was confirmed."""
    path, confirmed = tmp_path / "state.db", 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(8):
            confirmed = max(confirmed, int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=20)
        confirmed = max([confirmed, *map(int, rest.split())])
        assert rows(path, "pragma integrity_check") == [("ok",)]
        again = Spool(str(path), "boot-1")
        assert len(again.load().fences) >= confirmed + 1
        again.close()


async def damaged(opened: Opened, path: Path, *statements: str) -> Spool:
    """The file with other rows than we wrote, opened again."""
    opened.spool.add([effects.SaveEpoch(9), effects.SaveOrder(Order(attempt=A, work=WORK))])
    opened.spool.add([effects.SaveEnd(B), effects.SaveEvent(1, STARTED), effects.SaveEvent(2, ENDED)])
    await opened.spool.saved()
    await opened.add(sample(1.0), sample(2.0))
    await opened.close()
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()
    return Spool(str(path), "boot-1")


async def test_a_report_that_rotted_is_left_out_and_told(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    again = await damaged(opened, path, "update local_events set event = x'ffff' where event_id = 2")
    restored = again.load()
    assert (restored.events, restored.sequence, restored.epoch) == (((1, STARTED),), 2, 9)
    assert again.trouble == f"{path}: a report of attempt {B} is damaged and was left out"
    again.close()
    assert rows(path, "select event_id from local_events") == [(1,)]


async def test_rows_that_are_none_of_ours_cost_the_file_and_no_agent(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    again = await damaged(opened, path, "update local_config set value = cast(x'ff' as text)")
    assert again.load() == Restored(epoch=0, sequence=0)
    assert "is damaged" in again.trouble and "a new one begins" in again.trouble
    again.close()
    assert list(tmp_path.glob("state.db.damaged-*"))


async def test_an_epoch_that_is_no_number_is_the_first(opened: Opened, tmp_path: Path) -> None:
    again = await damaged(opened, tmp_path / "state.db", "update local_config set value = 'x'")
    assert again.load().epoch == 0 and not again.trouble
    again.close()


async def test_a_version_that_rotted_is_damage(opened: Opened, tmp_path: Path) -> None:
    """Its tables are there already: making them again would fail at each start."""
    again = await damaged(opened, tmp_path / "state.db", "pragma user_version = 0")
    assert again.load() == Restored(epoch=0, sequence=0)
    again.close()
    assert list(tmp_path.glob("state.db.damaged-*"))


async def test_a_sample_that_rotted_is_left_out_for_good(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    again = await damaged(opened, path, "update local_resources set sample = x'ff' where timestamp = 1")
    assert [report.sampled_at for report in await again.unheard_samples(0.0)] == [2.0]
    again.close()
    assert rows(path, "select timestamp from local_resources where sent = 0") == [(2.0,)]


def test_an_empty_file_is_told_of_and_leftovers_go(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for name in ("state.db", "state.db.new", "state.db.new-journal"):
        (tmp_path / name).write_bytes(b"")
    made = Spool(str(path), "boot-1")
    assert made.trouble.startswith(f"{path} was empty")
    made.close()
    assert not list(tmp_path.glob("state.db.new*"))


def test_what_cannot_be_opened_says_which_file_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(SpoolError, match=r"state\.db: .*; see to it, or move the file away"):
        Spool(str(tmp_path / "state.db"), "boot-1")
