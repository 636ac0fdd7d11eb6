"""Where a gang goes: one value of its topology if it can, else spread and said so; and nobody delays it."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from bus.spec import Constraints, GangSpec, JobSpec, ResourceSpec
from bus.values import GpuInfo, NodeAdmin, Resources, TaskRef, TaskState, UserName
from coordinator.core.gang_why import gang_blocker
from coordinator.core.model import Cluster
from coordinator.core.plan import plan
from coordinator.core.scheduler.gangs import seats_ever, topology_value
from coordinator.core.why import blockers
from tests.unit.coordinator.conftest import INVENTORY, World


def node(
    world: World, name: str, cores: int = 2, *, ip: str = "10.0.0.1", gpus: int = 0, **labels: str
) -> None:
    found = tuple(GpuInfo(uuid=f"{name}-{place}", model="a100", mem_mib=1000) for place in range(gpus))
    world.register(
        name,
        capacity=Resources(cores * 1000, 8192, gpus),
        inventory=replace(INVENTORY, ip=ip, gpus=found),
        labels=labels,
    )


def submit(world: World, size: int, *, cpu: int = 1000, gpu: Any = 0, **fields: Any) -> int:
    options = {name: fields.pop(name) for name in tuple(fields) if name in GangSpec.__struct_fields__}
    spec = JobSpec(
        command=["train"],
        gang=GangSpec(size=size, **options),
        resources=ResourceSpec(cpu=cpu, memory=1, gpu=gpu),
        **fields,
    )
    return world.submit(spec)


def places(world: World) -> list[str]:
    """The nodes of the ranks that a round placed, by rank."""
    world.cluster.dirty = True
    where = {ref: name for name, held in world.held.items() for ref in held}
    placed = world.schedule()
    where = {ref: name for name, held in world.held.items() for ref in held}
    return [where[each.attempt] for each in placed]


def kept(world: World, job: int) -> Any:
    """What the gang's rank 0 kept of its decision."""
    row = next(each for ref, each in world.mirror.attempts.items() if ref.job == job and not ref.rank)
    return row.explanation.gang


def racks(world: World, sizes: dict[str, int], *, cores: int = 1) -> None:
    for rack, count in sizes.items():
        for number in range(count):
            node(world, f"{rack}{number}", cores, rack=rack)


@pytest.mark.contract("S2.73")
def test_one_topology_is_preferred_and_the_tightest_of_them() -> None:
    """So that a larger gang finds the wide one."""
    world = World()
    racks(world, {"a": 2, "b": 4, "c": 3})
    job = submit(world, 3, topology="rack")
    assert places(world) == ["c0", "c1", "c2"]
    assert kept(world, job).values == ("c",)
    submit(world, 4, topology="rack")
    assert places(world) == ["b0", "b1", "b2", "b3"]


def test_where_none_is_wide_enough_it_is_spread_and_says_so() -> None:
    world = World()
    racks(world, {"a": 2, "b": 3})
    job = submit(world, 4, topology="rack")
    assert places(world) == ["b0", "b1", "b2", "a0"]
    assert kept(world, job).spread == "no rack has 4 places: the widest is b with 3"


def test_a_node_without_the_label_is_no_rack() -> None:
    world = World()
    racks(world, {"a": 2})
    node(world, "bare", 8)
    submit(world, 2, topology="rack")
    assert places(world) == ["a0", "a1"]


def test_subnets_need_no_labels() -> None:
    world = World()
    for number, ip in enumerate(("10.0.1.5", "10.0.2.5", "10.0.1.6", "unknown")):
        node(world, f"n{number}", 1, ip=ip)
    submit(world, 2, topology="subnet")
    assert places(world) == ["n0", "n2"]
    assert topology_value(world.cluster.nodes["n0"], "subnet") == "10.0.1.0/24"
    assert topology_value(world.cluster.nodes["n3"], "subnet") == ""


def test_ranks_are_neighbours_on_few_nodes() -> None:
    world = World()
    for name, cores in (("n1", 1), ("n2", 3), ("n3", 2)):
        node(world, name, cores)
    submit(world, 4)
    assert places(world) == ["n2", "n2", "n2", "n3"]


def test_so_many_ranks_on_a_node_and_no_more() -> None:
    world = World()
    for name in ("n1", "n2", "n3"):
        node(world, name, 4)
    submit(world, 3, ranks_per_node=1)
    assert sorted(places(world)) == ["n1", "n2", "n3"]


@pytest.mark.parametrize(("gpu", "most"), [(1, 4), (2, 2)])
def test_ranks_get_gpus_of_their_own(gpu: int, most: int) -> None:
    world = World()
    node(world, "n1", 8, gpus=4)
    submit(world, most, gpu=gpu)
    placed = world.schedule()
    uuids = [uuid for each in placed for uuid in each.gpus]
    assert len(uuids) == len(set(uuids)) == 4


def test_shares_of_gpus_are_counted_card_by_card() -> None:
    """0.6 of a GPU fits once onto each, although two halves are left of two."""
    world = World()
    found = tuple(GpuInfo(uuid=f"g{place}", model="a100", mem_mib=1000, shareable=True) for place in range(2))
    world.register("n1", capacity=Resources(8000, 8192, 2), inventory=replace(INVENTORY, gpus=found))
    submit(world, 2, gpu=0.6)
    assert len(places(world)) == 2
    assert seats_ever(world.cluster.nodes.values(), world.cluster.jobs[1].groups[0].shape) == 2


def test_a_gang_keeps_its_place_in_the_line() -> None:
    """Single tasks that came later do not starve it: nodes are kept once it has waited long enough."""
    world = World()
    for name in ("n1", "n2"):
        node(world, name, 1)
    first = world.submit(command=["x"])
    world.schedule()
    job = submit(world, 2)
    world.now_s += world.cluster.limits.reserve_after_s + 1
    for name in ("n1", "n2"):
        world.beat(name)
    later = world.submit(command=["x"])
    assert places(world) == []
    assert set(world.cluster.reserved) == {"n1", "n2"}
    world.end(next(iter(world.held["n1"].values())) if world.held["n1"] else world.held["n2"].popitem()[1])
    assert len(places(world)) == 2
    assert world.task_state(job) is TaskState.ASSIGNED
    assert world.task_state(later) is TaskState.QUEUED
    assert world.task_state(first) is TaskState.COMPLETED


def test_a_gang_is_booked_and_what_ends_in_time_goes_past() -> None:
    world = World()
    for name in ("n1", "n2"):
        node(world, name, 2)
    for _ in range(3):
        world.submit(JobSpec(command=["x"], timeout=90.0, resources=ResourceSpec(cpu=1000, memory=1)))
    for placement in world.schedule():
        world.start(placement, next(n for n, held in world.held.items() if placement.attempt in held))
    submit(world, 4)
    long = world.submit(JobSpec(command=["x"], timeout=9000.0, resources=ResourceSpec(cpu=1000, memory=1)))
    short = world.submit(JobSpec(command=["x"], timeout=60.0, resources=ResourceSpec(cpu=1000, memory=1)))
    assert len(places(world)) == 1
    assert [sum(number for _, number in each.places) for each in world.cluster.bookings] == [4]
    assert world.task_state(long) is TaskState.QUEUED
    assert world.task_state(short) is TaskState.ASSIGNED


def test_a_short_gang_goes_past_one_that_waits() -> None:
    world = World()
    for name in ("n1", "n2"):
        node(world, name, 2)
    world.submit(JobSpec(command=["x"], timeout=90.0, resources=ResourceSpec(cpu=2000, memory=1)))
    for placement in world.schedule():
        world.start(placement, next(n for n, held in world.held.items() if placement.attempt in held))
    submit(world, 4)
    long = submit(world, 2, timeout=9000.0)
    short = submit(world, 2, timeout=60.0)
    assert len(places(world)) == 2
    assert (world.task_state(long), world.task_state(short)) == (TaskState.QUEUED, TaskState.ASSIGNED)


def test_behind_a_gang_a_shorter_one_of_its_shape_goes_past() -> None:
    world = World()
    node(world, "n1", 4)
    world.submit(JobSpec(command=["x"], timeout=90.0, resources=ResourceSpec(cpu=3000, memory=1)))
    (blocker,) = world.schedule()
    world.start(blocker)
    wide = submit(world, 4)
    one_long = submit(world, 1, timeout=9000.0)
    one_longer = submit(world, 1, timeout=9500.0)
    one_short = submit(world, 1, timeout=30.0)
    assert len(places(world)) == 1
    states = [world.task_state(job) for job in (wide, one_long, one_longer, one_short)]
    assert states == [TaskState.QUEUED, TaskState.QUEUED, TaskState.QUEUED, TaskState.ASSIGNED]


def test_as_few_nodes_are_kept_as_could_hold_it() -> None:
    """Those that may take it; the others stay open to whoever comes."""
    world = World()
    racks(world, {"a": 3, "b": 1})
    for _ in range(4):
        world.submit(command=["x"])
    world.schedule()
    submit(world, 2, constraints=Constraints(labels={"rack": "a"}))
    world.now_s += world.cluster.limits.reserve_after_s + 1
    for name in world.cluster.nodes:
        world.beat(name)
    assert places(world) == []
    assert len(world.cluster.reserved) == 2
    assert set(world.cluster.reserved) < {"a0", "a1", "a2"}


def test_nothing_is_kept_for_what_the_nodes_could_not_hold() -> None:
    """Two places of three are of no use to it while the third node takes no work."""
    world = World()
    racks(world, {"a": 3})
    world.steer("a0", NodeAdmin.INACTIVE)
    job = submit(world, 3)
    world.now_s += world.cluster.limits.reserve_after_s + 1
    for name in world.cluster.nodes:
        world.beat(name)
    single = world.submit(command=["x"])
    assert len(places(world)) == 1
    assert not world.cluster.reserved
    assert (world.task_state(job), world.task_state(single)) == (TaskState.QUEUED, TaskState.ASSIGNED)


def test_a_place_counts_only_on_nodes_that_may_take_it() -> None:
    world = World()
    racks(world, {"a": 2, "b": 3})
    job = submit(world, 2, constraints=Constraints(labels={"rack": "a"}))
    shape = world.cluster.jobs[job].groups[0].shape
    assert seats_ever(world.cluster.nodes.values(), shape) == 2


def test_why_says_how_many_fit_where_and_what_would_help() -> None:
    world = World()
    racks(world, {"a": 2, "b": 1})
    world.submit(JobSpec(command=["x"], constraints=Constraints(nodes=["a0"])))
    world.schedule()
    job = submit(world, 3, topology="rack")
    world.schedule()
    group = world.cluster.jobs[job].groups[0]
    found = blockers(world.cluster, group, 0, now_s=world.now_s)
    assert found[0].code == "gang"
    assert found[0].message == "2 of 3 ranks fit now (rack a: 1, b: 1); all start at once or none"
    assert found[0].remedy == "when 1 more place is free at once; or submit a gang of 2"
    assert found[1].code == "busy:cpu_millis"


def test_why_says_when_nodes_are_missing() -> None:
    world = World()
    racks(world, {"a": 3})
    world.steer("a0", NodeAdmin.INACTIVE)
    job = submit(world, 3)
    (found,) = gang_blocker(world.cluster, world.cluster.jobs[job].groups[0].shape)
    assert found.remedy == "when nodes come back: those that take work have 2 places"
    assert gang_blocker(Cluster(), world.cluster.jobs[job].groups[0].shape) == []


def test_why_says_so_when_nothing_fits_and_nothing_when_all_does() -> None:
    """A smaller gang is no remedy where not one rank fits."""
    world = World()
    racks(world, {"a": 2})
    job = submit(world, 2)
    shape = world.cluster.jobs[job].groups[0].shape
    assert gang_blocker(world.cluster, shape) == []
    assert len(places(world)) == 2
    submit(world, 2)
    (found,) = gang_blocker(world.cluster, shape)
    assert found.message == "0 of 2 ranks fit now; all start at once or none"
    assert found.remedy == "when 2 more places are free at once"


def test_why_says_that_places_are_kept_for_others() -> None:
    world = World()
    racks(world, {"a": 2})
    world.submit(command=["x"])
    world.schedule()
    submit(world, 2)
    world.now_s += world.cluster.limits.reserve_after_s + 1
    for name in world.cluster.nodes:
        world.beat(name)
    later = submit(world, 1)
    assert places(world) == []
    (found,) = gang_blocker(world.cluster, world.cluster.jobs[later].groups[0].shape)
    assert found.message == "1 rank would fit, in places that are kept for others"
    assert found.remedy == "when those before it have started"


def test_a_plan_places_the_ranks_on_paper() -> None:
    world = World()
    racks(world, {"a": 3})
    spec = JobSpec(command=["train"], gang=GangSpec(size=3), resources=ResourceSpec(memory=1))
    found = plan(world.cluster, spec, UserName("alice"), now_s=world.now_s)
    assert (found.tasks, found.starts_now) == (1, 1)
    assert (found.groups[0].ranks, found.groups[0].now) == (3, {"a0": 1, "a1": 1, "a2": 1})
    world.submit(command=["x"])
    world.schedule()
    found = plan(world.cluster, spec, UserName("alice"), now_s=world.now_s)
    assert (found.starts_now, found.groups[0].waits) == (0, 1)
    assert found.groups[0].blockers[0].code == "gang"


@settings(max_examples=150, deadline=None)
@given(
    cores=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    taken=st.integers(0, 6),
    size=st.integers(1, 10),
    per_node=st.integers(0, 3),
    labelled=st.lists(st.sampled_from(["a", "b", ""]), min_size=6, max_size=6),
)
def test_all_ranks_are_placed_or_none(
    cores: list[int], taken: int, size: int, per_node: int, labelled: list[str]
) -> None:
    """Exactly where all fit; never more on a node than asked for; one value where one has room for all."""
    world = World()
    for number, (has, label) in enumerate(zip(cores, labelled, strict=False)):
        node(world, f"n{number}", has, **({"rack": label} if label else {}))
    for _ in range(taken):
        world.submit(JobSpec(command=["x"], resources=ResourceSpec(cpu=1000, memory=1)))
    world.schedule()
    free = {name: each.free.cpu_millis // 1000 for name, each in world.cluster.nodes.items()}
    seats = {name: min(number, per_node or size) for name, number in free.items()}
    ever = sum(min(has, per_node or size) for has in cores)
    job = submit(world, size, topology="rack", ranks_per_node=per_node)
    found = places(world)
    fits = sum(seats.values()) >= size <= ever
    assert len(found) == (size if fits else 0)
    assert all(found.count(name) <= seats[name] for name in set(found))
    assert found == sorted(found, key=found.index)
    by_rack: dict[str, int] = {}
    for name, number in seats.items():
        rack = world.cluster.nodes[name].labels.get("rack", "")
        by_rack[rack] = by_rack.get(rack, 0) + number
    if fits and any(rack and number >= size for rack, number in by_rack.items()):
        assert len({world.cluster.nodes[name].labels.get("rack", "") for name in found}) == 1
    if job in world.cluster.jobs:
        assert (world.cluster.find_task(TaskRef(job, 0)) is not None) == fits
