"""What is asked to end and queued again: requeues, drains by a deadline, maintenance."""

from __future__ import annotations

import pytest

from bus.values import NodeAdmin, Outcome, TaskState
from coordinator.core.effects import AnswerNode, EventRecord, Refuse, SendCancel, SendRetract
from tests.unit.coordinator.conftest import World


def running(world: World, **fields: object) -> int:
    """A job whose only task runs."""
    job = world.submit(**{"command": ["true"], **fields})
    (placement,) = world.schedule()
    world.start(placement)
    return job


def only(world: World):
    (placement,) = world.held["n1"].values()
    return placement


def events(world: World) -> list[str]:
    return [effect.event_type for effect in world.effects if isinstance(effect, EventRecord)]


@pytest.mark.parametrize("how", [(Outcome.CANCELLED, None), (Outcome.SIGNALED, None), (Outcome.EXITED, 143)])
def test_what_we_ended_is_queued_again_and_costs_no_retry(pool: World, how) -> None:
    job = running(pool, retries=0)
    assert pool.requeue(job).tasks == 1
    pool.end(only(pool), outcome=how[0], exit_code=how[1])
    assert pool.task_state(job) is TaskState.QUEUED
    assert pool.history(job)[-3:] == ["running", "reassigned", "queued"]
    assert pool.cluster.yielding == {}
    (again,) = pool.schedule()
    assert again.attempt.fence == 2
    pool.end(again)
    assert pool.job_state(job) == "completed"


@pytest.mark.parametrize(
    ("how", "state"),
    [((Outcome.EXITED, 0), TaskState.COMPLETED), ((Outcome.TIMEOUT, None), TaskState.TIMEOUT)],
)
def test_what_ended_by_itself_has_ended(pool: World, how, state) -> None:
    job = running(pool)
    pool.requeue(job)
    pool.end(only(pool), outcome=how[0], exit_code=how[1])
    assert pool.task_state(job) is state


def test_a_cancel_wins_whether_before_or_after(pool: World) -> None:
    job = running(pool, array="0-0")
    pool.requeue(job)
    pool.cancel(job, 0)
    pool.end(only(pool), outcome=Outcome.CANCELLED, exit_code=None)
    assert pool.task_state(job) is TaskState.CANCELLED
    job = running(pool)
    pool.cancel(job)
    assert pool.requeue(job).faults[0].code == "E_CONFLICT"


def test_nothing_runs_of_it_or_it_is_somebody_elses(pool: World) -> None:
    job = pool.submit(command=["true"])
    answer = pool.requeue(job, 0)
    assert (answer.tasks, answer.hint) == (0, "nothing of it is placed or runs")
    assert pool.requeue(job, by="mallory").faults[0].code == "E_NOT_FOUND"
    assert pool.requeue(99).faults[0].code == "E_NOT_FOUND"
    assert pool.requeue(job, 1).faults[0].message == f"no task {job}.1"


def test_the_command_is_repeated_by_every_leader_until_the_end(pool: World) -> None:
    job = running(pool)
    pool.requeue(job)
    pool.cluster = pool.rebuilt()
    pool.reconcile()
    assert pool.answer(SendCancel).attempts == (only(pool).attempt,)
    assert pool.requeue(job).tasks == 0


def test_what_has_not_started_is_asked_back(pool: World) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.requeue(job)
    assert pool.answer(SendRetract).attempts == (placement.attempt,)
    pool.reconcile()
    assert pool.answer(SendRetract).attempts == (placement.attempt,)
    pool.give_back(placement)
    assert pool.task_state(job) is TaskState.QUEUED


def test_of_a_held_job_it_waits_until_the_release(pool: World) -> None:
    """Hold and requeue: how a job gives up what it has."""
    job = running(pool)
    pool.hold(job)
    pool.requeue(job)
    pool.end(only(pool), outcome=Outcome.CANCELLED, exit_code=None)
    assert pool.schedule() == [] and pool.cluster.nodes["n1"].allocated.cpu_millis == 0


@pytest.mark.contract("S2.11")
def test_a_node_is_drained_by_a_deadline_and_goes_into_maintenance(pool: World) -> None:
    job = running(pool)
    (answer,) = pool.steer("n1", NodeAdmin.MAINTENANCE, reason="disks", deadline_s=60.0)
    assert isinstance(answer, AnswerNode) and answer.node.admin is NodeAdmin.DRAINING
    pool.cluster = pool.rebuilt()
    pool.now_s += 58.0
    pool.beat()
    pool.wait(1.0)
    assert not [tell for tell in pool.tells if isinstance(tell, SendCancel)]
    pool.wait(1.0)
    assert pool.answer(SendCancel).attempts == (only(pool).attempt,) and "drain_deadline" in events(pool)
    pool.wait(1.0)
    assert pool.tells == [] and "drain_deadline" not in events(pool)
    pool.end(only(pool), outcome=Outcome.CANCELLED, exit_code=None)
    assert pool.task_state(job) is TaskState.QUEUED
    node = pool.cluster.nodes["n1"]
    assert (node.admin, node.admin_goal, node.admin_deadline) == (NodeAdmin.MAINTENANCE, None, None)
    assert events(pool) == ["node_drained", "node_maintenance"] and pool.schedule() == []
    (refused,) = pool.steer("n1", NodeAdmin.DRAINING)
    assert isinstance(refused, Refuse)
    pool.steer("n1", NodeAdmin.ACTIVE)
    for _ in range(8):
        pool.now_s += 1.0
        pool.beat()
    assert len(pool.schedule()) == 1


def test_an_empty_node_is_in_maintenance_at_once(pool: World) -> None:
    pool.steer("n1", NodeAdmin.MAINTENANCE)
    assert pool.cluster.nodes["n1"].admin is NodeAdmin.MAINTENANCE
    pool.steer("n1", NodeAdmin.MAINTENANCE)
    assert events(pool) == []


def test_a_deadline_of_none_takes_one_back_and_a_reason_stays(pool: World) -> None:
    running(pool)
    pool.steer("n1", NodeAdmin.DRAINING, reason="disks", deadline_s=5.0)
    pool.steer("n1", NodeAdmin.DRAINING)
    node = pool.cluster.nodes["n1"]
    assert (node.admin_deadline, node.admin_reason) == (None, "disks")
    pool.wait(6.0)
    assert not [tell for tell in pool.tells if isinstance(tell, SendCancel)]


def test_a_deadline_of_zero_is_now(pool: World) -> None:
    running(pool)
    pool.steer("n1", NodeAdmin.DRAINING, deadline_s=0.0)
    assert pool.answer(SendCancel).attempts == (only(pool).attempt,)
    pool.steer("n1", NodeAdmin.ACTIVE)
    assert pool.cluster.nodes["n1"].admin_deadline is None


def test_a_quarantined_node_is_drained_too(pool: World) -> None:
    running(pool)
    pool.cluster.nodes["n1"].admin = NodeAdmin.FAILED
    pool.steer("n1", NodeAdmin.MAINTENANCE)
    assert pool.cluster.nodes["n1"].admin is NodeAdmin.DRAINING
