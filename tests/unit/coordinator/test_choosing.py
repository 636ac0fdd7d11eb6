"""The policy that looks ahead, in a production round: it chooses in a class, in its budget, and says why."""

from __future__ import annotations

import pytest

from bus.spec import GangSpec, JobSpec, ResourceSpec
from bus.values import Resources
from coordinator.core.effects import AttemptChange
from coordinator.core.scheduler import choosing
from coordinator.core.scheduler.asking import size_of
from coordinator.core.scheduler.planner import Choice
from coordinator.core.scheduler.policies import Mode
from tests.unit.coordinator.conftest import World

LONG, SHORT = 1000.0, 10.0


def cores(world: World, number: int, *, walltime: float, **fields) -> int:
    resources = ResourceSpec(cpu=number * 1000, memory=1)
    return world.submit(JobSpec(command=["true"], timeout=walltime, resources=resources, **fields))


def decided(world: World) -> list:
    """The new attempts of one round: job and what each kept."""
    world.cluster.dirty = True
    world.schedule()
    new = [each for each in world.effects if isinstance(each, AttemptChange) and each.new]
    return [(each.attempt.job, each.explanation) for each in new]


@pytest.fixture
def crowd() -> World:
    """Two of four cores are taken; a long job came before a short one, each would fill the rest."""
    world = World()
    world.register("n1", capacity=Resources(4000, 4096))
    world.cluster.policy = "rollout of backlog"
    cores(world, 2, walltime=LONG)
    decided(world)
    world.long = cores(world, 2, walltime=LONG)
    world.now_s += 1.0
    world.short = cores(world, 2, walltime=SHORT)
    return world


def test_it_lets_the_short_one_go_first_and_says_by_which_values(crowd) -> None:
    ((job, kept),) = decided(crowd)
    assert job == crowd.short
    assert (kept.order, kept.policy) == ("fcfs", "rollout of backlog")
    assert kept.rule in ("short and narrow", "f2")
    assert kept.q[f"{crowd.short}.0"] < kept.q[f"{crowd.long}.0"]
    assert 0 < crowd.cluster.rollouts_taken <= crowd.cluster.rollout_steps


def test_only_the_best_values_are_kept(crowd, monkeypatch) -> None:
    monkeypatch.setattr(choosing, "SHOWN_MAX", 1)
    ((_, kept),) = decided(crowd)
    assert kept.q.keys() == {f"{crowd.short}.0"}


def test_a_task_that_waits_again_may_be_chosen_before_the_head_of_its_line(crowd, monkeypatch) -> None:
    crowd.cancel(crowd.short)
    (placement,) = crowd.schedule()
    crowd.give_back(placement)
    crowd.now_s += 1.0
    cores(crowd, 2, walltime=SHORT)
    crowd.effects.clear()
    monkeypatch.setattr(
        crowd.cluster.planner, "choose", lambda policy, *_, **__: Choice(0, policy.rules[0], {})
    )
    ((job, _),) = decided(crowd)
    assert job == crowd.long
    crowd.check()


def test_a_higher_class_is_never_passed_by_choice(crowd) -> None:
    urgent = cores(crowd, 2, walltime=LONG, priority=9)
    assert [job for job, _ in decided(crowd)] == [urgent]


def test_in_shadow_it_decides_beside_the_static_order(crowd) -> None:
    crowd.cluster.mode = Mode.SHADOW
    ((job, kept),) = decided(crowd)
    assert job == crowd.long
    assert (kept.policy, kept.rule, kept.would) == ("", "", f"{crowd.short}.0")


def test_in_shadow_a_static_rule_that_was_best_does_so_too(crowd) -> None:
    crowd.cluster.mode, crowd.cluster.policy = Mode.SHADOW, "sjf"
    ((job, kept),) = decided(crowd)
    assert (job, kept.order, kept.policy, kept.would) == (crowd.long, "fcfs", "", f"{crowd.short}.0")


def test_in_shadow_a_predicted_order_does_so_too(crowd) -> None:
    crowd.cluster.mode, crowd.cluster.policy = Mode.SHADOW, "predicted short"
    ((job, kept),) = decided(crowd)
    assert (job, kept.would) == (crowd.long, f"{crowd.short}.0")


def test_without_a_budget_the_base_rule_decides(crowd) -> None:
    crowd.cluster.rollout_steps = 0
    ((job, kept),) = decided(crowd)
    assert (job, kept.q, kept.policy) == (crowd.short, {}, "rollout of backlog")
    assert crowd.cluster.rollouts_taken == 0


def test_a_gang_that_runs_is_one_task_as_wide_as_its_ranks(monkeypatch) -> None:
    """Each rank counted as a task of that width would take the node twice over."""
    world = World()
    world.register("n1", capacity=Resources(4000, 4096))
    world.cluster.policy = "rollout of backlog"
    resources = ResourceSpec(cpu=1000, memory=1)
    world.submit(JobSpec(command=["train"], gang=GangSpec(size=3), timeout=LONG, resources=resources))
    assert len(world.schedule()) == 3
    cores(world, 2, walltime=LONG)
    cores(world, 3, walltime=SHORT)
    seen = []

    def look(policy, waiting, running, *_, **__) -> Choice:
        seen.append(running)
        return Choice(0, policy.rules[0], {})

    monkeypatch.setattr(world.cluster.planner, "choose", look)
    decided(world)
    ((begun,),) = seen
    assert begun.asked.width == 3
    assert begun.asked.nodes == size_of(world.cluster, world.cluster.jobs[1].groups[0].shape).nodes


def test_where_all_fit_nothing_is_asked() -> None:
    world = World()
    world.register("n1", capacity=Resources(4000, 4096))
    world.cluster.policy = "rollout"
    first, second = (cores(world, 1, walltime=walltime) for walltime in (LONG, SHORT))
    found = decided(world)
    assert [job for job, _ in found] == [second, first]
    assert [kept.q for _, kept in found] == [{}, {}]


def test_on_a_machine_that_runs_very_many_nothing_is_asked(crowd, monkeypatch) -> None:
    monkeypatch.setattr(choosing, "RUNNING_MAX", 0)
    ((job, kept),) = decided(crowd)
    assert (job, kept.q) == (crowd.short, {})


def test_past_a_chosen_one_that_is_blocked_others_go_by_their_keys() -> None:
    """The heaviest is chosen and does not fit: what goes past it is not chosen again."""
    world = World()
    world.register("n1", capacity=Resources(4000, 4096))
    world.cluster.policy = "rollout of backlog"
    cores(world, 2, walltime=LONG)
    decided(world)
    wide = cores(world, 4, walltime=SHORT, name="wide")
    thin = cores(world, 1, walltime=2 * LONG, priority=1)
    array = cores(world, 1, walltime=LONG / 4, array="0-9%2", priority=1)
    found = decided(world)
    assert {job for job, _ in found} <= {thin, array} and wide in world.cluster.jobs
    assert all(kept.backfill.behind == f"{wide}.0" for _, kept in found)


def test_an_array_is_a_few_tasks_and_running_ones_of_a_minute_are_one() -> None:
    world = World()
    world.register("n1", capacity=Resources(8000, 4096))
    world.cluster.policy = "rollout of backlog"
    cores(world, 1, walltime=LONG, array="0-5")
    assert len(decided(world)) == 6
    array = cores(world, 1, walltime=LONG, array="0-999")
    limited = cores(world, 1, walltime=SHORT, array="0-99%3")
    found = decided(world)
    assert [job for job, _ in found] == [limited, limited]
    assert set(found[0][1].q) == {f"{array}.0", f"{limited}.0"}


def test_the_same_books_are_decided_the_same_way() -> None:
    def story() -> list:
        world = World()
        world.register("n1", capacity=Resources(4000, 4096))
        world.cluster.policy = "rollout"
        for number in range(20):
            cores(world, 1 + number % 3, walltime=10.0 * (1 + number * 7 % 11))
            world.now_s += 3.0
        return [decided(world) for _ in range(2)]

    assert story() == story()
