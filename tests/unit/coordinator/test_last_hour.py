"""The last hour replayed by each order: who is compared, on which tasks, and what is said of too few."""

from __future__ import annotations

import logging
import sys

import pytest

from coordinator.core.scheduler.asking import UNITS
from coordinator.core.scheduler.policies import POLICIES, Kind, Mode
from coordinator.last_hour import EVERY_S, JOBS_MIN, LastHour
from coordinator.sim import tuning
from coordinator.sim.judging import UnknownPolicy
from coordinator.sim.tuning import Tuning, compared
from coordinator.store.learned import Ran
from tests.unit.coordinator.shell import Shell, running_shell

CHILD = (sys.executable, "-P", "-m", "coordinator", "tune")


def crowd(until_s: float, count: int, *, every_s: float = 5.0) -> list[Ran]:
    """Long and short tasks that each want the whole machine, the newest `every_s` before `until_s`."""
    begin_s = until_s - count * every_s
    return [
        Ran(begin_s + place * every_s, run_s := (300.0, 3.0)[place % 2], run_s, "ann", 1, UNITS)
        for place in range(count)
    ]


def last_hour(shell: Shell, command: tuple[str, ...] = CHILD) -> LastHour:
    return LastHour(shell.loop, shell.learned, shell.clock, command=command)


async def test_orders_are_compared_on_the_tasks_of_the_hour_alone() -> None:
    async with running_shell() as shell:
        now_s = shell.clock.now_s()
        shell.learned.runs = crowd(now_s - 7200.0, 300) + crowd(now_s, 40)
        hour = last_hour(shell)
        await hour.look()
        assert hour.shown is not None
        assert (hour.shown.jobs, hour.shown.policy) == (40, "")
        assert now_s <= hour.shown.until <= shell.clock.now_s()
        assert set(hour.shown.costs) == {name for name, each in POLICIES.items() if each.kind is Kind.STATIC}
        assert hour.shown.acts == "fcfs" and hour.shown.costs["sjf"] < hour.shown.costs["fcfs"] / 2
        assert hour.shown.costs[hour.shown.static] == min(hour.shown.costs.values())


async def test_the_policy_that_passed_is_among_them_and_acts_where_it_may() -> None:
    learned = next(name for name, each in POLICIES.items() if each.kind is Kind.PREDICTED)
    async with running_shell() as shell:
        shell.cluster.policy, shell.cluster.mode = learned, Mode.ON
        shell.learned.runs = crowd(shell.clock.now_s(), 40)
        hour = last_hour(shell)
        await hour.look()
        assert hour.shown is not None and hour.shown.acts == learned == hour.shown.policy
        assert learned in hour.shown.costs


async def test_too_few_tasks_are_counted_and_not_compared() -> None:
    async with running_shell() as shell:
        now_s = shell.clock.now_s()
        shell.learned.runs = crowd(now_s - 7200.0, 300) + crowd(now_s, JOBS_MIN - 1)
        hour = last_hour(shell, ("/bin/false",))
        await hour.look()
        assert hour.shown is not None
        assert (hour.shown.jobs, hour.shown.needed, hour.shown.costs) == (JOBS_MIN - 1, JOBS_MIN, {})


async def test_it_is_due_every_ten_minutes_unless_nothing_may_learn() -> None:
    async with running_shell() as shell:
        hour = last_hour(shell)
        now_s = shell.clock.now_s()
        assert hour.is_due(now_s)
        await hour.look()
        later_s = shell.clock.now_s() + EVERY_S
        assert not hour.is_due(now_s + EVERY_S - 1.0) and hour.is_due(later_s)
        shell.cluster.mode = Mode.OFF
        assert not hour.is_due(later_s)


async def test_what_fails_is_logged_and_what_was_shown_stays(caplog: pytest.LogCaptureFixture) -> None:
    async with running_shell() as shell:
        hour = last_hour(shell, ("/bin/false",))
        await hour.look()
        before = hour.shown
        shell.learned.runs = crowd(shell.clock.now_s(), 40)
        with caplog.at_level(logging.WARNING):
            await hour.look()
        assert hour.shown is before and "the replay ended with code 1" in caplog.text


def test_planners_begin_with_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose tasks always end early is known by the time the window begins."""
    monkeypatch.setattr(tuning, "_say", lambda key, value: None)
    order = "predicted short"
    ran = [
        tuning.Ran(
            place * 5.0, (4.0, 200.0)[place % 2], 3600.0 - place % 2, ("quick", "slow")[place % 2], 1, 4
        )
        for place in range(300)
    ]
    knows = compared(Tuning(jobs=tuple(ran), nodes=4, policies=(order, "fcfs"), newest=60))
    blank = compared(Tuning(jobs=tuple(ran[-60:]), nodes=4, policies=(order, "fcfs"), newest=60))
    assert knows.jobs == blank.jobs == 60 and knows.costs["fcfs"] == blank.costs["fcfs"]
    assert knows.costs[order] < blank.costs[order]


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(UnknownPolicy):
        compared(Tuning(policies=("best",), newest=3))
