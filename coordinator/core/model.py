"""The cluster as the core knows it: nodes, live jobs, their tasks and attempts.

Only what is not over lives here. An array is one `Group`: its elements get a `Task` when they are first
touched and lose it when they end: a million queued tasks cost as much as one. Only the machine changes these.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import Struct, field

from bus.spec import OnFailure
from bus.values import (
    AttemptRef,
    AttemptState,
    JobKind,
    JobState,
    NodeName,
    Resources,
    TaskRef,
    TaskSettings,
    TaskState,
    UserName,
)
from coordinator.core.conditions import Condition
from coordinator.core.elements import Values as Values
from coordinator.core.ids import range_id, task_id
from coordinator.core.job_ends import JobEnd
from coordinator.core.limits import Limits as Limits
from coordinator.core.lines import Line as Line
from coordinator.core.lines import Waiting as Waiting
from coordinator.core.node import Brake as Brake
from coordinator.core.node import Node as Node
from coordinator.core.node import Refusal as Refusal
from coordinator.core.ranks import Ranks as Ranks
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.learner import Learner, Situation
from coordinator.core.scheduler.policies import Backfill, Mode
from coordinator.core.scheduler.shares import Shares
from coordinator.core.shapes import Shape as Shape
from coordinator.core.shapes import shape_of as shape_of

if TYPE_CHECKING:
    from coordinator.core.networks import Topology
    from coordinator.core.scheduler.asking import Size
    from coordinator.core.scheduler.pool import Pool


class Attempt(Struct, eq=False):
    """A live attempt. `holding`: its request is part of its node's ledger (else it waits, prefilled)."""

    ref: AttemptRef
    task: Task
    node: NodeName
    gpus: tuple[str, ...]
    assigned_at: float
    holding: bool
    state: AttemptState = AttemptState.ASSIGNED
    started_at: float | None = None
    confirmed_at: float | None = None
    unanswered: bool = False  # sent, and nobody knows whether it arrived
    missing: int = 0
    idle_s: float | None = None  # since when its node has it, and the place for it, and does not start it
    late: bool = False  # asked back because of that
    cancelling: bool = False
    former_until_s: float | None = None  # an earlier boot of the node may have it until then
    yielding: bool = False  # asked to end so that its task is queued again, charged to nobody
    reason: str = ""  # why it was asked to, for people
    retracting: bool = False
    awaits: bool = False  # it waits for jobs that it submitted
    decided: Explanation | None = None  # why it is here: of what it keeps, at least who decided

    @property
    def requested(self) -> Resources:
        return self.task.group.settings.resources


class Task(Struct, eq=False):
    """A task that was touched and is not over. `attempt`: of a gang, that of its lowest live rank."""

    group: Group
    index: int
    state: TaskState
    version: int  # as stored; 0: no row yet
    fence: int = 0
    retries: int = 0
    lost_on: tuple[NodeName, ...] = ()  # where it was lost, time after time, since it was last tried anew
    refusals: dict[NodeName, Refusal] | None = None  # of those, where it did not begin, and what they said
    own_shape: Shape | None = None  # while nodes are left out for it: in whose line it waits
    attempt: Attempt | None = None
    node: NodeName | None = None  # of the newest attempt, until the task waits again
    started_at: float | None = None
    in_line: bool = False
    known_id: UUID | None = None  # once it was asked for
    ranks: Ranks | None = None  # of a gang that is placed

    @property
    def attempts(self) -> list[Attempt]:
        """The live ones: one, or one a rank."""
        if self.ranks is not None:
            return self.ranks.in_order
        return [] if self.attempt is None else [self.attempt]

    @property
    def began_at(self) -> float | None:
        """When the live attempt, or the first of the live ranks, started."""
        if self.ranks is not None:
            return self.ranks.began_at
        return None if self.attempt is None else self.attempt.started_at

    def begin(self, attempt: Attempt) -> None:
        """It has a live attempt more."""
        if self.ranks is not None:
            self.ranks.live[attempt.ref.rank] = attempt
        if self.attempt is None or attempt.ref < self.attempt.ref:
            self.attempt = attempt
        if not attempt.ref.rank:
            self.node = attempt.node

    def end(self, attempt: Attempt) -> None:
        """One of its live attempts is over."""
        if self.ranks is not None:
            del self.ranks.live[attempt.ref.rank]
        self.attempt = None if self.ranks is None else self.ranks.first

    @property
    def ref(self) -> TaskRef:
        return TaskRef(self.group.job.number, self.index)

    @property
    def shape(self) -> Shape:
        """What decides where it may run: its group's, less the nodes that are left out for it."""
        return self.own_shape or self.group.shape

    @property
    def next_task(self) -> TaskRef:
        """As of a group: who of it would start first."""
        return self.ref

    @property
    def wants_place(self) -> bool:
        """Whether its entry in the waiting line stands for anything that may start now."""
        return self.waits and not self.group.full

    @property
    def waits(self) -> bool:
        return self.state is TaskState.QUEUED

    @property
    def startable(self) -> int:
        """How many tasks that entry stands for."""
        return int(self.wants_place)

    @property
    def id(self) -> UUID:
        if self.known_id is None:  # each of its rows has it
            self.known_id = task_id(self.group.job.id, self.index)
        return self.known_id


class Group(Struct, eq=False):
    """The tasks [first, first + count) of a job: one task, or the elements of an array or file list.

    Untouched elements are those from `cursor` on that are not in `skipped`; they share `untouched_state`.
    `values` are the elements' array indices or items where they differ from 0, 1, 2 …
    """

    job: Job
    first: int
    count: int
    settings: TaskSettings
    shape: Shape
    command: tuple[str, ...]
    name: str | None
    input: dict[str, Any] | None
    needs: tuple[str, ...]
    values: Values | None
    limit: int  # how many may be assigned or running at once; 0: no bound
    untouched_state: TaskState
    cursor: int
    version: int = 1  # of the row that stands for the untouched elements
    skipped: set[int] | None = None
    tasks: dict[int, Task] | None = None
    live: int = 0  # assigned or running
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    in_line: bool = False  # an entry of the waiting line stands for it
    sequence: int = 0  # its place in the waiting line, kept while it has no entry there
    lost_on: dict[NodeName, float] | None = None  # when a task of it was last lost on each node
    again: deque[Task] | None = None  # of a limited group: touched tasks that wait, before the untouched
    apart: dict[int, Task] | None = None  # of those, the ones that wait in lines of shapes of their own
    conditions: tuple[Condition, ...] = ()  # parallel to `needs`
    max_failures: int | None = None  # that it bears
    done: bytearray | None = None  # of a range: a bit for each element that has completed

    @property
    def is_range(self) -> bool:
        return self.count > 1

    @property
    def row_id(self) -> UUID:
        """The id of the group's own row: its one task's, or the range's."""
        identity = range_id if self.is_range else task_id
        return identity(self.job.id, self.first)

    @property
    def end(self) -> int:
        return self.first + self.count

    @property
    def untouched(self) -> int:
        """How many elements nothing happened to yet."""
        if self.untouched_state is TaskState.CANCELLED:
            return 0
        return self.end - self.cursor - (len(self.skipped) if self.skipped else 0)

    @property
    def over(self) -> bool:
        return self.completed + self.failed + self.cancelled == self.count

    @property
    def full(self) -> bool:
        """As many of its tasks are live as its own limit allows."""
        return bool(self.limit) and self.live >= self.limit

    def next_again(self) -> Task | None:
        """The first touched task that waits for the limit; those that no longer wait are dropped here."""
        while self.again:
            if self.again[0].state is TaskState.QUEUED:
                return self.again[0]
            self.again.popleft()
        return None

    @property
    def wants_place(self) -> bool:
        """Whether its entry in the waiting line stands for anything that may start now."""
        if self.full:
            return False
        return self.next_again() is not None or (
            self.untouched_state is TaskState.QUEUED and self.untouched > 0
        )

    @property
    def startable(self) -> int:
        """How many tasks that entry stands for: no more than its own limit leaves room for."""
        if not self.wants_place:
            return 0
        waiting = len(self.again or ()) + (self.untouched if self.untouched_state is TaskState.QUEUED else 0)
        return min(waiting, self.limit - self.live) if self.limit else waiting

    @property
    def next_task(self) -> TaskRef:
        """Who of it would start first."""
        again = self.next_again()
        return TaskRef(self.job.number, self.cursor) if again is None else again.ref

    @property
    def group(self) -> Group:
        """As of a task."""
        return self

    def parked(self) -> list[Task]:
        """As many as its limit leaves room for of those that wait apart and are in no line now."""
        apart, room = self.apart or {}, max(self.limit - self.live, 0)
        gone = [each for each in apart.values() if each.own_shape is None or not each.waits]
        for task in gone:
            del apart[task.index]
        return list(islice((task for task in apart.values() if not task.in_line), room))

    def label(self) -> str:
        """The group's name for people and for `needs`."""
        return self.name if self.name is not None else f"task{self.first}"

    def find_task(self, index: int) -> Task | None:
        return self.tasks.get(index) if self.tasks else None

    def is_untouched(self, index: int) -> bool:
        return (
            self.cursor <= index < self.end
            and self.untouched_state is not TaskState.CANCELLED
            and not (self.skipped and index in self.skipped)
        )

    def touch(self, index: int | None = None) -> Task:
        """Give an untouched element its own `Task`: `index`, or the first one."""
        if index is None:
            index = self.cursor
        if index == self.cursor:
            self.cursor += 1
            while self.skipped and self.cursor in self.skipped:
                self.skipped.remove(self.cursor)
                self.cursor += 1
        else:
            self.skipped = self.skipped or set()
            self.skipped.add(index)
        task = Task(self, index, self.untouched_state, 0 if self.is_range else self.version)
        self.tasks = self.tasks or {}
        self.tasks[index] = task
        return task

    def note_completed(self, index: int) -> None:
        """One of a range is over and has done what it should."""
        if self.done is None:
            self.done = bytearray((self.count + 7) // 8)
        byte, bit = divmod(index - self.first, 8)
        self.done[byte] |= 1 << bit

    def has_completed(self, index: int) -> bool:
        """Whether an element that is over completed."""
        if not self.is_range:
            return bool(self.completed)
        byte, bit = divmod(index - self.first, 8)
        return self.done is not None and bool(self.done[byte] >> bit & 1)

    def forget(self, task: Task) -> None:
        """The task is over; its counters stay."""
        assert self.tasks is not None
        del self.tasks[task.index]


class Awaited(Struct):
    """A job that another one runs after. `end`: how it ended when it last did."""

    number: int
    condition: Condition
    end: JobEnd | None = None


class Job(Struct, eq=False):
    id: UUID
    number: int
    owner: UserName
    name: str
    kind: JobKind
    priority: int
    submitted_at: float
    total: int
    groups: list[Group] = field(default_factory=list)
    needed: dict[str, Group] = field(default_factory=dict)  # the groups that others need, by name
    dependents: dict[str, list[Group]] = field(default_factory=dict)  # who needs the group of that name
    pending: int = 0
    queued: int = 0
    assigned: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    cancel_requested: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    reason: str = ""
    held_by: UserName | None = None  # none of its tasks is in a waiting line
    held_at: float | None = None
    paused_by: UserName | None = None  # what runs of it stands still, and nothing of it is placed
    paused_at: float | None = None
    after: list[Awaited] = field(default_factory=list)  # what it waits for; empty once it was let go
    start_at_s: float | None = None  # likewise: until then all of it is pending
    parent: TaskRef | None = None  # that submitted it
    parent_id: UUID | None = None  # of that task, while its job is not archived
    made_by: int = 0  # the attempt of that task which did; 0: it has a key of its own, any attempt means it
    depth: int = 0  # how many tasks are above it
    on_failure: OnFailure = OnFailure.CONTINUE
    max_failures: int = 0  # that `on_failure` bears

    @property
    def withheld(self) -> bool:
        """Whether people keep its tasks from being placed."""
        return self.held_by is not None or self.paused_by is not None

    @property
    def state(self) -> JobState:
        """Derived from the counters; `corral.jobs.state` derives the same in SQL."""
        ended = self.completed + self.failed + self.cancelled
        if ended == self.total:
            if self.cancel_requested and self.cancelled:
                return JobState.CANCELLED
            return JobState.FAILED if self.failed or self.cancelled else JobState.COMPLETED
        if self.paused_by is not None:
            return JobState.PAUSED
        if self.running or ended:
            return JobState.RUNNING
        return JobState.SCHEDULED if self.assigned else JobState.PENDING

    def group_of(self, index: int) -> Group | None:
        """The group that holds task `index`; groups are in order of `first`."""
        low, high = 0, len(self.groups)
        while low < high:
            middle = (low + high) // 2
            group = self.groups[middle]
            if index < group.first:
                high = middle
            elif index >= group.end:
                low = middle + 1
            else:
                return group
        return None


class Booking(Struct, frozen=True):
    """`task` starts by `start_s`, as so many pieces of `shape` on each of `places`: nothing delays it."""

    shape: Shape
    task: str
    start_s: float
    places: tuple[tuple[NodeName, int], ...]


class Cluster(Struct, eq=False):
    """Everything. `order` and `rank` name the static rules in force (`coordinator.core.scheduler`)."""

    limits: Limits = Limits()
    order: str = "fcfs"
    backfill: Backfill = Backfill.EASY
    rank: str = "best_fit"
    mode: Mode = Mode.ON
    policy: str = ""  # the learned order that passed the gate; acts in mode `on`
    planner: Learner = field(default_factory=Learner)
    deterministic: bool = False  # nothing is tried, and no clock tells how far to look ahead
    mode_asked: Mode | None = None  # by an operator: what is configured holds no longer
    evidence: dict[str, Any] = field(default_factory=dict)  # for `policy`, or against all of them
    kept_sequence: int = 0  # how much of what was learned the newest snapshot has
    situation: Situation | None = None  # as learners saw the cluster
    situated_s: float = -math.inf  # when that was
    places_seen: tuple[float, ...] = ()  # nodes as learned placements saw them
    places_s: float = -math.inf  # when that was
    shares: Shares = field(default_factory=Shares)  # what people have used, and how far back that puts them
    sizes: dict[Shape, Size] = field(default_factory=dict)  # until a node registers
    nodes: dict[NodeName, Node] = field(default_factory=dict)
    networks: tuple[Topology, ...] = ()  # as declared
    pool: Pool | None = None  # of the newest round
    jobs: dict[int, Job] = field(default_factory=dict)
    lines: dict[Shape, Line] = field(default_factory=dict)
    retries: list[tuple[float, int, TaskRef]] = field(default_factory=list)  # heap by due time
    dedupe: dict[tuple[UserName, str], tuple[bytes, int, UUID, int]] = field(default_factory=dict)
    rollout_steps: int = 50_000  # that a round may take in looking ahead; the shell's to set
    rollouts_taken: int = 0  # of them, by the last round
    blocked: dict[Shape, dict[str, Any]] = field(default_factory=dict)
    reserved: dict[NodeName, Shape] = field(default_factory=dict)  # kept free by the last round, and for whom
    bookings: list[Booking] = field(default_factory=list)  # of the last round
    preempt_due: bool = True  # a tick has passed since somebody was last preempted
    yielding: dict[AttemptRef, Attempt] = field(default_factory=dict)  # those of live attempts
    preemptible: dict[AttemptRef, Attempt] = field(default_factory=dict)  # likewise
    refused: dict[TaskRef, Task] = field(default_factory=dict)  # those with `refusals`, by their refs
    refusals_due_s: float = math.inf  # when these are looked at again
    timed: dict[AttemptRef, Attempt] = field(default_factory=dict)  # likewise: those with a walltime
    gathering: dict[TaskRef, Task] = field(default_factory=dict)  # gangs of which not all ranks have started
    volumes: dict[NodeName, frozenset[str]] = field(default_factory=dict)  # features by where volumes lie
    sequence: int = 0
    starting: list[tuple[float, int]] = field(default_factory=list)  # heap: when which job may start
    requeues: int = 0  # how often failed tasks were queued again: what was read before is stale
    children: dict[int, set[int]] = field(default_factory=dict)  # live jobs that tasks of a job submitted
    awaited: dict[int, set[int]] = field(default_factory=dict)  # who waits for the job of that number
    ended: dict[int, JobEnd] = field(default_factory=dict)  # the newest jobs that are over
    unknown_senders: int = 0  # usage reports of nodes that never registered
    brake: Brake | None = None
    own_faults: tuple[str, ...] = ()  # what our newest check of ourselves found wanting
    own_checked_s: float = -math.inf
    ticked_s: float = -math.inf
    dirty: bool = True  # something changed since the last scheduling round
    changed_jobs: dict[int, Job] = field(default_factory=dict)
    changed_ledgers: dict[NodeName, Node] = field(default_factory=dict)
    changed_ranges: dict[tuple[int, int], Group] = field(default_factory=dict)

    @property
    def booked(self) -> dict[NodeName, Shape]:
        """For whom a node was booked first."""
        return {name: each.shape for each in reversed(self.bookings) for name, _ in each.places}

    def line_of(self, shape: Shape, *, keyed_by: str, now_s: float) -> Line:
        """Where tasks of `shape` wait; a new line has keys of that policy as of now."""
        line = self.lines.get(shape)
        if line is None:
            line = self.lines[shape] = Line(keyed_by=keyed_by, keyed_s=now_s)
        return line

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def find_task(self, ref: TaskRef) -> Task | None:
        """Also by one of its ranks."""
        job, index = self.jobs.get(ref.job), ref.whole.index
        group = job.group_of(index) if job else None
        return group.find_task(index) if group else None

    def attempts(self) -> Iterator[Attempt]:
        for node in self.nodes.values():
            yield from node.attempts.values()


TERMINAL = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.TIMEOUT, TaskState.CANCELLED})
