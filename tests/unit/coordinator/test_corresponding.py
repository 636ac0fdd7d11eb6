"""Task i after task i: decided one by one, within a job and between jobs, the same for a new leader."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.spec import JobSpec, TaskSpec
from bus.values import JobState, Resources, TaskState
from coordinator.core.effects import Refuse
from coordinator.core.intake import derive
from coordinator.core.job_ends import JobEnd
from coordinator.core.rebuild import restore_over
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence

TWO = [
    TaskSpec(name="a", command=["x"], array="0-3%1"),
    TaskSpec(name="b", command=["y"], array="0-3", needs=["a:corresponding"]),
]


def ends(pool: World, placement, *, ok: bool) -> None:
    pool.end(placement, exit_code=0 if ok else 1)


def of(pool: World, job: int, *, places) -> list[TaskState]:
    return [pool.task_state(job, place) for place in places]


@pytest.mark.contract("S4.5")
def test_each_waits_for_its_own(pool: World) -> None:
    job = pool.submit(tasks=TWO, retries=0)
    (first,) = pool.schedule()
    assert of(pool, job, places=range(4, 8)) == [TaskState.PENDING] * 4
    ends(pool, first, ok=True)
    assert of(pool, job, places=range(4, 8)) == [TaskState.QUEUED, *[TaskState.PENDING] * 3]
    assert essence(pool.rebuilt()) == essence(pool.cluster)
    second = next(each for each in pool.schedule() if each.command == ("x",))
    ends(pool, second, ok=False)
    assert pool.task_state(job, 5) is TaskState.CANCELLED, "and nobody else"
    assert pool.task_state(job, 6) is TaskState.PENDING
    assert essence(pool.rebuilt()) == essence(pool.cluster)


def test_between_jobs(pool: World) -> None:
    first = pool.submit(command=["x"], array="10-13%1", retries=0)
    job = pool.submit(command=["y"], array="0-3", after=[f"{first}:corresponding"])
    third = pool.submit(command=["z"], array="0-3", after=[f"{job}:corresponding"])
    (placed,) = pool.schedule()
    ends(pool, placed, ok=False)
    assert of(pool, job, places=range(2)) == [TaskState.CANCELLED, TaskState.PENDING]
    assert pool.task_state(third, 0) is TaskState.CANCELLED
    while placed := pool.schedule():
        for each in placed:
            ends(pool, each, ok=True)
        assert essence(pool.rebuilt()) == essence(pool.cluster)
    assert [pool.job(number).completed for number in (first, job, third)] == [3, 3, 3]
    assert not pool.cluster.jobs and not pool.cluster.awaited


def test_after_one_that_runs_already_or_is_over(pool: World) -> None:
    first = pool.submit(command=["x"], array="0-3%1", retries=0)
    (placed,) = pool.schedule()
    ends(pool, placed, ok=True)
    job = pool.submit(command=["y"], array="0-3", after=[f"{first}:corresponding"])
    assert of(pool, job, places=range(2)) == [TaskState.QUEUED, TaskState.PENDING]
    while placed := pool.schedule():
        for each in placed:
            ends(pool, each, ok=True)
    late = pool.submit(command=["y"], array="0-3", after=[f"{first}:corresponding"])
    assert of(pool, late, places=range(4)) == [TaskState.QUEUED] * 4


def test_cancelling_the_one_cancels_its_own(pool: World) -> None:
    first = pool.submit(command=["x"], array="0-3%1", retries=0)
    job = pool.submit(command=["y"], array="0-3", after=[f"{first}:corresponding"])
    pool.cancel(first, index=3)
    assert pool.task_state(job, 3) is TaskState.CANCELLED
    pool.cancel(first)
    assert pool.job_state(job) is JobState.FAILED and "dep_failed" in pool.job(job).reason


def test_with_another_need_both_must_be_met(pool: World) -> None:
    job = pool.submit(
        tasks=[*TWO[:1], TaskSpec(name="s", command=["s"]), TaskSpec(
            name="b", command=["y"], array="0-3", needs=["a:corresponding", "s"]
        )],
        retries=0,
    )  # fmt: skip
    a, s = sorted(pool.schedule(), key=lambda each: each.command, reverse=True)
    ends(pool, a, ok=True)
    assert pool.task_state(job, 5) is TaskState.PENDING
    ends(pool, s, ok=True)
    assert of(pool, job, places=(5, 6)) == [TaskState.QUEUED, TaskState.PENDING]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ok", "fail", "cancel", "rebuild"]), max_size=12))
def test_whatever_happens_each_is_decided_by_its_own(moves: list[str]) -> None:
    pool = World()
    pool.register()
    job = pool.submit(tasks=TWO, retries=0)
    for position, move in enumerate(moves):
        if move == "rebuild":
            assert essence(pool.rebuilt()) == essence(pool.cluster)
            continue
        if move == "cancel":
            pool.cancel(job, index=position % 4)
            continue
        if job not in pool.cluster.jobs:
            break
        pool.schedule()
        held = sorted(pool.held.get("n1", {}).items())
        if held:
            ends(pool, held[0][1], ok=move == "ok")
    for place in range(4):
        before, behind = pool.task_state(job, place), pool.task_state(job, place + 4)
        if before is TaskState.COMPLETED:
            assert behind is not TaskState.PENDING
        elif before in (TaskState.FAILED, TaskState.CANCELLED):
            assert behind is TaskState.CANCELLED
        else:
            assert behind in (TaskState.PENDING, TaskState.CANCELLED)


def test_what_is_not_alike_is_refused(pool: World) -> None:
    first = pool.submit(command=["x"], array="0-3")
    pool.happen(pool.submission(JobSpec(command=["y"], array="0-4", after=[f"{first}:corresponding"])))
    (fault,) = pool.answer(Refuse).faults
    assert (fault.code, fault.got) == ("E_ARRAY", f"job {first} has 4 tasks, this one 5")
    tasks = [TWO[0], TaskSpec(name="b", command=["y"], array="0-8", needs=["a:corresponding"])]
    pool.happen(pool.submission(JobSpec(tasks=tasks)))
    (fault,) = pool.answer(Refuse).faults
    assert (fault.code, fault.field) == ("E_ARRAY", "/tasks/1/needs")
    big = [
        TaskSpec(name="a", command=["x"], array="0-100000"),
        TaskSpec(name="b", command=["y"], array="0-100000", needs=["a:corresponding"]),
    ]
    pool.happen(pool.submission(JobSpec(tasks=big)))
    assert pool.answer(Refuse).faults[0].expected == "at most 100000"
    for fields in ({"after": ["1:corresponding", 2]}, {"after": ["1:corresponding"], "start_at": 5}):
        (fault,) = derive(JobSpec(command=["x"], **fields), "alice")
        assert fault.code == "E_FIELD"


def partly(pool: World, *, retries: int = 0) -> int:
    """A job that is over, of which the first and the last of four tasks completed."""
    first = pool.submit(command=["x"], array="0-3%1", retries=retries)
    for ok in (True, False, False, True):
        (placed,) = pool.schedule()
        ends(pool, placed, ok=ok)
    assert first not in pool.cluster.jobs
    return first


@pytest.mark.parametrize("known", ["memory", "database"])
def test_after_one_that_is_over_and_failed_in_part(pool: World, known: str) -> None:
    first = partly(pool)
    if known == "database":
        pool.cluster.ended.clear()
    job = pool.submit(command=["y"], array="0-3", after=[f"{first}:corresponding"])
    assert of(pool, job, places=range(4)) == [
        TaskState.QUEUED, TaskState.CANCELLED, TaskState.CANCELLED, TaskState.QUEUED,
    ]  # fmt: skip
    assert "dep_failed" in pool.job(job).reason
    assert essence(pool.rebuilt()) == essence(pool.cluster)
    while placed := pool.schedule():
        for each in placed:
            ends(pool, each, ok=True)
    assert (pool.job(job).completed, pool.job(job).cancelled) == (2, 2)


def test_after_one_of_which_nothing_or_all_is_known_to_have_completed(pool: World) -> None:
    first = pool.submit(command=["x"], array="0-1", retries=0)
    for placed in pool.schedule():
        ends(pool, placed, ok=False)
    job = pool.submit(command=["y"], array="0-1", after=[f"{first}:corresponding"])
    assert of(pool, job, places=range(2)) == [TaskState.CANCELLED] * 2
    assert pool.job_state(job) is JobState.FAILED
    pool.happen(pool.submission(JobSpec(command=["y"], array="0-2", after=[f"{first}:corresponding"])))
    assert pool.answer(Refuse).faults[0].got == f"job {first} has 2 tasks, this one 3"
    spec = JobSpec(command=["y"], array="0-1", after=["77:corresponding"])
    for end, refused in ((JobEnd(True), False), (JobEnd(False, 2), True), (JobEnd(False, 2, b"\2"), False)):
        pool.number += 1
        pool.happen(replace(pool.submission(spec), ended={77: end}))
        if refused:
            (fault,) = pool.answer(Refuse).faults
            assert (fault.code, fault.field) == ("E_CONFLICT", "/after/0")
            continue
        places = of(pool, pool.number, places=range(2))
        assert places == [
            TaskState.QUEUED if end.has_completed(index) else TaskState.CANCELLED for index in (0, 1)
        ]


def test_after_one_that_was_queued_again(pool: World) -> None:
    first = partly(pool)
    assert pool.retry(first, index=1).tasks == 1
    job = pool.submit(command=["y"], array="0-3", after=[f"{first}:corresponding"])
    assert of(pool, job, places=range(4)) == [
        TaskState.QUEUED, TaskState.PENDING, TaskState.CANCELLED, TaskState.QUEUED,
    ]  # fmt: skip
    assert essence(pool.rebuilt()) == essence(pool.cluster)
    again = next(each for each in pool.schedule() if each.command == ("x",))
    ends(pool, again, ok=True)
    assert pool.task_state(job, 1) is TaskState.QUEUED


def test_how_a_job_of_several_parts_ended(pool: World) -> None:
    tasks = [
        TaskSpec(name="a", command=["a"], array="0-2"),
        TaskSpec(name="b", command=["b"]),
        TaskSpec(name="c", command=["c"]),
        TaskSpec(name="d", command=["d"], array="0-8"),
    ]
    first = pool.submit(tasks=tasks, retries=0)
    failed = {("a", 1), ("c", 4), ("d", 13)}
    while placed := pool.schedule():
        for each in placed:
            ends(pool, each, ok=(each.command[0], each.attempt.index) not in failed)
    end = pool.cluster.ended[first]
    assert (end.completed, end.tasks) == (False, 14)
    assert [index for index in range(20) if not end.has_completed(index)] == [1, 4, 13, *range(14, 20)]
    assert end == pool.mirror.ended()[first]
    assert JobEnd(True).has_completed(3) and not JobEnd(False).has_completed(3)


def test_of_a_job_with_too_many_tasks_only_the_end_is_kept(pool: World) -> None:
    job = pool.submit(command=["x"], array="0-100000", retries=0)
    pool.cancel(job)
    assert pool.cluster.ended[job] == JobEnd(False, 100_001)
    over = replace(pool.mirror.over(job), done=None)
    assert restore_over(over).groups[0].done is None


def test_one_task_after_one_task_and_a_job_that_waits_for_another_as_a_whole(pool: World) -> None:
    first = pool.submit(command=["x"])
    second = pool.submit(command=["y"], after=[f"{first}:corresponding"])
    tasks = [
        TaskSpec(name="a", command=["a"], array="0-1"),
        TaskSpec(name="b", command=["b"], array="0-1", needs=["a:corresponding"]),
    ]
    third = pool.submit(tasks=tasks, after=[second])
    assert not pool.cluster.jobs[third].queued
    while placed := pool.schedule():
        for each in placed:
            ends(pool, each, ok=True)
    assert pool.job(third).completed == 4


def test_a_range_that_is_cancelled_decides_all_of_its_own(pool: World) -> None:
    tasks = [
        TaskSpec(name="s", command=["s"]),
        TaskSpec(name="a", command=["a"], array="0-1", needs=["s"]),
        TaskSpec(name="b", command=["b"], array="0-1", needs=["a:corresponding"]),
        TaskSpec(name="c", command=["c"], array="0-1", needs=["b:corresponding"]),
        TaskSpec(name="d", command=["d"], array="0-1", needs=["b:corresponding", "c:any"]),
    ]
    job = pool.submit(tasks=tasks, retries=0)
    (placed,) = pool.schedule()
    ends(pool, placed, ok=False)
    assert pool.job_state(job) is JobState.FAILED and pool.job(job).cancelled == 8


def test_what_is_decided_stays_so(pool: World) -> None:
    job = pool.submit(tasks=TWO, retries=0)
    pool.cancel(job, index=4)
    (first,) = pool.schedule()
    ends(pool, first, ok=True)
    assert pool.task_state(job, 4) is TaskState.CANCELLED
    later = pool.submit(command=["y"], array="0-3", after=[f"{job + 5}:corresponding"])
    assert pool.answer(Refuse).faults[0].code == "E_NOT_FOUND" and later


def test_a_job_that_is_too_large_to_wait_task_by_task(pool: World) -> None:
    first = pool.submit(command=["x"], array="0-100000")
    spec = JobSpec(command=["y"], array="0-100000", after=[f"{first}:corresponding"])
    pool.happen(pool.submission(spec))
    assert pool.answer(Refuse).faults[0].expected == "at most 100000"


def test_before_its_time_nothing_is_decided_task_by_task_and_then_all_of_it(pool: World) -> None:
    job = pool.submit(tasks=TWO, retries=0, start_at=pool.now_s + 4)
    pool.cancel(job, index=1)
    assert of(pool, job, places=range(4, 8)) == [TaskState.PENDING] * 4
    assert essence(pool.rebuilt()) == essence(pool.cluster)
    pool.wait(4)
    assert of(pool, job, places=(4, 5, 6)) == [TaskState.PENDING, TaskState.CANCELLED, TaskState.PENDING]


@pytest.mark.parametrize("ok", [True, False])
def test_an_array_that_was_ended_stays_so_while_others_wait_task_by_task(pool: World, ok: bool) -> None:
    first = pool.submit(command=["x"], array="0-2%1", retries=0)
    tasks = [
        TaskSpec(name="a", command=["y"], array="0-1", max_failures=0),
        TaskSpec(name="b", command=["z"]),
    ]
    job = pool.submit(tasks=tasks, retries=0, after=[f"{first}:corresponding"])
    (x0,) = pool.schedule()
    ends(pool, x0, ok=True)
    x1, y0 = sorted(pool.schedule(), key=lambda each: each.command)
    ends(pool, y0, ok=False)
    pool.reconcile()
    assert of(pool, job, places=range(3)) == [TaskState.FAILED, TaskState.CANCELLED, TaskState.PENDING]
    assert essence(pool.rebuilt()) == essence(pool.cluster)
    ends(pool, x1, ok=True)
    assert pool.task_state(job, 1) is TaskState.CANCELLED, "though what it corresponds to has completed"
    (x2,) = pool.schedule()
    ends(pool, x2, ok=ok)
    decided = TaskState.QUEUED if ok else TaskState.CANCELLED
    assert of(pool, job, places=(1, 2)) == [TaskState.CANCELLED, decided]
    assert not pool.cluster.awaited


@pytest.mark.parametrize("ok", [True, False])
def test_a_job_that_a_policy_has_ended_waits_for_nothing_any_more(world: World, ok: bool) -> None:
    world.register(capacity=Resources(3_000, 4_096))
    first = world.submit(command=["x"], array="0-2%1", retries=0)
    job = world.submit(
        command=["y"], array="0-2", retries=0, after=[f"{first}:corresponding"], on_failure="stop_new"
    )
    (x0,) = world.schedule()
    ends(world, x0, ok=True)
    x1, y0 = sorted(world.schedule(), key=lambda each: each.command)
    ends(world, x1, ok=True)
    x2, y1 = sorted(world.schedule(), key=lambda each: each.command)
    world.start(y1)
    ends(world, y0, ok=False)
    decided = [TaskState.FAILED, TaskState.RUNNING, TaskState.CANCELLED]
    world.reconcile()
    assert of(world, job, places=range(3)) == decided and not world.cluster.awaited
    assert essence(world.rebuilt()) == essence(world.cluster)
    ends(world, x2, ok=ok)
    assert of(world, job, places=range(3)) == decided
    ends(world, y1, ok=True)
    row = world.job(job)
    assert (row.completed, row.failed, row.cancelled) == (1, 1, 1)
