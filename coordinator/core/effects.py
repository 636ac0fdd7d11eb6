"""What a step wants done: rows to write, then answers and commands to send.

A batch of effects is performed in two halves: every `Row` in one transaction, and only after its
commit every `Tell` (commit before tell). `Record`s are telemetry: written apart, never waited for.

Row effects carry absolute values, so writing the same batch twice changes nothing. Several changes of
one task in a batch are joined by `coordinator.perform`: last values, concatenated path.
Instants are seconds of the Unix epoch on the coordinator's clock.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from bus.gpus import Quarantine
from bus.values import (
    AttemptRef,
    AttemptState,
    Capability,
    GpuUsage,
    Inventory,
    JobKind,
    JobState,
    Meeting,
    NetworkTerms,
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
from coordinator.core.model import Node
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.learner import Experience
from coordinator.core.scheduler.policies import Mode

ReplyToken = int

# rows


class NewJob(Struct, frozen=True, kw_only=True, gc=False):
    id: UUID
    number: int
    owner: UserName
    name: str
    kind: JobKind
    priority: int
    spec: bytes  # JSON
    metadata: bytes  # JSON
    dedupe_key: str | None
    digest: bytes
    tasks: int
    submitted_at: float
    message_key: str | None = None  # of the published message that it came by
    parent_id: UUID | None = None  # of the row of the task that submitted it


class JobChange(Struct, frozen=True, kw_only=True, gc=False):
    """Counters by task state; the database derives the job's state from them."""

    number: int
    id: UUID
    owner: UserName
    state: JobState  # as the core derives it; the database's own derivation must agree
    pending: int
    queued: int
    assigned: int
    running: int
    completed: int
    failed: int
    cancelled: int
    cancel_requested: bool
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    reason: str
    held_by: str = ""  # "": not held
    held_at: float | None = None
    paused_by: str = ""  # "": not paused
    paused_at: float | None = None
    priority: int = 1


class NewTask(Struct, frozen=True, kw_only=True, gc=False):
    """A row for one task, or for `count` tasks of a range from `task.index` on.

    An element of a range gets a row at its first individual change: `range_id` is then the id of the
    range's row, `input` only what is the element's own, and `parameters` empty.
    """

    task: TaskRef
    id: UUID
    job_id: UUID
    range_id: UUID | None
    count: int
    group: str
    task_type: str
    input: bytes  # JSON object, never empty
    parameters: bytes  # JSON object
    priority: int
    resources: Resources
    max_retries: int
    created_at: float
    gpu_types: tuple[str, ...] = ()
    gpu_mem_mib: int = 0
    parent_id: UUID | None = None  # of the row of the task that submitted its job


class TaskChange(Struct, frozen=True, kw_only=True, gc=False):
    """`path`: the states passed through, the one before first (a new row: its first state alone or
    first). `version` is the one that this change makes; it grows by one with every change.

    `output` is None where this change says nothing about it. `remaining` counts the elements of a range
    that still have no row of their own (1 for a single task).
    """

    task: TaskRef
    id: UUID
    owner: UserName
    version: int
    path: tuple[TaskState, ...]
    remaining: int
    node: NodeName | None
    fence: int
    retries: int
    started_at: float | None
    completed_at: float | None
    exit_code: int | None
    signal: int | None
    message: str
    output: bytes | None
    changed_at: float
    asked_by: str | None = None  # who had a failed task queued again

    @property
    def state(self) -> TaskState:
        return self.path[-1]


class AttemptChange(Struct, frozen=True, kw_only=True, gc=False):
    """The whole attempt after a change. `holds`: what it has of the node's ledger (zero while it
    waits there prefilled, and after its end); `requested` is what it needs while it runs."""

    attempt: AttemptRef
    task_id: UUID
    node: NodeName
    node_id: UUID
    new: bool
    state: AttemptState
    waiting: bool
    requested: Resources
    holds: Resources
    gpus: tuple[str, ...]
    assigned_at: float
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    signal: int | None
    message: str
    cancelling: bool  # its end was asked for and answered
    yielding: bool  # asked to end so that its task is queued again
    explanation: Explanation | None  # with `new` only; read back: who decided, and on what


class NodeRow(Struct, frozen=True, kw_only=True, gc=False):
    """A node as registered, or after a change of health, admin state or ledger."""

    name: NodeName
    id: UUID
    incarnation: str
    boot_id: str
    version: str
    capacity: Resources
    allocated: Resources
    inventory: Inventory
    kind: NodeKind
    labels: dict[str, str]
    roles: tuple[str, ...]
    tools: tuple[str, ...]
    health: NodeHealth
    admin: NodeAdmin
    registered: bool  # inventory and capacity may have changed (else only health, admin, ledger)
    last_heartbeat_at: float
    admin_reason: str = ""
    admin_by: str = ""
    admin_at: float | None = None
    admin_goal: NodeAdmin | None = None  # what it becomes once it is drained
    admin_deadline: float | None = None  # when what it still runs is queued again
    set_labels: dict[str, str] = {}  # by people; they win over `labels`, which are the agent's own
    capabilities: dict[str, Capability] = {}
    quarantines: tuple[Quarantine, ...] = ()  # of GPUs, those that are over included


class NodeLedger(Struct, frozen=True, kw_only=True, gc=False):
    """What live attempts hold of a node; absolute."""

    name: NodeName
    id: UUID
    allocated: Resources


class AuditRow(Struct, frozen=True, kw_only=True, gc=False):
    """Who did what, to what: written with the change itself."""

    at: float
    actor: str
    action: str  # an operation of the API
    object: str
    details: dict[str, Any] = {}
    reference: str = ""  # what it is found by; the shell's to give


class AccountRow(Struct, frozen=True, kw_only=True, gc=False):
    """What somebody's part of the cluster is, and how much of it was used as of `at`; absolute."""

    owner: UserName
    shares: int
    usage: float  # seconds of the whole cluster, decayed
    at: float


class LearningNotes(Struct, frozen=True, kw_only=True, gc=False):
    """What was learned from in a step (JSON of `core.scheduler.learner.Note`); `last`: number of the last."""

    at: float
    last: int
    notes: bytes


class LearnedState(Struct, frozen=True, kw_only=True, gc=False):
    """All that was learned up to note `sequence`, and what acts because of it; appended, never changed.

    `learner`: JSON of `core.scheduler.kept`; `digest`: SHA-256 of it.
    """

    at: float
    mode: Mode | None  # None: nobody asked for another one than is configured
    policy: str
    schema: str
    sequence: int
    learner: bytes
    digest: str
    epsilon: float
    reward_avg: float | None
    reward_window: int
    q_table: dict[str, dict[str, float]]
    weights: bytes  # npz; empty: there are none
    reason: str
    evidence: dict[str, Any]


Row = (
    NewJob
    | JobChange
    | NewTask
    | TaskChange
    | AttemptChange
    | NodeRow
    | NodeLedger
    | AuditRow
    | AccountRow
    | LearningNotes
    | LearnedState
)


# records


class UsageRecord(Struct, frozen=True, kw_only=True, gc=False):
    """`attempt` None: the node as a whole."""

    at: float
    node: NodeName
    node_id: UUID
    usage: Usage
    load: float
    anomaly: bool = False
    attempt: AttemptRef | None = None
    task_id: UUID | None = None
    gpus: tuple[GpuUsage, ...] = ()  # of the node, each by itself


class EventRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One line of the cluster's history. `severity`: critical, error, warning, info, debug."""

    at: float
    event_type: str
    severity: str
    message: str
    node: NodeName | None = None
    node_id: UUID | None = None
    job_id: UUID | None = None
    user: UserName | None = None
    details: dict[str, Any] = {}


class LogRecord(Struct, frozen=True, kw_only=True, gc=False):
    """A line of an agent's log. `severity`: info, warning, error."""

    at: float
    node_id: UUID
    severity: str
    text: str


class ExperienceRecord(Struct, frozen=True, kw_only=True, gc=False):
    """A decision and what came of it; `sequence`: its number among all notes."""

    sequence: int
    policy_version: str
    experience: Experience


class GaugeRecord(Struct, frozen=True, kw_only=True, gc=False):
    """A number about the cluster as a whole ("queue_depth")."""

    at: float
    name: str
    value: float


class RemarkRecord(Struct, frozen=True, kw_only=True, gc=False):
    """What was noticed of an attempt, for the log of its task. `severity`: info, warning, error."""

    at: float
    attempt: AttemptRef
    node: NodeName
    severity: str
    text: str


Record = UsageRecord | EventRecord | ExperienceRecord | GaugeRecord | LogRecord | RemarkRecord


# tells


class Placement(Struct, frozen=True, kw_only=True, gc=False):
    """One task for a node; `body` is shared by all tasks of a group (compare by identity)."""

    attempt: AttemptRef
    settings: TaskSettings
    command: tuple[str, ...]
    job_id: UUID
    owner: UserName
    needs: tuple[str, ...]
    waiting: bool
    gpus: tuple[str, ...]
    array_index: int | None
    input: bytes | None


class SendAssign(Struct, frozen=True, kw_only=True, gc=False):
    """For the agent process of `incarnation`; "": for whichever has the node's name."""

    node: NodeName
    incarnation: str = ""
    placements: tuple[Placement, ...]


class SendCancel(Struct, frozen=True, kw_only=True, gc=False):
    node: NodeName
    attempts: tuple[AttemptRef, ...]


class SendRetract(Struct, frozen=True, kw_only=True, gc=False):
    node: NodeName
    attempts: tuple[AttemptRef, ...]


class SendPause(Struct, frozen=True, kw_only=True, gc=False):
    """Stop these where they stand; `paused` False: let them go on."""

    node: NodeName
    attempts: tuple[AttemptRef, ...]
    paused: bool


class SendStart(Struct, frozen=True, kw_only=True, gc=False):
    """These ranks of a gang, which are held there, start: all others have their places too."""

    node: NodeName
    attempts: tuple[AttemptRef, ...]
    meeting: Meeting


class AnswerRegister(Struct, frozen=True, kw_only=True, gc=False):
    reply: ReplyToken
    drop: tuple[AttemptRef, ...]
    network: NetworkTerms | None = None


class AnswerBeat(Struct, frozen=True, kw_only=True, gc=False):
    reply: ReplyToken
    sequence: int
    drop: tuple[AttemptRef, ...]
    register_again: bool


class AnswerReport(Struct, frozen=True, kw_only=True, gc=False):
    reply: ReplyToken
    sequence: int
    drop: tuple[AttemptRef, ...]


class AnswerSubmit(Struct, frozen=True, kw_only=True, gc=False):
    reply: ReplyToken
    number: int
    id: UUID
    tasks: int
    duplicate: bool
    note: str = ""


class AnswerCancel(Struct, frozen=True, kw_only=True, gc=False):
    """`audit`: the reference of the row that tells of it; the shell's to give, as in the next two."""

    reply: ReplyToken
    tasks: int
    audit: str = ""


class AnswerChanged(Struct, frozen=True, kw_only=True, gc=False):
    """How many tasks a steering request changed; `hint` says what it left as it was."""

    reply: ReplyToken
    tasks: int
    hint: str = ""
    audit: str = ""


class AnswerNode(Struct, frozen=True, kw_only=True, gc=False):
    """The node after it was steered, as it stood at `at`."""

    reply: ReplyToken
    node: Node
    at: float
    audit: str = ""


class AnswerGpu(Struct, frozen=True, kw_only=True, gc=False):
    """One GPU of a node after it was taken out or released."""

    reply: ReplyToken
    node: Node
    uuid: str
    audit: str = ""


class Fault(Struct, frozen=True, kw_only=True, gc=False):
    """One thing wrong with a request; see SECURITY section 3 for the codes."""

    code: str
    message: str = ""  # "": the title of the code
    field: str = ""
    got: str = ""
    expected: str = ""
    hint: str = ""
    status: int = 422


class Refuse(Struct, frozen=True, kw_only=True, gc=False):
    reply: ReplyToken
    faults: tuple[Fault, ...]


Tell = (
    SendAssign
    | SendCancel
    | SendRetract
    | SendPause
    | SendStart
    | AnswerRegister
    | AnswerBeat
    | AnswerReport
    | AnswerSubmit
    | AnswerCancel
    | AnswerChanged
    | AnswerNode
    | AnswerGpu
    | Refuse
)

Effect = Row | Record | Tell
