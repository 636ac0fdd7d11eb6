"""The simulated database: rows as PostgreSQL would keep them, refusing what its triggers and keys refuse.

A call takes time and may fail in every way that a connection can: never arrive, arrive and be done without an
answer, be done much later. `Rows` is what is true; a `Connection` is one coordinator's way to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import astuple, replace

from bus.messages import NeededOutput
from bus.values import AttemptRef, AttemptState, JobState, Resources, TaskRef, TaskState, UserName
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
from coordinator.core.events import JobOver, LossSeen, RangeSeen, TaskSeen
from coordinator.core.job_ends import JobEnd, bits_of
from coordinator.core.model import TERMINAL
from coordinator.core.node import Refusal
from coordinator.core.refusals import LEASE_RAN_OUT, NOT_ITS_WORDS
from coordinator.core.transitions import TASK_TRANSITIONS
from coordinator.store.errors import NotLeader, OutcomeUnknown, StoreError, StoreUnavailable
from coordinator.store.rows import Batch, LiveJob, Snapshot
from tests.sim.timeline import Process, Timeline, Violation
from tests.unit.coordinator.mirror import FAILED, seen

LIVE = (AttemptState.ASSIGNED, AttemptState.RUNNING)
REFUSED_AFTER_S = 0.05
HANGS_S = 2.0


class Leadership(Struct):
    """The row; `waiting`: who stands by, in sessions that are open."""

    epoch: int = 0
    holder: Connection | None = None
    renewed_at: float = 0.0
    resigned: bool = False
    waiting: set[Connection] = field(default_factory=set)

    def someone_stands_by(self) -> bool:
        return any(session.open for session in self.waiting)


class Rows:
    """All tables. `write` is one transaction: what it refuses is a broken promise of the coordinator."""

    def __init__(self) -> None:
        self.leadership = Leadership()
        self.batches: dict[int, int] = {}
        self.jobs: dict[int, NewJob] = {}
        self.counters: dict[int, JobChange] = {}
        self.live_jobs: dict[int, None] = {}
        self.tasks: dict[int, dict[UUID, tuple[NewTask, TaskChange]]] = {}
        self.attempts: dict[AttemptRef, AttemptChange] = {}
        self.live_attempts: dict[AttemptRef, None] = {}
        self.nodes: dict[str, NodeRow] = {}
        self.held: dict[str, Resources] = {}
        self.lost: set[AttemptRef] = set()
        self.retried_at: dict[UUID, float] = {}
        self.names: dict[tuple[str, str], NewJob] = {}
        self.messages: dict[str, NewJob] = {}
        self.accounts: dict[str, AccountRow] = {}
        self.commits = 0
        self.notes: list[LearningNotes] = []
        self.learned: LearnedState | None = None

    def write(self, epoch: int, batch: Batch) -> None:
        """Commit `batch`, unless it was. Raises NotLeader, or Violation where a constraint would refuse."""
        if epoch != self.leadership.epoch:
            raise NotLeader(f"epoch {epoch} is over")
        if self.batches[epoch] >= batch.number:
            return
        self.batches[epoch] = batch.number
        self.commits += 1
        self._put_learned(batch)
        touched = {node.name for node in batch.nodes}
        for node in batch.nodes:
            self._put_node(node)
        for job in batch.new_jobs:
            self._insert_job(job)
        for new, change in batch.new_tasks:
            self._insert_task(new, change)
        for change, steps in zip(batch.task_changes, batch.steps, strict=True):
            self._change_task(change, steps)
        for attempt in batch.attempts:
            self._put_attempt(attempt)
            touched.add(attempt.node)
        for ledger in batch.ledgers:
            self.nodes[ledger.name] = replace(self.nodes[ledger.name], allocated=ledger.allocated)
            touched.add(ledger.name)
        for name in touched:
            self._check_ledger(name)
        for counters in batch.job_changes:
            self._put_counters(counters)
        for account in batch.accounts:
            self._put_account(account)

    def _put_learned(self, batch: Batch) -> None:
        for notes in batch.notes:
            if self.notes and notes.last <= self.notes[-1].last:
                raise Violation("rows", f"notes {notes.last} after {self.notes[-1].last}")
            self.notes.append(notes)
        for state in batch.states:
            self.learned = state
            self.notes = [notes for notes in self.notes if notes.last > state.sequence]

    def _put_node(self, node: NodeRow) -> None:
        known = self.nodes.get(node.name)
        if not node.registered:
            if known is None:
                raise Violation("rows", f"node {node.name} is not known")
            node = replace(node, capacity=known.capacity, inventory=known.inventory)
        self.nodes[node.name] = node
        self.held.setdefault(node.name, Resources())

    def _insert_job(self, job: NewJob) -> None:
        if job.number in self.jobs:
            raise Violation("I1", f"job number {job.number} was given twice")
        if job.dedupe_key is not None:
            if (job.owner, job.dedupe_key) in self.names:
                raise Violation("I1", f"dedupe key {job.dedupe_key} made a second job")
            self.names[job.owner, job.dedupe_key] = job
        if job.message_key is not None:
            if job.message_key in self.messages:
                raise Violation("I1", f"message {job.message_key} made a second job")
            self.messages[job.message_key] = job
        self.jobs[job.number] = job
        self.live_jobs[job.number] = None
        self.tasks[job.number] = {}

    def _insert_task(self, new: NewTask, change: TaskChange) -> None:
        rows = self.tasks[new.task.job]
        if new.id in rows:
            raise Violation("rows", f"task {new.task} has a row already")
        if change.path[0] not in (TaskState.PENDING, TaskState.QUEUED):
            raise Violation("I6", f"a new task begins as {change.path[0]}")
        _check_path(change)
        rows[new.id] = (new, change)

    def _change_task(self, change: TaskChange, steps: int) -> None:
        rows = self.tasks[change.task.job]
        new, stored = rows[change.id]
        if change.version != stored.version + steps:
            raise Violation("rows", f"task {change.task}: version {change.version} over {stored.version}")
        if change.path[0] is not stored.state:
            raise Violation("I6", f"task {change.task} is {stored.state}, not {change.path[0]}")
        _check_path(change)
        if change.retries > stored.retries + change.path.count(TaskState.RETRYING):
            raise Violation("I6", f"task {change.task}: {change.retries} retries after {stored.retries}")
        if change.retries > new.max_retries:
            raise Violation("I6", f"task {change.task}: {change.retries} retries of {new.max_retries}")
        if change.fence < stored.fence:
            raise Violation("I2", f"task {change.task}: fence {change.fence} after {stored.fence}")
        if TaskState.RETRYING in change.path[1:]:
            self.retried_at[change.id] = change.changed_at
        if change.output is None:
            change = replace(change, output=stored.output)
        rows[change.id] = (new, change)

    def _put_attempt(self, attempt: AttemptChange) -> None:
        ref = attempt.attempt
        known = self.attempts.get(ref)
        if attempt.new is not (known is None):
            raise Violation("rows", f"attempt {ref}: new is {attempt.new}, stored is {known is not None}")
        if known is not None and known.state not in LIVE:
            raise Violation("I3", f"attempt {ref} is {known.state} already; now {attempt.state}")
        live, holds = attempt.state in LIVE, attempt.holds
        if not live and holds != Resources():
            raise Violation("I4", f"attempt {ref} is {attempt.state} and holds {holds}")
        before = known.holds if known is not None else Resources()
        if holds != before:
            self.held[attempt.node] = self.held[attempt.node] + holds - before
        self.attempts[ref] = attempt
        if attempt.state is AttemptState.LOST:
            self.lost.add(ref)
        if live:
            self.live_attempts[ref] = None
        else:
            self.live_attempts.pop(ref, None)

    def _check_ledger(self, name: str) -> None:
        node, held = self.nodes[name], self.held[name]
        if node.allocated != held:
            raise Violation("I4", f"ledger of {name} is {node.allocated}, its attempts hold {held}")
        if exceeds(held, node.capacity):
            raise Violation("I4", f"{name} has {node.capacity} and gives {held}")

    def _put_counters(self, change: JobChange) -> None:
        before = self.counters.get(change.number)
        if before is not None and before.state.is_terminal and not change.state.is_terminal:
            self.live_jobs[change.number] = None  # a retry was asked for
        self.counters[change.number] = change
        if change.state.is_terminal:
            self.live_jobs.pop(change.number, None)

    def _put_account(self, account: AccountRow) -> None:
        known = self.accounts.get(account.owner)
        if known is not None and account.at < known.at:
            raise Violation("fair share", f"{account.owner} was settled at {known.at}, and again before that")
        self.accounts[account.owner] = account

    # reads

    def snapshot(self) -> Snapshot:
        """What a leader's memory is rebuilt from."""
        return Snapshot(
            next_number=max(self.jobs, default=0) + 1,
            users=[],
            nodes=[replace(node, registered=False) for node in self.nodes.values()],
            jobs=[LiveJob(self.jobs[number], self.counters[number]) for number in sorted(self.live_jobs)],
            tasks=[seen(*row) for number in sorted(self.live_jobs) for row in self.tasks[number].values()],
            attempts=self._attempts_kept(),
            losses=self._losses(),
            learned=self.learned,
            notes=tuple(self.notes),
            accounts=list(self.accounts.values()),
            ended={
                number: self._end(number)
                for number, counters in self.counters.items()
                if counters.state.is_terminal
            },
        )

    def _attempts_kept(self) -> list[AttemptChange]:
        """The live ones; then the ranks of live gangs that are over, as they ended."""
        live = [replace(self.attempts[ref], new=False) for ref in sorted(self.live_attempts)]
        tries = {(each.task_id, each.attempt.fence) for each in live}
        over = [
            replace(each, new=False)
            for each in self.attempts.values()
            if (each.task_id, each.attempt.fence) in tries and each.attempt not in self.live_attempts
        ]
        return live + sorted(over, key=lambda each: (each.ended_at or 0.0, each.attempt))

    def _losses(self) -> list[LossSeen]:
        """Where and when live tasks were lost since they were last tried anew, unless by nobody's fault."""
        once: dict[tuple[int, int, int, str], LossSeen] = {}  # ranks lost with one node are one loss
        for ref in sorted(self.lost):
            attempt = self.attempts[ref]
            rows = self.tasks[ref.job] if ref.job in self.live_jobs else {}
            row = rows.get(attempt.task_id)
            if row is None or row[1].state in TERMINAL or attempt.message == LEASE_RAN_OUT:
                continue
            assert attempt.ended_at is not None
            if attempt.ended_at > self.retried_at.get(attempt.task_id, float("-inf")):
                key = (ref.job, ref.task.whole.index, ref.fence, attempt.node)
                loss = once.setdefault(key, LossSeen(ref.task.whole, attempt.node, attempt.ended_at))
                if attempt.started_at is None and attempt.message not in NOT_ITS_WORDS:
                    once[key] = replace(loss, refusal=Refusal(attempt.ended_at, attempt.message))
        return [once[key] for key in sorted(once)]

    def task_state(self, task: TaskRef) -> TaskState | None:
        """By the task's own row, else that of its range."""
        state = None
        for new, change in self.tasks.get(task.job, {}).values():
            if new.count == 1 and new.task == task:
                return change.state
            if new.count > 1 and new.task.index <= task.index < new.task.index + new.count:
                state = change.state
        return state

    def _end(self, number: int) -> JobEnd:
        completed, tasks = self.counters[number].state is JobState.COMPLETED, self.jobs[number].tasks
        return JobEnd(completed, tasks, None if completed else self._done(number))

    def _done(self, number: int) -> bytes:
        """A bit for each task that completed."""
        rows = self.tasks.get(number, {}).values()
        done = [new.task.index for new, row in rows if new.count == 1 and row.state is TaskState.COMPLETED]
        return bits_of([(index, index + 1) for index in done], self.jobs[number].tasks)

    def ended(self, after: Iterable[int | str]) -> dict[int, JobEnd]:
        """Of the jobs that another one runs after, those that are over: how they ended."""
        numbers = (int(str(each).partition(":")[0]) for each in after)
        return {
            number: self._end(number)
            for number in numbers
            if number in self.counters and self.counters[number].state.is_terminal
        }

    def failed(self, number: int) -> tuple[TaskSeen, ...]:
        rows = self.tasks.get(number, {}).values()
        found = [seen(*row) for row in rows if row[0].count == 1 and row[1].state in FAILED]
        return tuple(sorted(found, key=lambda row: row.task.index))

    def over(self, number: int) -> JobOver | None:
        """A job that is over, as the store reads it."""
        if number not in self.jobs or number in self.live_jobs:
            return None
        rows = list(self.tasks[number].values())
        firsts = {new.id: new.task.index for new, _ in rows}
        ended = Counter((firsts[new.range_id or new.id], row.state) for new, row in rows if new.count == 1)
        return JobOver(
            job=self.jobs[number],
            change=self.counters[number],
            ended=tuple((first, state, tasks) for (first, state), tasks in ended.items()),
            ranges=tuple(
                RangeSeen(new.task.index, row.state, row.version, row.remaining)
                for new, row in rows
                if new.count > 1
            ),
            done=self._done(number),
        )

    def needed_outputs(self, number: int, groups: tuple[str, ...]) -> tuple[NeededOutput, ...]:
        rows = self.tasks[number].values()
        return tuple(
            NeededOutput(group=new.group, task=new.task, output=change.output)
            for new, change in rows
            if new.group in groups and new.count == 1 and change.state is TaskState.COMPLETED
        )


def exceeds(amounts: Resources, capacity: Resources) -> bool:
    """Not by the product's own comparison, which may be what is wrong."""
    pairs = zip(_flat(amounts), _flat(capacity), strict=True)
    return any(amount > there for amount, there in pairs)


def _flat(amounts: Resources) -> tuple[int, ...]:
    """GPUs in thousandths."""
    cpu, memory, gpus, storage, net, milli = astuple(amounts)
    return cpu, memory, gpus * 1000 + milli, storage, net


def _check_path(change: TaskChange) -> None:
    for before, after in zip(change.path, change.path[1:], strict=False):
        if after not in TASK_TRANSITIONS[before]:
            raise Violation("I6", f"task {change.task}: {before} -> {after}")


class Database:
    """The server: `away` from time to time, `slow_s` at others; `cut` hosts cannot reach it."""

    def __init__(self, timeline: Timeline, random: Random, *, pace: float) -> None:
        self.timeline = timeline
        self.random = random
        self.pace = pace
        self.rows = Rows()
        self.away = False
        self.slow_s = 0.0
        self.torn = 0.0  # share of calls whose connection breaks while they are under way
        self.cut: set[Any] = set()
        self.crashes = 0

    def crash(self) -> None:
        """Every transaction that is open is rolled back, every connection ends."""
        self.away = True
        self.crashes += 1


class Connection:
    """One coordinator process's sessions."""

    def __init__(self, database: Database, owner: Process) -> None:
        self._database = database
        self._owner = owner

    @property
    def open(self) -> bool:
        """Whether the server still believes in it: a host that is cut off is not noticed."""
        return self._owner.alive

    @property
    def now_s(self) -> float:
        return self._database.timeline.now

    def call(
        self,
        work: Callable[[Rows], Any],
        done: Callable[[Any], None],
        failed: Callable[[StoreError], None],
        *,
        commits: bool = False,
    ) -> None:
        """Do `work` over there; then `done` with what it returned, or `failed`."""
        database, random = self._database, self._database.random
        if database.away:
            self._owner.after(REFUSED_AFTER_S, failed, StoreUnavailable("connection refused"))
            return
        if self._owner.host in database.cut:
            self._owner.after(HANGS_S * database.pace, failed, StoreUnavailable("no answer"))
            return
        takes_s = (0.0005 + database.slow_s) * (0.5 + random.random())
        reach_s = takes_s * random.random()
        torn = random.random() < database.torn
        crashes = database.crashes
        database.timeline.after(
            reach_s, self._work, work, done, failed, takes_s - reach_s, torn, commits, crashes
        )

    def _work(
        self,
        work: Callable[[Rows], Any],
        done: Callable[[Any], None],
        failed: Callable[[StoreError], None],
        back_s: float,
        torn: bool,
        commits: bool,
        crashes: int,
    ) -> None:
        database = self._database
        broken = StoreUnavailable("the connection broke")
        if database.crashes != crashes or (torn and database.random.random() < 0.3):
            # it did not come so far; whoever asked for a commit cannot know that
            self._owner.after(back_s, failed, OutcomeUnknown("torn before") if commits else broken)
            return
        try:
            result = work(database.rows)
        except StoreError as error:
            self._owner.after(back_s, failed, error)
            return
        if torn or self._owner.host in database.cut:
            self._owner.after(back_s, failed, OutcomeUnknown("torn after") if commits else broken)
        else:
            database.timeline.after(back_s, self._answer, done, failed, result, commits, crashes)

    def _answer(
        self,
        done: Callable[[Any], None],
        failed: Callable[[StoreError], None],
        result: Any,
        commits: bool,
        crashes: int,
    ) -> None:
        if self._database.crashes == crashes and self._owner.host not in self._database.cut:
            self._owner.enter(done, result)
        else:
            error: StoreError = StoreUnavailable("the connection broke")
            self._owner.enter(failed, OutcomeUnknown("torn after") if commits else error)

    # what a leader asks for

    def renew(self, epoch: int) -> Callable[[Rows], None]:
        def work(rows: Rows) -> None:
            if rows.leadership.epoch != epoch:
                raise NotLeader(f"epoch {epoch} is over")
            rows.leadership.renewed_at = self._database.timeline.now

        return work

    def give_way(self, epoch: int) -> Callable[[Rows], bool]:
        """Resign, if another one could lead at once."""

        def work(rows: Rows) -> bool:
            if rows.leadership.epoch != epoch or not rows.leadership.someone_stands_by():
                return False
            rows.leadership.resigned = True
            return True

        return work


def duplicate(owner: UserName, key: str) -> Callable[[Rows], NewJob | None]:
    return lambda rows: rows.names.get((owner, key))
