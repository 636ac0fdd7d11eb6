"""A walltime, end to end: TERM, then KILL after its grace; retries and jobs after jobs as asked for."""

from __future__ import annotations

import signal

import pytest

from bus.api import Task
from tests.fixtures_cluster import LiveCluster

TIMEOUT_S = 1.0
GRACE_S = 1.5
LATE = 0.8
"""How much later than due an end may be seen, as a share of what is due: the machine is busy."""

_DEAF = "sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' &"
STUBBORN = f"trap 'echo asked' TERM; {_DEAF} while :; do wait; done"
YIELDING = "trap 'echo asked; exit 0' TERM; while :; do sleep 0.05; done"


async def ended(cluster: LiveCluster, script: str, **fields: object) -> tuple[Task, list[str]]:
    """The job's one task after its end, and what it wrote."""
    async with cluster.client() as client:
        job = await client.submit(command=["sh", "-c", script], timeout=TIMEOUT_S, grace=GRACE_S, **fields)
        await client.wait(job.number)
        task = await client.task(f"{job.number}.0")
        return task, (await client.logs(f"{job.number}.0")).data.decode().split()


def ran_s(task: Task) -> float:
    newest = task.attempts[-1]
    assert newest.started_at is not None and newest.ended_at is not None
    return newest.ended_at - newest.started_at


@pytest.mark.contract("S2.31")
async def test_a_task_that_ignores_term_is_killed_after_its_grace(cluster: LiveCluster) -> None:
    """With everything that it started; retries are not touched, for nobody asked for them after a timeout."""
    task, said = await ended(cluster, STUBBORN, retries=3)
    due_s = TIMEOUT_S + GRACE_S
    print(f"timeout {TIMEOUT_S:g} s, grace {GRACE_S:g} s: killed after {ran_s(task):.2f} s")
    assert (str(task.state), len(task.attempts), task.retries) == ("timeout", 1, 0)
    assert set(said) == {"asked"} and 1.0 - 0.05 <= ran_s(task) / due_s < 1.0 + LATE


@pytest.mark.contract("S2.31")
async def test_a_task_that_heeds_term_has_timed_out_all_the_same(cluster: LiveCluster) -> None:
    task, said = await ended(cluster, YIELDING)
    assert str(task.state) == "timeout" and said == ["asked"]
    assert 1.0 - 0.05 <= ran_s(task) / TIMEOUT_S < 1.0 + GRACE_S / TIMEOUT_S, "it did not wait for KILL"


@pytest.mark.contract("S4.44", "S4.60")
async def test_a_timeout_is_tried_again_where_the_job_says_so(cluster: LiveCluster) -> None:
    task, _ = await ended(cluster, YIELDING, retries=1, backoff=0.1, retry_on=["timeout"])
    assert (str(task.state), len(task.attempts), task.retries) == ("timeout", 2, 1)


@pytest.mark.contract("S0.35", "S4.60")
async def test_only_the_named_exit_code_is_tried_again(cluster: LiveCluster) -> None:
    task, _ = await ended(cluster, "exit 75", retries=2, backoff=0.1, retry_on=["exit:75"])
    assert (str(task.state), len(task.attempts), task.exit_code) == ("failed", 3, 75)
    task, _ = await ended(cluster, "exit 76", retries=2, backoff=0.1, retry_on=["exit:75"])
    assert (str(task.state), len(task.attempts)) == ("failed", 1)


@pytest.mark.contract("S4.46")
async def test_jobs_run_after_jobs(cluster: LiveCluster) -> None:
    """By the ends of the others, live or over; `why` says what is waited for."""
    async with cluster.client() as client:
        first = await client.submit(command=["sh", "-c", "sleep 1; exit 3"], retries=0)
        never = await client.submit(command=["true"], after=[first.number])
        cleanup = await client.submit(command=["true"], after=[f"{first.number}:failed"])
        why = await client.why(str(cleanup.number))
        assert f"runs after {first.number}:failed" in why.summary
        for job, state in ((first, "failed"), (never, "failed"), (cleanup, "completed")):
            assert str((await client.wait(job.number)).state) == state
        task = await client.task(f"{never.number}.0")
        assert (str(task.state), task.attempts) == ("cancelled", [])
        assert task.message == f"runs after {first.number}, but job {first.number} did not complete"
        later = await client.submit(command=["true"], after=[f"{first.number}:any", cleanup.number])
        assert str((await client.wait(later.number)).state) == "completed"


@pytest.mark.contract("S4.46")
async def test_what_waits_for_a_job_outlives_the_coordinator(cluster: LiveCluster) -> None:
    """One of the two jobs that are waited for is over when the coordinator is killed, the other runs on."""
    async with cluster.client() as client:
        over = await client.submit(command=["false"], retries=0)
        await client.wait(over.number)
        long = await client.submit(command=["sleep", "3"])
        waits = await client.submit(command=["true"], after=[f"{over.number}:failed", long.number])
        never = await client.submit(command=["true"], after=[f"{long.number}:failed"])
        cluster.kill("coordinator", signal.SIGKILL)
        cluster.start_coordinator()
        assert str((await client.wait(waits.number)).state) == "completed"
        shown = await client.wait(never.number)
        assert shown.reason == f"runs after {long.number}:failed, but job {long.number} completed"
