"""Reservations: when a blocked task fits at the latest, and who goes past it without delaying it."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from bus.spec import Constraints, JobSpec, ResourceSpec
from bus.values import NodeAdmin, Resources
from coordinator.core.effects import AttemptChange
from coordinator.core.model import Shape
from coordinator.core.scheduler.bookings import Bookings, Ends, earliest, ends_of, until_s
from coordinator.core.scheduler.explain import Backfilled
from coordinator.core.scheduler.policies import Backfill
from coordinator.core.scheduler.pool import Pool, amounts
from tests.unit.coordinator.conftest import World

GRACE_S = 10.0


def cores(world: World, number: int, *, walltime: float | None = None, **fields) -> int:
    spec = JobSpec(
        command=["true"], timeout=walltime, resources=ResourceSpec(cpu=number * 1000, memory=1), **fields
    )
    return world.submit(spec)


def started(world: World) -> list[int]:
    world.cluster.dirty = True
    placements = world.schedule()
    for placement in placements:
        world.start(placement, next(n for n, held in world.held.items() if placement.attempt in held))
    return [placement.attempt.job for placement in placements]


@pytest.fixture
def four() -> World:
    """A node of four cores, of which three are taken for 100 s at most."""
    world = World()
    world.register("n1", capacity=Resources(4000, 4096))
    cores(world, 3, walltime=100.0 - GRACE_S)
    assert started(world) == [1]
    return world


def test_who_is_over_in_time_goes_past_the_head_and_who_is_not_waits(four) -> None:
    head = cores(four, 4)
    long, unknown = cores(four, 1, walltime=101.0 - GRACE_S), cores(four, 1)
    short = cores(four, 1, walltime=100.0 - GRACE_S)
    assert started(four) == [short]
    assert [booking.places for booking in four.cluster.bookings] == [(("n1", 1),)]
    assert {head, long, unknown} < set(four.cluster.jobs)


def test_what_went_past_says_past_whom(four) -> None:
    head = cores(four, 4)
    began_s = four.now_s
    four.now_s += 1.0
    cores(four, 1, walltime=5.0)
    four.schedule()
    (kept,) = [each.explanation for each in four.effects if isinstance(each, AttemptChange)]
    assert kept.backfill == Backfilled(
        behind=f"{head}.0", node="n1", reserved_s=began_s + 100.0, until_s=four.now_s + 5.0 + GRACE_S
    )


def test_who_fits_beside_what_is_kept_goes_past_however_long(four) -> None:
    cores(four, 3)
    long = cores(four, 1)
    assert started(four) == [long]


def test_off_reserves_nothing_by_walltimes(four) -> None:
    four.cluster.backfill = Backfill.OFF
    cores(four, 4)
    long = cores(four, 1)
    assert started(four) == [long] and four.cluster.bookings == []


@pytest.mark.parametrize(("backfill", "passes"), [(Backfill.EASY, True), (Backfill.CONSERVATIVE, False)])
def test_easy_keeps_a_place_for_the_first_and_conservative_for_more(backfill, passes) -> None:
    """The third would delay the second, not the first."""
    world = World()
    world.cluster.backfill = backfill
    world.register("n1", capacity=Resources(4000, 4096))
    world.register("n2", capacity=Resources(2000, 4096))
    cores(world, 3, walltime=100.0)
    cores(world, 1, walltime=50.0, constraints=Constraints(nodes=["n2"]))
    assert len(started(world)) == 2
    cores(world, 4)
    cores(world, 2, constraints=Constraints(nodes=["n2"]))
    third = cores(world, 1, walltime=80.0, constraints=Constraints(nodes=["n2"]))
    assert (started(world) == [third]) is passes


def test_in_one_line_a_shorter_one_goes_past_longer_ones(four) -> None:
    """Those of one shape wait in one line; a group that goes past keeps its place there."""
    cores(four, 4)
    long = cores(four, 1, walltime=1000.0)
    array = cores(four, 1, walltime=20.0, array="0-1")
    assert started(four) == [array]
    (line,) = [line for line in four.cluster.lines.values() if len(line.entries) == 2]
    assert [waiting.job.number for _, waiting in line.first(9)] == [long, array]
    assert sorted(line.entries) == line.entries


def test_where_no_walltime_tells_the_nearest_node_is_kept_as_before(pool) -> None:
    cores(pool, 2)
    assert started(pool) == [1]
    cores(pool, 2)
    cores(pool, 1)
    assert started(pool) == [] and pool.cluster.bookings == []
    pool.now_s += pool.cluster.limits.reserve_after_s
    assert started(pool) == [] and set(pool.cluster.reserved) == {"n1"}


def test_a_node_on_which_something_is_kept_gets_nothing_ahead(four) -> None:
    """Short tasks end there all the time, so many would be assigned ahead of their places."""
    node = four.cluster.nodes["n1"]
    node.ends_per_s, node.ends_s = 1000.0, four.now_s
    four.cluster.backfill = Backfill.OFF
    cores(four, 4)
    array = cores(four, 1, walltime=20.0, array="0-99")
    placements = four.schedule()
    assert {placement.waiting for placement in placements} == {False, True}
    for placement in placements:
        if placement.waiting:
            four.give_back(placement)
    four.cluster.backfill = Backfill.EASY
    four.cluster.dirty = True
    node.ends_per_s, node.ends_s = 1000.0, four.now_s
    assert four.schedule() == [] and array in four.cluster.jobs


def test_nothing_is_reserved_on_a_node_that_takes_no_work(four) -> None:
    four.cluster.nodes["n1"].admin = NodeAdmin.DRAINING
    cores(four, 4)
    assert started(four) == [] and four.cluster.bookings == []


# where and when


def ends(*found: tuple[int, float, int]) -> Ends:
    rows, at_s, given = zip(*found, strict=True) if found else ((), (), ())
    return Ends(
        np.array(rows, dtype=np.intp),
        np.array(at_s, dtype=np.float64),
        np.array(given, dtype=np.int64).reshape(-1, 1),
    )


@pytest.mark.parametrize(
    ("pieces", "per_node", "found"),
    [
        (1, 1, (5.0, [(1, 1)])),
        (2, 1, (9.0, [(0, 1), (1, 1)])),
        (2, 2, (7.0, [(1, 2)])),
        (3, 2, (9.0, [(1, 2), (0, 1)])),
        (3, 1, None),
    ],
)
def test_pieces_of_a_gang_fit_at_once(pieces, per_node, found) -> None:
    """Nothing is free; the first row has 2 at 9 s, the second 2 at 5 s and 4 at 7 s; a piece takes 2."""
    free = np.zeros((2, 1), dtype=np.int64)
    when = ends((0, 9.0, 2), (1, 7.0, 2), (1, 5.0, 2))
    able = np.ones(2, dtype=np.bool_)
    assert earliest(free, able, when, np.array([2]), pieces=pieces, per_node=per_node) == found


def test_what_fits_already_fits_since_ever() -> None:
    found = earliest(np.array([[4]]), np.array([True]), ends(), np.array([2]), pieces=2, per_node=2)
    assert found == (-math.inf, [(0, 2)])


@given(
    free=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    given_back=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(0, 3)), max_size=8),
    request_=st.integers(0, 4),
    pieces=st.integers(1, 5),
    per_node=st.integers(1, 3),
)
def test_the_first_time_is_that_of_whoever_looks_at_all_of_them(
    free, given_back, request_, pieces, per_node
) -> None:
    given_back = [(row % len(free), float(at_s), amount) for row, at_s, amount in given_back]

    def fit(at_s: float) -> int:
        there = [
            has + sum(amount for row, end_s, amount in given_back if row == own and end_s <= at_s)
            for own, has in enumerate(free)
        ]
        return sum(min(has // request_ if request_ else per_node, per_node) for has in there)

    times = [-math.inf, *sorted({at_s for _, at_s, _ in given_back})]
    expected = next((at_s for at_s in times if fit(at_s) >= pieces), None)
    found = earliest(
        np.array(free).reshape(-1, 1),
        np.ones(len(free), dtype=np.bool_),
        ends(*given_back),
        np.array([request_]),
        pieces=pieces,
        per_node=per_node,
    )
    assert (None if found is None else found[0]) == expected
    assert found is None or sum(number for _, number in found[1]) == pieces


RUNS = st.tuples(st.integers(1, 3), st.floats(1.0, 90.0), st.integers(1, 3), st.booleans())
"""Cores, walltime, tasks, whether they are said to have started."""


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(RUNS, max_size=8),
    later_s=st.floats(0.0, 200.0),
    waiting=st.integers(0, 8),
    known=st.booleans(),
)
def test_what_is_looked_up_by_group_ends_as_each_of_it_does(runs, later_s, waiting, known) -> None:
    world = World()
    for name in ("n1", "n2"):
        world.register(name, capacity=Resources(8000, 4096))
    for size, walltime, tasks, starts in runs:
        cores(world, size, walltime=walltime, array=f"0-{tasks - 1}")
        world.cluster.dirty = True
        placements = {each.attempt for each in world.schedule()}
        for node, held in world.held.items() if starts else ():
            for placement in [each for each in held.values() if each.attempt in placements]:
                world.start(placement, node)
    timed = list(world.cluster.timed.values())
    for attempt in timed[:waiting]:
        attempt.holding = False
    now_s = world.now_s + later_s
    pool = Pool([node for node in world.cluster.nodes.values() if known or node.name == "n1"])
    found = ends_of(timed, pool, now_s=now_s)
    held = [each for each in timed if each.holding and pool.row(each.node) is not None]
    assert found.rows.tolist() == [pool.row(each.node) for each in held]
    assert found.given.tolist() == [list(amounts(each.requested)) for each in held]
    assert found.at_s.tolist() == [
        max(until_s(each.task.group, now_s if each.started_at is None else each.started_at), now_s)
        for each in held
    ]


def test_a_gang_is_kept_on_its_nodes_beside_earlier_bookings() -> None:
    world = World()
    world.cluster.backfill = Backfill.CONSERVATIVE
    for name in ("n1", "n2"):
        world.register(name, capacity=Resources(4000, 4096))
    cores(world, 4, walltime=90.0)
    cores(world, 4, walltime=190.0)
    started(world)
    pool = Pool(world.cluster.nodes.values())
    bookings = Bookings(world.cluster, pool, now_s=world.now_s)
    two, three = (Shape(Resources(cores * 1000), (), (), None) for cores in (2, 3))
    assert bookings.book(three, pool.able(three), task="a", pieces=2)
    assert bookings.book(two, pool.able(two), task="b") is False  # beside them only one core is left
    one = Shape(Resources(1000), (), (), None)
    assert bookings.book(one, pool.able(one), task="c", pieces=2, per_node=1)
    starts = [booking.start_s - world.now_s for booking in bookings.made]
    assert starts == [200.0, 200.0]
    assert [booking.places for booking in bookings.made] == [(("n1", 1), ("n2", 1))] * 2
    node = world.cluster.nodes["n1"]
    assert bookings.limit_s(node, Resources(1000)) == world.now_s + 200.0


# the promise

TASKS = st.tuples(st.integers(1, 4), st.sampled_from([None, 5.0, 20.0, 60.0]), st.integers(1, 10))
"""Cores, walltime, tenths of the walltime that it runs; without one for 50 s."""


@settings(max_examples=60, deadline=None)
@given(
    capacities=st.lists(st.integers(2, 4), min_size=1, max_size=3),
    tasks=st.lists(TASKS, min_size=3, max_size=14),
    backfill=st.sampled_from([Backfill.EASY, Backfill.CONSERVATIVE]),
    together=st.integers(1, 14),
)
def test_the_first_in_line_starts_no_later_than_it_was_once_promised(
    capacities, tasks, backfill, together
) -> None:
    world = World()
    world.cluster.backfill = backfill
    for number, size in enumerate(capacities):
        world.register(f"n{number}", capacity=Resources(size * 1000, 4096))
    largest = max(capacities)
    runs_s: dict[int, float] = {}
    promised_s: dict[int, float] = {}
    ends_s: list[tuple[float, int]] = []
    coming = list(tasks)
    while coming or ends_s:
        for size, walltime, tenths in coming[:together]:
            number = cores(world, min(size, largest), walltime=walltime)
            runs_s[number] = 50.0 if walltime is None else walltime * tenths / 10
        coming = coming[together:]
        for number in started(world):
            assert world.now_s <= promised_s.get(number, math.inf) + 1e-6
            ends_s.append((world.now_s + runs_s[number], number))
        for booking in world.cluster.bookings:
            number = int(booking.task.split(".")[0])
            promised_s.setdefault(number, booking.start_s)
        if ends_s:
            ends_s.sort()
            at_s, number = ends_s.pop(0)
            world.now_s = max(world.now_s, at_s)
            for node, held in list(world.held.items()):
                for placement in [p for p in held.values() if p.attempt.job == number]:
                    world.end(placement, node)


def test_conservative_keeps_places_for_all_in_a_line_in_the_order_of_the_cluster() -> None:
    """Two cores are free after 100 s and two after 200 s; four wait, of an array and of another line."""
    world = World()
    world.cluster.backfill = Backfill.CONSERVATIVE
    world.register("n1", capacity=Resources(4000, 4096))
    for walltime in (90.0, 190.0):
        cores(world, 2, walltime=walltime)
    started(world)
    array = cores(world, 2, walltime=10.0, array="0-1")
    other = cores(world, 1, walltime=10.0)
    last = cores(world, 2, walltime=10.0)
    assert started(world) == []
    found = [
        (booking.task.split(".")[0], booking.start_s - world.now_s) for booking in world.cluster.bookings
    ]
    assert found == [(str(array), 100.0), (str(array), 200.0)]
    assert {other, last} < set(world.cluster.jobs)  # the model has no room that anybody gives back later


def test_who_waits_on_a_node_has_its_place_before_a_booking(four) -> None:
    """Two tasks lie there ahead of a place of one core each, of four that will be free two are left."""
    four.cluster.backfill = Backfill.OFF
    cores(four, 1, walltime=100.0 - GRACE_S)
    started(four)
    node = four.cluster.nodes["n1"]
    node.ends_per_s, node.ends_s = 8.0, four.now_s
    cores(four, 1, array="0-9")
    assert [placement.waiting for placement in four.schedule()] == [True, True]
    four.cluster.backfill = Backfill.EASY
    pool = Pool(four.cluster.nodes.values())
    bookings = Bookings(four.cluster, pool, now_s=four.now_s)
    three, two = (Shape(Resources(cores * 1000), (), (), None) for cores in (3, 2))
    assert not bookings.book(three, pool.able(three), task="a")
    assert bookings.book(two, pool.able(two), task="b")
    assert bookings.limit_s(node, Resources(1)) == four.now_s + 100.0


def test_a_booking_that_starts_sooner_leaves_less_beside_a_later_one() -> None:
    """A gang waits for the slower of its nodes; on the other there is room for one core more until then."""
    world = World()
    world.cluster.backfill = Backfill.CONSERVATIVE
    for name, walltime in (("n1", 90.0), ("n2", 190.0)):
        world.register(name, capacity=Resources(4000, 4096))
        cores(world, 4, walltime=walltime)
        started(world)
    pool = Pool(world.cluster.nodes.values())
    bookings = Bookings(world.cluster, pool, now_s=world.now_s)
    three, one = (Shape(Resources(cores * 1000), (), (), None) for cores in (3, 1))
    assert bookings.book(three, pool.able(three), task="gang", pieces=2)
    node = world.cluster.nodes["n1"]
    assert bookings.limit_s(node, Resources(1000)) == math.inf
    assert bookings.book(one, pool.able(one), task="sooner")
    assert bookings.made[1].start_s == world.now_s + 100.0
    assert bookings.limit_s(node, Resources(1000)) == world.now_s + 200.0
