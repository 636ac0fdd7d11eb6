"""What was committed is what a new leader loads."""

from __future__ import annotations

import asyncpg
import msgspec
import pytest

from bus.values import (
    AttemptState,
    GpuInfo,
    InterfaceInfo,
    Inventory,
    JobState,
    Resources,
    Role,
    TaskState,
    UserName,
)
from coordinator.core.job_ends import JobEnd
from coordinator.store.reads import Reads
from tests.integration.store.conftest import Leader
from tests.store_rows import REQUEST, T0, attempt, change, job_change, ledger, new_job, new_task, node


async def test_live_jobs_come_back_as_they_were_written(leader: Leader) -> None:
    on = node("back")
    job = new_job(tasks=2, name="two", metadata=b'{"a": 1}')
    change_of_job = job_change(job, JobState.SCHEDULED, queued=1, assigned=1)
    tasks = [new_task(job, 0), new_task(job, 1)]
    assigned = change(tasks[0], 2, TaskState.QUEUED, TaskState.ASSIGNED, node="back", fence=1)
    live = attempt(tasks[0], on, AttemptState.ASSIGNED, new=True, gpus=("GPU-1",))
    await leader.commit(
        nodes=[on],
        new_jobs=[job],
        job_changes=[change_of_job],
        new_tasks=[(tasks[0], assigned), (tasks[1], change(tasks[1], 1, TaskState.QUEUED))],
        attempts=[live],
        ledgers=[ledger(on, REQUEST)],
    )
    snapshot = await leader.store.load()
    assert snapshot.next_number > job.number
    [loaded] = [each for each in snapshot.jobs if each.job.id == job.id]
    assert loaded.job == job
    assert loaded.change == change_of_job
    first, second = (each for each in snapshot.tasks if each.task.job == job.number)
    assert (first.state, first.node, first.fence, first.version) == (TaskState.ASSIGNED, "back", 1, 2)
    assert (second.state, second.node, second.changed_at) == (TaskState.QUEUED, None, T0 + 1)
    [seen] = [each for each in snapshot.attempts if each.task_id == tasks[0].id]
    assert (seen.holds, seen.gpus, seen.waiting) == (REQUEST, ("GPU-1",), False)
    [machine] = [each for each in snapshot.nodes if each.id == on.id]
    assert machine.capacity == on.capacity and machine.allocated == REQUEST
    assert machine.inventory == on.inventory and machine.labels == on.labels


async def test_a_job_that_is_over_is_not_loaded(leader: Leader) -> None:
    job = new_job()
    task = new_task(job)
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.CANCELLED, cancelled=1, cancel_requested=True)],
        new_tasks=[(task, change(task, 2, TaskState.QUEUED, TaskState.CANCELLED, completed_at=T0 + 1))],
    )
    snapshot = await leader.store.load()
    assert job.number not in {each.job.number for each in snapshot.jobs}
    assert snapshot.next_number > job.number


async def test_how_the_jobs_ended_that_a_waiting_one_runs_after(
    leader: Leader, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    """Of those that are over; also where they have gone to the archive, and only where somebody waits."""
    completed, failed, archived, live, unasked = (new_job() for _ in range(5))
    earlier = [completed.number, f"{failed.number}:any", f"{live.number}:failed", str(archived.number)]
    waiting = new_job(spec=msgspec.json.encode({"command": ["true"], "after": earlier}))
    let_go = new_job(spec=msgspec.json.encode({"command": ["true"], "after": [unasked.number]}))
    await leader.commit(
        new_jobs=[completed, failed, archived, live, unasked, waiting, let_go],
        job_changes=[
            job_change(completed, JobState.COMPLETED, completed=1),
            job_change(failed, JobState.FAILED, failed=1),
            job_change(archived, JobState.COMPLETED, completed=1),
            job_change(live, JobState.RUNNING, running=1),
            job_change(unasked, JobState.COMPLETED, completed=1),
            job_change(waiting, JobState.PENDING, pending=1),
            job_change(let_go, JobState.PENDING, queued=1),
        ],
    )
    columns = "id, number, user_id, total, pending, completed"
    await database.execute(
        f"insert into corral.jobs_archive ({columns}) select {columns} from corral.jobs where number = $1",
        archived.number,
    )
    await database.execute("delete from corral.jobs where number = $1", archived.number)
    snapshot = await leader.store.load()
    assert snapshot.ended == {
        completed.number: JobEnd(True, 1),
        failed.number: JobEnd(False, 1),
        archived.number: JobEnd(True, 1),
    }
    reads = Reads(coordinator_dsn)
    numbers = [failed.number, archived.number, live.number, 10**12]
    expected = {failed.number: JobEnd(False, 1), archived.number: JobEnd(True, 1), live.number: None}
    assert await reads.ended(numbers, viewer="alice") == expected == await reads.ended(numbers, viewer=None)
    assert await reads.ended(numbers, viewer="bob") == {}
    await reads.close()


@pytest.mark.contract("S0.55")
async def test_a_registration_replaces_what_the_node_had(
    leader: Leader, database: asyncpg.Connection
) -> None:
    inventory = Inventory(
        hostname="bad host name!",
        ip="not an address",
        architecture="x86_64",
        os_version="Linux\0",
        kernel_version="6",
        cpu_model="any",
        cpu_cores=0,
        gpus=(GpuInfo(uuid="GPU-1", model="A", mem_mib=100), GpuInfo(uuid="GPU-2", model="A", mem_mib=100)),
        interfaces=(
            InterfaceInfo(name="lo", mac="", kind="strange"),
            InterfaceInfo(name="eth0", mac="02:00:00:00:00:01"),
        ),
    )
    on = node("odd_node-", inventory=inventory)
    await leader.commit(nodes=[on])
    row = await database.fetchrow(
        "select hostname, host(ip) as ip, cpu_cores from corral.nodes where id = $1", on.id
    )
    assert tuple(row) == ("odd-node", "0.0.0.0", 1)
    count = "select count(*) from corral.{} where node_id = $1"
    assert await database.fetchval(count.format("gpus"), on.id) == 2
    assert await database.fetchval(count.format("network_interfaces"), on.id) == 2
    smaller = node("odd_node-", id=on.id, capacity=Resources(4000, 1000))
    await leader.commit(nodes=[smaller])
    assert await database.fetchval(count.format("gpus"), on.id) == 0
    assert await database.fetchval(count.format("node_resources"), on.id) == 5
    [loaded] = [each for each in (await leader.store.load()).nodes if each.id == on.id]
    assert loaded.capacity == Resources(4000, 1000)


async def test_users_keep_their_id_and_take_the_new_role(leader: Leader) -> None:
    name = UserName("bob")
    first = await leader.store.ensure_user(name, Role.USER)
    assert await leader.store.ensure_user(name, Role.OPERATOR) == first
    [bob] = [user for user in (await leader.store.load()).users if user.name == name]
    assert (bob.role, bob.active) == (Role.OPERATOR, True)
