"""Clients' questions: the right rows, in pages, and nothing of anybody else's."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from bus.values import AttemptState, JobState, TaskRef, TaskState, UserName
from coordinator.core.effects import NewJob, NewTask
from coordinator.store.reads import AmbiguousJob, Reads
from coordinator.store.rows import Activity
from tests.integration.store.conftest import Leader
from tests.store_rows import REQUEST, T0, attempt, change, job_change, ledger, new_job, new_task, node

Q, A, R, C = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED
BOB = UserName("bob")


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
    twins = [first] + [new_job(id=UUID(int=first.id.int ^ flip)) for flip in range(1, 9)]
    for job in twins:
        await submit(leader, job, new_task(job))
    with pytest.raises(AmbiguousJob) as caught:
        await reads.find_job(str(first.id)[:13], viewer=None)
    assert caught.value.jobs == tuple(job.number for job in twins[:2:-1])


async def test_a_number_names_its_job_even_where_it_begins_ids(leader: Leader, reads: Reads) -> None:
    newer = [new_job(id=UUID(hex=f"12345678{part:024x}")) for part in range(7)]
    job = new_job(number=12345678)
    for each in (job, *newer):
        await submit(leader, each, new_task(each))
    assert await reads.find_job("12345678", viewer=None) == 12345678


async def test_a_job_is_shown_to_who_may_see_it(leader: Leader, reads: Reads) -> None:
    job = new_job()
    await submit(leader, job, new_task(job))
    shown = await reads.job(job.number, viewer="alice")
    assert shown is not None and shown.spec == {"command": ["true"]} and shown.counts.queued == 1
    assert (shown.id, shown.user, shown.submitted_at, shown.held) == (str(job.id), "alice", T0, False)
    assert await reads.job(job.number, viewer="bob") is None


async def test_a_task_is_shown_with_its_attempts(leader: Leader, reads: Reads) -> None:
    on = node("shown")
    job = new_job(tasks=10)
    whole = new_task(job, size=10)
    await submit(leader, job, whole)
    touched = new_task(job, 3, range_id=whole.id)
    await leader.commit(
        nodes=[on],
        new_tasks=[(touched, change(touched, 2, Q, A, node="shown", fence=1))],
        task_changes=[change(whole, 2, Q, remaining=9)],
        steps=[1],
        attempts=[attempt(touched, on, AttemptState.ASSIGNED, new=True)],
        ledgers=[ledger(on, REQUEST)],
        job_changes=[job_change(job, JobState.SCHEDULED, queued=9, assigned=1)],
    )
    untouched = await reads.task(TaskRef(job.number, 7), viewer="alice")
    assert untouched is not None and (untouched.index, untouched.count) == (7, 1)
    assert untouched.attempts == [] and untouched.node is None
    mine = await reads.task(TaskRef(job.number, 3), viewer="alice")
    assert mine is not None and mine.state is A and mine.attempts[0].node == "shown"
    assert mine.attempts[0].assigned_at == T0 + 1 and mine.attempts[0].ended_at is None
    assert await reads.task(TaskRef(job.number, 10), viewer="alice") is None
    assert await reads.task(TaskRef(job.number, 3), viewer="bob") is None


async def test_the_row_of_a_task_is_told_from_a_job(leader: Leader, reads: Reads) -> None:
    job = new_job()
    task = new_task(job)
    await submit(leader, job, task)
    assert await reads.task_by_id(task.id, viewer="alice") == TaskRef(job.number, 0)
    assert await reads.task_by_id(task.id, viewer="bob") is None
    assert await reads.task_by_id(job.id, viewer=None) is None


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


async def test_who_was_seen_when_and_what_of_theirs_failed(leader: Leader, reads: Reads) -> None:
    """Of their jobs the newest counts, and of those that failed the ones of the last day."""
    # newer than every other job of hers here
    older, job = new_job(number=20_000_000), new_job(number=20_000_001, submitted_at=T0 + 5.0)
    for each in (older, job):
        await submit(leader, each, new_task(each))
    assert (await reads.activity())[older.owner] == Activity(seen_at=T0 + 5.0)
    for each, ended_at in ((older, T0 + 9.0), (job, time.time())):
        failed = job_change(each, JobState.FAILED, failed=1, started_at=T0 + 6.0, ended_at=ended_at)
        await leader.commit(job_changes=[failed])
    assert (await reads.activity())[older.owner] == Activity(seen_at=T0 + 5.0, failed=1)
