"""What webhooks are told on a real server: written with the change, undone with it, and noted once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from bus.values import JobState, NodeAdmin, NodeHealth, Role, TaskState, UserName
from coordinator.core.redelivery import Outcome, Standing, Verdict
from coordinator.store.errors import Disagreement
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import UserRow
from coordinator.store.webhooks import Noted, Webhooks
from tests.integration.store.conftest import Leader
from tests.store_rows import ALICE, T0, change, job_change, new_job, new_task, node

OPERATOR = UserName("olga")
URL = "https://hooks.example.com/"
EVERYTHING = (
    *("job.submitted", "job.started", "job.completed", "job.failed", "job.cancelled", "task.failed"),
    *("node.joined", "node.lost", "node.back", "node.drained", "node.quarantined"),
)
FAILED = Outcome(error="answered 500", status=500)
AGAIN = Verdict(Standing.WAITING, 60.0)
DEAD = Verdict(Standing.DEAD)
DONE = Verdict(Standing.DELIVERED)


@pytest.fixture
async def webhooks(coordinator_dsn: str, database: asyncpg.Connection) -> AsyncIterator[Webhooks]:
    store = Webhooks(coordinator_dsn)
    yield store
    await store.close()
    await database.execute("delete from corral.webhooks")


async def person(dsn: str, name: str, role: Role = Role.USER) -> UserRow:
    keeper = await RelationalStore.connect(dsn)
    try:
        return UserRow(await keeper.ensure_user(UserName(name), role), UserName(name), role, True)
    finally:
        await keeper.close()


async def added(store: Webhooks, owner: UserRow, **fields: Any) -> int:
    wanted: dict[str, Any] = {"on": EVERYTHING, "of_user": None, "job": None, "tag": None}
    ident = await store.add(owner, url=URL, secret=b"sealed", **wanted | fields)
    assert ident is not None
    return ident


async def told(database: asyncpg.Connection, webhook: int) -> list[dict[str, Any]]:
    """The bodies of its deliveries, in order."""
    found = await database.fetch(
        "select id, event, body from corral.webhook_deliveries where webhook_id = $1 order by id", webhook
    )
    bodies = [json.loads(row["body"]) for row in found]
    for row, body in zip(found, bodies, strict=True):
        assert body["id"] == str(row["id"]) and body["event"] == row["event"]
        assert body["version"] == 1 and body["webhook"] == webhook
    return bodies


async def submitted(leader: Leader, **fields: Any) -> tuple[Any, Any]:
    job = new_job(**fields)
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        new_tasks=[(task, change(task, 1, TaskState.QUEUED))],
        job_changes=[job_change(job, JobState.PENDING, queued=1)],
    )
    return job, task


async def ended(leader: Leader, job: Any, task: Any, state: TaskState = TaskState.FAILED) -> None:
    path = (TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, state)
    over = JobState.FAILED if state is TaskState.FAILED else JobState.COMPLETED
    at = {"started_at": T0 + 1, "exit_code": 3}
    moved = change(task, 2, *path, completed_at=T0 + 2, message="no such file", **at)
    now = job_change(job, over, **{state.value: 1}, ended_at=T0 + 2, **at)
    await leader.commit(task_changes=[moved], steps=[1], job_changes=[now])


async def test_a_jobs_life_is_told_in_order_with_what_there_is_to_know(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    job, task = await submitted(leader, name="nightly", metadata=b'{"team": "vision"}')
    await ended(leader, job, task)
    bodies = await told(database, hook)
    events = {body["event"]: body for body in bodies}
    assert sorted(events) == ["job.failed", "job.started", "job.submitted", "task.failed"]
    assert len(bodies) == 4 and bodies[0]["event"] == "job.submitted"
    failed = events["job.failed"]
    assert failed["at"] == "2025-06-15T15:06:42.000Z"
    assert failed["job"] | {"number": 0, "id": ""} == {
        "number": 0, "id": "", "name": "nightly", "state": "failed", "reason": "", "user": "alice", "exit": 3,
        "tasks": 1, "completed": 0, "failed": 1, "cancelled": 0, "submitted_at": "2025-06-15T15:06:40.000Z",
        "started_at": "2025-06-15T15:06:41.000Z", "ended_at": "2025-06-15T15:06:42.000Z",
        "metadata": {"team": "vision"},
    }  # fmt: skip
    assert events["task.failed"]["task"] == {
        "id": f"{job.number}.0", "state": "failed", "exit": 3, "signal": None, "message": "no such file",
        "retries": 0, "node": None,
    }  # fmt: skip


async def test_a_commit_that_is_undone_has_told_nothing(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    job, task = new_job(), new_task(new_job())
    unknown = change(task, 5, TaskState.QUEUED, TaskState.FAILED)
    with pytest.raises(Disagreement):
        await leader.commit(new_jobs=[job], task_changes=[unknown], steps=[1])
    assert await told(database, hook) == []


async def test_what_fails_and_is_tried_again_has_not_failed(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"), on=["task.failed"])
    _, task = await submitted(leader)
    path = (
        *(TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.FAILED),
        *(TaskState.RETRYING, TaskState.QUEUED),
    )
    await leader.commit(task_changes=[change(task, 2, *path, retries=1)], steps=[1])
    assert await told(database, hook) == []


async def test_each_hears_of_what_it_asked_for_and_may_see(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    alice, bob = await person(coordinator_dsn, "alice"), await person(coordinator_dsn, "bob")
    olga = await person(coordinator_dsn, "olga", Role.OPERATOR)
    job, task = await submitted(leader, metadata=b'{"team": "vision", "n": 3}')
    failed = {"on": ["job.failed"]}
    hears = [
        await added(webhooks, alice, **failed),
        await added(webhooks, alice, **failed, job=job.number),
        await added(webhooks, alice, **failed, tag=("team", "vision")),
        await added(webhooks, alice, **failed, tag=("n", "3")),
        await added(webhooks, olga, **failed),
        await added(webhooks, olga, **failed, of_user="alice"),
    ]
    deaf = [
        await added(webhooks, alice, on=["job.completed", "node.lost"]),
        await added(webhooks, alice, **failed, job=job.number + 1),
        await added(webhooks, alice, **failed, tag=("team", "audio")),
        await added(webhooks, alice, **failed, tag=("lack", "vision")),
        await added(webhooks, bob, **failed),
        await added(webhooks, olga, **failed, of_user="bob"),
    ]
    off = await added(webhooks, alice, **failed)
    await database.execute("update corral.webhooks set enabled = false where id = $1", off)
    await ended(leader, job, task)
    assert [len(await told(database, hook)) for hook in hears] == [1] * len(hears)
    assert [len(await told(database, hook)) for hook in [*deaf, off]] == [0] * 7


async def test_nodes_are_everybodys(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "bob"))
    there = node("hook-1")
    await leader.commit(nodes=[there])
    for changed in (
        replace(there, registered=False, health=NodeHealth.UNREACHABLE),
        replace(there, registered=False, health=NodeHealth.HEALTHY),
        replace(there, registered=False, admin=NodeAdmin.DRAINING),
        replace(there, registered=False, admin=NodeAdmin.INACTIVE),
        replace(there, registered=False, admin=NodeAdmin.FAILED),
        replace(there, registered=False, admin=NodeAdmin.FAILED),
    ):
        await leader.commit(nodes=[changed])
    bodies = await told(database, hook)
    assert [body["event"] for body in bodies] == [
        *("node.joined", "node.lost", "node.back", "node.drained", "node.quarantined")
    ]
    assert bodies[1]["node"]["name"] == "hook-1" and bodies[1]["node"]["health"] == "unreachable"


async def test_large_metadata_stays_at_home(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"), on=["job.submitted"])
    metadata = json.dumps({str(n): f"{n * n:x}" * 3 for n in range(5_000)}).encode()
    await submitted(leader, metadata=metadata)
    [body] = await told(database, hook)
    assert body["job"]["metadata"] is None


async def test_a_webhook_that_is_being_removed_holds_up_no_commit(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    """Its key would be gone at the end of the statement: that must not undo everybody's batch."""
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    other = await added(webhooks, await person(coordinator_dsn, "alice"))
    removing = database.transaction()
    await removing.start()
    await database.execute("delete from corral.webhooks where id = $1", hook)
    async with asyncio.timeout(10.0):
        await submitted(leader)
    await removing.commit()
    assert [body["event"] for body in await told(database, other)] == ["job.submitted"]


async def test_noting_holds_up_no_commit(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    noting = database.transaction()
    await noting.start()
    await database.execute("update corral.webhooks set dead_in_row = 1 where id = $1", hook)
    async with asyncio.timeout(10.0):
        await submitted(leader)
    await noting.rollback()
    assert [body["event"] for body in await told(database, hook)] == ["job.submitted"]


async def test_what_is_due_comes_by_webhook_and_once_noted_no_more(
    webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    alice = await person(coordinator_dsn, "alice")
    one, two = await added(webhooks, alice), await added(webhooks, alice)
    for hook in (one, one, one, two):
        assert await webhooks.test(hook) is not None
    found = await webhooks.due(each=2, limit=10, besides=[])
    assert sorted(each.webhook for each in found) == [one, one, two]
    assert all(each.secret == b"sealed" and each.owner == "alice" and each.tries == 0 for each in found)
    assert len(await webhooks.due(each=2, limit=2, besides=[])) == 2
    besides = [each.id for each in found]
    [left] = await webhooks.due(each=2, limit=10, besides=besides)
    assert left.id not in besides
    assert await webhooks.note(left, Outcome(status=204), DONE, took_s=0.0125, dead_max=9) == Noted()
    assert await webhooks.due(each=2, limit=10, besides=besides) == []
    [kept] = [each for each in await webhooks.deliveries(one, limit=10) if each.id == str(left.id)]
    assert (kept.state, kept.attempts, kept.status, kept.took_ms) == ("delivered", 1, 204, 12.5)
    assert kept.next_at is None and kept.last_at is not None


async def test_a_second_word_about_a_try_changes_nothing(webhooks: Webhooks, coordinator_dsn: str) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    await webhooks.test(hook)
    [due] = await webhooks.due(each=1, limit=1, besides=[])
    assert (await webhooks.note(due, FAILED, AGAIN, took_s=0.0, dead_max=9)).began
    assert await webhooks.note(due, Outcome(status=200), DONE, took_s=0.0, dead_max=9) == Noted()
    [kept] = await webhooks.deliveries(hook, limit=10)
    assert (kept.state, kept.attempts, kept.last_error) == ("waiting", 1, "answered 500")
    assert kept.next_at is not None and kept.last_at is not None and 59 < kept.next_at - kept.last_at < 61
    assert await webhooks.due(each=1, limit=1, besides=[]) == []
    shown = await webhooks.find(hook)
    assert shown is not None and shown.state == "failing" and shown.waiting == 1


async def test_so_many_given_up_in_a_row_disable_it_until_somebody_enables_it(
    webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    noted = []
    for verdict in (DEAD, DONE, DEAD, DEAD, DEAD):
        await webhooks.test(hook)
        [due] = await webhooks.due(each=1, limit=1, besides=[])
        noted.append(await webhooks.note(due, FAILED, verdict, took_s=0.0, dead_max=3))
    assert [each.ended for each in noted] == [False, False, False, False, True]
    assert [each.began for each in noted] == [True, False, True, False, False]
    await webhooks.test(hook)
    assert await webhooks.due(each=1, limit=1, besides=[]) == []
    shown = await webhooks.find(hook)
    assert shown is not None and shown.state == "disabled"
    assert shown.reason == "3 deliveries in a row were given up"
    await webhooks.enable(hook, by=ALICE)
    shown = await webhooks.find(hook)
    assert shown is not None and (shown.state, shown.reason, shown.dead) == ("active", "", 4)
    assert len(await webhooks.due(each=1, limit=1, besides=[])) == 1


async def test_one_that_says_that_it_is_gone_is_disabled_at_once(
    webhooks: Webhooks, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    await webhooks.test(hook)
    [due] = await webhooks.due(each=1, limit=1, besides=[])
    gone = Verdict(Standing.DEAD, gone=True)
    noted = await webhooks.note(due, Outcome(status=410), gone, took_s=0.0, dead_max=9)
    assert noted.ended and "410" in noted.reason


async def test_one_that_was_given_up_goes_out_again_under_its_id(
    webhooks: Webhooks, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    made = await webhooks.test(hook)
    [due] = await webhooks.due(each=1, limit=1, besides=[])
    await webhooks.note(due, FAILED, DEAD, took_s=0.0, dead_max=9)
    found = await webhooks.delivery(due.id)
    assert found is not None and found[1] == "alice" and found[0].state == "dead"
    again = await webhooks.redeliver(due.id)
    assert made is not None and again is not None
    assert (again.id, again.body, again.state, again.attempts) == (made.id, made.body, "waiting", 0)
    [once_more] = await webhooks.due(each=1, limit=1, besides=[])
    assert once_more == due


async def test_where_too_many_wait_new_ones_are_left_out_until_half_are_gone(
    leader: Leader, webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"), on=["job.submitted"])
    for _ in range(4):
        await submitted(leader)
    assert await webhooks.weigh(waiting_max=4) == []
    await submitted(leader)
    assert await webhooks.weigh(waiting_max=4) == [(hook, "alice")]
    assert await webhooks.weigh(waiting_max=4) == []  # told once
    shown = await webhooks.find(hook)
    assert shown is not None and shown.state == "full"
    await submitted(leader)
    assert len(await told(database, hook)) == 5
    for due in await webhooks.due(each=3, limit=3, besides=[]):
        await webhooks.note(due, Outcome(status=200), DONE, took_s=0.0, dead_max=9)
    assert await webhooks.weigh(waiting_max=4) == []
    await submitted(leader)
    assert len(await told(database, hook)) == 6


async def test_what_is_over_is_forgotten_after_its_days(
    webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    hook = await added(webhooks, await person(coordinator_dsn, "alice"))
    for verdict in (DONE, DEAD, AGAIN):
        await webhooks.test(hook)
        [due] = await webhooks.due(each=1, limit=1, besides=[])
        await webhooks.note(due, FAILED, verdict, took_s=0.0, dead_max=9)
    await database.execute("update corral.webhook_deliveries set last_at = last_at - interval '10 days'")
    await webhooks.sweep(delivered_days=7, dead_days=30)
    assert {each.state for each in await webhooks.deliveries(hook, limit=10)} == {"dead", "waiting"}
    await webhooks.sweep(delivered_days=7, dead_days=9)
    assert {each.state for each in await webhooks.deliveries(hook, limit=10)} == {"waiting"}


async def test_who_made_and_removed_it_is_in_the_audit(
    webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    alice = await person(coordinator_dsn, "alice")
    hook = await added(webhooks, alice)
    await webhooks.enable(hook, by=OPERATOR)
    await webhooks.remove(hook, by=OPERATOR)
    rows = await database.fetch(
        "select actor, action from corral.audit where object = $1 and action like 'webhook.%' order by id",
        str(hook),
    )
    assert [tuple(row) for row in rows] == [
        ("alice", "webhook.add"),
        ("olga", "webhook.enable"),
        ("olga", "webhook.remove"),
    ]
    assert await webhooks.find(hook) is None and await webhooks.test(hook) is None
    nobody = await webhooks.add(
        alice, url=URL, on=["job.failed"], of_user="nobody", job=None, tag=None, secret=b""
    )
    assert nobody is None


async def test_people_see_their_own_and_nobody_the_secret(
    webhooks: Webhooks, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    await added(webhooks, await person(coordinator_dsn, "alice"))
    transaction = database.transaction()
    await transaction.start()
    await database.execute("set local role corral_user")
    assert await database.fetchval("select count(url) from corral.webhooks") == 0
    for statement in ("select secret from corral.webhooks", "select * from corral.webhooks"):
        async with database.transaction():
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with database.transaction():
                    await database.fetch(statement)
    await transaction.rollback()
