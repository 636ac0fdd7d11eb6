"""What is tried again, how often, and after how long."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.spec import JobSpec
from bus.values import JobKind, Outcome, TaskState, UserName
from coordinator.core.effects import Fault
from coordinator.core.intake import Derived, derive
from coordinator.core.model import Task
from coordinator.core.retrying import RETRY_ON_MAX, RetryOn, backoff_s, parse_retry_on
from tests.unit.coordinator.conftest import World

EXIT_3 = {"exit_code": 3}
EXIT_75 = {"exit_code": 75}
KILLED = {"exit_code": None, "outcome": Outcome.SIGNALED, "signal": 9}
TIMEOUT = {"exit_code": None, "outcome": Outcome.TIMEOUT}
NOT_FOUND = {"exit_code": 127, "outcome": Outcome.NOT_FOUND, "started_at": None}
NOT_EXECUTABLE = {"exit_code": 126, "outcome": Outcome.NOT_EXECUTABLE, "started_at": None}


@pytest.mark.contract("S4.44", "S4.60")
@pytest.mark.parametrize(
    ("retry_on", "end", "again"),
    [
        (["failed"], EXIT_3, True), (["failed"], KILLED, True), (["failed"], TIMEOUT, False),
        (["failed"], NOT_FOUND, False), (["failed"], NOT_EXECUTABLE, False),
        (["timeout"], TIMEOUT, True), (["timeout"], EXIT_3, False), (["timeout"], KILLED, False),
        (["exit:75"], EXIT_75, True), (["exit:75"], EXIT_3, False), (["exit:75"], KILLED, False),
        (["signal:9"], KILLED, True), (["signal:sigkill"], KILLED, True), (["signal:TERM"], KILLED, False),
        (["signal:9"], EXIT_75, False), (["exit:9"], KILLED, False),
        (["exit:127"], NOT_FOUND, True), (["failed", "exit:126"], NOT_EXECUTABLE, True),
        (["exit:3", "timeout"], TIMEOUT, True), ([], EXIT_3, False), ([], TIMEOUT, False),
    ],
)  # fmt: skip
def test_only_what_is_named_is_tried_again(pool: World, retry_on, end, again) -> None:
    job = pool.submit(command=["sh"], timeout=9.0, retry_on=retry_on)
    (placement,) = pool.schedule()
    pool.end(placement, **end)
    assert (pool.task_state(job) is TaskState.RETRYING) is again


@pytest.mark.contract("S0.34", "S0.35", "S4.17", "S4.27")
@pytest.mark.parametrize("retries", [0, 1, 10])
def test_a_task_fails_for_good_after_as_many_retries_as_it_has(pool: World, retries) -> None:
    job = pool.submit(command=["false"], retries=retries, backoff=0.1, backoff_max=0.1)
    for tried in range(retries + 1):
        (placement,) = pool.schedule()
        pool.end(placement, exit_code=1)
        (row,) = [change for _, change in pool.mirror.tasks.values()]
        assert row.retries == min(tried + 1, retries)
        pool.wait(1.0)
        pool.beat()
    assert pool.task_state(job) is TaskState.FAILED


def test_only_verdicts_are_charged(pool: World) -> None:
    """Lost, handed back, not started: the task's own retries are still all there."""
    job = pool.submit(command=["true"], retries=1)
    for outcome in (Outcome.LOST, Outcome.NOT_STARTED):
        (placement,) = pool.schedule()
        pool.end(placement, exit_code=None, outcome=outcome, started_at=None)
    (placement,) = pool.schedule()
    pool.give_back(placement)
    (placement,) = pool.schedule()
    pool.end(placement, exit_code=1)
    assert pool.task_state(job) is TaskState.RETRYING
    assert next(change.retries for _, change in pool.mirror.tasks.values()) == 1


@pytest.mark.parametrize(
    ("entry", "code", "hint"),
    [
        ("fail", "E_ENUM", "did you mean failed?"),
        ("exits:75", "E_ENUM", "did you mean exit:75?"),
        ("exit", "E_ENUM", "did you mean exit:75?"),
        ("signal", "E_ENUM", "did you mean signal:KILL?"),
        ("rain", "E_ENUM", ""),
        ("exit:0", "E_RANGE", ""),
        ("exit:256", "E_RANGE", ""),
        ("exit:-1", "E_RANGE", ""),
        ("exit:", "E_RANGE", ""),
        ("exit:" + "9" * 5000, "E_RANGE", ""),
        ("exit:٣", "E_RANGE", ""),
        ("signal:KIL", "E_ENUM", "did you mean signal:KILL?"),
        ("signal:0", "E_ENUM", ""),
        ("signal:65", "E_ENUM", ""),
        ("signal:", "E_ENUM", ""),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_stands(entry, code, hint) -> None:
    (fault,) = derive(JobSpec(command=["true"], retry_on=["failed", entry]), "alice")
    assert (fault.code, fault.field, fault.hint) == (code, "/retry_on/1", hint)
    assert fault.expected and len(fault.got) < 120


def test_there_is_a_bound_on_how_much_is_named() -> None:
    entries = [f"exit:{code}" for code in range(1, RETRY_ON_MAX + 2)]
    assert isinstance(derive(JobSpec(command=["true"], retry_on=entries[:-1]), "alice"), Derived)
    (fault,) = derive(JobSpec(command=["true"], retry_on=entries), "alice")
    assert (fault.code, fault.field) == ("E_TOO_MANY", "/retry_on")


@given(
    st.lists(
        st.text(max_size=12) | st.sampled_from(["failed", "exit:7", "signal:TERM", "signal:15"]), max_size=9
    )
)
def test_every_text_is_read_or_refused(entries) -> None:
    faults = []
    read = parse_retry_on(entries, faults)
    assert len(faults) <= len(entries) and all(0 < code < 256 for code in read.exit_codes)
    if all(entry in ("failed", "exit:7", "signal:TERM", "signal:15") for entry in entries):
        assert not faults
        codes = (7,) if "exit:7" in entries else ()
        signals = (15,) if {"signal:TERM", "signal:15"} & set(entries) else ()
        assert read == RetryOn("failed" in entries, False, codes, signals)


def waiting_task(base: float, most: float, *, job: int, index: int, retries: int) -> Task:
    """A task that has just failed for the time `retries`."""
    world = World()
    world.number = job - 1
    world.submit(command=["true"], array=f"0-{index}", backoff=base, backoff_max=most)
    (group,) = world.cluster.jobs[job].groups
    task = group.touch(index)
    task.retries = retries
    return task


@given(
    base=st.floats(0.01, 1000),
    factor=st.floats(1, 1000),
    job=st.integers(1, 10**9),
    index=st.integers(0, 99_999),
    retries=st.integers(1, 10),
)
def test_the_backoff_doubles_within_its_bounds(base, factor, job, index, retries) -> None:
    most = min(base * factor, 86_400.0)
    most = max(most, base)
    whole = min(base * 2 ** (retries - 1), most)
    waited = backoff_s(waiting_task(base, most, job=job, index=index, retries=retries))
    assert 0.75 * whole < waited <= whole * (1 + 1e-9)
    assert waited == backoff_s(waiting_task(base, most, job=job, index=index, retries=retries)), (
        "no randomness"
    )


@given(job=st.integers(1, 10**6), retries=st.integers(1, 10))
def test_tasks_that_fail_together_do_not_come_back_together(job, retries) -> None:
    """Of 64 neighbours no two wait alike, and they use most of the quarter that they may spread over."""
    task = waiting_task(8.0, 8.0, job=job, index=0, retries=retries)
    group = task.group
    waits = []
    for index in range(64):
        other = Task(group, index, TaskState.RETRYING, 1, retries=retries)
        waits.append(backoff_s(other))
    assert len(set(waits)) == 64
    assert max(waits) - min(waits) > 0.75 * 2.0


def refused(**fields: Any) -> tuple[Fault, ...]:
    derived = derive(msgspec.convert(fields, JobSpec), UserName("alice"))
    assert isinstance(derived, tuple)
    return derived


@pytest.mark.contract("S2.27")
@pytest.mark.parametrize("end", [{"exit_code": 0}, {"exit_code": 3}, {"outcome": Outcome.SIGNALED}])
def test_a_streaming_task_is_started_again_however_it_ends_charged_with_nothing(pool: World, end) -> None:
    job = pool.submit(command=["serve"], type=JobKind.STREAMING, retries=0, backoff=1.0, backoff_max=8.0)
    for _ in range(12):
        (placement,) = pool.schedule()
        pool.end(placement, **end)
        assert pool.task_state(job) is TaskState.RETRYING
        (row,) = [change for _, change in pool.mirror.tasks.values()]
        assert row.retries == 0
        pool.wait(8.0)
        pool.beat()
    assert pool.cluster.jobs[job].cancel_requested is False


def test_a_streaming_task_waits_longer_while_it_ends_soon(pool: World) -> None:
    pool.submit(command=["serve"], type=JobKind.STREAMING, backoff=1.0, backoff_max=8.0)
    waited = []
    for _ in range(5):
        (placement,) = pool.schedule()
        pool.end(placement, exit_code=1)
        ((due, _, _),) = pool.cluster.retries
        waited.append(due - pool.now_s)
        pool.wait(8.0)
        pool.beat()
    assert waited[:4] == sorted(waited[:4]) and waited[0] <= 1.0 and 6.0 < waited[-1] <= 8.0
    task = waiting_task(1.0, 8.0, job=1, index=0, retries=0)
    task.group.settings = replace(task.group.settings, streaming=True)
    task.fence = 9
    assert backoff_s(task, ran_s=9.0) <= 1.0, "one that ran long begins anew"


def test_a_cancel_ends_a_streaming_task(pool: World) -> None:
    job = pool.submit(command=["serve"], type=JobKind.STREAMING)
    (placement,) = pool.schedule()
    pool.cancel(job)
    pool.end(placement, outcome=Outcome.CANCELLED)
    assert pool.task_state(job) is TaskState.CANCELLED


def test_a_streaming_job_has_no_timeout(pool: World) -> None:
    faults = refused(command=["serve"], type="streaming", timeout=5)
    assert [(fault.code, fault.field) for fault in faults] == [("E_FIELD", "/timeout")]
    faults = refused(tasks=[{"command": ["a"], "timeout": 5}], type="streaming")
    assert [(fault.code, fault.field) for fault in faults] == [("E_FIELD", "/tasks/0/timeout")]
    faults = refused(command=["serve"], type="streaming", gang={"size": 2})
    assert ("E_FIELD", "/gang") in [(fault.code, fault.field) for fault in faults]


@pytest.mark.contract("S2.27")
def test_frames_are_the_array_of_a_rendering(pool: World) -> None:
    job = pool.submit(command=["render"], type=JobKind.RENDERING, frames="1-9:4")
    (group,) = pool.cluster.jobs[job].groups
    assert group.count == 3 and group.settings.frames
    for fields, field in [
        ({"frames": "1-3"}, "/frames"),
        ({"frames": "1-3", "type": JobKind.RENDERING, "array": "1-3"}, "/array"),
    ]:
        (fault,) = refused(command=["render"], **fields)
        assert (fault.code, fault.field) == ("E_FIELD", field)
