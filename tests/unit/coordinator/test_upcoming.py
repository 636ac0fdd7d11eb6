"""What would start next: in order of starts, with nodes, and only as far as it can be foreseen."""

from __future__ import annotations

from bus.spec import ResourceSpec
from bus.values import NodeAdmin, Resources
from coordinator.core.scheduler.forecast import foresee_each
from coordinator.core.upcoming import Played, turns_of
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence

WHOLE = ResourceSpec(cpu=2000)


def asked(world: World, *, limit: int = 50) -> list[Played]:
    return turns_of(world.cluster, limit=limit, now_s=world.now_s).answer()


def busy(world: World, *, timeout: int = 100) -> None:
    """A task that fills n1."""
    world.submit(command=["true"], resources=WHOLE, timeout=timeout)
    (placement,) = world.schedule()
    world.start(placement)


def starts(world: World, turns: list[Played]) -> list[float | None]:
    return [None if turn.forecast is None else turn.forecast.start_s - world.now_s for turn in turns]


def test_one_after_the_other_on_the_node_that_is_free_then(pool: World) -> None:
    busy(pool)
    pool.submit(command=["true"], resources=WHOLE, timeout=50)
    pool.submit(command=["true"], resources=WHOLE, timeout=50, owner="bob", array="0-1")
    pool.schedule()
    before = essence(pool.cluster)
    turns = asked(pool)
    assert [(str(turn.waiter.task), turn.waiter.owner, turn.waiter.tasks, turn.node) for turn in turns] == [
        ("2.0", "alice", 1, "n1"),
        ("3.0", "bob", 2, "n1"),
    ]
    assert starts(pool, turns) == [100.0, 150.0]
    assert essence(pool.cluster) == before


def test_who_fits_beside_starts_before_who_is_first(pool: World) -> None:
    pool.register("n2", capacity=Resources(1000, 8192))
    busy(pool)
    pool.submit(command=["true"], resources=WHOLE, timeout=50)
    pool.submit(command=["true"], resources=ResourceSpec(cpu=1000), timeout=10)
    turns = asked(pool)
    assert [(str(turn.waiter.task), turn.node) for turn in turns] == [("3.0", "n2"), ("2.0", "n1")]
    assert starts(pool, turns) == [0.0, 100.0]


def test_what_can_start_nowhere_comes_last_and_has_no_node(pool: World) -> None:
    pool.submit(command=["true"], resources=WHOLE)
    pool.submit(command=["true"])
    pool.steer("n1", NodeAdmin.INACTIVE)
    pool.register("n2", capacity=Resources(1000, 8192))
    turns = asked(pool)
    assert [(str(turn.waiter.task), turn.node) for turn in turns] == [("2.0", "n2"), ("1.0", None)]
    assert turns[1].forecast is None


def test_only_as_many_as_are_asked_for_of_all_that_wait(pool: World) -> None:
    pool.steer("n1", NodeAdmin.INACTIVE)
    for _ in range(3):
        pool.submit(command=["true"], array="0-4")
    question = turns_of(pool.cluster, limit=2, now_s=pool.now_s)
    assert (question.tasks, question.order, len(question.answer())) == (15, "fcfs", 2)


def test_where_nobody_waits_nothing_starts(pool: World) -> None:
    question = turns_of(pool.cluster, limit=5, now_s=pool.now_s)
    assert question.answer() == [] and question.tasks == 0


def test_a_future_that_the_budget_cuts_off_tells_what_it_saw(pool: World) -> None:
    busy(pool)
    for _ in range(3):
        pool.submit(command=["true"], resources=WHOLE, timeout=50)
    pool.schedule()
    question = turns_of(pool.cluster, limit=3, now_s=pool.now_s)
    found = foresee_each(question.scene, range(3), question.ratios, steps=4)
    assert [forecast is None for forecast, _ in found] == [False, True, True]
