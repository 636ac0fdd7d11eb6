"""What a failure means for the rest of a job, with the reason in every row that it cost."""

from __future__ import annotations

import pytest

from bus.spec import JobSpec, TaskSpec
from bus.values import JobState, TaskState
from coordinator.core.effects import SendCancel, TaskChange
from coordinator.core.intake import derive
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence


def fail(pool: World, placement, *, exit_code: int = 1) -> None:
    pool.end(placement, exit_code=exit_code)


def messages(pool: World) -> set[str]:
    return {e.message for e in pool.effects if isinstance(e, TaskChange) and e.state is TaskState.CANCELLED}


def test_a_job_goes_on_by_itself(pool: World) -> None:
    job = pool.submit(command=["x"], array="0-9", retries=0)
    fail(pool, pool.schedule()[0])
    assert pool.job(job).cancelled == 0


@pytest.mark.contract("S4.46")
def test_cancel_ends_what_waits_and_what_runs_and_names_the_task(pool: World) -> None:
    job = pool.submit(command=["x"], array="0-9", retries=0, on_failure="cancel")
    first, second = pool.schedule()
    pool.start(second)
    fail(pool, first)
    assert messages(pool) == {f"dep_failed: task {job}.0 failed"}
    (told,) = [tell for tell in pool.tells if isinstance(tell, SendCancel)]
    assert told.attempts == (second.attempt,)
    assert essence(pool.rebuilt()) == essence(pool.cluster)
    pool.end(second, exit_code=143)
    assert messages(pool) == {f"dep_failed: task {job}.0 failed"}
    assert (pool.job_state(job), pool.job(job).failed, pool.job(job).cancelled) == (JobState.FAILED, 1, 9)


def test_stop_new_lets_what_runs_go_on(pool: World) -> None:
    job = pool.submit(command=["x"], array="0-9", retries=0, on_failure="stop_new")
    first, second = pool.schedule()
    pool.start(second)
    fail(pool, first)
    assert not [tell for tell in pool.tells if isinstance(tell, SendCancel)]
    pool.end(second)
    assert (pool.job(job).completed, pool.job(job).failed, pool.job(job).cancelled) == (1, 1, 8)


def test_stop_new_takes_back_what_is_assigned_and_not_started(pool: World) -> None:
    pool.submit(command=["x"], array="0-9", retries=0, on_failure="stop_new")
    first, second = pool.schedule()
    fail(pool, first)
    (told,) = [tell for tell in pool.tells if isinstance(tell, SendCancel)]
    assert told.attempts == (second.attempt,)


def test_so_many_failures_are_borne_and_no_more(pool: World) -> None:
    job = pool.submit(command=["x"], array="0-9%1", retries=0, on_failure="cancel", max_failures=2)
    for _ in range(3):
        assert pool.job(job).cancelled == 0
        fail(pool, pool.schedule()[0])
    assert (pool.job(job).failed, pool.job(job).cancelled) == (3, 7)
    assert messages(pool) == {f"dep_failed: task {job}.2 failed, and 3 failures are more than 2"}


def test_an_array_that_bears_no_more_ends_alone(pool: World) -> None:
    job = pool.submit(
        tasks=[
            TaskSpec(name="a", command=["x"], array="0-4%1", max_failures=0),
            TaskSpec(name="b", command=["y"], array="0-4%1"),
            TaskSpec(name="c", command=["z"], needs=["a"]),
            TaskSpec(name="d", command=["z"], needs=["a:any"]),
        ],
        retries=0,
    )
    first = next(each for each in pool.schedule() if each.command == ("x",))
    fail(pool, first)
    states = [pool.task_state(job, index) for index in (0, 1, 4, 10, 11)]
    assert states == [
        TaskState.FAILED, TaskState.CANCELLED, TaskState.CANCELLED, TaskState.CANCELLED, TaskState.QUEUED,
    ]  # fmt: skip
    assert pool.job(job).cancelled == 5, "b goes on"


def test_what_is_there_for_failures_runs(pool: World) -> None:
    job = pool.submit(
        tasks=[
            TaskSpec(name="a", command=["x"]),
            TaskSpec(name="b", command=["y"], needs=["a"]),
            TaskSpec(name="tidy", command=["z"], needs=["a:any"]),
        ],
        retries=0,
        on_failure="cancel",
    )
    fail(pool, pool.schedule()[0])
    assert [pool.task_state(job, index) for index in range(3)] == [
        TaskState.FAILED, TaskState.CANCELLED, TaskState.QUEUED,
    ]  # fmt: skip


def test_what_is_tried_again_has_not_failed(pool: World) -> None:
    job = pool.submit(command=["x"], array="0-1%1", retries=1, on_failure="cancel")
    fail(pool, pool.schedule()[0])
    assert pool.job(job).cancelled == 0
    pool.wait(5.0)
    pool.beat()
    for placement in pool.schedule():
        fail(pool, placement)
    assert pool.job(job).cancelled in (0, 1)


def test_waiting_retries_are_cancelled_too(pool: World) -> None:
    job = pool.submit(command=["x"], array="0-9", retries=1, retry_on=["exit:7"], on_failure="cancel")
    first, second = pool.schedule()
    fail(pool, first, exit_code=7)
    assert pool.task_state(job, first.attempt.index) is TaskState.RETRYING
    fail(pool, second)
    assert pool.task_state(job, first.attempt.index) is TaskState.CANCELLED
    assert not pool.cluster.jobs


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"max_failures": 3}, "E_FIELD"),
        ({"max_failures": -1, "on_failure": "cancel"}, "E_RANGE"),
        ({"max_failures": 2_000_000, "on_failure": "cancel"}, "E_RANGE"),
    ],
)
def test_what_means_nothing_is_refused(fields, code) -> None:
    assert {fault.code for fault in derive(JobSpec(command=["x"], **fields), "alice")} == {code}
    (fault,) = derive(JobSpec(tasks=[TaskSpec(command=["x"], max_failures=-1)]), "alice")
    assert (fault.code, fault.field) == ("E_RANGE", "/tasks/0/max_failures")
