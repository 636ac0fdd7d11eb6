"""The cluster as the core knows it: nodes, live jobs, their tasks and attempts.

Only what is not over lives here; the database keeps the rest. An array is one `Group`: its elements
get a `Task` when they are first touched and lose it when they end, so a million queued tasks cost as
much memory as one. Only the machine's modules change these objects.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct, field

from bus.units import ArrayRange
from bus.values import (
    GPU_MILLI,
    AttemptRef,
    AttemptState,
    GpuInfo,
    Inventory,
    JobKind,
    JobState,
    NodeAdmin,
    NodeHealth,
    NodeKind,
    NodeName,
    Resources,
    TaskRef,
    TaskSettings,
    TaskState,
    Usage,
    UserName,
)
from coordinator.core.conditions import Condition
from coordinator.core.ids import range_id, task_id
from coordinator.core.limits import Limits as Limits
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.learner import Learner, Situation
from coordinator.core.scheduler.policies import Backfill, Mode
from coordinator.core.scheduler.shares import Shares
from coordinator.core.suspicion import Watch


class Shape(Struct, frozen=True):
    """All that decides where a task may run. Tasks of one shape are interchangeable to a node."""

    resources: Resources
    labels: tuple[tuple[str, str], ...]
    nodes: tuple[str, ...]
    tool: str | None


    gpu_types: tuple[str, ...] = ()
    gpu_mem_mib: int = 0
def shape_of(settings: TaskSettings) -> Shape:
    return Shape(
        settings.resources,
        tuple(sorted(settings.labels.items())),
        settings.nodes,
        settings.tool,
        settings.gpu_types,
        settings.gpu_mem_mib,
    )


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
    decided: Explanation | None = None  # why it is here: of what it keeps, at least who decided

    @property
    def requested(self) -> Resources:
        return self.task.group.settings.resources


class Node(Struct, eq=False):
    """`capacity` never falls below what is allocated: a node that shrank is over-committed, not broken."""

    name: NodeName
    id: UUID
    incarnation: str
    boot_id: str
    version: str
    declared: Resources
    capacity: Resources
    inventory: Inventory
    kind: NodeKind
    labels: dict[str, str]
    roles: tuple[str, ...]
    tools: tuple[str, ...]
    health: NodeHealth
    admin: NodeAdmin
    lease_from_s: float  # when the last renewing answer went out
    last_beat_s: float
    allocated: Resources = Resources()
    load: float = 0.0
    usage: Usage | None = None
    usage_s: float = 0.0
    gpu_taken: dict[str, int] = {}  # thousandths by UUID; replaced, never changed: copies of a node share it
    anomalous: bool = False  # the newest usage exceeds the machine
    watch: Watch = field(default_factory=Watch)
    suspicion: float = 0.0  # as judged last; 1 and more: taken to be gone
    overdue: bool = False  # silent for longer than its pace explains
    left: bool = False  # its agent was stopped in good order, and said so
    lease_ended: bool = False  # what of it could be given out again, was
    losses: list[Loss] = field(default_factory=list)  # the newest of those that speak against it
    attempts: dict[AttemptRef, Attempt] = field(default_factory=dict)
    ends_per_s: float = 0.0  # decayed rate of ended attempts, see `note_ends`
    ends_s: float = 0.0
    written: Resources = Resources()  # the capacity that its row has
    admin_reason: str = ""  # why it takes no work, in the words of `admin_by`
    admin_by: str = ""
    admin_at: float | None = None
    admin_goal: NodeAdmin | None = None  # what it becomes once it is drained
    admin_deadline: float | None = None  # when what still runs there is queued again
    holding: int = 0  # how many attempts are in the ledger; the others wait

    @property
    def waiting(self) -> int:
        """Attempts assigned ahead of a free place."""
        return len(self.attempts) - self.holding

    @property
    def free(self) -> Resources:
        return self.capacity - self.allocated

    @property
    def takes_work(self) -> bool:
        return (
            self.health is NodeHealth.HEALTHY
            and self.admin is NodeAdmin.ACTIVE
            and self.kind is not NodeKind.CONTROL
        )

    @property
    def offered_gpus(self) -> tuple[GpuInfo, ...]:
        """Those that tasks may get, in inventory order: an agent may offer fewer than there are."""
        healthy = [gpu for gpu in self.inventory.gpus if gpu.healthy]
        return tuple(healthy[: self.declared.gpus])

    def free_milli(self, uuid: str) -> int:
        """Thousandths of a GPU that nobody has."""
        return GPU_MILLI - self.gpu_taken.get(uuid, 0)

    def give(self, amounts: Resources, gpus: tuple[str, ...]) -> None:
        """Into the ledger, with the GPUs that serve it: one that is shared, or whole ones."""
        self.allocated += amounts
        if gpus:
            each = amounts.gpu_milli or GPU_MILLI
            self.gpu_taken = self.gpu_taken | {uuid: self.gpu_taken.get(uuid, 0) + each for uuid in gpus}

    def take_back(self, amounts: Resources, gpus: tuple[str, ...]) -> None:
        """Out of the ledger again."""
        self.allocated -= amounts
        if gpus:
            each = amounts.gpu_milli or GPU_MILLI
            left = self.gpu_taken | {uuid: self.gpu_taken.get(uuid, 0) - each for uuid in gpus}
            self.gpu_taken = {uuid: milli for uuid, milli in left.items() if milli}


class Loss(NamedTuple):
    """A task that a node lost, or could not start."""

    at_s: float
    task: TaskRef
    group: Group
    unstarted: bool


class Task(Struct, eq=False):
    """A task that was touched and is not over."""

    group: Group
    index: int
    state: TaskState
    version: int  # as stored; 0: no row yet
    fence: int = 0
    retries: int = 0
    lost_on: tuple[NodeName, ...] = ()  # where it was lost, time after time, since it was last tried anew
    attempt: Attempt | None = None
    node: NodeName | None = None  # of the newest attempt, until the task waits again
    started_at: float | None = None

    @property
    def ref(self) -> TaskRef:
        return TaskRef(self.group.job.number, self.index)

    @property
    def id(self) -> UUID:
        return task_id(self.group.job.id, self.index)


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
    conditions: tuple[Condition, ...] = ()  # parallel to `needs`

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

    def forget(self, task: Task) -> None:
        """The task is over; its counters stay."""
        assert self.tasks is not None
        del self.tasks[task.index]


class Values(Struct, frozen=True):
    """What element k of a group stands for: an array index, or an item of a list."""

    array: ArrayRange | None = None
    items: tuple[str, ...] = ()


class Awaited(Struct):
    """A job that another one runs after. `completed`: how it ended when it last did."""

    number: int
    condition: Condition
    completed: bool | None = None


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


class Brake(Struct, frozen=True):
    """Nothing is replaced: so many nodes vanished at once that we suspect ourselves."""

    since_s: float
    nodes: frozenset[NodeName]  # those that vanished
    reason: str


class Waiting(NamedTuple):
    """An entry of a waiting line. Smaller goes first; `sequence` is unique, so the rest is never compared."""

    aged: int  # the priority with the job's age and its owner's level in it, see `scheduler.order.standing`
    priority: int  # negated
    key: float
    sequence: int
    since_s: float  # when it began to wait
    entry: Group | Task

    @property
    def place(self) -> tuple[int, int, float, int]:
        """All that is compared."""
        return self[:4]

    @property
    def wants_place(self) -> bool:
        """Whether it still stands for anything that may start now."""
        if isinstance(self.entry, Task):
            return self.entry.state is TaskState.QUEUED
        return self.entry.wants_place

    @property
    def tasks(self) -> int:
        """How many it stands for that may start: no more than its group's own limit leaves room for."""
        if isinstance(self.entry, Task):
            return int(self.wants_place)
        group = self.entry
        waiting = len(group.again or ()) + (group.untouched if self.wants_place else 0)
        return min(waiting, group.limit - group.live) if group.limit else waiting

    @property
    def next_task(self) -> TaskRef:
        """Who of it would start first."""
        if isinstance(self.entry, Task):
            return self.entry.ref
        again = self.entry.next_again()
        return TaskRef(self.job.number, self.entry.cursor) if again is None else again.ref

    @property
    def group(self) -> Group:
        return self.entry if isinstance(self.entry, Group) else self.entry.group

    @property
    def job(self) -> Job:
        return self.group.job


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
    mode_asked: Mode | None = None  # by an operator: what is configured holds no longer
    evidence: dict[str, Any] = field(default_factory=dict)  # for `policy`, or against all of them
    kept_sequence: int = 0  # how much of what was learned the newest snapshot has
    situation: Situation | None = None  # as learners saw the cluster
    situated_s: float = -math.inf  # when that was
    shares: Shares = field(default_factory=Shares)  # what people have used, and how far back that puts them
    totals: dict[Shape, Resources] = field(default_factory=dict)  # of who could hold it; see `asking`
    nodes: dict[NodeName, Node] = field(default_factory=dict)
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
    timed: dict[AttemptRef, Attempt] = field(default_factory=dict)  # likewise: those with a walltime
    sequence: int = 0
    requeues: int = 0  # how often failed tasks were queued again: what was read before is stale
    awaited: dict[int, set[int]] = field(default_factory=dict)  # who waits for the job of that number
    ended: dict[int, bool] = field(default_factory=dict)  # the newest jobs that are over: did they complete?
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

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def find_task(self, ref: TaskRef) -> Task | None:
        job = self.jobs.get(ref.job)
        group = job.group_of(ref.index) if job else None
        return group.find_task(ref.index) if group else None

    def attempts(self) -> Iterator[Attempt]:
        for node in self.nodes.values():
            yield from node.attempts.values()


class Line(Struct, eq=False):
    """The waiting line of one shape: a heap of groups with untouched elements and of single tasks.

    `keyed_by`: the policy whose keys its entries have, as of `keyed_s`.
    """

    entries: list[Waiting] = field(default_factory=list)
    keyed_by: str = ""
    keyed_s: float = -math.inf

    def push(self, waiting: Waiting) -> None:
        heapq.heappush(self.entries, waiting)

    def head(self) -> Waiting | None:
        """The first entry that still wants a place; entries that no longer do are dropped here."""
        while self.entries:
            first = self.entries[0]
            if first.wants_place:
                return first
            if isinstance(first.entry, Group):
                first.entry.in_line = False
            heapq.heappop(self.entries)
        return None

    def first(self, most: int) -> list[tuple[int, Waiting]]:
        """The first `most` entries in their order, each with its index; without what wants no place."""
        reached = [(waiting, 0) for waiting in self.entries[:1]]
        found: list[tuple[int, Waiting]] = []
        for _ in range(most):
            if not reached:
                break
            waiting, index = heapq.heappop(reached)
            if waiting.wants_place:
                found.append((index, waiting))
            for below in range(2 * index + 1, min(2 * index + 3, len(self.entries))):
                heapq.heappush(reached, (self.entries[below], below))
        return found

    def promote(self, index: int) -> Waiting:
        """Make an entry the head, whatever its place; who it was is answered, for `settle`."""
        promoted, before_all = self.entries[index], self.entries[0].aged - 1
        while index:
            above = (index - 1) // 2
            self.entries[index] = self.entries[above]
            index = above
        self.entries[0] = promoted._replace(aged=before_all)
        return promoted

    def settle(self, promoted: Waiting) -> None:
        """What was promoted has had its turn: if it is still in the line, it goes back to its place."""
        if self.entries and self.entries[0].entry is promoted.entry:
            heapq.heapreplace(self.entries, promoted)

    def pop(self) -> None:
        heapq.heappop(self.entries)

    def shift(self, moved: Mapping[UserName, int]) -> None:
        """The work of these stands so many steps further back than before."""
        if not any(waiting.job.owner in moved for waiting in self.entries):
            return
        self.entries = [
            waiting._replace(aged=waiting.aged + moved.get(waiting.job.owner, 0)) for waiting in self.entries
        ]
        heapq.heapify(self.entries)

    def remove(self, job: Job) -> None:
        """Take out every entry of `job`."""
        kept = []
        for waiting in self.entries:
            if waiting.job is not job:
                kept.append(waiting)
            elif isinstance(waiting.entry, Group):
                waiting.entry.in_line = False
        self.entries = kept
        heapq.heapify(kept)


TERMINAL = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.TIMEOUT, TaskState.CANCELLED})
