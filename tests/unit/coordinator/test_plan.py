"""A plan says what a submission would do, by the scheduler's own decisions, and changes nothing."""

from __future__ import annotations

from bus.api import Plan, PlannedGroup
from bus.spec import GangSpec, JobSpec, ResourceSpec, TaskSpec
from bus.values import Resources, UserName
from coordinator.core.effects import Refuse, SendAssign
from coordinator.core.plan import EXPLAINED_MAX, STARTS_MAX, plan
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence

ALICE = UserName("alice")


def planned(world: World, spec: JobSpec) -> Plan:
    before = (essence(world.cluster), world.cluster.sequence, repr(world.cluster.nodes))
    found = plan(world.cluster, spec, ALICE, now_s=world.now_s)
    assert (essence(world.cluster), world.cluster.sequence, repr(world.cluster.nodes)) == before
    assert isinstance(found, Plan)
    return found


def codes(group: PlannedGroup) -> list[str]:
    return [blocker.code for blocker in group.blockers]


def test_a_plan_starts_what_a_submission_starts(pool: World) -> None:
    pool.register("n2", capacity=Resources(3000, 4096))
    pool.submit(command=["true"])
    pool.schedule()
    spec = JobSpec(
        name="both",
        tasks=[
            TaskSpec(name="a", command=["true"], array="0-9"),
            TaskSpec(name="b", command=["sleep", "1"], needs=["a"]),
        ],
    )
    found = planned(pool, spec)
    a, b = found.groups
    pool.submit(spec)
    really: dict[str, int] = {}
    for tell in pool.happen(schedule=True):
        if isinstance(tell, SendAssign):
            really[tell.node] = len(tell.placements)
    assert (found.name, found.tasks, found.starts_now) == ("both", 11, 4)
    assert a.now == really and (a.first, a.count, a.waits) == (0, 10, 6)
    assert codes(a) == ["busy:cpu_millis"]
    assert [(each.node, each.chosen) for each in a.candidates] == [("n1", True), ("n2", True)]
    assert (b.first, b.waits, b.needs, b.command, codes(b)[0]) == (10, 1, ["a"], ["sleep", "1"], "needs")


def test_faults_are_those_of_a_submission(pool: World) -> None:
    for spec in (
        JobSpec(priority=99),
        JobSpec(command=["true"], resources=ResourceSpec(cpu=64_000)),
    ):
        faults = plan(pool.cluster, spec, ALICE, now_s=pool.now_s)
        pool.submit(spec)
        assert isinstance(faults, tuple) and pool.answer(Refuse).faults == faults


def test_a_limit_and_who_goes_first_are_told(pool: World) -> None:
    pool.submit(command=["true"], array="0-3", priority=9)
    pool.schedule()
    (group,) = planned(pool, JobSpec(command=["true"], array="0-9%1")).groups
    assert codes(group) == ["busy:cpu_millis", "line"] and group.limit == 1
    assert group.blockers[-1].message == "2 tasks go first"
    for attempt in list(pool.held["n1"].values()):
        pool.end(attempt)
    for attempt in pool.schedule():
        pool.end(attempt)
    (group,) = planned(pool, JobSpec(command=["true"], array="0-9%1")).groups
    assert group.now == {"n1": 1} and codes(group) == ["array_limit"]


def test_what_would_only_lie_ahead_at_a_busy_node_is_no_start(pool: World) -> None:
    pool.submit(command=["true"], array="0-999")
    for _ in range(20):
        for attempt in pool.schedule()[:2]:
            pool.end(attempt)
        pool.now_s += 0.01
    pool.schedule()
    assert pool.cluster.nodes["n1"].waiting > 0
    assert planned(pool, JobSpec(command=["true"], priority=9)).starts_now == 0


def test_a_node_kept_free_stays_free(pool: World) -> None:
    pool.submit(command=["true"], priority=9)
    pool.schedule()
    pool.submit(command=["true"], priority=9, resources=ResourceSpec(cpu=2000))
    pool.wait(31.0)
    pool.beat("n1")
    pool.schedule()
    (group,) = planned(pool, JobSpec(command=["true"])).groups
    assert group.now == {} and codes(group) == ["reserved", "line"]


def test_a_million_tasks_are_not_counted_one_by_one(pool: World) -> None:
    pool.register("big", capacity=Resources(10_000_000, 10_000_000))
    (group,) = planned(pool, JobSpec(command=["true"], array="0-999999")).groups
    assert sum(group.now.values()) == STARTS_MAX and codes(group) == ["plan_limit"]
    assert group.waits == 1_000_000 - STARTS_MAX


def test_of_many_groups_the_first_are_explained(pool: World) -> None:
    tasks = [TaskSpec(command=["true"]) for _ in range(EXPLAINED_MAX + 3)]
    found = planned(pool, JobSpec(tasks=tasks))
    assert found.starts_now == 2
    assert [bool(group.candidates) for group in found.groups] == [True] * EXPLAINED_MAX + [False] * 3
    assert [bool(group.blockers) for group in found.groups] == [False] * 2 + [True] * 48 + [False] * 3


def test_what_would_be_cancelled_at_once_does_not_start(pool: World) -> None:
    """Of a job that runs task by task after one that failed in part: the same as when it is submitted."""
    first = pool.submit(command=["x"], array="0-5%1", retries=0)
    while placed := pool.schedule():
        for each in placed:
            pool.end(each, exit_code=int(each.attempt.index in (0, 2, 5)))
    spec = JobSpec(command=["y"], array="0-5", after=[f"{first}:corresponding"])
    found = planned(pool, spec)
    (group,) = found.groups
    assert (found.tasks, found.starts_now, group.cancelled, group.waits, group.now) == (6, 2, 3, 1, {"n1": 2})
    job = pool.submit(spec)
    pool.schedule()
    assert (pool.job(job).cancelled, pool.job(job).running + pool.job(job).assigned) == (3, 3), (
        "one waits there"
    )
    assert group.first == 0 and codes(group) == ["busy:cpu_millis"]


def test_where_all_would_be_cancelled_nothing_waits(pool: World) -> None:
    first = pool.submit(command=["x"], retries=0)
    for each in pool.schedule():
        pool.end(each, exit_code=1)
    for resources in (None, GangSpec(size=1)):
        found = planned(pool, JobSpec(command=["y"], gang=resources, after=[f"{first}:corresponding"]))
        (group,) = found.groups
        assert (found.starts_now, group.cancelled, group.waits, group.blockers) == (0, 1, 0, [])
