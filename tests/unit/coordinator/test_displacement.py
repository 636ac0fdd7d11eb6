"""What drained nodes hold: who stays, who goes where and when, by how much later, and who can go nowhere."""

from __future__ import annotations

import pytest

from bus.api import Displaced, Displacement
from bus.spec import ResourceSpec
from bus.values import NodeName, Resources, UserName
from coordinator.core import displacement
from coordinator.core.effects import Placement
from coordinator.core.foresight import Change, Comparison, compared
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence

WHOLE = ResourceSpec(cpu=2000)
N1 = frozenset({NodeName("n1")})


def drained(world: World, *, deadline_s: float | None = None) -> Comparison:
    change = Change(drain=N1, deadline_s=deadline_s)
    return compared(world.cluster, change, now_s=world.now_s)


def asked(
    world: World, *, deadline_s: float | None = None, viewer: str | None = None
) -> tuple[Displacement, list[Displaced]]:
    comparison = drained(world, deadline_s=deadline_s)
    only = None if viewer is None else UserName(viewer)
    return comparison.displaced(comparison.played(), only)


def running(world: World, **fields: object) -> Placement:
    """A task that fills n1."""
    world.submit(command=["true"], **{"resources": WHOLE, "timeout": 100, **fields})
    (placement,) = world.schedule()
    world.start(placement)
    return placement


def test_without_a_deadline_what_runs_stays_to_its_end(pool: World) -> None:
    running(pool)
    before = essence(pool.cluster)
    total, (row,) = asked(pool)
    assert (total.tasks, total.stay, total.go, total.empty_at) == (1, 1, 0, pool.now_s + 100.0)
    assert (row.goes, row.ends_at, row.goes_to) == (False, pool.now_s + 100.0, None)
    assert essence(pool.cluster) == before


def test_at_the_deadline_it_begins_anew_on_another_node(pool: World) -> None:
    running(pool)
    pool.register("n2", capacity=Resources(2000, 8192))
    total, (row,) = asked(pool, deadline_s=30.0)
    assert (row.goes, row.goes_to, row.starts_at) == (True, "n2", pool.now_s + 30.0)
    assert row.delay_s == 30.0 and row.running
    assert (total.go, total.nowhere, total.delay_mean_s, total.delay_most_s) == (1, 0, 30.0, 30.0)
    assert total.empty_at is None


def test_who_is_over_before_the_deadline_stays(pool: World) -> None:
    running(pool)
    assert asked(pool, deadline_s=100.0)[0].stay == 1
    assert asked(pool, deadline_s=99.0)[0].go == 1


def test_it_waits_there_for_its_turn(pool: World) -> None:
    running(pool)
    pool.register("n2", capacity=Resources(2000, 8192))
    pool.submit(command=["true"], resources=WHOLE, timeout=300)
    (other,) = pool.schedule()
    pool.start(other, node="n2")
    _, (row,) = asked(pool, deadline_s=0.0)
    assert (row.starts_at, row.delay_s) == (pool.now_s + 300.0, 300.0)


def test_what_has_not_started_goes_at_once(pool: World) -> None:
    pool.submit(command=["true"], resources=WHOLE, timeout=100)
    pool.schedule()
    pool.register("n2", capacity=Resources(2000, 8192))
    _, (row,) = asked(pool)
    assert (row.running, row.goes, row.goes_to, row.delay_s) == (False, True, "n2", 0.0)


def test_what_fits_on_no_other_node_says_why(pool: World) -> None:
    running(pool)
    pool.register("n2", capacity=Resources(1000, 8192))
    total, (row,) = asked(pool, deadline_s=10.0)
    assert total.nowhere == 1 and total.delay_mean_s is None
    assert row.starts_at is None and row.delay_s is None
    assert {each.code for each in row.blockers} == {"admin:draining", "capacity:cpu_millis"}
    again = drained(pool, deadline_s=10.0).held.tasks
    assert all(not each.code.startswith("busy:") for one in again for each in one.blockers)


def test_tasks_that_are_alike_are_told_the_same_reasons(pool: World) -> None:
    pool.submit(command=["true"], array="0-1", resources=ResourceSpec(cpu=1000), timeout=100)
    for placement in pool.schedule():
        pool.start(placement)
    first, second = drained(pool, deadline_s=0.0).held.tasks
    assert first.blockers is second.blockers and first.blockers


def test_what_people_hold_waits_until_they_let_it_go(pool: World) -> None:
    placement = running(pool)
    pool.hold(placement.attempt.job)
    pool.register("n2", capacity=Resources(2000, 8192))
    _, (row,) = asked(pool, deadline_s=0.0)
    assert row.goes and row.goes_to is None and [each.code for each in row.blockers] == ["held"]


def test_what_cannot_be_foreseen_has_no_reason(pool: World) -> None:
    """The future was cut off before it came to that."""
    running(pool)
    pool.register("n2", capacity=Resources(2000, 8192))
    comparison = drained(pool, deadline_s=0.0)
    will = comparison.played()
    cut = will._replace(rows=(-1,) * len(will.rows))
    total, (row,) = comparison.displaced(cut, None)
    assert total.nowhere == 1 and row.blockers == [] and row.starts_at is None


def test_what_ends_already_is_not_displaced(pool: World) -> None:
    placement = running(pool)
    pool.cancel(placement.attempt.job)
    assert drained(pool, deadline_s=0.0).held.total == 0


def test_what_outlived_its_prediction_is_thought_to_run_as_long_again(pool: World) -> None:
    pool.cluster.planner.predictor.ratios.clear()
    running(pool, timeout=None)
    began_s = pool.now_s
    guess_s = drained(pool).held.tasks[0].run_s
    pool.now_s = began_s + 3 * guess_s
    (held,) = drained(pool).held.tasks
    assert held.ends_s == pytest.approx(began_s + 6 * guess_s)


def test_others_are_counted_and_not_named(pool: World) -> None:
    running(pool, owner="bob")
    total, rows = asked(pool, viewer="alice")
    assert (total.tasks, rows) == (1, [])
    assert [row.user for row in asked(pool, viewer="bob")[1]] == ["bob"]


def test_worst_first_and_no_more_than_are_looked_at(pool: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.submit(command=["true"], array="0-1", resources=ResourceSpec(cpu=1000), timeout=100)
    for placement in pool.schedule():
        pool.start(placement)
    pool.register("n2", capacity=Resources(1000, 8192))
    _, rows = asked(pool, deadline_s=0.0)
    assert [row.delay_s for row in rows] == [100.0, 0.0]
    monkeypatch.setattr(displacement, "DISPLACED_MAX", 1)
    total, rows = asked(pool, deadline_s=0.0)
    assert (total.tasks, total.go, len(rows)) == (2, 1, 1)


def test_others_in_line_feel_who_comes_to_them(pool: World) -> None:
    running(pool, priority=9)
    pool.register("n2", capacity=Resources(2000, 8192))
    pool.submit(command=["true"], resources=WHOLE, timeout=50)
    (other,) = pool.schedule()
    pool.start(other, node="n2")
    pool.submit(command=["true"], resources=WHOLE, timeout=10, priority=1)
    pool.schedule()
    comparison = drained(pool, deadline_s=0.0)
    effect, (job,) = comparison.judge(None)
    assert (effect.tasks, effect.later) == (1, 1)
    assert job.starts_before == pool.now_s + 50.0 and job.starts_after == pool.now_s + 150.0
