"""What the planner hears: of each job its dominant share, of each end by itself how long it ran."""

from __future__ import annotations

import pytest

from bus.spec import Constraints, JobSpec, ResourceSpec, TaskSpec
from bus.values import NodeKind, Outcome, Resources
from coordinator.core.scheduler import asking
from coordinator.core.scheduler.asking import TASKS_MAX, UNITS, UNSAID_S, asked_of, units


def heard(world) -> list:
    return list(world.cluster.planner.recent)


def test_a_task_takes_its_dominant_share_of_the_nodes_that_could_hold_it(world) -> None:
    world.register("n1", capacity=Resources(4000, 8192))
    world.register("n2", capacity=Resources(4000, 8192), labels={"zone": "a"})
    world.register("control", capacity=Resources(64_000, 65_536), kind=NodeKind.CONTROL)
    world.submit(command=["true"], timeout=60.0, resources=ResourceSpec(cpu=2000, memory=1024))
    zoned = Constraints(labels={"zone": "a"})
    world.submit(command=["true"], constraints=zoned, resources=ResourceSpec(cpu=1000, memory=6144))
    anywhere, there = heard(world)
    assert anywhere == (world.now_s, "alice", 2, UNITS // 4, 60.0)
    assert (there.nodes, there.requested_s) == (UNITS * 3 // 4, UNSAID_S)


def test_only_so_many_sizes_are_kept(world, monkeypatch) -> None:
    monkeypatch.setattr(asking, "SIZES_MAX", 2)
    world.register("n1", capacity=Resources(4000, 8192))
    for cores in range(1, 5):
        world.submit(command=["true"], resources=ResourceSpec(cpu=1000 * cores, memory=1))
        assert 0 < len(world.cluster.sizes) <= 2
    assert [each.nodes for each in heard(world)] == [UNITS * cores // 4 for cores in range(1, 5)]


def test_who_joins_makes_the_shares_smaller(world) -> None:
    world.register("n1", capacity=Resources(4000, 8192))
    number = world.submit(command=["true"], resources=ResourceSpec(cpu=1000, memory=1))
    world.register("n2", capacity=Resources(4000, 8192))
    (group,) = world.cluster.jobs[number].groups
    assert heard(world)[0].nodes == 2 * asked_of(world.cluster, group, at_s=0.0).nodes


@pytest.mark.parametrize(
    ("request_", "total", "found"),
    [
        (Resources(), Resources(1000), 1),
        (Resources(1, 0), Resources(10 * UNITS), 1),
        (Resources(1000, 0, 1), Resources(10_000, 0, 2), UNITS // 2),
        (Resources(1000, 0, 1), Resources(10_000), UNITS),
        (Resources(1000), Resources(10), UNITS),
    ],
)
def test_shares_are_at_least_one_unit_and_at_most_all(request_, total, found) -> None:
    assert units(request_, total) == found


def test_arrays_are_heard_of_a_few_times_and_what_needs_others_when_it_may_start(world) -> None:
    world.register("n1")
    world.submit(command=["true"], array="0-99")
    assert len(heard(world)) == TASKS_MAX
    tasks = [
        TaskSpec(name="a", command=["true"]),
        TaskSpec(name="b", command=["true"], needs=["a"], timeout=7.0),
    ]
    number = world.submit(JobSpec(tasks=tasks, priority=9))
    assert len(heard(world)) == TASKS_MAX + 1
    (first, _) = world.schedule()
    assert first.attempt.job == number
    world.now_s += 1.0
    world.end(first)
    assert heard(world)[-1].requested_s == 7.0


@pytest.mark.parametrize(
    ("outcome", "exit_code", "learned"),
    [
        (Outcome.EXITED, 0, True),
        (Outcome.EXITED, 3, True),
        (Outcome.TIMEOUT, None, True),
        (Outcome.CANCELLED, None, False),
        (Outcome.LOST, None, False),
        (Outcome.NOT_STARTED, None, False),
    ],
)
def test_only_what_a_task_did_itself_teaches(pool, outcome, exit_code, learned) -> None:
    pool.submit(command=["true"], timeout=100.0)
    (placement,) = pool.schedule()
    pool.start(placement)
    pool.now_s += 40.0
    pool.end(placement, outcome=outcome, exit_code=exit_code)
    assert ("alice" in pool.cluster.planner.predictor.ratios) is learned
    if learned:
        assert pool.cluster.planner.predictor.ratios["alice"].total == pytest.approx(0.4)


def test_what_never_started_has_no_run_time(pool) -> None:
    pool.submit(command=["missing"])
    (placement,) = pool.schedule()
    pool.end(placement, outcome=Outcome.NOT_FOUND, exit_code=127, started_at=None)
    assert pool.cluster.planner.predictor.ratios == {}
