"""Placement preferences: what they do to the choice among nodes, and how they are written."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.spec import Constraints, JobSpec, ResourceSpec
from bus.values import Resources, UserName
from coordinator.core import why
from coordinator.core.effects import AttemptChange, Fault, Refuse
from coordinator.core.intake import Derived, derive
from coordinator.core.plan import plan
from coordinator.core.preferences import WISHES_MAX
from coordinator.core.scheduler.affinity import scoring, slots
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.rank import RANKS
from coordinator.core.scheduler.wishes import Arrangement, Avoided, Preferred, Wishes
from tests.unit.coordinator.conftest import World

CORE = ResourceSpec(cpu="1")


def pool(*cores: int, labels: tuple[dict[str, str], ...] = ()) -> World:
    world = World()
    for number, size in enumerate(cores):
        own = labels[number] if number < len(labels) else {}
        world.register(f"n{number}", capacity=Resources(size * 1000, 65_536), labels=own)
    return world


def place(world: World, tasks: int, **constraints: object) -> Counter[str]:
    """Node -> tasks that it got of a job of so many."""
    job = world.submit(
        command=["true"],
        array=f"0-{tasks - 1}",
        resources=CORE,
        constraints=Constraints(**constraints),  # type: ignore[arg-type]
    )
    world.happen(schedule=True)
    return Counter(
        attempt.node for attempt in world.cluster.attempts() if attempt.ref.job == job and attempt.holding
    )


# what is chosen


def test_the_preferred_label_outweighs_the_best_fit() -> None:
    world = pool(2, 8, labels=({}, {"disk": "ssd"}))
    assert place(world, 1) == {"n0": 1}, "the best fit"
    assert place(world, 1, prefer=["disk=ssd"]) == {"n1": 1}
    assert place(world, 1, prefer=["disk=nvme"]) == {"n0": 1}, "what nobody has changes nothing"


def kept(world: World, task: str) -> Explanation:
    (found,) = [
        change.explanation
        for change in world.effects
        if isinstance(change, AttemptChange)
        and change.explanation
        and change.new
        and str(change.attempt.task) == task
    ]
    return found


def test_a_decision_keeps_what_its_scores_were_made_of() -> None:
    world = pool(2, 8, labels=({}, {"disk": "ssd"}))
    place(world, 1, prefer=["disk=ssd"])
    found = kept(world, "1.0")
    assert [each.node for each in found.candidates] == ["n1", "n0"]
    assert [each.features["wishes"] for each in found.candidates] == [0.0, 1e7]
    assert found.candidates[0].features["cpu"] == 0.875
    for each in found.candidates:
        assert each.score == pytest.approx(sum(each.features.values()), abs=1e-3)


def test_nodes_that_could_not_are_counted_once() -> None:
    world = pool(4, 4, 1)
    place(world, 4, avoid=["self"])
    counts = [(kept(world, f"1.{index}").feasible, kept(world, f"1.{index}").nodes) for index in range(3)]
    assert counts == [(3, 3), (2, 3), (1, 3)]
    assert set(kept(world, "1.2").rejected.values()) == {("avoid:self",), ("avoid:self", "busy:cpu_millis")}


def test_the_heavier_wish_wins() -> None:
    world = pool(8, 8, labels=({"disk": "ssd"}, {"zone": "b"}))
    assert place(world, 1, prefer=["disk=ssd:2", "zone=b:5"]) == {"n1": 1}
    assert place(world, 1, prefer=["disk=ssd:6", "zone=b:5"]) == {"n0": 1}


def test_a_job_that_is_avoided_is_never_a_neighbour() -> None:
    world = pool(4, 4)
    assert place(world, 2) == {"n0": 2}
    assert place(world, 9, avoid=[1]) == {"n1": 4}
    third = world.submit(command=["true"], resources=CORE, constraints=Constraints(avoid=["1"]))
    world.happen(schedule=True)
    group = world.cluster.jobs[third].groups[0]
    (first, second) = why.blockers(world.cluster, group, 0, now_s=world.now_s)
    assert first.code == "avoid:1" and first.message == "node n0 runs tasks of job 1, which it avoids"
    assert "--avoid 1:1" in first.remedy and second.code == "busy:cpu_millis"
    assert world.cluster.blocked[group.shape]["reasons"] == {"avoid:1": 1, "busy:cpu_millis": 1}
    assert place(pool(4, 4), 9, avoid=["self"]) == {"n0": 1, "n1": 1}


def test_what_ended_is_avoided_no_more() -> None:
    world = pool(4)
    world.submit(command=["true"], resources=CORE)
    (placed,) = world.schedule()
    world.submit(command=["true"], resources=CORE, constraints=Constraints(avoid=[1]))
    assert not world.schedule()
    world.end(placed, "n0")
    assert len(world.schedule()) == 1
    assert world.cluster.nodes["n0"].jobs == {2: 1} == world.rebuilt().nodes["n0"].jobs


def test_one_a_node_says_so() -> None:
    world = pool(4)
    place(world, 2, avoid=["self"])
    group = world.cluster.jobs[1].groups[0]
    (blocker,) = why.blockers(world.cluster, group, 1, now_s=world.now_s)
    assert blocker.message == "node n0 runs tasks of this job, one a node"


def test_nobody_is_ended_for_a_place_that_is_avoided_all_the_same() -> None:
    world = pool(2)
    world.submit(command=["true"], resources=CORE, priority=9)
    world.submit(command=["true"], resources=CORE, preemptible=True, priority=1)
    world.schedule()
    world.submit(command=["true"], resources=CORE, priority=9, constraints=Constraints(avoid=[1]))
    for _ in range(8):
        world.wait(1.0)
        world.schedule()
    assert not world.cluster.yielding


def test_a_neighbour_one_would_rather_not_have_is_taken_before_none_at_all() -> None:
    world = pool(2, 2)
    assert place(world, 1) == {"n0": 1}
    assert place(world, 3, avoid=["1:5"]) == {"n1": 2, "n0": 1}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=7), st.integers(1, 30))
def test_packing_takes_the_fewest_nodes(cores: list[int], tasks: int) -> None:
    used = place(pool(*cores), tasks, placement="pack")
    fitting = min(tasks, sum(cores))
    fewest = next(k for k in range(len(cores) + 1) if sum(sorted(cores, reverse=True)[:k]) >= fitting)
    assert used.total() == fitting and len(used) == fewest


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 40))
def test_spreading_leaves_at_most_one_task_between_equal_nodes(nodes: int, size: int, tasks: int) -> None:
    used = place(pool(*[size] * nodes), tasks, placement="spread")
    counts = [used[f"n{number}"] for number in range(nodes)]
    assert sum(counts) == min(tasks, nodes * size)
    assert max(counts) - min(counts) <= 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 40))
def test_spreading_over_racks_comes_before_spreading_over_nodes(racks: list[int], tasks: int) -> None:
    """Each rack has room for all, on as many nodes as its number says."""
    labels = tuple({"rack": str(rack)} for rack, nodes in enumerate(racks) for _ in range(nodes))
    world = pool(*[40] * len(labels), labels=labels)
    used = place(world, tasks, placement="spread", topology="rack")
    by_rack: Counter[str] = Counter()
    within: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        by_rack[label["rack"]] += used[f"n{number}"]
        within.setdefault(label["rack"], []).append(used[f"n{number}"])
    counts = [by_rack[str(rack)] for rack in range(len(racks))]
    assert sum(counts) == tasks and max(counts) - min(counts) <= 1
    assert all(max(each) - min(each) <= 1 for each in within.values())


def test_packing_into_a_rack_takes_the_roomiest_and_fills_it_first() -> None:
    labels = ({"rack": "a"}, {"rack": "b"}, {"rack": "b"}, {}, {"rack": "a"})
    world = pool(4, 3, 3, 9, 1, labels=labels)
    assert place(world, 6, placement="pack", topology="rack") == {"n1": 3, "n2": 3}
    assert place(world, 2, placement="pack", topology="rack") == {"n0": 2}
    assert place(world, 5, placement="pack", topology="rack") == {"n0": 2, "n4": 1, "n3": 2}


def test_later_tasks_of_a_packed_job_join_the_earlier_ones() -> None:
    world = pool(3, 4)
    constraints = Constraints(placement="pack")
    world.submit(command=["true"], array="0-9%2", resources=CORE, constraints=constraints)
    first, _ = world.schedule()
    world.end(first, "n1")
    (third,) = world.schedule()
    assert third.attempt in world.held["n1"], "n0 has room for more"


def test_tasks_of_a_job_with_wishes_wait_for_the_choice_of_a_node() -> None:
    world = pool(1, 1)
    world.submit(command=["true"], array="0-99", resources=CORE, constraints=Constraints(prefer=["a=b"]))
    world.happen(schedule=True)
    for _ in range(20):
        for attempt in list(world.cluster.attempts()):
            world.end(world.held[attempt.node][attempt.ref], attempt.node)
        world.happen(schedule=True)
        world.now_s += 0.01
    assert all(attempt.holding for attempt in world.cluster.attempts())


def test_without_wishes_the_rank_alone_decides_and_shapes_stay_shared() -> None:
    world = pool(2)
    (first, second) = (world.submit(command=["true"], resources=CORE) for _ in range(2))
    shapes = [world.cluster.jobs[number].groups[0].shape for number in (first, second)]
    assert shapes[0] == shapes[1] and scoring(world.cluster, shapes[0]) is RANKS["best_fit"]
    alike = [derive(spec(prefer=["a=b"]), UserName("alice")) for _ in range(2)]
    bound = [each.wishes.of_job(number) for number, each in enumerate(alike, 1) if each.wishes]  # type: ignore[union-attr]
    assert bound[0] == bound[1], "a label is the same for every job"


def test_slots() -> None:
    assert slots(Resources(1000, 512), Resources(4000, 1024)) == 2
    assert slots(Resources(1000), Resources(-500)) == 0
    assert slots(Resources(), Resources()) == 1


# how they are written


def spec(**constraints: object) -> JobSpec:
    return JobSpec(command=["true"], constraints=Constraints(**constraints))  # type: ignore[arg-type]


def test_wishes_as_people_write_them() -> None:
    text = spec(
        prefer=["disk=ssd", "path=/a:b:7"], avoid=[7, "8:3", "self"], placement="pack", topology="rack"
    )
    derived = derive(text, UserName("alice"))
    assert isinstance(derived, Derived)
    assert derived.wishes == Wishes(
        prefer=(Preferred("disk", "ssd", 1), Preferred("path", "/a:b", 7)),
        avoid=(Avoided(7, None), Avoided(8, 3), Avoided(0, None)),
        arrangement=Arrangement.PACK,
        topology="rack",
    )
    bound = derived.wishes.of_job(42)
    assert bound.job == 42 and bound.never == (7, 42)


@pytest.mark.parametrize(
    ("constraints", "code", "field"),
    [
        ({"prefer": ["ssd"]}, "E_CONSTRAINT", "/constraints/prefer/0"),
        ({"prefer": ["a=b", "a=b:0"]}, "E_CONSTRAINT", "/constraints/prefer/1"),
        ({"prefer": ["a=b:101"]}, "E_CONSTRAINT", "/constraints/prefer/0"),
        ({"prefer": ["a=b"] * (WISHES_MAX + 1)}, "E_TOO_MANY", "/constraints/prefer"),
        ({"avoid": ["others"]}, "E_CONSTRAINT", "/constraints/avoid/0"),
        ({"avoid": [0]}, "E_CONSTRAINT", "/constraints/avoid/0"),
        ({"avoid": ["self:0"]}, "E_CONSTRAINT", "/constraints/avoid/0"),
        ({"avoid": [1] * (WISHES_MAX + 1)}, "E_TOO_MANY", "/constraints/avoid"),
        ({"placement": "scatter"}, "E_VALUE", "/constraints/placement"),
        ({"topology": "rack"}, "E_FIELD", "/constraints/topology"),
        ({"placement": "pack", "topology": "a b"}, "E_LABEL", "/constraints/topology"),
    ],
)
def test_what_cannot_be_meant_is_refused(constraints: dict[str, object], code: str, field: str) -> None:
    found = derive(spec(**constraints), UserName("alice"))
    assert isinstance(found, tuple)
    assert [(fault.code, fault.field) for fault in found] == [(code, field)]


def test_jobs_of_others_are_avoided_by_nobody() -> None:
    world = pool(2)
    world.submit(command=["true"], resources=CORE, owner="bob")
    for avoid in ([1], [99]):
        world.number += 1
        (refused,) = [
            tell
            for tell in world.happen(world.submission(spec(avoid=avoid), owner="alice"))
            if isinstance(tell, Refuse)
        ]
        (fault,) = refused.faults
        assert (fault.code, fault.field, fault.status) == ("E_NOT_FOUND", "/constraints/avoid/0", 404)
    planned = plan(world.cluster, spec(avoid=[99]), UserName("alice"), now_s=world.now_s)
    assert isinstance(planned, tuple) and isinstance(planned[0], Fault)
    planned = plan(world.cluster, spec(avoid=["self"]), UserName("alice"), now_s=world.now_s)
    assert not isinstance(planned, tuple), "oneself is no stranger"


def test_a_plan_spreads_as_the_submission_would() -> None:
    world = pool(4, 4, 4)
    text = JobSpec(command=["true"], array="0-4", constraints=Constraints(avoid=["self"]))
    planned = plan(world.cluster, text, UserName("alice"), now_s=world.now_s)
    assert not isinstance(planned, tuple)
    assert planned.groups[0].now == {"n0": 1, "n1": 1, "n2": 1} and planned.groups[0].waits == 2
    assert not world.cluster.nodes["n0"].jobs
