"""Jobs after jobs: let go when the others have ended as asked, cancelled when they cannot any more."""

from __future__ import annotations

import pytest

from bus.spec import JobSpec, TaskSpec
from bus.values import JobState, Role, TaskState
from coordinator.core import after
from coordinator.core.effects import AnswerSubmit, EventRecord, Refuse
from coordinator.core.events import JobSubmitted
from coordinator.core.intake import derive
from coordinator.core.job_ends import JobEnd
from coordinator.core.plan import plan
from coordinator.core.why import blockers
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence


def finish(pool: World, *, exit_code: int = 0) -> None:
    """Everything that can be placed is, and ends."""
    while placed := pool.schedule():
        for placement in placed:
            pool.end(placement, exit_code=exit_code)


def states(pool: World, job: int) -> set[str]:
    return {str(change.state) for new, change in pool.mirror.tasks.values() if new.task.job == job}


@pytest.mark.contract("S4.5", "S4.35")
@pytest.mark.parametrize(
    ("condition", "exit_code", "ran"),
    [
        ("", 0, True), ("", 3, False), (":ok", 0, True), (":ok", 3, False),
        (":any", 0, True), (":any", 3, True), (":failed", 0, False), (":failed", 3, True),
    ],
)  # fmt: skip
def test_a_job_waits_for_the_other_and_goes_by_how_it_ended(pool, condition, exit_code, ran) -> None:
    first = pool.submit(command=["true"], array="0-3%1", retries=0)
    second = pool.submit(command=["true"], array="0-1", after=[f"{first}{condition}"])
    assert states(pool, second) == {"pending"}
    (placement,) = pool.schedule()
    pool.end(placement, exit_code=exit_code)
    assert pool.task_state(second) in (TaskState.PENDING, TaskState.CANCELLED), "an array counts as a whole"
    finish(pool)
    assert pool.job_state(second) is (JobState.COMPLETED if ran else JobState.FAILED)
    if not ran:
        assert states(pool, second) == {"cancelled"}
        assert pool.job(second).reason.startswith(
            f"runs after {first}{condition.removesuffix(':ok')}, but job"
        )
    assert not pool.cluster.awaited and not pool.cluster.jobs


@pytest.mark.contract("S4.46")
def test_what_can_never_start_says_which_job_is_to_blame_and_so_on_down_the_line(pool) -> None:
    first = pool.submit(command=["false"], retries=0)
    second = pool.submit(command=["true"], after=[first])
    third = pool.submit(command=["true"], after=[second])
    cleanup = pool.submit(command=["true"], after=[f"{third}:failed", f"{first}:any"])
    finish_first = pool.schedule()
    pool.end(finish_first[0], exit_code=1)
    told = [effect.message for effect in pool.effects if isinstance(effect, EventRecord)]
    assert told == [
        f"job {second} cancelled: it runs after {first}, but job {first} did not complete",
        f"job {third} cancelled: it runs after {second}, but job {second} did not complete",
    ]
    assert pool.job_state(third) is JobState.FAILED and pool.task_state(cleanup) is TaskState.QUEUED


def test_every_condition_must_be_met(pool) -> None:
    one, two = pool.submit(command=["true"]), pool.submit(command=["true"])
    job = pool.submit(command=["true"], after=[one, f"{two}:any"])
    (a, b) = pool.schedule()
    pool.end(a)
    assert pool.task_state(job) is TaskState.PENDING
    pool.end(b, exit_code=2)
    assert pool.task_state(job) is TaskState.PENDING, "it is tried again: not over yet"
    pool.cancel(two)
    assert pool.task_state(job) is TaskState.QUEUED


@pytest.mark.parametrize(("exit_code", "state"), [(0, "queued"), (1, "cancelled")])
def test_what_is_over_already_counts_at_once(pool, exit_code, state) -> None:
    first = pool.submit(command=["true"], retries=0)
    finish(pool, exit_code=exit_code)
    job = pool.submit(command=["true"], after=[f"{first}:ok"])
    assert isinstance(pool.answer(AnswerSubmit), AnswerSubmit)
    assert pool.history(job) == ["pending", state]


def test_an_end_since_somebody_looked_counts(pool, submitted) -> None:
    """The other job was live when the submission was read, and is over when it is stepped."""
    first = pool.submit(command=["true"])
    finish(pool)
    pool.happen(submitted(JobSpec(command=["true"], after=[first]), ended={}))
    assert pool.answer(AnswerSubmit).tasks == 1
    pool.cluster.ended.clear()
    pool.happen(submitted(JobSpec(command=["true"], after=[77, first]), ended={first: JobEnd(True)}))
    (fault,) = pool.answer(Refuse).faults
    assert (fault.code, fault.field, fault.got, fault.status) == ("E_NOT_FOUND", "/after/0", "77", 404)


@pytest.fixture
def submitted(pool: World):
    def build(spec: JobSpec, *, ended: dict[int, bool]) -> JobSubmitted:
        pool.number += 1
        event = pool.submission(spec)
        return JobSubmitted(
            **{name: getattr(event, name) for name in event.__struct_fields__} | {"ended": ended}
        )

    return build


def test_only_so_many_ends_are_remembered(pool, monkeypatch) -> None:
    monkeypatch.setattr(after, "ENDED_KEPT", 2)
    jobs = [pool.submit(command=["true"]) for _ in range(4)]
    finish(pool)
    assert len(pool.cluster.ended) == 2 and set(pool.cluster.ended) <= set(jobs)


@pytest.mark.contract("S4.44")
def test_a_job_that_is_retried_is_waited_for_once_more(pool, compare) -> None:
    first, other = pool.submit(command=["true"], retries=0), pool.submit(command=["sleep"])
    job = pool.submit(command=["true"], after=[f"{first}:any", other])
    (one, long) = pool.schedule()
    pool.end(one, exit_code=1)
    assert pool.retry(first).tasks == 1
    pool.end(long)
    assert pool.task_state(job) is TaskState.PENDING, "the first one runs again"
    assert compare(pool.rebuilt()) == compare(pool.cluster)
    finish(pool)
    assert pool.job_state(job) is JobState.COMPLETED


def test_what_was_let_go_is_not_called_back(pool) -> None:
    first = pool.submit(command=["true"], retries=0)
    job = pool.submit(command=["true"], after=[f"{first}:failed"])
    (one,) = pool.schedule()
    pool.end(one, exit_code=1)
    pool.retry(first)
    assert pool.task_state(job) is TaskState.QUEUED and not pool.rebuilt().jobs[job].after


def test_a_waiting_job_may_be_cancelled_held_and_taken_apart(pool) -> None:
    first = pool.submit(command=["true"])
    whole = pool.submit(command=["true"], array="0-9", after=[first])
    part = pool.submit(command=["true"], array="0-2", after=[first])
    held = pool.submit(command=["true"], after=[first])
    assert pool.cancel(whole).tasks == 10 and pool.job_state(whole) is JobState.CANCELLED
    assert pool.cancel(part, 1).tasks == 1
    pool.hold(held)
    assert pool.cluster.awaited == {first: {part, held}}
    finish(pool)
    assert pool.job(part).completed == 2 and pool.task_state(held) is TaskState.QUEUED
    pool.hold(held, held=False)
    finish(pool)
    assert not pool.cluster.jobs


def test_needs_inside_a_waiting_job_wait_for_both(pool) -> None:
    first = pool.submit(command=["true"])
    job = pool.submit(
        after=[first],
        tasks=[
            TaskSpec(name="a", command=["true"]),
            TaskSpec(name="b", command=["true"], needs=["a:any"]),
            TaskSpec(name="c", command=["true"], needs=["a"]),
        ],
    )
    pool.cancel(job, 0)
    assert [str(pool.task_state(job, index)) for index in range(3)] == ["cancelled", "pending", "cancelled"]
    finish(pool)
    assert pool.task_state(job, 1) is TaskState.COMPLETED


def test_a_new_leader_knows_what_is_waited_for(pool, compare) -> None:
    first, second = pool.submit(command=["true"]), pool.submit(command=["true"])
    waiting = pool.submit(command=["true"], array="0-4", after=[f"{second}:any", first])
    (one, _) = pool.schedule()
    pool.end(one)
    rebuilt = pool.rebuilt()
    assert compare(rebuilt) == compare(pool.cluster)
    assert [each.end for each in rebuilt.jobs[waiting].after] == [None, JobEnd(True, 1)]
    pool.cluster = rebuilt
    finish_second = next(attempt for attempt in rebuilt.attempts())
    pool.end(pool.held["n1"][finish_second.ref], exit_code=0)
    assert pool.task_state(waiting) is TaskState.QUEUED


def test_what_vanished_from_the_database_did_not_complete(pool) -> None:
    """Level-triggered: the next look finds that the condition can never be met."""
    first, second = pool.submit(command=["true"]), pool.submit(command=["sleep"])
    waiting = pool.submit(command=["true"], after=[first, second])
    (one, _) = pool.schedule()
    pool.end(one)
    row = next(identity for identity, (job, _) in pool.mirror.jobs.items() if job.number == first)
    del pool.mirror.jobs[row]
    pool.cluster = pool.rebuilt()
    pool.reconcile()
    assert pool.job_state(waiting) is JobState.FAILED and "did not complete" in pool.job(waiting).reason
    pool.reconcile()


def test_why_names_the_jobs_that_are_waited_for(pool) -> None:
    first = pool.submit(command=["true"], array="0-3")
    job = pool.submit(command=["true"], after=[f"{first}:any"])
    (group,) = pool.cluster.jobs[job].groups
    found = next(each for each in blockers(pool.cluster, group, 0, now_s=pool.now_s) if each.code == "after")
    assert found.message == f"runs after {first}:any: 0 of 4 tasks completed"
    assert found.remedy == f"when job {first} has ended"


def test_a_plan_tells_what_waits_what_starts_and_what_never_will(pool) -> None:
    first = pool.submit(command=["true"], retries=0)

    def planned(condition: str, **fields):
        spec = JobSpec(command=["true"], after=[f"{first}{condition}"])
        return plan(pool.cluster, spec, "alice", now_s=pool.now_s, ended=pool.mirror.ended())

    before = essence(pool.cluster)
    waits = planned(":any")
    assert waits.starts_now == 0 and "after" in {each.code for each in waits.groups[0].blockers}
    assert essence(pool.cluster) == before
    finish(pool)
    assert planned(":any").starts_now == 1
    (group,) = planned(":failed").groups
    assert group.blockers[0].message == f"runs after {first}:failed, but job {first} completed"
    (fault,) = plan(pool.cluster, JobSpec(command=["true"], after=[9]), "alice", now_s=pool.now_s)
    assert fault.code == "E_NOT_FOUND"


@pytest.mark.parametrize(
    ("entries", "code", "field", "hint"),
    [
        (["rain"], "E_ID", "/after/0", ""),
        ([0], "E_ID", "/after/0", ""),
        ([-4], "E_ID", "/after/0", ""),
        (["1" * 19], "E_ID", "/after/0", ""),
        (["१२"], "E_ID", "/after/0", ""),
        ([1, "2:fail"], "E_ENUM", "/after/1", "did you mean failed?"),
        (["1:"], "E_ENUM", "/after/0", ""),
        ([1, "1:any"], "E_FIELD", "/after/1", ""),
        (list(range(1, 1002)), "E_TOO_MANY", "/after", "let one job run after these, and this one after it"),
    ],
)
def test_an_after_that_cannot_be_read_is_refused(entries, code, field, hint) -> None:
    faults = derive(JobSpec(command=["true"], after=entries), "alice")
    assert [(each.code, each.field, each.hint) for each in faults] == [(code, field, hint)]


# inside one job


@pytest.mark.parametrize(
    ("need", "codes", "state"),
    [
        ("a", (0, 0), "queued"), ("a:ok", (0, 5), "cancelled"), ("a:any", (0, 5), "queued"),
        ("a:any", (0, 0), "queued"), ("a:failed", (5, 0), "queued"), ("a:failed", (0, 0), "cancelled"),
    ],
)  # fmt: skip
def test_a_need_may_say_how_the_other_has_to_end(pool, need, codes, state) -> None:
    job = pool.submit(
        retries=0,
        tasks=[
            TaskSpec(name="a", command=["true"], array="0-1"),
            TaskSpec(name="b", command=["true"], needs=[need]),
        ],
    )
    for placement, code in zip(pool.schedule(), codes, strict=True):
        pool.end(placement, exit_code=code)
    assert str(pool.task_state(job, 2)) == state


def test_what_was_cancelled_for_a_need_has_failed_for_those_who_need_it(pool) -> None:
    """a fails, b is cancelled, and the cleanup that waits for b's failure runs; the job has failed."""
    job = pool.submit(
        retries=0,
        tasks=[
            TaskSpec(name="a", command=["true"]),
            TaskSpec(name="b", command=["true"], needs=["a"]),
            TaskSpec(name="never", command=["true"], needs=["a:failed", "b"]),
            TaskSpec(name="cleanup", command=["true"], needs=["b:failed", "a:any"]),
        ],
    )
    (a,) = pool.schedule()
    pool.end(a, exit_code=1)
    assert [str(pool.task_state(job, index)) for index in range(1, 4)] == ["cancelled", "cancelled", "queued"]
    finish(pool)
    assert pool.job_state(job) is JobState.FAILED


def test_why_and_plan_say_the_condition_of_a_need(pool) -> None:
    spec = JobSpec(
        tasks=[TaskSpec(name="a", command=["true"]), TaskSpec(name="b", command=["true"], needs=["a:failed"])]
    )
    job = pool.submit(spec)
    group = pool.cluster.jobs[job].groups[1]
    (found,) = blockers(pool.cluster, group, 1, now_s=pool.now_s)
    assert found.message.startswith("needs a:failed (from task")
    assert found.remedy == "when all of a have ended, and not all completed"
    assert plan(pool.cluster, spec, "alice", now_s=pool.now_s).groups[1].needs == ["a:failed"]


def test_a_condition_that_there_is_not_is_refused() -> None:
    tasks = [TaskSpec(name="a", command=["true"]), TaskSpec(name="b", command=["true"], needs=["a:okay"])]
    (fault,) = derive(JobSpec(tasks=tasks), "alice")
    assert (fault.code, fault.field, fault.hint) == ("E_ENUM", "/tasks/1/needs", "did you mean ok?")
    (fault,) = derive(
        JobSpec(tasks=[tasks[0], TaskSpec(name="b", command=["true"], needs=["c:any"])]), "alice"
    )
    assert (fault.code, fault.got) == ("E_NOT_FOUND", "'c'")


def test_conditions_are_no_way_around_a_circle() -> None:
    tasks = [
        TaskSpec(name="a", command=["true"], needs=["b:any"]),
        TaskSpec(name="b", command=["true"], needs=["a:failed"]),
    ]
    (fault,) = derive(JobSpec(tasks=tasks), "alice")
    assert fault.code == "E_CYCLE"


def test_an_operators_cancel_ends_what_waits_for_a_job(pool) -> None:
    first = pool.submit(command=["true"])
    job = pool.submit(command=["true"], after=[first])
    pool.cancel(first, by="olga", role=Role.OPERATOR)
    assert pool.job_state(job) is JobState.FAILED
