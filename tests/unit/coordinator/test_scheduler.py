"""Feasible × order × rank: who goes first, where, and why; and that nobody starves."""

from __future__ import annotations

import msgspec
import pytest

from bus.spec import Constraints, JobSpec, ResourceSpec
from bus.values import GpuInfo, NodeAdmin, NodeKind, Resources, TaskState, Usage
from coordinator.core.effects import AttemptChange, EventRecord, UsageRecord
from coordinator.core.events import ScheduleDue, UsageSeen
from coordinator.core.scheduler.feasible import never_fits
from coordinator.core.transitions import TASK_TRANSITIONS, IllegalTransition, check_path
from tests.unit.coordinator.conftest import INVENTORY


def placed(world) -> list[int]:
    return [placement.attempt.job for placement in world.schedule()]


@pytest.mark.contract("S0.19", "S4.70")
def test_higher_priority_first_then_arrival(pool) -> None:
    low = pool.submit(command=["true"], priority=2)
    first, second = pool.submit(command=["true"]), pool.submit(command=["true"])
    high = pool.submit(command=["true"], priority=9)
    assert placed(pool) == [high, first]
    for placement in list(pool.held["n1"].values()):
        pool.end(placement)
    assert placed(pool) == [second, low]


def test_shortest_job_first_goes_by_walltime(pool) -> None:
    pool.cluster.order = "sjf"
    unknown = pool.submit(command=["true"])
    long = pool.submit(command=["true"], timeout=100.0)
    short = pool.submit(command=["true"], timeout=10.0)
    assert placed(pool) == [short, long]
    assert unknown in pool.cluster.jobs


def test_smallest_area_first_goes_by_walltime_times_cores(pool) -> None:
    pool.cluster.order = "saf"
    wide = pool.submit(command=["true"], timeout=10.0, resources=ResourceSpec(cpu=2000))
    thin = pool.submit(command=["true"], timeout=15.0, resources=ResourceSpec(cpu=1000))
    assert placed(pool) == [thin] and wide in pool.cluster.jobs


@pytest.mark.parametrize(("rank", "node"), [("best_fit", "n2"), ("worst_fit", "n3"), ("first_fit", "n1")])
def test_ranks_choose_as_they_say(world, rank, node) -> None:
    world.cluster.rank = rank
    for name, cores in (("n1", 8), ("n2", 2), ("n3", 32)):
        inventory = msgspec.structs.replace(
            INVENTORY, gpus=(GpuInfo(uuid=f"GPU-{name}", model="sim", mem_mib=1),)
        )
        world.register(name, capacity=Resources(cores * 1000, 4096, 1, 1000, 1000), inventory=inventory)
    world.submit(command=["true"], resources=ResourceSpec(cpu=1000, gpu=1, storage=10, net=10))
    world.schedule()
    (held,) = [name for name, placements in world.held.items() if placements]
    assert held == node


def test_gpus_are_handed_out_once(world) -> None:
    gpus = tuple(GpuInfo(uuid=f"GPU-{i}", model="sim", mem_mib=1, healthy=i != 1) for i in range(3))
    inventory = msgspec.structs.replace(INVENTORY, gpus=gpus)
    world.register("n1", capacity=Resources(8000, 4096, 2), inventory=inventory)
    world.submit(command=["true"], array="0-3", resources=ResourceSpec(cpu=100, gpu=1))
    one, two = world.schedule()
    assert {one.gpus, two.gpus} == {("GPU-0",), ("GPU-2",)}
    world.end(one)
    (three,) = world.schedule()
    assert three.gpus == one.gpus


@pytest.mark.contract("S0.14", "S2.10", "S2.14")
def test_hard_constraints_hold(world) -> None:
    world.register("control", kind=NodeKind.CONTROL)
    world.register("plain", tools=())
    world.register("zoned", labels={"zone": "a"})
    by_label = world.submit(command=["true"], constraints=Constraints(labels={"zone": "a"}))
    by_name = world.submit(command=["true"], constraints=Constraints(nodes=["plain"]))
    tool = world.submit(tool="wordcount", input={"text": "a"})
    world.schedule()
    where = {p.attempt.job: node for node, held in world.held.items() for p in held.values()}
    assert where == {by_label: "zoned", by_name: "plain", tool: "zoned"}


def test_nothing_is_placed_on_a_node_that_takes_no_work(pool) -> None:
    pool.cluster.nodes["n1"].admin = NodeAdmin.DRAINING
    pool.submit(command=["true"])
    assert pool.schedule() == []
    (blocked,) = pool.cluster.blocked.values()
    assert blocked["reasons"] == {"admin:draining": 1}


@pytest.mark.contract("S0.58", "S4.6")
def test_an_assignment_keeps_why(world) -> None:
    world.register("n1")
    world.register("n2", capacity=Resources(4000, 4096))
    world.register("small", capacity=Resources(500, 4096))
    world.submit(command=["true"])
    world.schedule()
    (change,) = [e for e in world.effects if isinstance(e, AttemptChange)]
    assert change.explanation.order == "fcfs" and change.explanation.rank == "best_fit"
    assert [seen.node for seen in change.explanation.candidates] == ["n1", "n2"]
    assert change.explanation.rejected == {"small": ("capacity:cpu_millis", "busy:cpu_millis")}


def test_smaller_work_goes_past_a_blocked_head_but_not_for_ever(world) -> None:
    world.register("n1", capacity=Resources(4000, 4096))
    world.register("n2", capacity=Resources(4000, 4096))
    running = world.submit(command=["true"], array="0-7", resources=ResourceSpec(cpu=1000))
    world.schedule()
    big = world.submit(command=["true"], resources=ResourceSpec(cpu=4000))
    small = world.submit(command=["true"], array="0-99", resources=ResourceSpec(cpu=1000))

    def turn() -> None:
        """The oldest task of each node ends; everybody beats."""
        for node in ("n1", "n2"):
            for placement in list(world.held[node].values())[:1]:
                world.end(placement, node)
            world.beat(node)
        world.now_s += 4.0
        world.schedule()

    turn()
    assert big in world.cluster.jobs and world.cluster.jobs[small].groups[0].live > 0
    for _ in range(20):
        turn()
        if world.task_state(big) is not TaskState.QUEUED:
            break
    else:
        raise AssertionError("the big task starved")
    assert running not in world.cluster.jobs


def test_a_reservation_needs_an_able_node(pool) -> None:
    pool.submit(command=["true"], array="0-1")
    pool.schedule()
    pool.submit(command=["true"])
    pool.cluster.nodes["n1"].admin = NodeAdmin.DRAINING
    pool.now_s += 31
    pool.cluster.dirty = True
    assert pool.schedule() == []


def test_a_round_without_changes_costs_nothing(pool) -> None:
    pool.schedule()
    assert pool.cluster.dirty is False
    assert pool.happen(ScheduleDue()) == []


def test_never_fits_names_the_nearest(world) -> None:
    from coordinator.core.intake import Derived, derive
    from coordinator.core.model import shape_of

    derived = derive(JobSpec(command=["true"], resources=ResourceSpec(cpu=9000, memory=9000)), "a")
    assert isinstance(derived, Derived)
    shape = shape_of(derived.parts[0].settings)
    assert never_fits([], shape) is None
    world.register("n1", capacity=Resources(1000, 1000))
    world.register("n2", capacity=Resources(9000, 1000))
    why = never_fits(world.cluster.nodes.values(), shape)
    assert why is not None and "n2" in why and "mem_mib" in why
    world.register("n3", capacity=Resources(9000, 9000))
    assert never_fits(world.cluster.nodes.values(), shape) is None


@pytest.mark.contract("S0.44")
def test_usage_is_kept_and_recorded(pool) -> None:
    pool.submit(command=["true"])
    (placement,) = pool.schedule()
    usage = Usage(cpu_millis=900.0, mem_mib=100.0)
    pool.happen(UsageSeen(node="n1", usage=usage, load=1.5, tasks=((placement.attempt, usage),)))
    records = [e for e in pool.effects if isinstance(e, UsageRecord)]
    assert [r.attempt for r in records] == [None, placement.attempt]
    assert pool.cluster.nodes["n1"].load == 1.5
    pool.happen(UsageSeen(node="n1", usage=usage, load=1.5, tasks=(((9, 9, 9), usage),)))
    assert len(pool.effects) == 1  # an attempt that is not live is not recorded


@pytest.mark.contract("S2.85")
def test_usage_of_an_outage_is_recorded_where_its_time_was(pool) -> None:
    """It fills the hole, but newer gauges and alarms stand."""
    late = Usage(cpu_millis=99_000.0, mem_mib=100.0)
    pool.happen(UsageSeen(node="n1", usage=Usage(cpu_millis=900.0, mem_mib=100.0), load=1.5))
    pool.happen(UsageSeen(node="n1", usage=late, load=9.0, age_s=30.0))
    (record,) = [e for e in pool.effects if isinstance(e, UsageRecord)]
    assert (record.at, record.usage) == (pool.now_s - 30.0, late)
    node = pool.cluster.nodes["n1"]
    assert (node.load, node.usage.cpu_millis, node.anomalous) == (1.5, 900.0, False)


@pytest.mark.contract("S0.40")
def test_usage_of_an_unknown_node_is_rejected_and_counted(pool) -> None:
    usage = Usage(cpu_millis=900.0, mem_mib=100.0)
    assert pool.happen(UsageSeen(node="stranger", usage=usage, load=0.0)) == []
    assert pool.effects == [] and pool.cluster.unknown_senders == 1


@pytest.mark.contract("S0.43")
def test_usage_beyond_the_machine_is_flagged_and_said_once(world) -> None:
    world.register("n1", inventory=msgspec.structs.replace(INVENTORY, mem_mib=4096))
    good = Usage(cpu_millis=1900.0, mem_mib=4000.0)
    bad = Usage(cpu_millis=2300.0, mem_mib=5000.0)
    flags, events = [], []
    for usage in (good, bad, bad, good, bad):
        world.happen(UsageSeen(node="n1", usage=usage, load=0.0))
        flags += [e.anomaly for e in world.effects if isinstance(e, UsageRecord)]
        events.append([e.message for e in world.effects if isinstance(e, EventRecord)])
    assert flags == [False, True, True, False, True]
    assert [len(each) for each in events] == [0, 1, 0, 0, 1]
    assert "cpu, memory" in events[1][0]


@pytest.mark.contract("S4.35", "S4.36", "S4.37", "S4.38", "S4.39", "S4.40", "S4.41", "S4.42")
def test_twenty_of_a_hundred_transitions_are_legal() -> None:
    legal = 0
    for before in TaskState:
        for after in TaskState:
            if after in TASK_TRANSITIONS[before]:
                check_path((before, after))
                legal += 1
            else:
                with pytest.raises(IllegalTransition, match=f"{before} -> {after}"):
                    check_path((before, after))
    assert legal == 20


def test_a_decision_keeps_its_class_and_how_old_the_view_of_the_node_was(pool) -> None:
    """The class is the priority, and a step for each span of ageing since the job came."""
    pool.submit(command=["true"], priority=7, resources=ResourceSpec(cpu=9000))
    pool.submit(command=["true"], priority=7)
    pool.schedule()
    (first,) = [each for each in pool.effects if isinstance(each, AttemptChange)]
    assert (first.explanation.class_, first.explanation.usage_age_s) == (7, None)
    node = pool.cluster.nodes["n1"]
    node.usage, node.usage_s = Usage(cpu_millis=1.0, mem_mib=1.0), pool.now_s - 3.0
    pool.submit(command=["true"], priority=7)
    pool.schedule()
    (second,) = [each for each in pool.effects if isinstance(each, AttemptChange)]
    assert second.explanation.usage_age_s == 3.0
