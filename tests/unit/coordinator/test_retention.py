"""Jobs that ended long ago go into the archive, by hand and by themselves, but none that is queued again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.errors import ApiError
from bus.values import JobState
from coordinator.api import retention
from coordinator.api.retention import JOBS_A_BATCH, TASKS_A_BATCH, Retention, batch_of
from coordinator.config import Keep
from coordinator.store.archive import Old
from coordinator.store.errors import StoreUnavailable
from tests.unit.coordinator.shell import FakeArchive, Shell, serving

DAY_S = 86_400.0
DONE, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    made = Shell(archive=FakeArchive())
    async with serving(made):
        yield made


def put(shell: Shell, **jobs: tuple[JobState, float, int]) -> FakeArchive:
    """Jobs `j7=(state, days since its end, tasks)`."""
    archive: Any = shell.retention._archive
    now_s = shell.clock.now_s()
    archive.jobs |= {
        int(name[1:]): (state, now_s - days * DAY_S, n) for name, (state, days, n) in jobs.items()
    }
    found: FakeArchive = archive
    return found


@pytest.mark.contract("S1.49")
async def test_what_is_older_than_is_set_goes_and_the_rest_stays(shell: Shell) -> None:
    archive = put(shell, j1=(DONE, 31, 5), j2=(FAILED, 31, 1), j3=(CANCELLED, 40, 2), j4=(DONE, 29, 1))
    looked = await shell.ask("olga", "cluster.gc", dry_run=True)
    assert (looked["jobs"], looked["tasks"], looked["dry_run"]) == (3, 8, True)
    assert len(archive.jobs) == 4 and not archive.moved
    gone = await shell.ask("olga", "cluster.gc")
    assert (gone["jobs"], gone["tasks"], gone["left"], gone["dry_run"]) == (3, 8, 0, False)
    assert gone["states"] == {"completed": 1, "failed": 1, "cancelled": 1}
    assert archive.jobs.keys() == {4} and archive.moved == [(frozenset({1, 2, 3}), "olga")]


async def test_by_hand_an_age_of_ones_own(shell: Shell) -> None:
    archive = put(shell, j1=(DONE, 3, 1), j2=(FAILED, 1, 1))
    assert (await shell.ask("olga", "cluster.gc", older_than_s=2 * DAY_S))["jobs"] == 1
    assert archive.jobs.keys() == {2}
    for wrong in (0, 59.9, -1, 1e12):
        refused = (await shell.ask("olga", "cluster.gc", older_than_s=wrong))["error"]
        assert (refused["code"], refused["field"]) == ("E_RANGE", "/older_than_s")


async def test_each_end_has_a_setting_and_0_means_never(shell: Shell) -> None:
    archive = put(shell, j1=(DONE, 9, 1), j2=(FAILED, 9000, 1), j3=(CANCELLED, 9, 1))
    keep = Retention(archive, shell.clock, Keep(completed=7, failed=0, cancelled=10), epoch=7)
    running = asyncio.create_task(keep.run())
    while not archive.moved:
        await asyncio.sleep(0)
    running.cancel()
    assert archive.moved == [(frozenset({1}), "coordinator")] and archive.jobs.keys() == {2, 3}


async def test_the_background_outlives_the_database(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive = put(shell, j1=(DONE, 31, 1))
    away = [StoreUnavailable("away")]
    oldest = archive.oldest

    async def sometimes(*given: Any, **named: Any) -> list[Old]:
        if away:
            raise away.pop()
        return await oldest(*given, **named)

    monkeypatch.setattr(archive, "oldest", sometimes)
    monkeypatch.setattr(retention, "ROUND_S", 0.0)
    running = asyncio.create_task(shell.retention.run())
    while not archive.moved:
        await asyncio.sleep(0)
    running.cancel()
    assert "old jobs stay for now: away" in caplog.text


async def test_two_at_once_are_not_needed(shell: Shell) -> None:
    archive = put(shell, j1=(DONE, 31, 1))
    archive.gate.clear()
    first = asyncio.create_task(shell.ask("olga", "cluster.gc"))
    while not shell.retention._going:
        await asyncio.sleep(0)
    assert (await shell.ask("adam", "cluster.gc"))["error"]["code"] == "E_TOO_OFTEN"
    archive.gate.set()
    assert (await first)["jobs"] == 1


async def test_a_job_is_queued_again_or_archived_never_both(shell: Shell) -> None:
    archive = put(shell, j1=(DONE, 31, 1), j2=(FAILED, 32, 1))
    with shell.retention.staying(2), shell.retention.staying(2):
        assert (await shell.ask("olga", "cluster.gc"))["jobs"] == 1
    assert archive.jobs.keys() == {2}
    archive.gate.clear()
    collecting = asyncio.create_task(shell.ask("olga", "cluster.gc"))
    while not shell.retention._going:
        await asyncio.sleep(0)
    with pytest.raises(ApiError, match="job 2 is going into the archive"), shell.retention.staying(2):
        pass
    archive.gate.set()
    assert (await collecting)["jobs"] == 1
    with shell.retention.staying(2):
        pass


async def test_a_retry_keeps_its_job_out_of_the_archive(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shell.agent()
    number = await shell.submit()
    kept: list[int] = []
    failed = shell.over.failed

    async def look(*given: Any, **named: Any) -> Any:
        kept.extend(shell.retention._staying)
        return await failed(*given, **named)

    monkeypatch.setattr(shell.over, "failed", look)
    await shell.ask("alice", "job.retry", target=str(number))
    assert kept == [number] and not shell.retention._staying


async def test_who_does_not_lead_any_more_moves_nothing_and_ends(shell: Shell) -> None:
    archive = put(shell, j1=(DONE, 31, 1))
    archive.leading = False
    answer = await shell.ask("olga", "cluster.gc")
    assert (answer["jobs"], answer["left"]) == (0, 1)


async def test_time_is_up_and_what_is_left_is_said(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ASKED_S", 0.0)
    put(shell, j1=(DONE, 31, 1), j2=(DONE, 31, 1))
    answer = await shell.ask("olga", "cluster.gc")
    assert (answer["jobs"], answer["left"]) == (0, 2)


def test_batches_are_small_and_a_large_job_goes_alone() -> None:
    assert batch_of([]) == []
    assert batch_of([Old(1, 5), Old(2, TASKS_A_BATCH), Old(3, 1)]) == [1]
    assert batch_of([Old(1, 9 * TASKS_A_BATCH), Old(2, 1)]) == [1]
    assert batch_of([Old(number, 1) for number in range(JOBS_A_BATCH)]) == list(range(JOBS_A_BATCH))
