"""Jobs that start later: pending until their time, whoever leads by then."""

from __future__ import annotations

import pytest

from bus.instants import format_instant
from bus.spec import JobSpec, TaskSpec
from bus.values import JobState, TaskState, UserName
from coordinator.core.effects import AnswerSubmit, Refuse
from coordinator.core.plan import plan
from coordinator.core.why import blockers
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence


def wait(pool: World, seconds: float) -> None:
    """With its nodes alive."""
    until = pool.now_s + seconds
    while pool.now_s < until:
        for name in pool.cluster.nodes:
            pool.beat(name)
        pool.wait(min(5.0, until - pool.now_s))


def test_nothing_of_it_starts_before_its_time_and_all_of_it_then(pool: World) -> None:
    at_s = pool.now_s + 100
    job = pool.submit(command=["true"], array="0-9", start_at=at_s)
    assert pool.answer(AnswerSubmit).note == f"starts at {format_instant(at_s)}"
    assert not pool.schedule() and pool.task_state(job) is TaskState.PENDING
    (blocker, *_) = blockers(pool.cluster, pool.cluster.jobs[job].groups[0], 0, now_s=pool.now_s)
    assert blocker.code == "start_at" and "in 1m40s" in blocker.remedy
    wait(pool, 99.0)
    assert not pool.schedule()
    wait(pool, 1.0)
    assert len(pool.schedule()) > 0
    assert not pool.cluster.starting


def test_a_start_in_the_past_is_now_with_a_note(pool: World) -> None:
    pool.submit(command=["true"], start_at="1970-01-01T01:15:00+01:00")
    assert pool.answer(AnswerSubmit).note == "start_at 1970-01-01T00:15:00Z has passed: it starts now"
    assert pool.schedule()


def test_the_far_future_is_refused(pool: World) -> None:
    spec = JobSpec(command=["true"], start_at=pool.now_s + 11 * 366 * 86_400)
    pool.happen(pool.submission(spec))
    assert pool.answer(Refuse).faults[0].code == "E_TIME"


def test_its_needs_and_what_it_runs_after_hold_it_longer(pool: World) -> None:
    first = pool.submit(command=["true"])
    (running,) = pool.schedule()
    job = pool.submit(
        tasks=[TaskSpec(name="a", command=["x"]), TaskSpec(name="b", command=["y"], needs=["a"])],
        after=[first],
        start_at=pool.now_s + 10,
    )
    wait(pool, 20.0)
    assert not pool.schedule(), "its time has come, the other job has not ended"
    pool.end(running)
    (placed,) = pool.schedule()
    assert placed.attempt.index == 0 and placed.attempt.job == job
    second = pool.submit(command=["true"])
    third = pool.submit(command=["true"], after=[second], start_at=pool.now_s + 10)
    (running,) = pool.schedule()
    pool.end(running)
    assert pool.task_state(third) is TaskState.PENDING, "the other has ended, its time has not come"
    wait(pool, 10.0)
    assert pool.task_state(third) is TaskState.QUEUED


def test_a_cancelled_one_does_not_come_back(pool: World) -> None:
    job = pool.submit(command=["true"], start_at=pool.now_s + 10)
    pool.cancel(job)
    assert pool.job_state(job) is JobState.CANCELLED
    wait(pool, 20.0)
    assert not pool.schedule() and not pool.cluster.starting


@pytest.mark.parametrize("later_s", [5.0, 15.0])
def test_a_new_leader_lets_it_go_at_the_same_time(pool: World, later_s: float) -> None:
    job = pool.submit(command=["true"], start_at=pool.now_s + 10)
    pool.submit(command=["true"], after=[job])
    rebuilt = pool.rebuilt()
    assert essence(rebuilt) == essence(pool.cluster)
    assert rebuilt.starting == pool.cluster.starting
    pool.cluster = rebuilt
    wait(pool, later_s)
    assert bool(pool.schedule()) is (later_s > 10)


def test_a_plan_says_when(pool: World) -> None:
    spec = JobSpec(command=["true"], start_at=pool.now_s + 60)
    planned = plan(pool.cluster, spec, UserName("alice"), now_s=pool.now_s)
    assert not isinstance(planned, tuple)
    assert planned.starts_now == 0 and planned.groups[0].blockers[0].code == "start_at"


def test_what_was_cancelled_of_it_before_its_time_stays_so(pool: World) -> None:
    tasks = [TaskSpec(name="a", command=["x"]), TaskSpec(name="b", command=["y"])]
    job = pool.submit(tasks=tasks, start_at=pool.now_s + 4)
    pool.cancel(job, index=0)
    wait(pool, 4)
    assert [placed.attempt.index for placed in pool.schedule()] == [1]


def test_what_needs_what_was_cancelled_before_its_time_stays_cancelled(pool: World) -> None:
    tasks = [
        TaskSpec(name="a", command=["x"]),
        TaskSpec(name="b", command=["y"], needs=["a"]),
        TaskSpec(name="c", command=["z"]),
    ]
    job = pool.submit(tasks=tasks, start_at=pool.now_s + 4)
    pool.cancel(job, index=0)
    assert pool.task_state(job, 1) is TaskState.CANCELLED
    assert essence(pool.rebuilt()) == essence(pool.cluster)
    wait(pool, 4)
    assert [placed.command for placed in pool.schedule()] == [("z",)]
    assert pool.task_state(job, 1) is TaskState.CANCELLED
