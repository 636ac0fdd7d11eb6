"""A job that names its GPU runs on that one or on none, and is told what keeps it from it (B43)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.spec import GangSpec, ResourceSpec
from bus.values import NodeName, TaskState, UserName
from coordinator.core.effects import Refuse
from coordinator.core.model import Shape, shape_of
from coordinator.core.picture import picture
from coordinator.core.scheduler.asking import size_of
from coordinator.core.scheduler.feasible import find_gpus, fits_now, mismatches, obstacles
from coordinator.core.scheduler.pool import Pool
from coordinator.core.why import node_blockers
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.test_gpu_health import ask, fault, tell
from tests.unit.coordinator.test_sharing_gpus import derived, given_out, gpu, join, submit

ALICE = UserName("alice")


@pytest.fixture
def two(world: World) -> World:
    """Two nodes with GPUs a and b, c and d."""
    join(world, "n1", gpu("a"), gpu("b"))
    join(world, "n2", gpu("c"), gpu("d"))
    return world


def shape_of_job(world: World, job: int) -> Shape:
    return world.cluster.jobs[job].groups[0].shape


def told(world: World, job: int) -> list[tuple[str, str, str]]:
    """What keeps it back: code, message, remedy."""
    found = node_blockers(world.cluster, shape_of_job(world, job), asker=ALICE)
    return [(each.code, each.message, each.remedy) for each in found]


def test_it_runs_on_the_one_that_it_names_and_on_no_other(two: World) -> None:
    submit(two, gpu=1, gpu_uuid="d")
    submit(two, gpu="0.5", gpu_uuid="b")
    submit(two, gpu="0.5", gpu_uuid="b")
    assert sorted(given_out(two.schedule())) == [("b",), ("b",), ("d",)]


def test_tasks_of_one_job_take_turns_on_it(two: World) -> None:
    job = submit(two, tasks=3, gpu=1, gpu_uuid="c")
    for _ in range(3):
        (placed,) = two.schedule()
        assert placed.gpus == ("c",)
        two.start(placed, "n2")
        assert two.schedule() == [], "d is free, and of no use"
        two.end(placed, "n2")
    assert two.task_state(job, 2) is TaskState.COMPLETED


def test_one_that_is_taken_is_waited_for_and_it_is_said_for_whom(two: World) -> None:
    first = submit(two, gpu=1, gpu_uuid="b")
    (placed,) = two.schedule()
    two.start(placed)
    job = submit(two, gpu="0.5", gpu_uuid="b")
    assert two.schedule() == []
    found = told(two, job)
    assert ("busy:gpus", "GPU 1 of n1, which it names, is taken", f"when {first}.0 ends") in found
    assert ("gpu_uuid", "node n2 does not have the GPU that it names", "submit without --gpu-uuid") in found
    node = two.cluster.nodes[NodeName("n1")]
    assert obstacles(node, shape_of_job(two, job)) == ("busy:gpus",)
    two.end(placed)
    assert given_out(two.schedule()) == [("b",)]


def test_one_in_quarantine_is_waited_for_with_its_reason(two: World) -> None:
    tell(two, fault("a", reason="XID 79: fell off"))
    job = submit(two, gpu=1, gpu_uuid="a")
    assert two.schedule() == [], "b is free, and of no use"
    code, message, remedy = next(each for each in told(two, job) if each[0] == "gpu_uuid_quarantined")
    assert message == "GPU 0 of n1, which it names, is in quarantine (E_QUARANTINED): XID 79: fell off"
    assert remedy == "corral gpu release n1 0"
    assert Pool(two.cluster.nodes.values()).obstacles(shape_of_job(two, job))[code] == 1
    ask(two, "0", quarantined=False)
    assert given_out(two.schedule()) == [("a",)]


def test_one_taken_out_by_hand_without_a_word_is_told_by_its_kind(two: World) -> None:
    ask(two, "0", quarantined=True)
    job = submit(two, gpu=1, gpu_uuid="a")
    assert any("(E_QUARANTINED): manual" in message for _, message, _ in told(two, job))


def test_one_that_nobody_has_is_refused_and_one_that_goes_is_waited_for(two: World) -> None:
    submit(two, gpu=1, gpu_uuid="x")
    assert not two.cluster.jobs
    (refused,) = [each for each in two.effects if isinstance(each, Refuse)]
    assert refused.faults[0].code == "E_UNSATISFIABLE"
    assert "no node has the GPU x; corral gpu ls shows those there are" in refused.faults[0].message
    job = submit(two, gpu=1, gpu_uuid="d")
    node = two.cluster.nodes[NodeName("n2")]
    node.equip(msgspec.structs.replace(node.inventory, gpus=(gpu("c"),)))
    assert two.schedule() == []
    assert told(two, job)[0][:2] == ("gpu_uuid", "no node has the GPU d, which it names")


def test_one_that_is_not_offered_is_told_so(two: World) -> None:
    job = submit(two, gpu=1, gpu_uuid="d")
    node = two.cluster.nodes[NodeName("n2")]
    node.equip(
        msgspec.structs.replace(
            node.inventory, gpus=(gpu("c"), msgspec.structs.replace(gpu("d"), offered=False))
        )
    )
    code, message, remedy = told(two, job)[0]
    assert (code, message) == ("gpu_uuid", "GPU 1 of n2, which it names, is not offered to tasks")
    assert remedy == "corral gpu ls n2"


def test_what_names_one_and_asks_for_more_is_refused(world: World) -> None:
    for asked, code in (
        ({"gpu_uuid": "a"}, "E_FIELD"),
        ({"gpu": 2, "gpu_uuid": "a"}, "E_FIELD"),
        ({"gpu": 1, "gpu_uuid": "a b"}, "E_VALUE"),
        ({"gpu": 1, "gpu_uuid": "a" * 200}, "E_VALUE"),
    ):
        faults = derived(**asked)
        assert isinstance(faults, tuple)
        assert [(each.code, each.field) for each in faults] == [(code, "/resources/gpu_uuid")]
    join(world, "n1", gpu("a"), gpu("b"))
    resources = ResourceSpec(cpu=100, memory=1, gpu=1, gpu_uuid="a")
    world.submit(command=["true"], resources=resources, gang=GangSpec(size=2))
    assert not world.cluster.jobs
    (refused,) = [each for each in world.effects if isinstance(each, Refuse)]
    assert "ranks of a gang need one each" in refused.faults[0].message


def test_its_size_is_counted_by_the_node_that_has_it(two: World) -> None:
    job = submit(two, gpu=1, gpu_uuid="c")
    whole = two.cluster.nodes[NodeName("n2")].declared
    assert size_of(two.cluster, shape_of_job(two, job)).total == whole


def test_a_restart_keeps_the_name(two: World) -> None:
    job = submit(two, gpu=1, gpu_uuid="d")
    part = derived(gpu=1, gpu_uuid="d").parts[0]  # type: ignore[union-attr]
    assert shape_of(part.settings).gpu_uuid == shape_of_job(two, job).gpu_uuid == "d"
    assert picture(two.cluster) == picture(two.cluster)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    taken=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([1, "0.5"])), max_size=4),
    out=st.sets(st.sampled_from("abcd"), max_size=2),
    named=st.sampled_from("abcdx"),
    share=st.sampled_from([1, "0.5"]),
)
def test_arrays_and_rules_agree(
    taken: list[tuple[str, int | str]], out: set[str], named: str, share: int | str
) -> None:
    world = World()
    join(world, "n1", gpu("a"), gpu("b"))
    join(world, "n2", gpu("c"), gpu("d"))
    join(world, "n3")
    for uuid, amount in taken:
        submit(world, gpu=amount, gpu_uuid=uuid)
    for placed in world.schedule():
        world.start(placed)
    for uuid in out:
        node = "n1" if uuid in "ab" else "n2"
        ask(world, uuid, quarantined=True, node=node)
    found = derived(gpu=share, gpu_uuid=named)
    shape = shape_of(found.parts[0].settings)  # type: ignore[union-attr]
    nodes = list(world.cluster.nodes.values())
    pool = Pool(nodes)
    counted: dict[str, int] = {}
    for row, node in enumerate(nodes):
        why = obstacles(node, shape)
        fits = not mismatches(node, shape) and fits_now(node, shape)
        assert bool(pool.fits(shape)[row]) is (not why) is fits
        assert find_gpus(node, shape) in (None, (named,))
        for word in why:
            counted[word] = counted.get(word, 0) + 1
    assert pool.obstacles(shape) == counted
