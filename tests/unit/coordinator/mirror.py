"""The rows as PostgreSQL would keep them, refusing what its constraints refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import msgspec

from bus.values import (
    AttemptRef,
    AttemptState,
    JobState,
    Resources,
    TaskState,
)
from coordinator.core.effects import (
    AccountRow,
    AttemptChange,
    JobChange,
    LearnedState,
    LearningNotes,
    NewJob,
    NewTask,
    NodeRow,
    TaskChange,
)
from coordinator.core.events import (
    JobOver,
    LossSeen,
    RangeSeen,
    TaskSeen,
)
from coordinator.core.job_ends import JobEnd, bits_of
from coordinator.core.model import TERMINAL
from coordinator.core.node import Refusal
from coordinator.core.refusals import LEASE_RAN_OUT, NOT_ITS_WORDS
from coordinator.core.transitions import check_path
from coordinator.store.rows import Batch, LiveJob, Snapshot


class Mirror:
    """The rows as the database would hold them."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, tuple[NewJob, JobChange | None]] = {}
        self.tasks: dict[UUID, tuple[NewTask, TaskChange]] = {}
        self.paths: dict[UUID, list[TaskState]] = {}
        self.attempts: dict[AttemptRef, AttemptChange] = {}
        self.nodes: dict[str, NodeRow] = {}
        self.ledgers: dict[str, Resources] = {}
        self.tried_anew_at: dict[UUID, float] = {}
        self.notes: list[LearningNotes] = []
        self.states: list[LearnedState] = []
        self.accounts: dict[str, AccountRow] = {}

    def write(self, batch: Batch) -> None:
        for node in batch.nodes:
            self.nodes[node.name] = node
            self.ledgers[node.name] = node.allocated
        self.accounts |= {account.owner: account for account in batch.accounts}
        for job in batch.new_jobs:
            self.jobs[job.id] = (job, None)
        for new, change in batch.new_tasks:
            assert new.id not in self.tasks
            assert change.path[0] in (TaskState.PENDING, TaskState.QUEUED)
            self._put(new, change, list(change.path))
        for change, steps in zip(batch.task_changes, batch.steps, strict=True):
            new, stored = self.tasks[change.id]
            assert change.version == stored.version + steps, change
            assert change.path[0] == stored.state, change
            if change.output is None:
                change = msgspec.structs.replace(change, output=stored.output)
            self._put(new, change, self.paths[change.id] + list(change.path[1:]))
        for attempt in batch.attempts:
            assert attempt.new == (attempt.attempt not in self.attempts), attempt
            self.attempts[attempt.attempt] = attempt
        for ledger in batch.ledgers:
            self.ledgers[ledger.name] = ledger.allocated
            assert ledger.allocated.fits(self.nodes[ledger.name].capacity), ledger
        self.notes += batch.notes
        self.states += batch.states
        for change_of_job in batch.job_changes:
            new_job, _ = self.jobs[change_of_job.id]
            self.jobs[change_of_job.id] = (new_job, change_of_job)

    def _put(self, new: NewTask, change: TaskChange, path: list[TaskState]) -> None:
        check_path(tuple(path))
        assert (
            change.completed_at is None
            or change.started_at is not None
            or path[-1]
            in (
                TaskState.CANCELLED,
                TaskState.FAILED,
            )
        ), change
        if change.started_at is not None:
            assert change.started_at >= new.created_at
        self.tasks[change.id] = (new, change)
        self.paths[change.id] = path
        if TaskState.RETRYING in change.path:
            self.tried_anew_at[change.id] = change.changed_at

    def snapshot(self) -> Snapshot:
        live = {
            job.id: LiveJob(job, change)
            for job, change in self.jobs.values()
            if change is not None and not change.state.is_terminal
        }
        numbers = {each.job.number for each in live.values()}
        return Snapshot(
            next_number=max((job.number for job, _ in self.jobs.values()), default=0) + 1,
            users=[],
            nodes=list(self.nodes.values()),
            ended=self.ended(),
            accounts=list(self.accounts.values()),
            jobs=list(live.values()),
            tasks=[seen(new, change) for new, change in self.tasks.values() if new.job_id in live],
            attempts=self.attempts_kept(),
            losses=[loss for loss in self.losses() if loss.task.job in numbers],
            learned=self.states[-1] if self.states else None,
            notes=tuple(self.notes),
        )

    def attempts_kept(self) -> list[AttemptChange]:
        """The live ones; then the ranks of live gangs that are over, as they ended."""
        live, over = [], []
        for attempt in self.attempts.values():
            _, task = self.tasks[attempt.task_id]
            if attempt.state in (AttemptState.ASSIGNED, AttemptState.RUNNING):
                live.append(attempt)
            elif (
                task.state in (TaskState.ASSIGNED, TaskState.RUNNING) and attempt.attempt.fence == task.fence
            ):
                over.append(attempt)
        return live + sorted(over, key=lambda each: (each.ended_at, each.attempt))

    def done(self, number: int) -> bytes:
        """A bit for each task of a job that completed."""
        tasks = next(job.tasks for job, _ in self.jobs.values() if job.number == number)
        rows = [
            new.task.index
            for new, row in self.tasks.values()
            if new.task.job == number and new.count == 1 and row.state is TaskState.COMPLETED
        ]
        return bits_of([(index, index + 1) for index in rows], tasks)

    def ended(self) -> dict[int, JobEnd]:
        """The jobs that are over: how they ended."""
        return {
            job.number: JobEnd(
                change.state is JobState.COMPLETED,
                job.tasks,
                None if change.state is JobState.COMPLETED else self.done(job.number),
            )
            for job, change in self.jobs.values()
            if change is not None and change.state.is_terminal
        }

    def losses(self) -> Iterator[LossSeen]:
        """What tasks that are not over lost since they were last tried anew, as the store reads it."""
        counted = set()  # the ranks that a gang lost with one node are one loss
        refusals = self.refusals()
        for attempt in self.attempts.values():
            _, task = self.tasks[attempt.task_id]
            since = self.tried_anew_at.get(attempt.task_id, 0.0)
            lost = attempt.state is AttemptState.LOST and attempt.message != LEASE_RAN_OUT
            once = (attempt.task_id, attempt.attempt.fence, attempt.node)
            if lost and once not in counted and attempt.ended_at > since and task.state not in TERMINAL:
                counted.add(once)
                yield LossSeen(attempt.attempt.task.whole, attempt.node, attempt.ended_at, refusals.get(once))

    def refusals(self) -> dict[tuple[UUID, int, str], Refusal]:
        """Of each try the nodes on which it did not begin, and the last that they said."""
        found = {}
        for attempt in sorted(self.attempts.values(), key=lambda each: (each.ended_at or 0.0, each.attempt)):
            lost = attempt.state is AttemptState.LOST and attempt.started_at is None
            if lost and attempt.message not in NOT_ITS_WORDS:
                key = (attempt.task_id, attempt.attempt.fence, attempt.node)
                found[key] = Refusal(attempt.ended_at, attempt.message)
        return found

    def failed(self, number: int, index: int | None = None) -> tuple[TaskSeen, ...]:
        """Rows of failed tasks of a job, as the store reads them."""
        rows = [
            seen(new, change)
            for new, change in self.tasks.values()
            if new.task.job == number and new.count == 1 and change.state in FAILED
        ]
        rows.sort(key=lambda row: row.task.index)
        return tuple(row for row in rows if index is None or row.task.index == index)

    def over(self, number: int) -> JobOver:
        """A job that is over, as the store reads it."""
        job, change = next(each for each in self.jobs.values() if each[0].number == number)
        assert change is not None
        rows = [row for row in self.tasks.values() if row[0].task.job == number]
        firsts = {new.id: new.task.index for new, _ in rows}
        ended = Counter((firsts[new.range_id or new.id], row.state) for new, row in rows if new.count == 1)
        return JobOver(
            job=job,
            change=change,
            ended=tuple((first, state, tasks) for (first, state), tasks in ended.items()),
            ranges=tuple(
                RangeSeen(new.task.index, row.state, row.version, row.remaining)
                for new, row in rows
                if new.count > 1
            ),
            done=self.done(number),
        )


FAILED = (TaskState.FAILED, TaskState.TIMEOUT)


def seen(new: NewTask, change: TaskChange) -> TaskSeen:
    return TaskSeen(
        change.task,
        change.id,
        new.count,
        change.remaining,
        change.state,
        change.version,
        change.node,
        change.fence,
        change.retries,
        change.changed_at,
        change.started_at,
    )
