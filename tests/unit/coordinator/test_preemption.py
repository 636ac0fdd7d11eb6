"""Preemptible work makes room: not for its own priority, no more than needed, not twice for one head."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from bus.spec import GangSpec, JobSpec, ResourceSpec
from bus.values import NodeAdmin, Outcome, Resources
from coordinator.core.effects import EventRecord, SendCancel, SendRetract
from coordinator.core.scheduler.preempt import Room, lost_s, rooms
from coordinator.core.yielding import yield_attempts
from tests.unit.coordinator.conftest import World

STEP_S = 0.5


def submit(world: World, cores: float, priority: int, *, preemptible: bool = False, **fields) -> int:
    resources = ResourceSpec(cpu=f"{cores * 1000:.0f}m")
    spec = JobSpec(
        command=["true"], resources=resources, priority=priority, preemptible=preemptible, **fields
    )
    return world.submit(spec)


def running(world: World, cores: float, priority: int, **fields) -> int:
    job = submit(world, cores, priority, **{"preemptible": True, **fields})
    for placement in world.schedule():
        node = next(name for name, held in world.held.items() if placement.attempt in held)
        world.start(placement, node)
    return job


def wait(world: World, seconds: float = 6.0) -> None:
    """Time passes while every node beats; then there is a round."""
    beat(world, seconds)
    world.wait(0.0)
    world.schedule()


def beat(world: World, seconds: float) -> None:
    for _ in range(round(seconds / STEP_S)):
        world.now_s += STEP_S
        for node in list(world.cluster.nodes):
            world.beat(node)


def ended(world: World) -> list[int]:
    """The jobs whose attempts were just told to end."""
    return sorted(
        ref.job for effect in world.effects if isinstance(effect, SendCancel) for ref in effect.attempts
    )


def test_who_waits_long_enough_gets_room(pool: World) -> None:
    low = running(pool, 2, 3)
    head = submit(pool, 2, 7)
    wait(pool, 4.0)
    assert ended(pool) == []
    wait(pool, 1.5)
    assert ended(pool) == [low]
    (told,) = [effect for effect in pool.effects if isinstance(effect, EventRecord)]
    assert (told.event_type, told.user) == ("task_preempted", "alice")
    assert told.details["priority"] == 7 and f"job {head}" not in told.message
    wait(pool)
    assert ended(pool) == []
    (victim,) = [p for p in pool.held["n1"].values() if p.attempt.job == low]
    pool.end(victim, outcome=Outcome.CANCELLED, exit_code=None)
    assert pool.mirror.attempts[victim.attempt].message == "made room for work of priority 7"
    assert [placement.attempt.job for placement in pool.schedule()] == [head]
    assert pool.task_state(low) == "queued"


def test_nobody_makes_room_for_a_gang(pool: World) -> None:
    """Room on one node would be of no use to it; a single task behind it gets its own."""
    low = running(pool, 2, 3)
    submit(pool, 1, 9, gang=GangSpec(size=2))
    wait(pool)
    assert ended(pool) == []
    submit(pool, 2, 7)
    wait(pool)
    assert ended(pool) == [low]


@pytest.mark.parametrize(("priority", "preemptible", "head"), [(5, True, 5), (6, True, 5), (1, False, 9)])
def test_equals_and_the_unwilling_stay(pool: World, priority: int, preemptible: bool, head: int) -> None:
    running(pool, 2, priority, preemptible=preemptible)
    submit(pool, 1, head)
    wait(pool)
    assert ended(pool) == []


@pytest.mark.parametrize(("steps", "goes"), [(9 - 3, True), (9 - 3 + 1, False)])
def test_what_would_go_first_in_the_line_stays(pool: World, steps: int, goes: bool) -> None:
    """It is that much older: queued again, it would take the place that it had made."""
    old = running(pool, 2, 3)
    pool.now_s += steps * pool.cluster.limits.ageing_s
    submit(pool, 2, 9)
    wait(pool)
    assert ended(pool) == [old] * goes


def test_nobody_ends_in_vain(pool: World) -> None:
    """Two cores are needed, one is all that preemptible work holds."""
    running(pool, 1, 3)
    running(pool, 1, 3, preemptible=False)
    submit(pool, 2, 9)
    wait(pool)
    assert ended(pool) == []


def test_the_node_that_loses_least_makes_room(world: World) -> None:
    world.register("n1", capacity=Resources(1000, 4096))
    world.register("n2", capacity=Resources(1000, 4096))
    running(world, 1, 3)
    wait(world, 10.0)
    young = running(world, 1, 3)
    submit(world, 1, 9)
    wait(world)
    assert ended(world) == [young]


def test_what_turns_out_not_to_be_needed_is_spared(world: World) -> None:
    """The young one would go first, but the old one alone makes the room, and must."""
    world.register("n1", capacity=Resources(3000, 4096))
    old = running(world, 2, 3)
    wait(world, 10.0)
    running(world, 1, 3)
    submit(world, 2, 9)
    wait(world)
    assert ended(world) == [old]


def test_what_ends_already_counts_as_room(pool: World) -> None:
    """Also what people cancelled, where preemptible work runs beside it."""
    low = running(pool, 1, 3)
    other = running(pool, 1, 3)
    submit(pool, 1, 9)
    pool.cancel(other)
    wait(pool)
    assert ended(pool) == [] and low in pool.cluster.jobs


def test_heads_do_not_count_the_same_room_twice(world: World) -> None:
    world.register("n1", capacity=Resources(2000, 4096))
    lows = [running(world, 1, 3), running(world, 1, 3)]
    submit(world, 1, 9)
    submit(world, 0.9, 8)
    wait(world)
    assert ended(world) == lows


def test_the_place_is_kept_until_all_of_it_is_free(world: World) -> None:
    """What the first victim frees is too small for the head, and just right for somebody lesser."""
    world.register("n1", capacity=Resources(2000, 4096))
    lows = [running(world, 1, 3), running(world, 1, 3)]
    head = submit(world, 2, 9)
    wait(world)
    assert ended(world) == lows
    submit(world, 1, 5)
    first, second = world.held["n1"].values()
    world.end(first, outcome=Outcome.CANCELLED, exit_code=None)
    assert world.schedule() == []
    world.end(second, outcome=Outcome.CANCELLED, exit_code=None)
    assert world.schedule()[0].attempt.job == head


def test_what_waits_on_the_node_for_that_place_is_asked_back(pool: World) -> None:
    pool.cluster.limits = replace(pool.cluster.limits, waiting_max_s=60.0)
    submit(pool, 2, 3, preemptible=True)
    (placement,) = pool.schedule()
    pool.start(placement)
    node = pool.cluster.nodes["n1"]
    node.ends_per_s, node.ends_s = 50.0, pool.now_s
    submit(pool, 1, 2)
    (behind,) = pool.schedule()
    assert behind.waiting
    submit(pool, 2, 9)
    wait(pool)
    assert behind.attempt in [
        ref for effect in pool.effects if isinstance(effect, SendRetract) for ref in effect.attempts
    ]


def test_a_head_that_was_assigned_ahead_to_a_node_is_no_less_blocked(pool: World) -> None:
    """The pace of short tasks that ended on the node promised it a place; long preemptible work took it."""
    low = running(pool, 2, 3)
    node = pool.cluster.nodes["n1"]
    node.ends_per_s, node.ends_s = 50.0, pool.now_s
    submit(pool, 1, 9)
    (ahead,) = pool.schedule()
    assert ahead.waiting
    wait(pool, 2.0)
    pool.give_back(ahead)
    pool.schedule()
    wait(pool)
    assert ended(pool) == [low]


def test_a_node_that_takes_no_work_makes_no_room(pool: World) -> None:
    running(pool, 2, 3)
    pool.steer("n1", NodeAdmin.INACTIVE)
    submit(pool, 1, 9)
    wait(pool)
    assert ended(pool) == []


def test_what_drains_yields_and_keeps_no_place(pool: World) -> None:
    """The node's room is coming, but not for anybody."""
    running(pool, 2, 3)
    submit(pool, 1, 9)
    pool.steer("n1", NodeAdmin.DRAINING, deadline_s=0.0)
    wait(pool)
    assert pool.cluster.reserved == {} and ended(pool) == []


def test_a_line_that_is_gone_asks_for_nothing(pool: World) -> None:
    running(pool, 2, 3)
    head = submit(pool, 1, 9)
    wait(pool, 1.0)
    pool.cancel(head)
    pool.now_s += 10.0
    assert list(rooms(pool.cluster, now_s=pool.now_s)) == []
    pool.cluster.lines.clear()
    assert list(rooms(pool.cluster, now_s=pool.now_s)) == []


WORK = st.lists(
    st.tuples(
        st.integers(1, 4),  # quarter cores
        st.integers(1, 9),
        st.booleans(),
        st.booleans(),
        st.integers(0, 30),
    ),
    max_size=14,
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    nodes=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    work=WORK,
    cores=st.integers(1, 8),
    priority=st.integers(2, 10),
)
def test_victims_are_lesser_enough_and_all_of_them_needed(nodes, work, cores, priority) -> None:
    world = World()
    for number, size in enumerate(nodes):
        world.register(f"n{number}", capacity=Resources(size * 250, 65_536))
    for size, own, preemptible, starts, seconds in work:
        if starts:
            running(world, size / 4, own, preemptible=preemptible)
        else:
            submit(world, size / 4, own, preemptible=preemptible)
            world.schedule()
        beat(world, seconds / 10)
    head = submit(world, min(cores, max(nodes)) / 4, priority)
    beat(world, 6.0)
    world.cluster.preempt_due = False  # the round leaves it to us
    world.schedule()
    for room in rooms(world.cluster, now_s=world.now_s):
        check(room, world)
        yield_attempts([], world.cluster, room.victims, reason="")
    assert head in world.cluster.jobs


def check(room: Room, world: World) -> None:
    node = room.node
    assert room.victims and node.takes_work
    assert all(each.node == node.name and each.holding and not each.cancelling for each in room.victims)
    assert all(each.task.group.settings.preemptible for each in room.victims)
    assert all(each.task.group.job.priority < room.job.priority for each in room.victims)
    assert room.lost_s == sum(lost_s(each, world.now_s) for each in room.victims)
    heads = [  # a group, or one task of it
        getattr(waiting.entry, "group", waiting.entry).shape.resources
        for line in world.cluster.lines.values()
        if (waiting := line.head()) is not None and waiting.job is room.job
    ]
    ending = sum((each.requested for each in node.attempts.values() if each.yielding), node.free)
    freed = sum((each.requested for each in room.victims), ending)
    assert any(request.fits(freed) for request in heads)
    if len(room.victims) > 1:
        assert any(
            all(not request.fits(freed - each.requested) for each in room.victims) for request in heads
        )
