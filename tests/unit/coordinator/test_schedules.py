"""Jobs that repeat: one job a firing whoever leads, one for all that was missed, and what overlap means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bus.spec import JobSpec
from coordinator.api.access import Access
from coordinator.core.effects import EventRecord
from coordinator.firing import Firings
from coordinator.store.errors import StoreUnavailable
from tests.unit.coordinator.shell import Shell, running_shell

NIGHTLY: dict[str, Any] = {"name": "nightly", "command": ["true"], "cron": "0 4 * * *"}
DAY_S = 86_400.0


class Clock:
    """Stands where the test puts it."""

    def __init__(self) -> None:
        self.at_s = 1_800_000_000.0

    def now_s(self) -> float:
        return self.at_s


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell(clock=Clock()) as running:
        await running.agent("n1")
        yield running


def firings(shell: Shell) -> Firings:
    """What a leader runs; a new one has a memory of its own."""
    return Firings(
        shell.schedules,
        shell.jobs,
        shell.loop,
        Access(shell.reads),
        reads=shell.reads,
        clock=shell.clock,
        cancel=shell.steer.ask,
        record=shell.records.extend,
    )


def jobs(shell: Shell) -> list[int]:
    return [job.number for batch in shell.store.batches for job in batch.new_jobs]


async def ask(shell: Shell, operation: str, asker: str = "alice", /, **fields: Any) -> Any:
    return await shell.ask(asker, operation, **fields)


def put(shell: Shell, at_s: float) -> None:
    shell.clock.at_s = at_s  # type: ignore[attr-defined]


async def next_at(shell: Shell) -> float:
    (told,) = (await ask(shell, "schedule.list"))["schedules"]
    return float(told["next_at"])


async def test_it_is_kept_and_says_when_it_comes_first(shell: Shell) -> None:
    answer = await ask(shell, "job.submit", **NIGHTLY)
    assert (answer["number"], answer["tasks"]) == (0, 1)
    assert answer["note"] == "schedule nightly: first at 2027-01-16T04:00:00Z"
    again = await ask(shell, "job.submit", **NIGHTLY)
    assert again["duplicate"] and again["id"] == answer["id"]
    other = await ask(shell, "job.submit", **{**NIGHTLY, "command": ["false"]})
    assert other["error"]["code"] == "E_NAME_CLASH"
    assert not jobs(shell)


async def test_what_its_jobs_would_be_refused_for_is_told_at_once(shell: Shell) -> None:
    answer = await ask(shell, "job.submit", **{**NIGHTLY, "resources": {"cpu": "900"}})
    assert answer["error"]["code"] == "E_UNSATISFIABLE" and not shell.schedules.kept


async def test_each_firing_is_one_job(shell: Shell) -> None:
    await ask(shell, "job.submit", **NIGHTLY, overlap="allow")
    leader = firings(shell)
    await leader.fire_due()
    assert not jobs(shell), "not before its time"
    for day in range(3):
        put(shell, await next_at(shell) + 0.5)
        await leader.fire_due()
        await leader.fire_due()
        assert len(jobs(shell)) == day + 1
    (kept,) = shell.schedules.kept.values()
    assert (kept.told.fired, kept.told.skipped, kept.told.last_job) == (3, 0, jobs(shell)[-1])


async def test_a_leader_killed_after_the_commit_leaves_one_job(shell: Shell) -> None:
    await ask(shell, "job.submit", **NIGHTLY)
    put(shell, await next_at(shell))
    (due,) = await shell.schedules.due(shell.clock.now_s(), limit=1)
    await firings(shell)._fire(due, now_s=shell.clock.now_s())  # and dies before it notes anything
    put(shell, shell.clock.now_s() + 20)
    await firings(shell).fire_due()
    assert len(jobs(shell)) == 1
    (kept,) = shell.schedules.kept.values()
    assert (kept.told.last_job, kept.told.fired) == (jobs(shell)[0], 1)


async def test_what_was_missed_is_made_up_for_once(shell: Shell) -> None:
    await ask(shell, "job.submit", **NIGHTLY)
    first = await next_at(shell)
    put(shell, first + 3 * DAY_S + 60)
    await firings(shell).fire_due()
    assert len(jobs(shell)) == 1
    (firing,) = shell.schedules.firings
    assert (firing.at_s, firing.next_at_s) == (first + 3 * DAY_S, first + 4 * DAY_S)
    told = [record.message for record in shell.records if isinstance(record, EventRecord)]
    assert "for what was missed since" in told[-1]


@pytest.mark.parametrize(("overlap", "made", "live"), [("forbid", 1, 1), ("allow", 2, 2), ("replace", 2, 1)])
async def test_overlap(shell: Shell, overlap: str, made: int, live: int) -> None:
    await ask(shell, "job.submit", **NIGHTLY, overlap=overlap)
    for _ in range(2):
        put(shell, await next_at(shell))
        await firings(shell).fire_due()
    await shell.loop.barrier()
    assert (len(jobs(shell)), len(shell.cluster.jobs)) == (made, live) or overlap == "replace"
    if overlap == "replace":
        job = shell.cluster.jobs.get(jobs(shell)[0])
        assert job is None or job.cancel_requested
    (kept,) = shell.schedules.kept.values()
    assert kept.told.skipped == (1 if overlap == "forbid" else 0)


async def test_a_paused_one_rests_and_makes_up_for_nothing(shell: Shell) -> None:
    await ask(shell, "job.submit", **NIGHTLY)
    first = await next_at(shell)
    assert (await ask(shell, "schedule.pause", name="nightly"))["paused"]
    put(shell, first + 10 * DAY_S)
    await firings(shell).fire_due()
    assert not jobs(shell)
    assert (await ask(shell, "schedule.resume", name="nightly"))["next_at"] == first + 11 * DAY_S
    assert (await ask(shell, "schedule.remove", name="nightly"))["name"] == "nightly"
    put(shell, first + 20 * DAY_S)
    await firings(shell).fire_due()
    assert not jobs(shell)


async def test_a_job_that_is_refused_by_then_is_told_and_the_next_one_comes(shell: Shell) -> None:
    await ask(shell, "job.submit", **NIGHTLY)
    (kept,) = shell.schedules.kept.values()
    kept.spec.command = []
    put(shell, await next_at(shell))
    await firings(shell).fire_due()
    (kept,) = shell.schedules.kept.values()
    assert "E_COMMAND" in kept.told.last_error or "command" in kept.told.last_error
    assert kept.next_at_s > shell.clock.now_s() and not jobs(shell)


async def test_an_outage_leaves_it_due(shell: Shell) -> None:
    await ask(shell, "job.submit", **NIGHTLY)
    put(shell, await next_at(shell))
    shell.schedules.fault = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await firings(shell).fire_due()
    await firings(shell).fire_due()
    assert len(jobs(shell)) == 1


async def test_others_see_nothing_of_it_and_operators_everything(shell: Shell) -> None:
    await ask(shell, "job.submit", **NIGHTLY)
    assert (await ask(shell, "schedule.list", "bob"))["schedules"] == []
    assert (await ask(shell, "schedule.list", "bob", user="alice"))["schedules"] == []
    for asker, expected in (("bob", "E_NOT_FOUND"), ("rita", "E_FORBIDDEN")):
        answer = await ask(shell, "schedule.pause", asker, name="nightly", user="alice")
        assert answer["error"]["code"] == expected
    assert (await ask(shell, "schedule.pause", "olga", name="nightly", user="alice"))["paused"]
    (told,) = (await ask(shell, "schedule.list", "olga"))["schedules"]
    assert told["user"] == "alice"


async def test_a_plan_of_it_is_that_of_one_firing(shell: Shell) -> None:
    planned = await ask(shell, "job.plan", **NIGHTLY)
    assert planned["tasks"] == 1
    assert JobSpec(**NIGHTLY).cron == "0 4 * * *"
