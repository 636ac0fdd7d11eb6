"""Who is gone and what takes too long, as people ask the database and the doctor."""

from __future__ import annotations

import pytest

from bus.findings import Level
from bus.values import TaskRef
from coordinator.doctor import of_stuck
from coordinator.store.books import StuckTask
from tests.contract.conftest import Contract


@pytest.mark.contract("S1.29", "S1.50")
async def test_an_agent_that_is_away_for_five_minutes_is_listed_as_inactive(corral: Contract) -> None:
    node = await corral.node()
    insert = (
        "insert into corral.agents (id, node_id, status, last_seen_at)"
        " values ($1, $2, $3, now() - make_interval(mins => $4))"
    )
    for name, status, minutes in (("gone", "inactive", 6), ("just", "inactive", 4), ("well", "active", 60)):
        await corral.run(insert, name, node, status, minutes)
    assert await corral.rows("select id, node from corral.inactive_agents") == [("gone", "n1")]


@pytest.mark.contract("S4.62")
async def test_a_task_is_stuck_by_what_is_expected_of_it(corral: Contract) -> None:
    job = await corral.job(total=4, pending=4)
    run = (
        "update corral.tasks set started_at = created_at, state = $2, path = $3, completed_at = $4"
        " where id = $1"
    )

    async def task(index: int, group: str, minutes: int, *, done: bool = False) -> None:
        begun = await corral.value("select now() - make_interval(mins => $1)", minutes)
        made = await corral.task(job, index=index, group_name=group, state="queued", created_at=begun)
        path = ["queued", "assigned", "running"] + ["completed"] * done
        ended = await corral.value("select $1::timestamptz + interval '1 minute'", begun) if done else None
        await corral.run(run, made, path[-1], path, ended)

    await task(0, "long", 100, done=True)  # took a minute
    await task(1, "long", 4)
    await task(2, "long", 2)
    await task(3, "unknown", 500)
    stuck = await corral.rows(
        "select index, round(running_s), round(expected_s) from corral.stuck_tasks where type = 'shell'"
    )
    expected = await corral.value("select avg_duration_seconds from corral.task_types where name = 'shell'")
    assert (1, 240.0, 60.0) in stuck and 2 not in {index for index, _, _ in stuck}
    assert expected is None and 3 not in {index for index, _, _ in stuck}


def test_the_doctor_names_what_is_stuck() -> None:
    (finding,) = of_stuck([])
    assert finding.level is Level.OK
    (finding,) = of_stuck([StuckTask(TaskRef(7, 3), "n1", 240.2, 60.0, 12)])
    assert finding.level is Level.WARN
    assert finding.message == "12 tasks far beyond the expected time: 7.3 on n1 (240 s, expected 60 s)"
    assert "corral requeue" in finding.hint
