"""The brake: with more than half of the nodes gone at once we suspect ourselves, and for how long."""

from __future__ import annotations

import pytest

from bus.values import NodeHealth, TaskState
from coordinator.core.effects import EventRecord
from coordinator.core.events import SelfChecked
from coordinator.shown import node_shown
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.test_health import kinds, leave, pass_time

WELL = SelfChecked(bus=True, database=True, clock=True)
ALL = ("n1", "n2", "n3", "n4")


@pytest.fixture
def busy(world: World) -> World:
    """Four nodes; each runs a task."""
    for name in ALL:
        world.register(name)
    world.submit(command=["true"], array="0-7")
    for placement in world.schedule():
        world.start(placement, next(name for name in ALL if placement.attempt in world.held[name]))
    return world


def check_often(
    world: World, seconds: float, event: SelfChecked, *, silent: tuple[str, ...]
) -> list[EventRecord]:
    found = []
    for _ in range(round(seconds / 5)):
        world.happen(event)
        found += pass_time(world, 5, silent=silent)
    return found


def queued(world: World) -> int:
    return world.cluster.jobs[1].queued


def test_half_of_the_nodes_are_replaced_as_ever(busy: World) -> None:
    events = pass_time(busy, 16, silent=ALL[:2])
    assert "brake_on" not in kinds(events) and queued(busy) == 4


def test_more_than_half_are_not(busy: World) -> None:
    events = pass_time(busy, 600, silent=ALL[:3])
    assert kinds(events).count("brake_on") == 1 and queued(busy) == 0
    (told,) = [event for event in events if event.event_type == "brake_on"]
    assert told.severity == "critical"
    assert told.message == "the brake is on: 3 of 4 nodes fell silent at once: nothing is replaced"
    assert busy.cluster.nodes["n1"].health is NodeHealth.UNREACHABLE, "that is seen all the same"
    assert node_shown(busy.cluster.nodes["n1"], now_s=busy.now_s).suspicion == 1.0


def test_of_three_nodes_all_are_replaced(world: World) -> None:
    for name in ALL[:3]:
        world.register(name)
    world.submit(command=["true"], array="0-5")
    world.schedule()
    pass_time(world, 16, silent=ALL[:3])
    assert world.cluster.brake is None and queued(world) == 6


def test_nodes_that_vanish_one_after_another_are_replaced(busy: World) -> None:
    pass_time(busy, 40, silent=("n1",))
    pass_time(busy, 40, silent=("n1", "n2"))
    pass_time(busy, 40, silent=("n1", "n2", "n3"))
    assert busy.cluster.brake is None and queued(busy) == 6


def test_it_lifts_when_they_are_back_and_leaves_the_rest_a_lease_to_follow(busy: World) -> None:
    pass_time(busy, 20, silent=ALL[:3])
    events = pass_time(busy, 8, silent=ALL[:2])
    assert "brake_off" in kinds(events) and queued(busy) == 0
    events = pass_time(busy, 16, silent=ALL[:2])
    assert queued(busy) == 4 and "brake_on" not in kinds(events)


@pytest.mark.parametrize("wanting", ["bus", "database", "clock", None])
def test_after_a_minute_it_lifts_if_we_are_well_ourselves(busy: World, wanting: str | None) -> None:
    check = {"bus": True, "database": True, "clock": True} | ({wanting: False} if wanting else {})
    events = check_often(busy, 65, SelfChecked(**check), silent=ALL[:3])
    assert queued(busy) == 0
    events = check_often(busy, 5, SelfChecked(**check), silent=ALL[:3])
    assert ("brake_off" in kinds(events)) is (wanting is None)
    assert queued(busy) == (6 if wanting is None else 0)
    assert busy.task_state(1, 0) in (TaskState.QUEUED, TaskState.RUNNING)


def test_without_a_check_of_ourselves_it_stays(busy: World) -> None:
    busy.happen(WELL)
    pass_time(busy, 300, silent=ALL[:3])
    assert busy.cluster.brake is not None and queued(busy) == 0


def test_a_new_leader_does_not_mistake_the_long_gone_for_vanished(world: World) -> None:
    for name in ALL:
        world.register(name)
    for silent in (ALL[:1], ALL[:2], ALL[:3]):
        pass_time(world, 40, silent=silent)
    world.cluster = world.rebuilt()
    assert "brake_on" not in kinds(pass_time(world, 20, silent=ALL[:3]))
    assert world.cluster.nodes["n1"].last_beat_s < world.now_s - 100


def test_who_said_goodbye_has_not_vanished(busy: World) -> None:
    """Three of four machines are switched off in good order: their work is given out as soon as it may be."""
    for name in ALL[:3]:
        leave(busy, *busy.held[name], name=name)
    assert "brake_on" not in kinds(pass_time(busy, 20, silent=ALL[:3]))
    assert queued(busy) == 6
