"""What is counted as changed: a job whose rows a batch wrote, all of them together, and nothing else."""

from __future__ import annotations

import pytest

from bus.values import JobState, TaskState
from coordinator import versions as module
from coordinator.store.rows import Batch
from coordinator.versions import Versions
from tests.store_rows import change, job_change, new_job, new_task, node


def test_each_row_of_a_job_counts_for_it_and_for_all() -> None:
    job, other = new_job(), new_job()
    task = new_task(job)
    for batch in (
        Batch(number=1, new_jobs=[job]),
        Batch(number=2, job_changes=[job_change(job, JobState.RUNNING)]),
        Batch(number=3, new_tasks=[(task, change(task, 1, TaskState.QUEUED))]),
        Batch(number=4, task_changes=[change(task, 2, TaskState.QUEUED, TaskState.CANCELLED)]),
    ):
        versions = Versions(epoch=1)
        before = versions.of(), versions.of(job.number), versions.of(other.number)
        versions.changed(batch)
        after = versions.of(), versions.of(job.number), versions.of(other.number)
        assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True], batch


def test_what_is_no_job_and_no_task_counts_for_none() -> None:
    versions = Versions(epoch=1)
    before = versions.of()
    versions.changed(Batch(number=1, nodes=[node()]))
    assert versions.of() == before


def test_leaders_do_not_take_each_others_counts_for_theirs() -> None:
    assert Versions(epoch=1).of() != Versions(epoch=2).of()


def test_a_forgotten_job_seems_changed_rather_than_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JOBS_KEPT", 2)
    jobs, versions = [new_job() for _ in range(4)], Versions(epoch=1)
    told: dict[int, str] = {}
    for job in jobs:
        versions.changed(Batch(number=1, new_jobs=[job]))
        told[job.number] = versions.of(job.number)
    assert [versions.of(job.number) == told[job.number] for job in jobs] == [False, True, True, True]
    versions.changed(Batch(number=2, new_jobs=[jobs[1]]))
    assert versions.of(jobs[1].number) != told[jobs[1].number]
    assert versions.of(jobs[2].number) == told[jobs[2].number]
