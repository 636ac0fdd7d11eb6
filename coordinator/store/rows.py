"""What goes into one transaction, and what comes back at start-up."""

from __future__ import annotations

import math
from uuid import UUID

from msgspec import Struct

from bus.item_lists import ItemList
from bus.values import Role, UserName
from coordinator.core.effects import (
    AccountRow,
    AttemptChange,
    AuditRow,
    JobChange,
    LearnedState,
    LearningNotes,
    NewJob,
    NewTask,
    NodeLedger,
    NodeRow,
    TaskChange,
)
from coordinator.core.events import LossSeen, TaskSeen
from coordinator.core.job_ends import JobEnd

__all__ = ["Batch", "LiveJob", "LossSeen", "Snapshot", "TaskSeen", "UserRow"]


class Batch(Struct, kw_only=True):
    """The joined rows of a batch of events: at most one entry per job, task, attempt and node.

    `new_tasks` pairs each new row with its state at the end of the batch: the path of the change
    starts with the row's first state. In `task_changes` the path starts with the state that the database
    holds now, and `version` exceeds the stored one by the number of joined changes, given in `steps`.
    """

    number: int
    new_jobs: list[NewJob] = []
    job_changes: list[JobChange] = []
    new_tasks: list[tuple[NewTask, TaskChange]] = []
    task_changes: list[TaskChange] = []
    steps: list[int] = []  # parallel to task_changes
    attempts: list[AttemptChange] = []
    nodes: list[NodeRow] = []
    ledgers: list[NodeLedger] = []
    audits: list[AuditRow] = []
    notes: list[LearningNotes] = []  # one at most
    states: list[LearnedState] = []
    accounts: list[AccountRow] = []

    @property
    def empty(self) -> bool:
        return not (
            self.new_jobs
            or self.job_changes
            or self.new_tasks
            or self.task_changes
            or self.attempts
            or self.nodes
            or self.ledgers
            or self.audits
            or self.notes
            or self.states
            or self.accounts
        )


class UserRow(Struct, frozen=True):
    id: UUID
    name: UserName
    role: Role
    active: bool


class Activity(Struct, frozen=True):
    """What is on record of somebody; `seen_at` (Unix epoch) None: nothing is."""

    seen_at: float | None = None
    failed: int = 0


class LiveJob(Struct, frozen=True):
    """A job that is not over: `job` as it was created, `change` as it stands."""

    job: NewJob
    change: JobChange


class Snapshot(Struct, kw_only=True):
    """All that the coordinator's memory is rebuilt from. `attempts` are the live ones (assigned, running),
    then the ranks of live gangs that are over, in the order of their ends.

    `ended`: of the jobs that are over and that a live one may wait for, how they ended. `learned`:
    the newest snapshot of it, and `notes` what was learned from since.
    """

    next_number: int
    users: list[UserRow]
    nodes: list[NodeRow]
    jobs: list[LiveJob]
    tasks: list[TaskSeen]
    attempts: list[AttemptChange]
    losses: list[LossSeen] = []
    learned: LearnedState | None = None
    notes: tuple[LearningNotes, ...] = ()
    ended: dict[int, JobEnd] = {}
    accounts: list[AccountRow] = []
    lists: dict[str, ItemList] = {}  # what live jobs' `for_each` points to, by hash

    @property
    def newest_s(self) -> float:
        """The newest instant of all that is here; deadlines do not count. −∞: nothing is here."""
        instants: list[float | None] = [node.last_heartbeat_at for node in self.nodes]
        instants += [node.admin_at for node in self.nodes]
        for live in self.jobs:
            change = live.change
            instants += (live.job.submitted_at, change.started_at, change.held_at, change.paused_at)
        instants += [task.changed_at for task in self.tasks]
        for attempt in self.attempts:
            instants += (attempt.assigned_at, attempt.started_at)
        instants += [loss.at_s for loss in self.losses]
        instants += [account.at for account in self.accounts]
        return max((instant for instant in instants if instant is not None), default=-math.inf)
