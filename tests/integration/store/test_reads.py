"""Clients' questions: the right rows, in pages, and nothing of anybody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bus import requests
from bus.values import AttemptState, JobState, Role, TaskRef, TaskState, UserName
from coordinator.core.effects import NewJob, NewTask
from coordinator.store.reads import AmbiguousJob, Reads
from tests.integration.store.conftest import Leader
from tests.store_rows import REQUEST, T0, attempt, change, job_change, ledger, new_job, new_task, node

Q, A, R, C = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED
BOB = UserName("bob")


@pytest.fixture
async def reads(coordinator_dsn: str) -> AsyncIterator[Reads]:
    reads = Reads(coordinator_dsn)
    yield reads
    await reads.close()


async def submit(leader: Leader, job: NewJob, *tasks: NewTask) -> None:
    await leader.commit(
        new_jobs=[job],
        job_changes=[job_change(job, JobState.PENDING, queued=job.tasks)],
        new_tasks=[(task, change(task, 1, Q)) for task in tasks],
    )


async def test_jobs_are_found_by_number_id_and_prefix(leader: Leader, reads: Reads) -> None:
    job = new_job()
    await submit(leader, job, new_task(job))
    for text in (str(job.number), str(job.id), str(job.id)[:8], str(job.id).upper(), "@last"):
        assert await reads.find_job(text, viewer="alice") == job.number, text
    for text in ("", "x", str(job.id)[:7], "9" * 30, "99999999", "-1", "@first", "１"):
        assert await reads.find_job(text, viewer="alice") is None, text
    assert await reads.find_job(str(job.number), viewer="bob") is None
    assert await reads.find_job(str(job.number), viewer=None) == job.number


async def test_an_ambiguous_prefix_is_said_to_be_one(leader: Leader, reads: Reads) -> None:
    first = new_job()
    twin = new_job(id=type(first.id)(int=first.id.int ^ 1))
    await submit(leader, first, new_task(first))
    await submit(leader, twin, new_task(twin))
    with pytest.raises(AmbiguousJob):
        await reads.find_job(str(first.id)[:13], viewer=None)


async def test_lists_are_paged_and_filtered(leader: Leader, reads: Reads) -> None:
    await leader.store.ensure_user(BOB, Role.USER)
    jobs = [new_job(owner=BOB) for _ in range(3)]
    for job in jobs:
        await submit(leader, job, new_task(job))
    page = await reads.jobs(requests.JobList(limit=2), viewer="bob")
    assert [job.number for job in page.jobs] == [jobs[2].number, jobs[1].number] and page.more
    rest = await reads.jobs(requests.JobList(limit=2, before=jobs[1].number), viewer="bob")
    assert [job.number for job in rest.jobs] == [jobs[0].number] and not rest.more
    assert (await reads.jobs(requests.JobList(states=[JobState.FAILED]), viewer="bob")).jobs == []
    assert (await reads.jobs(requests.JobList(user="bob"), viewer="alice")).jobs == []
    assert len((await reads.jobs(requests.JobList(user="bob"), viewer=None)).jobs) == 3
    shown = await reads.job(jobs[0].number, viewer="bob")
    assert shown is not None and shown.spec == {"command": ["true"]} and shown.counts.queued == 1
    assert await reads.job(jobs[0].number, viewer="alice") is None


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_a_range_shows_its_gaps_and_its_touched_elements(
    leader: Leader, reads: Reads, limit: int
) -> None:
    name = f"range{limit}"
    on = node(name)
    job = new_job(tasks=10)
    whole = new_task(job, size=10)
    await submit(leader, job, whole)
    touched = [new_task(job, index, range_id=whole.id) for index in (0, 3, 4)]
    await leader.commit(
        nodes=[on],
        new_tasks=[(task, change(task, 2, Q, A, node=name, fence=1)) for task in touched],
        task_changes=[change(whole, 2, Q, remaining=7)],
        steps=[1],
        attempts=[attempt(task, on, AttemptState.ASSIGNED, new=True) for task in touched],
        ledgers=[ledger(on, REQUEST + REQUEST + REQUEST)],
        job_changes=[job_change(job, JobState.SCHEDULED, queued=7, assigned=3)],
    )
    seen: list[tuple[int, int, str]] = []
    after, more = -1, True
    while more:
        page = await reads.tasks(job.number, requests.TaskList(job="", limit=limit, after=after))
        seen += [(task.index, task.count, task.state) for task in page.tasks]
        assert len(page.tasks) <= limit
        more, after = page.more, page.tasks[-1].index + page.tasks[-1].count - 1
    assert seen == [
        (0, 1, "assigned"), (1, 2, "queued"), (3, 1, "assigned"), (4, 1, "assigned"), (5, 5, "queued"),
    ]  # fmt: skip
    only = await reads.tasks(job.number, requests.TaskList(job="", states=[A]))
    assert [task.index for task in only.tasks] == [0, 3, 4]
    untouched = await reads.task(TaskRef(job.number, 7), viewer="alice")
    assert untouched is not None and (untouched.index, untouched.count) == (7, 1)
    assert untouched.attempts == []
    mine = await reads.task(TaskRef(job.number, 3), viewer="alice")
    assert mine is not None and mine.state is A and mine.attempts[0].node == name
    assert await reads.task(TaskRef(job.number, 10), viewer="alice") is None
    assert await reads.task(TaskRef(job.number, 3), viewer="bob") is None


async def test_outputs_come_in_pages(leader: Leader, reads: Reads) -> None:
    job = new_job(tasks=5)
    tasks = [new_task(job, index) for index in range(5)]
    await submit(leader, job, *tasks)
    await leader.commit(
        task_changes=[
            change(task, 4, Q, A, R, C, started_at=T0, completed_at=T0, output=b'"' + b"x" * 100 + b'"')
            for task in tasks[:4]
        ],
        steps=[3] * 4,
    )
    indexes, after, more = [], -1, True
    while more:
        page, more = await reads.needed_outputs(job.number, ["main"], after=after, page_bytes=250)
        assert 1 <= len(page) <= 2
        indexes += [output.task.index for output in page]
        after = indexes[-1]
    assert indexes == [0, 1, 2, 3]
    assert await reads.needed_outputs(job.number, ["other"], after=-1, page_bytes=250) == ([], False)
    single, more = await reads.needed_outputs(job.number, ["main"], after=-1, page_bytes=1)
    assert len(single) == 1 and more


async def test_the_place_of_an_attempt(leader: Leader, reads: Reads) -> None:
    on = node("place")
    job = new_job()
    task = new_task(job)
    ref = task.task
    await submit(leader, job, task)
    assert await reads.attempt_place(ref, fence=0, viewer=None) is None
    await leader.commit(
        nodes=[on],
        attempts=[
            attempt(task, on, AttemptState.LOST, new=True, fence=1),
            attempt(task, on, AttemptState.RUNNING, new=True, fence=2),
        ],
        ledgers=[ledger(on, REQUEST)],
    )
    newest = await reads.attempt_place(ref, fence=0, viewer="alice")
    assert newest is not None and (newest.fence, newest.ended) == (2, False)
    first = await reads.attempt_place(ref, fence=1, viewer="alice")
    assert first is not None and first.ended
    assert await reads.attempt_place(ref, fence=0, viewer="bob") is None


async def test_a_dedupe_key_is_remembered_for_its_owner(leader: Leader, reads: Reads) -> None:
    job = new_job(dedupe_key="once")
    await submit(leader, job, new_task(job))
    found = await reads.duplicate(job.owner, "once")
    assert found is not None and (found.number, found.id, found.digest) == (job.number, job.id, job.digest)
    assert await reads.duplicate(BOB, "once") is None
