"""Jobs that tasks submitted: their rows name the task, and no archive takes them with their parents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copy
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from bus.fields import JOB_FIELDS
from bus.filter import Order, parse
from bus.values import JobState, TaskState
from coordinator.core.effects import NewTask
from coordinator.store.archive import Archive, Before, Moved, Old
from coordinator.store.listing import Listing
from coordinator.store.lists import Lists
from coordinator.store.over import Over
from coordinator.store.past import Past
from coordinator.store.reads import Reads
from sql import MIGRATIONS
from sql.migrate import migrate, migrations
from tests.integration.store.conftest import Leader
from tests.integration.store.test_archive import row
from tests.store_rows import T0, change, job_change, new_job, new_task

pytestmark = pytest.mark.contract("S4.19")

LATER = T0 + 100
OLD = Before(LATER, LATER, LATER)
QUEUED, CANCELLED = TaskState.QUEUED, TaskState.CANCELLED


@pytest.fixture
async def archive(coordinator_dsn: str, database: asyncpg.Connection) -> AsyncIterator[Archive]:
    await database.execute("delete from corral.jobs")
    await database.execute("delete from corral.jobs_archive")
    made = Archive(coordinator_dsn)
    yield made
    await made.close()


async def made(
    leader: Leader, parent: NewTask | None = None, *, ended_at: float | None = T0 + 9, size: int = 1
) -> NewTask:
    """The first task of a new job that `parent` submitted, cancelled before it ran (None: it waits)."""
    spec: dict[str, Any] = {"command": ["true"]}
    if parent is not None:
        spec["parent"] = f"{parent.task.job}.{parent.task.index}"
    job = new_job(size, spec=msgspec.json.encode(spec))
    task = new_task(job, size=size, parent_id=parent and parent.id)
    if ended_at is None:
        ended = change(task, 1, QUEUED)
        counts = job_change(job, JobState.PENDING, queued=size)
    else:
        ended = change(task, 2, QUEUED, CANCELLED, completed_at=ended_at)
        counts = job_change(job, JobState.CANCELLED, cancelled=size, ended_at=ended_at, cancel_requested=True)
    await leader.commit(new_jobs=[job], job_changes=[counts], new_tasks=[(task, ended)])
    return task


async def test_all_rows_of_a_child_name_its_parent(
    leader: Leader, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    parent = await made(leader, ended_at=None)
    array = await made(leader, parent, ended_at=None, size=3)
    element = msgspec.structs.replace(
        array, id=uuid4(), task=array.task._replace(index=1), count=1, range_id=array.id
    )
    await leader.commit(
        task_changes=[change(array, 2, QUEUED, remaining=2)],
        steps=[1],
        new_tasks=[(element, change(element, 1, QUEUED))],
    )
    found = await database.fetch(
        "select index, count, parent_task_id from corral.tasks where job_id = $1 order by index", array.job_id
    )
    assert [tuple(each) for each in found] == [(0, 3, parent.id), (1, 1, parent.id)]
    snapshot = await leader.store.load()
    known = {live.job.number: live.job.parent_id for live in snapshot.jobs}
    assert (known[array.task.job], known[parent.task.job]) == (parent.id, None)
    over, reads = Over(coordinator_dsn), Reads(coordinator_dsn)
    try:
        one = await over.job(array.task.job)
        shown = await reads.job(array.task.job, viewer=None)
    finally:
        await over.close()
        await reads.close()
    assert one is not None and one.job.parent_id == parent.id
    assert shown is not None and shown.parent == f"{parent.task.job}.0"


async def test_a_job_waits_in_the_archive_for_those_that_came_from_it(
    leader: Leader, archive: Archive, database: asyncpg.Connection
) -> None:
    """However they are asked for: the key would take the tasks of a job that is still there."""
    parent = await made(leader, ended_at=T0 + 1)
    child = await made(leader, parent, ended_at=T0 + 2)
    grandchild = await made(leader, child, ended_at=T0 + 3, size=4)
    numbers = [each.task.job for each in (parent, child, grandchild)]
    assert await archive.count(OLD) == [Moved(JobState.CANCELLED, 3, 6)], "all of them can go, one by one"
    for place, tasks in ((2, 4), (1, 1), (0, 1)):
        assert await archive.oldest(OLD, but=[], limit=9) == [Old(numbers[place], tasks)]
        moved = await archive.move(numbers, OLD, epoch=leader.store.epoch, by="olga")
        assert moved == [Moved(JobState.CANCELLED, 1, tasks)]
        left = await database.fetchval("select count(*) from corral.tasks")
        assert left == place, "nothing else went with it"
    kept = await row(database, "jobs_archive", child.task.job)
    assert kept is not None and (kept["parent"], kept["parent_job"]) == (f"{numbers[0]}.0", numbers[0])


@pytest.mark.parametrize("ended_at", [None, LATER + 1], ids=["lives", "is not old"])
async def test_it_stays_as_long_as_one_below_it(
    leader: Leader, archive: Archive, ended_at: float | None
) -> None:
    parent = await made(leader)
    child = await made(leader, parent)
    await made(leader, child, ended_at=ended_at)
    other = await made(leader)
    assert await archive.oldest(OLD, but=[], limit=9) == [Old(other.task.job, 1)]
    assert await archive.count(OLD) == [Moved(JobState.CANCELLED, 1, 1)], (
        "what must stay is not counted as left"
    )
    everything = [each.task.job for each in (parent, child, other)]
    assert await archive.move(everything, OLD, epoch=leader.store.epoch, by="x") == [
        Moved(JobState.CANCELLED, 1, 1)
    ]


async def test_jobs_of_a_task_and_of_a_job_are_listed(
    leader: Leader, archive: Archive, coordinator_dsn: str
) -> None:
    parent = await made(leader, ended_at=None)
    child = await made(leader, parent)
    other = await made(leader, await made(leader))
    lists, past = Lists(coordinator_dsn), Past(coordinator_dsn)

    async def found(text: str, where: Lists = lists, *, now_s: float = LATER) -> list[int]:
        conditions = parse(text, JOB_FIELDS, me="alice", now_s=now_s)
        listing = Listing(scope="", conditions=conditions, order=Order("number"), limit=9, now_s=now_s)
        return [job.number for job in (await where.jobs(listing, viewer=None)).jobs]

    number = parent.task.job
    try:
        for where in (lists, past):
            assert await found(f"parent={number}.0", where) == [child.task.job]
            assert await found(f"parent_job={number}", where) == [child.task.job]
            assert await found(f"parent={number}.1", where) == await found("parent=x", where) == []
            assert await found("parent_job!=none", where) == [child.task.job, other.task.job]
        assert await found(f'parent="",{number}.0 user=alice number<={child.task.job}') == [
            number, child.task.job
        ]  # fmt: skip
    finally:
        await lists.close()
        await past.close()


async def test_rows_of_an_older_release_are_told_their_parents(empty_dsn: str, tmp_path: Path) -> None:
    """Also an array's; a parent in the archive stays unnamed; and none of them counts as changed now."""
    before = [path for path in sorted(MIGRATIONS.glob("*.sql")) if path.name < "0054"]
    for path in before:
        copy(path, tmp_path)
    connection = await asyncpg.connect(empty_dsn)
    try:
        await connection.execute("drop schema if exists corral cascade")
        await migrate(empty_dsn, folder=tmp_path)
        await connection.execute(
            """
            insert into corral.users (username, role) values ('alice', 'user');
            insert into corral.jobs (number, user_id, spec, total, pending)
            select n, u.id, s::jsonb, t, t
            from corral.users u, (values
                (1, '{"command": ["x"]}', 2), (2, '{"command": ["x"], "parent": "1.1"}', 3),
                (3, '{"command": ["x"], "parent": "77.0"}', 1), (4, '{"command": ["x"], "parent": "2.0"}', 1))
                as j (n, s, t);
            insert into corral.tasks (job_id, index, count, remaining, input, updated_at)
            select j.id, i, c, c, '{"a": 1}', '2026-01-01'
            from corral.jobs j
                join (values (1, 0, 1), (1, 1, 1), (2, 0, 3), (3, 0, 1), (4, 0, 1)) as t (n, i, c)
                on t.n = j.number;
            insert into corral.tasks (job_id, index, input, range_id, updated_at)
            select job_id, 0, '{"a": 1}', id, '2026-01-01' from corral.tasks where count = 3;
            """
        )
        assert len(await migrate(empty_dsn)) == len(migrations()) - len(before)
        rows = await connection.fetch(
            "select j.number, t.index, t.count, p.index as above, a.number as job,"
            " t.updated_at = '2026-01-01' as same"
            " from corral.tasks t join corral.jobs j on j.id = t.job_id"
            " left join corral.tasks p on p.id = t.parent_task_id left join corral.jobs a on a.id = p.job_id"
        )
        assert all(each["same"] for each in rows)
        assert {(r["number"], r["index"], r["count"]): (r["job"], r["above"]) for r in rows} == {
            (1, 0, 1): (None, None), (1, 1, 1): (None, None), (2, 0, 3): (1, 1), (2, 0, 1): (1, 1),
            (3, 0, 1): (None, None), (4, 0, 1): (2, 0),
        }  # fmt: skip
        named = await connection.fetch("select parent, parent_job from corral.jobs order by number")
        assert [tuple(each) for each in named] == [(None, None), ("1.1", 1), ("77.0", 77), ("2.0", 2)]
    finally:
        await connection.close()
