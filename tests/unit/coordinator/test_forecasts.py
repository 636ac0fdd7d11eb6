"""Forecasts that were told: noted, compared with what comes, and known by whoever leads next."""

from __future__ import annotations

import math

import msgspec
import pytest

from bus.spec import ResourceSpec
from bus.values import TaskRef, UserName
from coordinator.core import forecasts
from coordinator.core.events import ForecastMade, LearnedBrought, SnapshotDue, Tick
from coordinator.core.forecasts import sample
from coordinator.core.scheduler import foretold as bounds
from coordinator.core.scheduler import kept
from coordinator.core.scheduler.forecast import LONG_S, TAIL, Forecast
from coordinator.core.scheduler.foretold import CameOut, Fate, Foretold, Record
from coordinator.core.scheduler.learner import Learner
from tests.unit.coordinator.conftest import World

WHOLE = ResourceSpec(cpu="2")


def foretell(
    world: World, number: int, *, index: int = 0, high_s: float = 50.0, told_s: float = 40.0
) -> None:
    """That it starts in 20 to `told_s` seconds, by a raw forecast up to `high_s`."""
    at = world.now_s
    world.happen(
        ForecastMade(
            TaskRef(number, index),
            at,
            Forecast(start_s=at + 25.0, low_s=at + 20.0, high_s=at + high_s, ends_s=math.inf),
            Forecast(start_s=at + 30.0, low_s=at + 20.0, high_s=at + told_s),
        )
    )


def passes(world: World, seconds: float = 0.0) -> None:
    """Time, in which the node lives."""
    world.now_s += seconds
    world.beat()
    world.happen(Tick())


def one_runs(world: World, *, others: int = 1) -> list[int]:
    """On all of the only node; the others wait."""
    world.submit(command=["true"], resources=WHOLE)
    (placement,) = world.schedule()
    world.start(placement)
    return [world.submit(command=["true"], resources=WHOLE) for _ in range(others)]


def next_starts(world: World) -> None:
    (ended,) = (placement for held in world.held.values() for placement in held.values())
    world.end(ended)
    (placement,) = world.schedule()
    world.start(placement)


@pytest.mark.parametrize(
    ("waits_s", "right", "tails"),
    [(5.0, False, "below"), (30.0, True, ""), (41.0, False, "above")],
)
def test_a_start_is_compared_with_what_was_foretold(
    pool: World, waits_s: float, right: bool, tails: str
) -> None:
    (number,) = one_runs(pool)
    foretell(pool, number)
    pool.now_s += waits_s
    next_starts(pool)
    record = pool.cluster.planner.forecasts
    assert not record.open and (record.tracker.told, record.tracker.right) == (1, int(right))
    assert record.tracker.newest == [right] and record.tracker.width == pytest.approx(20.0 / 30.0)
    assert (record.tracker.below < TAIL) == (tails == "below")
    assert (record.tracker.above < TAIL) == (tails == "above")


def test_an_end_without_its_start_is_a_start_too(pool: World) -> None:
    (number,) = one_runs(pool)
    foretell(pool, number)
    pool.now_s += 30.0
    (ended,) = (placement for held in pool.held.values() for placement in held.values())
    pool.end(ended)
    (placement,) = pool.schedule()
    pool.end(placement)
    assert pool.cluster.planner.forecasts.tracker.right == 1


def test_who_is_late_is_noticed_before_it_starts_and_once(pool: World) -> None:
    (number,) = one_runs(pool)
    foretell(pool, number)
    record = pool.cluster.planner.forecasts
    for passed_s, late in ((40.0, False), (1.0, True), (1.0, True)):
        passes(pool, passed_s)
        assert record.open[f"{number}.0"].late == late
    tail = record.tracker.above
    next_starts(pool)
    assert record.tracker.above == tail < TAIL and (record.tracker.told, record.tracker.right) == (1, 0)


def test_what_never_starts_teaches_nothing(pool: World) -> None:
    first, second = one_runs(pool, others=2)
    pool.submit(command=["true"], array="0-1", resources=WHOLE)
    for number in (first, second):
        foretell(pool, number)
    array = second + 1
    foretell(pool, array, index=1)
    pool.cancel(first)
    pool.cancel(array, 1)
    passes(pool)
    record = pool.cluster.planner.forecasts
    assert list(record.open) == [f"{second}.0"] and record.tracker.told == 0
    passes(pool, 100.0)
    assert record.tracker.above < TAIL


def test_what_runs_or_is_unknown_or_told_already_is_not_noted(
    pool: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = one_runs(pool, others=2)
    record = pool.cluster.planner.forecasts
    foretell(pool, first - 1)  # runs
    foretell(pool, 99)
    assert not record.open
    foretell(pool, first)
    noted = record.open[f"{first}.0"]
    pool.now_s += 1.0
    foretell(pool, first)
    assert record.open == {f"{first}.0": noted}
    monkeypatch.setattr(bounds, "OPEN_MAX", 1)
    foretell(pool, second)
    assert list(record.open) == [f"{first}.0"]
    next_starts(pool)
    assert not record.open


def test_a_start_that_nobody_foretold_changes_nothing(pool: World) -> None:
    first, second = one_runs(pool, others=2)
    foretell(pool, second)
    before = pool.cluster.planner.forecasts.open.copy()
    next_starts(pool)
    assert first < second and pool.cluster.planner.forecasts.open == before
    record = Record()
    record.learn(CameOut(1, 0, 5.0, Fate.STARTED))
    assert record == Record()


@pytest.mark.contract("S0.54")
@pytest.mark.parametrize("snapshot", [False, True])
def test_the_next_leader_knows_all_forecasts_and_what_came_of_them(pool: World, snapshot: bool) -> None:
    first, second, third = one_runs(pool, others=3)
    foretell(pool, first)
    foretell(pool, second, high_s=math.inf, told_s=math.inf)
    passes(pool, 50.0)
    next_starts(pool)
    if snapshot:
        pool.happen(SnapshotDue("interval"))
        foretell(pool, third, told_s=1 / 3)
        passes(pool, 1.0)
    record = pool.cluster.planner.forecasts
    assert record.tracker.told == 1 and record.open[f"{second}.0"].raw.high_s == pool.now_s + LONG_S - (
        51.0 if snapshot else 50.0
    )
    rebuilt = pool.rebuilt().planner
    assert rebuilt.forecasts == record
    assert kept.digest(rebuilt) == kept.digest(pool.cluster.planner)


def test_what_an_older_version_kept_is_read() -> None:
    document = msgspec.json.decode(kept.dump(Learner()))
    del document["forecasts"]
    assert kept.load(msgspec.json.encode(document)).forecasts == Record()


def test_of_what_is_brought_only_the_correction_counts(pool: World) -> None:
    """Forecasts that have not come out elsewhere are of tasks that mean nothing here."""
    brought = Learner()
    at = Forecast(start_s=1.0, low_s=1.0, high_s=1.0)
    brought.learn(Foretold(7, 0, 0.0, at, at))
    brought.forecasts.tracker.told = 12
    (number,) = one_runs(pool)
    foretell(pool, number)
    pool.happen(LearnedBrought(learner=kept.dump(brought), by=UserName("olga")))
    record = pool.cluster.planner.forecasts
    assert list(record.open) == [f"{number}.0"] and record.tracker.told == 12


def test_any_of_those_that_wait_may_be_foretold_and_each_once(pool: World) -> None:
    assert sample(pool.cluster, 5) is None
    first, second = one_runs(pool, others=2)
    pool.submit(command=["true"], resources=ResourceSpec(cpu="1"))
    third = second + 1
    found = {sample(pool.cluster, number) for number in range(9)} - {None}
    assert {(group.job.number, index) for group, index in found if group} == {
        (first, 0),
        (second, 0),
        (third, 0),
    }
    for number in (first, third):
        foretell(pool, number)
    pool.hold(second)
    assert all(sample(pool.cluster, number) is None for number in range(9))


def test_on_a_very_large_cluster_nobody_is_foretold_who_did_not_ask(
    pool: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_runs(pool, others=2)
    monkeypatch.setattr(forecasts, "SAMPLED_MAX", 3)
    assert any(sample(pool.cluster, number) for number in range(9))
    monkeypatch.setattr(forecasts, "SAMPLED_MAX", 2)
    assert not any(sample(pool.cluster, number) for number in range(9))
