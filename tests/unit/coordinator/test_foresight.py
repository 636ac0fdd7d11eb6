"""When a task starts, and what a change would do: asked of a cluster, compared with what then happens."""

from __future__ import annotations

import pytest

from bus.spec import GangSpec, JobSpec, ResourceSpec, TaskSpec
from bus.values import NodeAdmin, NodeName, Resources, UserName
from coordinator.core.effects import Placement
from coordinator.core.foresight import Change, compared, of_task
from coordinator.core.model import Group, Job
from coordinator.core.plan import planned_job
from coordinator.core.scheduler import scene
from coordinator.core.scheduler.policies import POLICIES, Backfill
from coordinator.core.scheduler.scene import in_line
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence

ALICE = UserName("alice")


def group_of(world: World, number: int) -> Group:
    return world.cluster.jobs[number].groups[0]


def foretold_s(world: World, number: int, index: int = 0) -> float | None:
    """Seconds until it starts."""
    question = of_task(world.cluster, group_of(world, number), index, now_s=world.now_s)
    answer = question.answer() if question is not None else None
    return None if answer is None else answer.start_s - world.now_s


def planned(world: World, **fields: object) -> Job:
    found = planned_job(world.cluster, JobSpec(command=["true"], **fields), ALICE, now_s=world.now_s)  # type: ignore[arg-type]
    assert isinstance(found, Job)
    return found


def started(world: World, **fields: object) -> None:
    """Work that fills the node."""
    world.submit(command=["true"], resources=ResourceSpec(cpu=2000), **fields)
    for attempt in world.schedule():
        world.start(attempt)


def test_who_waits_starts_when_what_runs_has_ended(pool: World) -> None:
    started(pool, timeout=100)
    first = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000), timeout=50)
    second = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000))
    pool.schedule()
    before = essence(pool.cluster)
    assert foretold_s(pool, first) == 100.0
    assert foretold_s(pool, second) == 150.0
    assert essence(pool.cluster) == before


def test_a_gang_starts_with_all_its_ranks_or_not_at_all(pool: World) -> None:
    """One core is free for one of two ranks; the other one comes when what runs has ended."""
    pool.submit(command=["true"], resources=ResourceSpec(cpu=1000), timeout=100)
    for attempt in pool.schedule():
        pool.start(attempt)
    gang = pool.submit(
        command=["train"], gang=GangSpec(size=2), resources=ResourceSpec(cpu=1000, memory=1), timeout=50
    )
    after = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000), timeout=10)
    pool.schedule()
    assert foretold_s(pool, gang) == 100.0
    assert foretold_s(pool, after) == 150.0
    pool.register("n2")
    job = planned(pool, gang=GangSpec(size=2, ranks_per_node=1), resources=ResourceSpec(memory=1))
    entry = compared(pool.cluster, Change(job=job), now_s=pool.now_s).after.entries[-1]
    assert (entry.tasks, entry.ranks, entry.most) == (1, 2, 1)


def test_tasks_of_an_array_start_wave_by_wave(pool: World) -> None:
    number = pool.submit(command=["true"], array="0-9", timeout=100)
    for attempt in pool.schedule():
        pool.start(attempt)
    assert foretold_s(pool, number, 0) is None  # it runs
    assert [foretold_s(pool, number, index) for index in (2, 3, 4, 9)] == [100.0, 100.0, 200.0, 400.0]


def test_what_a_limit_keeps_or_people_keep_is_not_foretold(pool: World) -> None:
    limited = pool.submit(command=["true"], array="0-9%1", timeout=100)
    pool.schedule()
    held = pool.submit(command=["true"])
    pool.hold(held)
    assert foretold_s(pool, limited, 5) is None and foretold_s(pool, held) is None


def test_of_a_limited_job_only_those_are_foretold_that_it_would_let_start(pool: World) -> None:
    number = pool.submit(command=["true"], array="0-9%2", timeout=100, resources=ResourceSpec(cpu=2000))
    for attempt in pool.schedule():
        pool.start(attempt)
    assert (foretold_s(pool, number, 1), foretold_s(pool, number, 2)) == (100.0, None)


def test_a_touched_task_that_waits_again_has_its_own_entry(pool: World) -> None:
    number = pool.submit(command=["true"], array="0-2", timeout=100)
    first, second = pool.schedule()
    pool.start(second)
    pool.give_back(first)
    entries = [each for line in pool.cluster.lines.values() for each in line.entries]
    assert [each.entry.startable for each in entries] == [1, 1]
    assert (foretold_s(pool, number, 0), foretold_s(pool, number, 2)) == (100.0, 0.0)
    pool.cancel(number)
    assert [each.entry.startable for each in entries] == [0, 0] and in_line(pool.cluster) == []


def test_a_task_of_a_limited_job_that_waits_again_goes_first(pool: World) -> None:
    number = pool.submit(command=["true"], array="0-4%2", timeout=100)
    first, _ = pool.schedule()
    pool.give_back(first)
    assert foretold_s(pool, number, 0) == 0.0


def test_of_long_lines_every_nth_entry_stands_for_n(pool: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(9):
        pool.submit(command=["true"], priority=1)
    whole = in_line(pool.cluster)
    monkeypatch.setattr(scene, "ENTRIES_MAX", 3)
    some = in_line(pool.cluster)
    assert (len(whole), len(some)) == (9, 3) and [each.count for each in some] == [3, 3, 3]
    assert [each.group.job.number for each in some] == [2, 5, 8]
    assert len(in_line(pool.cluster, before=whole[4].place)) == 2


def test_a_change_shows_who_gains_and_who_loses(pool: World) -> None:
    started(pool, timeout=100)
    long = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000), timeout=1000)
    short = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000), timeout=10, owner="bob")
    pool.schedule()
    comparison = compared(pool.cluster, Change(policy=POLICIES["sjf"]), now_s=pool.now_s)
    effect, jobs = comparison.judge(None)
    assert comparison.forecast() is None
    assert (effect.tasks, effect.earlier, effect.later) == (2, 1, 1)
    assert (effect.wait_before_s, effect.wait_after_s) == ((100 + 1100) / 2, (100 + 110) / 2)
    assert effect.slowdown_before > effect.slowdown_after
    assert [(job.job, job.user) for job in jobs] == [(short, "bob"), (long, "alice")]
    assert jobs[0].starts_after == pool.now_s + 100.0
    assert [job.job for job in comparison.judge(ALICE)[1]] == [long]


def test_nodes_that_come_and_go(pool: World) -> None:
    started(pool, timeout=100)
    waiting = pool.submit(command=["true"], resources=ResourceSpec(cpu=2000), timeout=50)
    pool.schedule()
    node = pool.cluster.nodes[NodeName("n1")]
    effect, jobs = compared(pool.cluster, Change(add=1, like=node), now_s=pool.now_s).judge(None)
    assert (effect.wait_after_s, effect.earlier, jobs[0].job) == (0.0, 1, waiting)
    drained = compared(pool.cluster, Change(drain=frozenset({node.name})), now_s=pool.now_s)
    effect, jobs = drained.judge(None)
    assert (effect.stuck_before, effect.stuck_after, effect.later) == (0, 1, 1)
    assert jobs[0].starts_before is not None and jobs[0].starts_after is None
    assert node.takes_work and len(pool.cluster.nodes) == 1
    neither = compared(pool.cluster, Change(), now_s=pool.now_s).judge(None)[0]
    assert (neither.earlier, neither.later) == (0, 0)


def test_who_could_start_nowhere_before_and_after_has_not_changed(pool: World) -> None:
    pool.submit(command=["true"])
    pool.steer("n1", NodeAdmin.INACTIVE)
    (row,) = compared(pool.cluster, Change(), now_s=pool.now_s).judge(None)[1]
    assert row.starts_before is None and row.starts_after is None


def test_a_job_that_is_not_submitted_is_foretold_and_delays_others(pool: World) -> None:
    started(pool, timeout=100)
    pool.submit(command=["true"], resources=ResourceSpec(cpu=2000), timeout=50, priority=1)
    pool.schedule()
    job = planned(pool, resources=ResourceSpec(cpu=2000), timeout=30, array="0-1", priority=9)
    comparison = compared(pool.cluster, Change(job=job), now_s=pool.now_s)
    forecast = comparison.forecast()
    assert forecast is not None
    assert (forecast.start_s, forecast.ends_s) == (pool.now_s + 100.0, pool.now_s + 160.0)
    effect, jobs = comparison.judge(None)
    assert (effect.tasks, effect.later) == (1, 1) and jobs[0].starts_after == pool.now_s + 160.0


def test_a_job_whose_tasks_need_others_asks_for_what_is_ready(pool: World) -> None:
    after = pool.submit(command=["true"])
    job = planned(pool, after=[after])
    assert compared(pool.cluster, Change(job=job), now_s=pool.now_s).asked == ()


def test_a_job_of_groups_in_line_is_foretold_whole(pool: World) -> None:
    """The second group waits for nobody, the third for the first."""
    spec = JobSpec(
        tasks=[
            TaskSpec(name="a", command=["true"], timeout=10),
            TaskSpec(name="b", command=["true"], timeout=20),
            TaskSpec(name="c", command=["true"], needs=["a"]),
        ]
    )
    job = planned_job(pool.cluster, spec, ALICE, now_s=pool.now_s)
    assert isinstance(job, Job)
    comparison = compared(pool.cluster, Change(job=job), now_s=pool.now_s)
    forecast = comparison.forecast()
    assert len(comparison.asked) == 2 and forecast is not None
    assert (forecast.start_s, forecast.ends_s) == (pool.now_s, pool.now_s + 20.0)


def test_without_backfill_whoever_fits_starts(pool: World) -> None:
    started(pool, timeout=100)
    pool.cluster.backfill = Backfill.OFF
    assert compared(pool.cluster, Change(), now_s=pool.now_s).before.discipline == "free"


@pytest.mark.parametrize("tasks", [3, 7])
def test_what_was_foretold_happens(pool: World, tasks: int) -> None:
    """Every task runs as long as it asked for; each starts when it was foretold to, at its submission."""
    pool.register("n2", capacity=Resources(4000, 8192))
    foretold: dict[int, float] = {}
    for number in range(1, tasks + 1):
        pool.submit(command=["true"], resources=ResourceSpec(cpu=1500), timeout=10 * number)
        wait_s = foretold_s(pool, number)
        assert wait_s is not None
        foretold[number] = pool.now_s + wait_s
    ends: list[tuple[float, int, str, Placement]] = []
    really: dict[int, float] = {}
    while len(really) < tasks:
        for placement in pool.schedule():
            number = placement.attempt.job
            node = next(name for name, held in pool.held.items() if placement.attempt in held)
            pool.start(placement, node)
            really[number] = pool.now_s
            ends.append((pool.now_s + 10 * number, number, node, placement))
        ends.sort(key=lambda end: end[:2])
        pool.now_s, _, node, placement = ends.pop(0)
        pool.end(placement, node=node)
    assert really == pytest.approx(foretold, abs=0.5)
