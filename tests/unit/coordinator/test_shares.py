"""Fair share: formulas, accounts, and what they do to the order of work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.people import Standing
from bus.spec import ResourceSpec
from bus.values import Resources, Started, UserName
from coordinator.core.events import SharesAsked, Tick
from coordinator.core.fair_share import standing_of
from coordinator.core.picture import picture
from coordinator.core.scheduler.shares import LEVELS, SETTLE_EVERY_S, Account, Shares, level_of
from coordinator.core.verify import memory_flaws

ALICE, BOB = UserName("alice"), UserName("bob")
CORE = ResourceSpec(cpu="1")
WEEK_S = 7 * 86_400.0


def usages(world, *owners: str) -> list[float]:
    return [world.cluster.shares.accounts[owner].usage for owner in owners]


# formulas


def test_half_of_the_usage_is_forgotten_after_a_half_life() -> None:
    account = Account(usage=8.0, at_s=100.0)
    assert account.usage_at(100.0 + WEEK_S, half_life_s=WEEK_S) == 4.0
    assert account.usage_at(100.0 + 3 * WEEK_S, half_life_s=WEEK_S) == 1.0
    assert account.usage_at(50.0, half_life_s=WEEK_S) == 8.0, "a clock that went back forgets nothing"


def test_the_dominant_part_counts() -> None:
    account = Account()
    account.charge(Resources(cpu_millis=1000, mem_mib=512), 10.0)
    account.charge(Resources(cpu_millis=1000, mem_mib=512), -1.0)
    account.settle(Resources(cpu_millis=4000, mem_mib=1024), now_s=0.0, half_life_s=WEEK_S)
    assert account.usage == 5.0, "half of the memory for ten seconds, and only a quarter of the cores"
    account.charge(Resources(cpu_millis=1000), 10.0)
    account.settle(Resources(), now_s=0.0, half_life_s=WEEK_S)
    assert account.usage == 5.0, "of nothing there is no part"


@given(st.floats(1e-9, 1e9), st.integers(1, 1000), st.floats(1e-9, 1e9), st.integers(1, 1000))
def test_levels_follow_usage_per_share(usage: float, shares: int, more: float, others: int) -> None:
    whole = usage + more
    level = level_of(usage, shares, all_usage=whole, all_shares=shares + others)
    assert 0 <= level < LEVELS
    assert level <= level_of(usage, 1, all_usage=whole, all_shares=1 + others)
    heavier = level_of(usage + more, shares, all_usage=whole + more, all_shares=shares + others)
    assert level <= heavier


@given(st.integers(1, 50), st.integers(1, 1_000_000))
def test_who_used_what_is_due_stands_in_the_middle(people: int, shares: int) -> None:
    assert level_of(1.0, shares, all_usage=1.0 * people, all_shares=shares * people) == LEVELS // 2


def test_who_used_nothing_stands_in_front() -> None:
    assert level_of(0.0, 1, all_usage=0.0, all_shares=1) == 0


def test_who_comes_back_is_judged_at_once_and_who_left_is_in_nobodys_way() -> None:
    shares = Shares(settled_s=0.0)
    shares.accounts = {ALICE: Account(usage=10.0), BOB: Account(usage=10.0)}
    assert shares.compete({ALICE}) == {ALICE: 8}, "alone one has used what is due"
    assert shares.accounts[BOB].level is None
    assert shares.level(BOB) == 8
    assert shares.level(UserName("carol")) == 0
    assert shares.compete({ALICE, BOB}) == {}
    assert shares.compete({BOB}) == {} and shares.accounts[ALICE].level is None


def test_without_a_half_life_all_are_equal() -> None:
    shares = Shares(half_life_s=0.0, accounts={ALICE: Account(usage=10.0)})
    assert shares.level(ALICE) == 0


# in the cluster


def run_for(world, placement, seconds: float, node: str = "n1") -> None:
    world.report(node, Started(attempt=placement.attempt, started_at=world.now_s, pid=1))
    world.now_s += seconds
    world.end(placement, node, started_at=world.now_s - seconds)


def tick(world, seconds: float = SETTLE_EVERY_S) -> None:
    world.now_s += seconds
    for name in world.cluster.nodes:
        world.beat(name)
    world.happen(Tick())


def test_who_used_much_stands_behind_who_comes_later(world) -> None:
    world.register("n1")
    world.submit(command=["true"], resources=CORE, owner="alice", array="0-99")
    first, second = world.schedule()
    run_for(world, first, 5.0)
    tick(world)
    assert world.cluster.shares.level(ALICE) == 8
    late = world.submit(command=["true"], resources=CORE, owner="bob", priority=5)
    placed = world.schedule()
    assert placed[0].attempt.job == late
    assert second.attempt.job != late


def test_a_running_task_is_charged_once_however_often_accounts_are_settled(world) -> None:
    world.register("n1")
    world.happen(Tick())
    world.submit(command=["true"], resources=CORE, owner="alice")
    (placed,) = world.schedule()
    began_s = world.now_s
    world.report("n1", Started(attempt=placed.attempt, started_at=began_s, pid=1))
    tick(world)
    tick(world)
    world.now_s += 30
    world.end(placed, "n1", started_at=began_s)
    tick(world)
    (used,) = usages(world, "alice")
    assert used == pytest.approx(150 * 1000 / 2000, rel=1e-3), "half of the node's cores for 150 s"


def test_a_new_leader_knows_what_was_settled(world) -> None:
    world.register("n1")
    world.submit(command=["true"], resources=CORE, owner="alice", array="0-9")
    first, _ = world.schedule()
    run_for(world, first, 5.0)
    tick(world)
    again = world.rebuilt()
    assert again.shares.accounts[ALICE].usage == world.cluster.shares.accounts[ALICE].usage > 0
    assert again.shares.settled_s == world.cluster.shares.settled_s
    assert again.shares.level(ALICE) == world.cluster.shares.level(ALICE)


def test_twice_the_shares_may_use_twice_as_much(world) -> None:
    world.register("n1")
    world.happen(SharesAsked(owner=ALICE, shares=2, by=UserName("root")))
    audit = world.mirror.accounts[ALICE]
    assert audit.shares == 2
    account = world.cluster.shares.account
    account(ALICE).usage, account(BOB).usage = 20.0, 10.0
    for owner in ("alice", "bob"):
        world.submit(command=["true"], resources=CORE, owner=owner)
    tick(world, 100.0)
    assert world.cluster.shares.level(ALICE) == world.cluster.shares.level(BOB) == LEVELS // 2
    world.happen(SharesAsked(owner=ALICE, shares=1, by=UserName("root")))
    assert world.cluster.shares.level(ALICE) > LEVELS // 2 > world.cluster.shares.level(BOB)


def test_switched_off_nothing_is_charged_or_moved(world) -> None:
    world.cluster.shares.half_life_s = 0.0
    world.register("n1")
    early = world.submit(command=["true"], resources=CORE, owner="alice", array="0-9")
    first, _ = world.schedule()
    run_for(world, first, 5.0)
    tick(world)
    world.happen(SharesAsked(owner=ALICE, shares=3, by=UserName("root")))
    world.submit(command=["true"], resources=CORE, owner="bob")
    (placed,) = world.schedule()
    assert placed.attempt.job == early and not world.mirror.accounts[ALICE].usage
    assert standing_of(world.cluster, ALICE, now_s=world.now_s) == Standing(shares=3)


def test_fair_share_alone_ends_nobodys_work(world) -> None:
    """Room is made for priority; and not for those who would stand behind the work that they displaced."""
    world.register("n1")
    whole = ResourceSpec(cpu="2")
    for owner, usage in (("alice", 0.0), ("bob", 1e6)):
        world.cluster.shares.account(UserName(owner)).usage = usage
    world.submit(command=["true"], resources=whole, owner="alice", preemptible=True, priority=3)
    (placed,) = world.schedule()
    world.report("n1", Started(attempt=placed.attempt, started_at=world.now_s, pid=1))
    world.submit(command=["true"], resources=whole, owner="bob", priority=9)
    for _ in range(10):
        tick(world, 10.0)
        world.schedule()
    assert not world.cluster.yielding, "bob is 6 steps more important, and 12 further back"
    world.cluster.shares.account(BOB).usage = 0.0
    tick(world)
    world.schedule()
    assert [str(each.task.ref) for each in world.cluster.yielding.values()] == ["1.0"]


def test_verifying_finds_an_account_that_is_not_the_databases(world) -> None:
    world.register("n1")
    world.submit(command=["true"], resources=CORE, owner="alice")
    run_for(world, *world.schedule(), 5.0)
    tick(world)
    database = picture(world.rebuilt())
    assert "alice" in database.accounts and not memory_flaws(picture(world.cluster), database)
    world.cluster.shares.accounts[ALICE].shares = 2
    (flaw,) = memory_flaws(picture(world.cluster), database)
    assert (flaw.key, flaw.what) == (("memory.accounts", "alice"), "shares: 2 in memory, 1 in the database")


def test_who_came_since_the_last_settling_is_measured_against_the_others(world) -> None:
    world.register("n1")
    world.happen(SharesAsked(owner=ALICE, shares=4, by=UserName("root")))
    world.submit(command=["true"], resources=CORE, owner="alice")
    alone = standing_of(world.cluster, ALICE, now_s=world.now_s)
    assert (alone.shares, alone.due, alone.used, alone.level) == (4, 1.0, 0.0, 0)
    tick(world)
    late = standing_of(world.cluster, BOB, now_s=world.now_s)
    assert (late.shares, late.due) == (1, 0.2)
