"""The state machine of tasks as the database enforces it: 100 pairs, 20 allowed, 10 no-ops, 70 refused."""

from __future__ import annotations

import pytest

from bus.values import TaskState
from tests.contract.conftest import Contract

ALLOWED = {
    ("pending", "queued"), ("pending", "cancelled"),
    ("queued", "assigned"), ("queued", "cancelled"),
    ("assigned", "running"), ("assigned", "failed"), ("assigned", "reassigned"), ("assigned", "cancelled"),
    ("running", "completed"), ("running", "failed"), ("running", "timeout"), ("running", "reassigned"),
    ("running", "cancelled"),
    ("failed", "retrying"), ("failed", "cancelled"),
    ("timeout", "retrying"),
    ("retrying", "queued"), ("retrying", "cancelled"),
    ("reassigned", "queued"), ("reassigned", "cancelled"),
}  # fmt: skip

WAY_TO = {
    "pending": [],
    "queued": [],
    "assigned": ["queued"],
    "running": ["queued", "assigned"],
    "completed": ["queued", "assigned", "running"],
    "failed": ["queued", "assigned", "running"],
    "timeout": ["queued", "assigned", "running"],
    "cancelled": ["queued"],
    "retrying": ["queued", "assigned", "running", "failed"],
    "reassigned": ["queued", "assigned"],
}

ENDED = "now(), started_at = now()"


@pytest.mark.contract(
    "S4.35", "S4.36", "S4.37", "S4.38", "S4.39", "S4.40", "S4.41", "S4.42", "S4.43", "S4.44"
)
@pytest.mark.parametrize("old", list(TaskState))
async def test_every_pair(corral: Contract, old: str) -> None:
    job = await corral.job(spec='{"retry_on": ["failed", "timeout"]}')
    for index, new in enumerate(TaskState):
        task = await corral.task(job, index=index, state=old, path=[*WAY_TO[old], old])
        update = "update corral.tasks set state = $2 where id = $1"
        if (old, new) in ALLOWED or old == new:
            await corral.run(update, task, str(new))
        else:
            assert (
                await corral.refused(update, task, str(new)) == f"Invalid status transition: {old} -> {new}"
            )


def test_the_table_has_the_stated_size() -> None:
    assert (len(ALLOWED), len(TaskState) ** 2 - len(ALLOWED) - len(TaskState)) == (20, 70)


@pytest.mark.contract("S4.44")
async def test_a_timeout_is_retried_only_where_the_job_asks_for_it(corral: Contract) -> None:
    task = await corral.task(state="timeout", path=["queued", "assigned", "running", "timeout"])
    message = await corral.refused("update corral.tasks set state = 'retrying' where id = $1", task)
    assert message == "Invalid status transition: timeout -> retrying"


@pytest.mark.contract("S4.45")
@pytest.mark.parametrize("state", [state for state in TaskState if state not in ("pending", "queued")])
async def test_a_row_starts_as_pending_or_queued(corral: Contract, state: str) -> None:
    job = await corral.job()
    insert = "insert into corral.tasks (job_id, input, state) values ($1, '{\"a\": 1}', $2)"
    assert "Invalid status transition" in await corral.refused(insert, job, str(state))


@pytest.mark.contract("S4.43")
async def test_a_loss_takes_the_legal_path_in_one_update(corral: Contract) -> None:
    task = await corral.task(state="queued")
    path = ["queued", "assigned", "running", "reassigned", "queued"]
    await corral.run("update corral.tasks set state = 'queued', path = $2 where id = $1", task, path)
    assert await corral.rows("select state, path from corral.tasks where id = $1", task) == [("queued", None)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["assigned", "running"], "queued -> assigned"),
        (["queued", "running"], "queued -> running"),
        (["queued", "assigned", "completed", "running"], "assigned -> completed"),
        (["queued", None, "running"], "Invalid status transition"),
        (["queued", "assigned"], "Path ends in assigned"),
        ([], "Path ends in"),
    ],
)
async def test_a_path_is_checked_pair_by_pair(corral: Contract, path: list[str], message: str) -> None:
    task = await corral.task(state="queued")
    update = "update corral.tasks set state = 'running', path = $2 where id = $1"
    assert message in await corral.refused(update, task, path)


@pytest.mark.contract("S4.46")
async def test_a_task_whose_need_failed_is_cancelled(corral: Contract) -> None:
    task = await corral.task(state="pending")
    refusal = await corral.refused("update corral.tasks set state = 'failed' where id = $1", task)
    assert refusal == "Invalid status transition: pending -> failed"
    await corral.run(
        "update corral.tasks set state = 'cancelled', error_message = 'dep_failed', completed_at = now()"
        " where id = $1",
        task,
    )


@pytest.mark.contract("S0.21", "S2.29")
@pytest.mark.parametrize(
    ("counts", "flags", "state"),
    [
        ({"pending": 3}, {}, "pending"),
        ({"queued": 3}, {"held": True}, "pending"),
        ({"queued": 2, "assigned": 1}, {}, "scheduled"),
        ({"assigned": 1, "running": 2}, {}, "running"),
        ({"queued": 2, "completed": 1}, {}, "running"),
        ({"running": 3}, {"paused": True}, "paused"),
        ({"completed": 3}, {}, "completed"),
        ({"completed": 3}, {"cancel_requested": True}, "completed"),
        ({"completed": 2, "failed": 1}, {}, "failed"),
        ({"completed": 2, "cancelled": 1}, {}, "failed"),
        ({"failed": 2, "cancelled": 1}, {"cancel_requested": True, "paused": True}, "cancelled"),
    ],
)
async def test_a_jobs_state_is_derived(
    corral: Contract, counts: dict[str, int], flags: dict[str, bool], state: str
) -> None:
    job = await corral.job(total=3, **({"pending": 0} | counts | flags))
    assert await corral.value("select state from corral.jobs where id = $1", job) == state
    await corral.refused("update corral.jobs set state = 'completed' where id = $1", job)
    await corral.refused("update corral.jobs set running = running + 1 where id = $1", job)
