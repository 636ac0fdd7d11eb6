"""A coordinator that starts again remembers everything, and refuses what does not add up."""

from __future__ import annotations

import math

import msgspec
import pytest

from bus.spec import JobSpec, TaskSpec
from bus.values import NodeAdmin, NodeKind, Outcome, TaskRef
from coordinator.core.events import AgentBeat, AgentRegistered, TasksReported
from coordinator.core.model import Cluster
from coordinator.core.rebuild import RebuildError, restore_attempt, restore_job
from tests.unit.coordinator.conftest import World


def test_every_kind_of_task_comes_back(pool, compare) -> None:
    pool.register("n2")
    array = pool.submit(command=["true"], array="0-9", retries=3)
    held = pool.schedule()
    names = {p.attempt: n for n, placements in pool.held.items() for p in placements.values()}
    pool.end(held[0], names[held[0].attempt])
    pool.end(held[1], names[held[1].attempt], exit_code=1)
    pool.end(held[2], names[held[2].attempt], exit_code=None, outcome=Outcome.LOST)
    pool.start(held[3], names[held[3].attempt])
    pool.cancel(array, 9)
    keyed = pool.submit(command=["true"], dedupe_key="k")
    pool.submit(
        tasks=[TaskSpec(name="a", command=["true"]), TaskSpec(command=["true"], needs=["a"], array="0-2")]
    )
    pool.submit(command=["true"], array="0-9%1")
    rebuilt = pool.rebuilt()
    assert compare(rebuilt) == compare(pool.cluster)
    assert rebuilt.dedupe["alice", "k"][1] == keyed


def test_a_new_leader_whose_clock_is_behind_goes_on_where_the_one_before_was(pool) -> None:
    assert World().mirror.snapshot().newest_s == -math.inf
    for happen in (
        lambda: pool.register("n2"),
        lambda: pool.submit(command=["true"], array="0-3"),
        lambda: pool.schedule(),
        lambda: pool.start(pool.held["n1"][min(pool.held["n1"])]),
        lambda: pool.pause(1),
        lambda: pool.steer("n1", NodeAdmin.DRAINING, deadline_s=900.0),
        lambda: pool.end(pool.held["n1"][min(pool.held["n1"])]),
    ):
        pool.now_s += 5
        happen()
        assert pool.mirror.snapshot().newest_s == pool.now_s


def test_a_cancelled_array_and_what_it_still_runs_come_back(pool, compare) -> None:
    job = pool.submit(command=["true"], array="0-9")
    (first, _) = pool.schedule()
    pool.end(first)
    pool.cancel(job)
    rebuilt = pool.rebuilt()
    assert compare(rebuilt) == compare(pool.cluster)
    assert rebuilt.jobs[job].cancelled == 8 and all(a.cancelling for a in rebuilt.attempts())


def test_a_full_limited_array_comes_back_full(pool, compare) -> None:
    job = pool.submit(command=["true"], array="0-9%2")
    pool.schedule()
    rebuilt = pool.rebuilt()
    (group,) = rebuilt.jobs[job].groups
    assert group.full and rebuilt.lines[group.shape].head() is None


def test_rows_that_contradict_the_spec_are_refused(pool) -> None:
    pool.submit(command=["true"])
    snapshot = pool.mirror.snapshot()
    (live,) = snapshot.jobs
    (row,) = snapshot.tasks
    beyond = msgspec.structs.replace(row, task=TaskRef(1, 7))
    with pytest.raises(RebuildError, match="no task 7"):
        restore_job(Cluster(), live.job, live.change, [beyond])
    with pytest.raises(RebuildError, match="counters"):
        restore_job(Cluster(), live.job, msgspec.structs.replace(live.change, running=1), [row])
    bad = msgspec.structs.replace(live.job, spec=msgspec.json.encode(JobSpec()))
    with pytest.raises(RebuildError, match="neither"):
        restore_job(Cluster(), bad, live.change, [row])


def test_attempts_of_nobody_are_refused(pool) -> None:
    pool.submit(command=["true"])
    pool.schedule()
    (attempt,) = pool.mirror.snapshot().attempts
    with pytest.raises(RebuildError, match="no live task"):
        restore_attempt(Cluster(), attempt)


def test_events_that_nobody_waits_for_are_not_answered(pool) -> None:
    node = pool.cluster.nodes["n1"]
    registered = AgentRegistered(
        node=node.name,
        node_id=node.id,
        incarnation="first",
        boot_id="boot",
        version="1",
        capacity=node.capacity,
        inventory=node.inventory,
        kind=NodeKind.COMPUTE,
        labels={},
        roles=(),
        tools=(),
        live=(),
    )
    beat = AgentBeat(node=node.name, incarnation="first", sequence=1, load=0.0, live=())
    stray = AgentBeat(node=node.name, incarnation="other", sequence=1, load=0.0, live=())
    report = TasksReported(node=node.name, sequence=1, events=())
    assert pool.happen(registered, beat, stray, report) == []
