"""What is paused stands still wherever it is, and nothing that is lost on the way keeps it from that."""

from __future__ import annotations

import pytest

from bus.values import Outcome, Role, TaskState
from coordinator.core.effects import SendCancel, SendPause, SendRetract
from tests.unit.coordinator.conftest import World


def pauses(world: World) -> list[tuple[bool, int]]:
    """What was told about pauses: whether to stop, and how many attempts."""
    return [(tell.paused, len(tell.attempts)) for tell in world.tells if isinstance(tell, SendPause)]


def running_job(world: World, **fields: object) -> int:
    job = world.submit(**{"command": ["true"], **fields})
    for placement in world.schedule():
        world.start(placement)
    return job


@pytest.mark.contract("S2.29")
def test_a_paused_job_keeps_its_resources_and_nothing_of_it_is_placed(pool: World) -> None:
    job = running_job(pool, array="0-3")
    answer = pool.pause(job)
    assert answer.tasks == 4 and "2 tasks of it stand still" in answer.hint
    assert pauses(pool) == [(True, 2)] and pool.job_state(job) == "paused"
    assert pool.cluster.nodes["n1"].allocated.cpu_millis == 2000
    assert pool.schedule() == []
    assert pool.pause(job, paused=False).tasks == 4
    assert pauses(pool) == [(False, 2)] and pool.job_state(job) == "running"


def test_twice_is_once_and_others_may_not(pool: World) -> None:
    job = running_job(pool)
    assert pool.pause(job, by="mallory").faults[0].code == "E_NOT_FOUND"
    assert pool.pause(77).faults[0].code == "E_NOT_FOUND"
    assert pool.pause(job, paused=False).tasks == 0
    pool.pause(job, by="olga", role=Role.OPERATOR)
    assert pool.pause(job).tasks == 0 and pauses(pool) == []


def test_a_heartbeat_that_says_otherwise_is_answered_with_the_command(pool: World) -> None:
    """A lost command, an agent that restarted and forgot, a node that heard of it too late: all the same."""
    job = running_job(pool)
    pool.obedient = False
    pool.pause(job)
    for _ in range(2):
        pool.beat()
        assert pauses(pool) == [(True, 1)]
    pool.cluster = pool.rebuilt()
    pool.beat()
    assert pauses(pool) == [(True, 1)]
    pool.obedient = True
    pool.beat()
    pool.beat()
    assert pauses(pool) == []
    pool.obedient = False
    pool.pause(job, paused=False)
    pool.beat()
    assert pauses(pool) == [(False, 1)]


def test_what_ends_anyway_ends_as_ever(pool: World) -> None:
    job = running_job(pool)
    (placement,) = pool.held["n1"].values()
    pool.pause(job)
    pool.end(placement)
    assert pool.job_state(job) == "completed" and pool.cluster.jobs == {}


def test_a_cancel_ends_what_stands_still(pool: World) -> None:
    """Its state is not "paused" any more, and no heartbeat makes it stand still or go on again."""
    job = running_job(pool)
    pool.pause(job)
    pool.cancel(job)
    assert pool.job_state(job) == "running" and pool.answer(SendCancel)
    pool.beat()
    assert pauses(pool) == []
    (refused,) = pool.pause(job).faults
    assert refused.code == "E_CONFLICT"


def test_hold_and_pause_are_each_their_own(pool: World) -> None:
    job = running_job(pool, array="0-9%1")
    pool.hold(job)
    pool.pause(job)
    assert "corral release" in pool.pause(job, paused=False).hint
    pool.pause(job)
    assert "corral resume" in pool.hold(job, held=False).hint
    (placement,) = pool.held["n1"].values()
    pool.end(placement)
    assert pool.schedule() == []
    pool.pause(job, paused=False)
    assert len(pool.schedule()) == 1


def test_a_task_that_comes_back_while_its_job_is_paused_waits(pool: World) -> None:
    job = running_job(pool, retries=1, backoff=0.5)
    (placement,) = pool.held["n1"].values()
    pool.pause(job)
    pool.end(placement, exit_code=1)
    pool.wait(1.0)
    assert pool.task_state(job) is TaskState.QUEUED and pool.schedule() == []


def test_what_starts_too_late_is_told_what_is_true_now(pool: World) -> None:
    for ask, told in ((pool.pause, SendPause), (pool.requeue, SendCancel)):
        job = pool.submit(command=["true"])
        (placement,) = pool.schedule()
        ask(job)
        assert pool.answer(SendRetract)
        pool.start(placement)
        assert pool.answer(told).attempts == (placement.attempt,)
        pool.end(placement, outcome=Outcome.SIGNALED, exit_code=None)
        pool.cancel(job)


def test_what_starts_although_it_was_cancelled_was_told_already(pool: World) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.cancel(job)
    pool.start(placement)
    assert [tell for tell in pool.tells if isinstance(tell, SendCancel | SendPause)] == []
