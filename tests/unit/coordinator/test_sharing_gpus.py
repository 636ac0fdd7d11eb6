"""GPUs in the core: by model, by memory, whole or shared; the books balance GPU by GPU."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from bus.spec import JobSpec, ResourceSpec
from bus.units import UnitError, format_gpu_millis, parse_gpu_millis
from bus.values import GPU_MILLI, GpuInfo, Resources, UserName
from coordinator.core.amounts import describe, flag
from coordinator.core.effects import Fault, Placement
from coordinator.core.intake import Derived, derive
from coordinator.core.model import shape_of
from coordinator.core.scheduler.feasible import find_gpus, is_model, never_fits, obstacles
from coordinator.core.why import node_blockers
from tests.unit.coordinator.conftest import INVENTORY, World

A100 = "NVIDIA A100-SXM4-80GB"
T4 = "Tesla T4"
THERE = f"ask for one of those that are there: {A100}, {T4}"


def gpu(
    uuid: str, model: str = A100, gib: int = 80, *, shareable: bool = True, healthy: bool = True
) -> GpuInfo:
    return GpuInfo(uuid=uuid, model=model, mem_mib=gib * 1024, shareable=shareable, healthy=healthy)


def join(world: World, name: str, *gpus: GpuInfo, offered: int | None = None, cores: int = 64) -> None:
    world.register(
        name,
        capacity=Resources(cores * 1000, 1 << 20, len(gpus) if offered is None else offered, 1000, 1000),
        inventory=msgspec.structs.replace(INVENTORY, gpus=gpus),
    )


def submit(world: World, *, tasks: int = 1, **asked: Any) -> int:
    return world.submit(
        command=["true"], array=f"0-{tasks - 1}", resources=ResourceSpec(cpu=100, memory=1, **asked)
    )


def given_out(placements: list[Placement]) -> list[tuple[str, ...]]:
    return [placement.gpus for placement in placements]


def derived(**asked: Any) -> Derived | tuple[Fault, ...]:
    return derive(JobSpec(command=["true"], resources=ResourceSpec(**asked)), UserName("alice"))


@pytest.mark.parametrize(
    ("text", "millis"),
    [(0, 0), (2, 2000), ("2", 2000), (0.5, 500), ("0.5", 500), (".25", 250), ("250m", 250), (0.3, 300),
     (1.0, 1000), ("3000m", 3000), (1024, 1_024_000), ("0.001", 1)],
)  # fmt: skip
def test_gpus_are_whole_or_a_share_of_one(text: int | float | str, millis: int) -> None:
    assert parse_gpu_millis(text) == millis
    assert parse_gpu_millis(format_gpu_millis(millis)) == millis


@pytest.mark.parametrize(
    ("text", "code"),
    [(1.5, "E_GPU_SHARE"), ("1500m", "E_GPU_SHARE"), (0.0001, "E_GPU_SHARE"), ("0.0005", "E_GPU_SHARE"),
     (-1, "E_RANGE"), ("-0.5", "E_RANGE"), (1025, "E_RANGE"), ("many", "E_UNIT"), ("m", "E_UNIT"),
     ("", "E_UNIT"), (True, "E_UNIT"), (float("nan"), "E_UNIT"), ("1e-3", "E_UNIT")],
)  # fmt: skip
def test_other_amounts_of_gpus_are_refused(text: int | float | str, code: str) -> None:
    with pytest.raises(UnitError) as refused:
        parse_gpu_millis(text)
    assert refused.value.code == code


def test_amounts_of_gpus_carry() -> None:
    half, most = Resources(gpu_milli=500), Resources(gpus=1, gpu_milli=900)
    assert half + half == Resources(gpus=1)
    assert Resources(gpus=2) - half == Resources(gpus=1, gpu_milli=500)
    assert Resources() - half == Resources(gpus=-1, gpu_milli=500)
    assert (Resources() - half).gpu_millis == -500
    assert half.fits(Resources(gpus=1)) and not most.fits(Resources(gpus=1, gpu_milli=800))
    assert most.lacking(Resources(gpus=1)) == ("gpus",)
    assert most.widest(Resources(gpus=2)) == Resources(gpus=2)


def test_a_spec_becomes_settings() -> None:
    found = derived(gpu="0.5", gpu_type=["RTX-4090", "a100", "A100 "], gpu_memory="40GiB")
    assert isinstance(found, Derived)
    (part,) = found.parts
    assert part.settings.resources == Resources(1000, 64, gpu_milli=500)
    assert (part.settings.gpu_types, part.settings.gpu_mem_mib) == (("a100", "rtx 4090"), 40 * 1024)


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({"gpu_type": "a100"}, "E_FIELD", "/resources/gpu_type"),
        ({"gpu_memory": 1}, "E_FIELD", "/resources/gpu_memory"),
        ({"gpu": 1.5}, "E_GPU_SHARE", "/resources/gpu"),
        ({"gpu": 1, "gpu_type": "?"}, "E_VALUE", "/resources/gpu_type"),
        ({"gpu": 1, "gpu_type": "x" * 129}, "E_VALUE", "/resources/gpu_type"),
        ({"gpu": 1, "gpu_type": ["x"] * 17}, "E_TOO_MANY", "/resources/gpu_type"),
        ({"gpu": 1, "gpu_memory": "much"}, "E_UNIT", "/resources/gpu_memory"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any], code: str, field: str) -> None:
    faults = derived(**asked)
    assert isinstance(faults, tuple)
    assert [(fault.code, fault.field) for fault in faults] == [(code, field)]


@pytest.mark.parametrize(
    ("model", "wanted", "found"),
    [
        (A100, ("a100",), True),
        (A100, ("A100-SXM4",), True),
        (A100, ("a10",), False),
        (A100, ("h100", "nvidia a100"), True),
        ("NVIDIA GeForce RTX 4090", ("rtx 4090",), True),
        ("NVIDIA GeForce RTX 4090", ("rtx 4",), False),
        (T4, (), True),
    ],
)
def test_models_are_told_by_whole_words(model: str, wanted: tuple[str, ...], found: bool) -> None:
    assert is_model(model, wanted) is found


def test_a_type_and_memory_are_kept_to(world: World) -> None:
    join(world, "n1", gpu("t", T4, 16), gpu("a", A100, 40), gpu("b", A100, 80))
    submit(world, gpu=1, gpu_type="t4")
    submit(world, gpu=1, gpu_memory="60GiB")
    submit(world, gpu=1, gpu_type="A100")
    submit(world, gpu=1)
    assert given_out(world.schedule()) == [("t",), ("b",), ("a",)]


def test_whole_gpus_are_the_smallest_that_will_do(world: World) -> None:
    join(world, "n1", gpu("large"), gpu("small", T4, 16))
    submit(world, gpu=1)
    assert given_out(world.schedule()) == [("small",)]


def test_shares_fill_one_gpu_before_the_next(world: World) -> None:
    join(world, "n1", gpu("a"), gpu("b"))
    submit(world, gpu="600m")
    submit(world, tasks=2, gpu=0.25)
    submit(world, gpu=0.4)
    assert sorted(given_out(world.schedule())) == [("a",), ("a",), ("b",), ("b",)]
    node = world.cluster.nodes["n1"]
    assert sorted(node.gpu_taken.values()) == [650, 850] or sorted(node.gpu_taken.values()) == [500, 1000]
    assert node.allocated.gpu_millis == 1500


def test_a_shared_gpu_is_given_to_nobody_whole(world: World) -> None:
    join(world, "n1", gpu("a"), gpu("b"))
    submit(world, gpu=0.1)
    submit(world, gpu=2)
    (shared,) = world.schedule()
    blocked = world.cluster.jobs[2].groups[0].shape
    assert obstacles(world.cluster.nodes["n1"], blocked) == ("busy:gpus",)
    world.end(shared)
    (whole,) = world.schedule()
    assert whole.gpus == ("a", "b")


def test_free_gpus_of_another_kind_are_of_no_use(world: World) -> None:
    join(world, "n1", gpu("a"), gpu("t", T4, 16))
    submit(world, gpu=1, gpu_type="a100")
    submit(world, gpu=1, gpu_type="a100")
    (first,) = world.schedule()
    shape = world.cluster.jobs[2].groups[0].shape
    (blocker,) = node_blockers(world.cluster, shape, asker=UserName("alice"))
    assert (blocker.code, blocker.remedy) == ("busy:gpus", "when 1.0 ends")
    assert blocker.message == "node n1 lacks 1 GPU; what n1 has free of them is of no use to it"
    world.end(first)
    assert given_out(world.schedule()) == [("a",)]


def test_only_gpus_that_are_healthy_offered_and_named_are_given(world: World) -> None:
    join(world, "n1", gpu("ill", healthy=False), gpu("a"), gpu("b"), offered=1)
    join(world, "n2", offered=4)
    submit(world, tasks=3, gpu=1)
    assert given_out(world.schedule()) == [("a",)]
    assert world.cluster.nodes["n2"].capacity.gpus == 0


@pytest.mark.parametrize(
    ("asked", "reason", "message", "remedy"),
    [
        ({"gpu": 1, "gpu_type": ["h100", "v100"]}, "gpu_type",
         "node n1 has too few GPUs of type h100 or v100", THERE),
        ({"gpu": 2, "gpu_type": "a100"}, "gpu_type",
         "node n1 has too few GPUs of type a100", THERE),
        ({"gpu": 2, "gpu_memory": "40GiB"}, "gpu_memory",
         "node n1 has too few such GPUs with 40 GiB", "--gpu-memory 81920Mi or less"),
        ({"gpu": 0.5, "gpu_type": "t4"}, "gpu_share",
         "node n1 cannot share a GPU", "with --gpu 1; or when its agent is of a newer version"),
        ({"gpu": 3}, "capacity:gpus",
         "node n1 could never hold 3 GPUs", "ask for 2 GPUs, as n1 has, or less"),
    ],
)  # fmt: skip
def test_what_no_node_has_is_refused_and_explained(
    world: World, asked: dict[str, Any], reason: str, message: str, remedy: str
) -> None:
    join(world, "n1", gpu("a"), gpu("t", T4, 16, shareable=False))
    submit(world, **asked)
    assert not world.cluster.jobs
    found = derived(**asked)
    assert isinstance(found, Derived)
    shape = shape_of(found.parts[0].settings)
    blocker, *_ = node_blockers(world.cluster, shape, asker=UserName("alice"))
    assert (blocker.code, blocker.message, blocker.remedy) == (reason, message, remedy)
    why = never_fits(world.cluster.nodes.values(), shape)
    assert why is not None and f"nearest is n1: {reason}" in why
    assert (A100 in why) is bool(shape.gpu_types)


def test_an_older_agent_gets_no_share(world: World) -> None:
    join(world, "n1", gpu("a", shareable=False))
    submit(world, gpu=0.5)
    assert not world.cluster.jobs
    submit(world, gpu=1)
    assert given_out(world.schedule()) == [("a",)]


def test_preemption_ends_who_has_the_gpu_that_is_wanted(world: World) -> None:
    """Others hold as many GPUs, and their end would help nobody."""
    join(world, "n1", gpu("t", T4, 16), gpu("a"))
    world.submit(
        command=["true"], priority=1, preemptible=True,
        resources=ResourceSpec(cpu=100, memory=1, gpu=1, gpu_type="a100"),
    )  # fmt: skip
    world.submit(
        command=["true"], priority=1, preemptible=True, resources=ResourceSpec(cpu=100, memory=1, gpu=0.5)
    )
    for placement in world.schedule():
        world.start(placement)
    world.submit(
        command=["true"], priority=9, resources=ResourceSpec(cpu=100, memory=1, gpu=1, gpu_type="a100")
    )
    world.schedule()
    world.wait(world.cluster.limits.preempt_after_s + 1)
    world.schedule()
    world.wait(1.0)
    assert [attempt.gpus for attempt in world.cluster.yielding.values()] == [("a",)]


def test_amounts_in_words() -> None:
    assert [describe("gpus", amount) for amount in (500, 1000, 2000)] == ["0.5 GPU", "1 GPU", "2 GPUs"]
    assert flag("gpus", 250) == "--gpu 0.25"


REQUESTS = st.sampled_from([1, 2, 0.1, 0.3, 0.5, 0.7, "999m"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(REQUESTS, st.sampled_from([None, "a100", "t4"]), st.booleans()), max_size=14))
def test_no_gpu_is_ever_given_twice(steps: list[tuple[int | float | str, str | None, bool]]) -> None:
    """Whatever comes and goes: no GPU beyond its thousandths, none whole that is shared; memory = rows."""
    world = World()
    join(world, "n1", gpu("a"), gpu("b"), gpu("t", T4, 16))
    live: list[Placement] = []
    for asked, model, ends in steps:
        submit(world, gpu=asked, **({"gpu_type": model} if model else {}))
        live += world.schedule()
        if ends and live:
            world.end(live.pop(0))
            live += world.schedule()
        held: dict[str, list[int]] = {}
        for placement in live:
            each = placement.settings.resources.gpu_milli or GPU_MILLI
            for uuid in placement.gpus:
                held.setdefault(uuid, []).append(each)
        assert all(sum(parts) <= GPU_MILLI for parts in held.values())
        node = world.cluster.nodes["n1"]
        assert node.gpu_taken == {uuid: sum(parts) for uuid, parts in held.items()}
        assert node.allocated.gpu_millis == sum(node.gpu_taken.values())


def test_a_new_leader_knows_what_of_each_gpu_is_taken(world: World) -> None:
    join(world, "n1", gpu("a"), gpu("b"))
    submit(world, tasks=3, gpu=0.4)
    world.schedule()
    taken = world.cluster.nodes["n1"].gpu_taken
    assert world.rebuilt().nodes["n1"].gpu_taken == taken == {"a": 800, "b": 400}


def test_who_wants_no_gpu_gets_none(world: World) -> None:
    join(world, "n1", gpu("a"))
    number = submit(world)
    node = world.cluster.nodes["n1"]
    assert find_gpus(node, world.cluster.jobs[number].groups[0].shape) == ()
    assert given_out(world.schedule()) == [()]
