"""Who goes first in a class: by any rule of the field, or by what is predicted; and keys that keep up."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from bus.spec import ResourceSpec
from coordinator.core.effects import AttemptChange
from coordinator.core.scheduler import order
from coordinator.core.scheduler.order import in_force, in_shadow, key_of, rekey, static_order
from coordinator.core.scheduler.policies import POLICIES, Mode
from coordinator.core.scheduler.rules import RULES
from tests.unit.coordinator.conftest import World


def placed(world) -> list[int]:
    return [placement.attempt.job for placement in world.schedule()]


@pytest.fixture
def full(pool):
    """One core of two is taken for ever."""
    pool.submit(command=["true"])
    pool.schedule()
    return pool


def test_every_rule_of_the_field_can_be_set(pool) -> None:
    number = pool.submit(command=["true"], timeout=60.0, resources=ResourceSpec(cpu=2000))
    (group,) = pool.cluster.jobs[number].groups
    for name in RULES:
        pool.cluster.order = name
        key = key_of(pool.cluster, in_force(pool.cluster), group, now_s=pool.now_s + 60.0)
        assert key == key, name
    wfp3 = key_of(pool.cluster, POLICIES["wfp3"], group, now_s=pool.now_s + 60.0)
    assert wfp3 == -2.0  # -(60 / 60)^3 x 2


@pytest.mark.parametrize("rule", sorted(RULES.keys() - {"fcfs", "f1", "f2", "f3", "f4"}))
def test_who_gave_no_walltime_goes_last_whatever_the_rule(full, rule) -> None:
    full.cluster.order = rule
    unknown = full.submit(command=["true"])
    short = full.submit(command=["true"], timeout=10.0)
    full.now_s += 5.0
    assert placed(full) == [short] and unknown in full.cluster.jobs


def test_keys_that_change_while_a_task_waits_are_brought_up_to_date(full) -> None:
    """By WFP3, 10 s asked and 5 s waited are more urgent than 100 s and 25 s; but not at once."""
    full.cluster.order = "wfp3"
    blocked = full.submit(command=["true"], resources=ResourceSpec(cpu=2000), priority=9)
    long = full.submit(command=["true"], timeout=100.0)
    full.now_s += 20.0
    short = full.submit(command=["true"], timeout=10.0)
    (line,) = [line for line in full.cluster.lines.values() if len(line.entries) == 2]
    assert line.head().job.number == long
    full.now_s += 5.0
    assert placed(full) == [short]
    assert blocked in full.cluster.jobs


def test_a_line_is_keyed_anew_no_more_than_its_length_allows(full, monkeypatch) -> None:
    full.cluster.order = "wfp3"
    jobs = [full.submit(command=["true"], timeout=10.0, resources=ResourceSpec(cpu=2000)) for _ in range(3)]
    (line,) = [line for line in full.cluster.lines.values() if len(line.entries) == 3]
    monkeypatch.setattr(order, "REKEYED_PER_S", 1)

    def keyed_after(seconds: float) -> bool:
        before = line.keyed_s
        full.now_s += seconds
        full.cluster.dirty = True
        full.schedule()
        return line.keyed_s > before

    assert not keyed_after(2.0) and keyed_after(1.0)
    assert not keyed_after(2.0) and keyed_after(1.0)
    assert len(jobs) == len(line.entries)


def test_in_one_round_only_so_many_are_keyed_anew(full, monkeypatch) -> None:
    for cpu in (1500, 2000):
        full.submit(command=["true"], resources=ResourceSpec(cpu=cpu), timeout=10.0)
    monkeypatch.setattr(order, "REKEYED_MAX", 1)
    full.cluster.order = "sjf"
    full.schedule()
    assert [line.keyed_by for line in full.cluster.lines.values()] == ["sjf", "fcfs"]
    full.cluster.dirty = True
    full.schedule()
    assert [line.keyed_by for line in full.cluster.lines.values()] == ["sjf", "sjf"]


SUBMITTED = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.sampled_from([None, 10.0, 100.0]),
    st.integers(1, 2),
    st.integers(0, 9),
)
"""By whom, with what walltime, for how many cores, and so many seconds after the one before."""


@settings(max_examples=40, deadline=None)
@given(
    jobs=st.lists(SUBMITTED, min_size=1, max_size=12),
    policy=st.sampled_from(sorted(POLICIES)),
    ran_s=st.floats(1.0, 200.0),
)
def test_keys_made_for_many_at_once_are_those_of_each(jobs, policy, ran_s) -> None:
    world = World()
    cluster = world.cluster
    for owner, walltime, cores, pause_s in jobs:
        world.now_s += pause_s
        world.submit(
            command=["true"], timeout=walltime, owner=owner, resources=ResourceSpec(cpu=cores * 1000)
        )
    for _ in range(20):
        cluster.planner.predictor.observe("ann", 1, 100.0, ran_s)
    cluster.policy = policy
    now_s = world.now_s + 100.0
    before = {each[3]: each for line in cluster.lines.values() for each in line.entries}
    rekey(cluster, now_s=now_s)
    after = [each for line in cluster.lines.values() for each in line.entries]
    assert len(after) == len(before)
    for each in after:
        key = key_of(cluster, in_force(cluster), each.group, now_s=now_s)
        assert each == before[each.sequence]._replace(key=key)


def test_a_learned_order_decides_only_while_it_is_on(full) -> None:
    """Ann's jobs take a tenth of what she asks for, so the longer request is the shorter job."""
    cluster = full.cluster
    cluster.policy = "predicted short"
    for _ in range(50):
        for user, run_s in (("ann", 100.0), ("bob", 900.0)):
            cluster.planner.predictor.observe(user, 1, 1000.0, run_s)
    cluster.mode = Mode.SHADOW
    assert (in_force(cluster).name, in_shadow(cluster)) == ("fcfs", POLICIES["predicted short"])
    bob = full.submit(command=["true"], timeout=900.0, owner="bob")
    ann = full.submit(command=["true"], timeout=1000.0, owner="ann")
    (line,) = cluster.lines.values()
    assert line.head().job.number == bob
    cluster.mode = Mode.ON
    assert (in_force(cluster).name, in_shadow(cluster)) == ("predicted short", None)
    assert placed(full) == [ann]
    cluster.mode = Mode.OFF
    assert in_force(cluster).name == "fcfs" and in_shadow(cluster) is None


def test_decisions_name_the_static_rule_that_made_them(pool) -> None:
    """After a lost test the best static rule of the replay acts in place of the configured one."""
    cluster = pool.cluster
    for mode, policy, named in (
        (Mode.ON, "", "fcfs"),
        (Mode.ON, "saf", "saf"),
        (Mode.OFF, "saf", "fcfs"),
        (Mode.ON, "rollout", "fcfs"),
    ):
        cluster.mode, cluster.policy = mode, policy
        assert static_order(cluster) == named
    cluster.policy = "saf"
    pool.submit(command=["true"])
    pool.schedule()
    (kept,) = [change.explanation for change in pool.effects if isinstance(change, AttemptChange)]
    assert (kept.order, kept.policy) == ("saf", "")


def test_a_policy_that_this_version_does_not_know_leaves_the_static_order(pool) -> None:
    pool.cluster.policy = "of another version"
    assert in_force(pool.cluster).name == "fcfs"
