"""What clients may ask of the coordinator on `corral.u.<user>.<noun>.<verb>`, and the answers.

`OPERATIONS` is the whole list: request type, answer type, and the least role that may ask.
Requests are strict (unknown fields refused); answers grow by fields with defaults.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bus.spec import JobSpec
from bus.values import (
    Inventory,
    JobKind,
    JobState,
    NodeAdmin,
    NodeHealth,
    NodeKind,
    Resources,
    Role,
    Stream,
    TaskState,
    Usage,
)


class Request(Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of all requests."""


class JobQuery(Request):
    """`job`: number, id or unique prefix of the id (8 characters and more), or "@last"."""

    job: str


class JobList(Request):
    """Newest first; `before` is the job number from which to continue (exclusive)."""

    states: list[JobState] = []
    user: str | None = None  # operators and admins may name another; None: all one may see
    limit: int = 100
    before: int | None = None


class TaskQuery(Request):
    """`task`: "1042.7"; a job with a single task may be named by its number alone."""

    task: str


class TaskList(Request):
    """Tasks of a job by index; ranges of an array that were never touched come as one row."""

    job: str
    states: list[TaskState] = []
    limit: int = 100
    after: int = -1


class Cancel(Request):
    """`target`: a job ("1042") or a task ("1042.7")."""

    target: str


class LogQuery(Request):
    """A piece of a task's output; `attempt` 0 means the newest."""

    task: str
    stream: Stream = Stream.STDOUT
    attempt: int = 0
    offset: int = 0
    limit: int = 262_144


class LogFollow(Request):
    """Asks the node to publish new output on the caller's log subject for 30 s; renew while reading."""

    task: str


class NodeQuery(Request):
    node: str


class Empty(Request):
    """Nothing to say."""


class Submitted(Struct, kw_only=True):
    number: int
    id: str
    tasks: int
    duplicate: bool = False


class TaskCounts(Struct, kw_only=True):
    """How many tasks of a job are in each state (retrying and reassigned count as queued)."""

    total: int = 0
    pending: int = 0
    queued: int = 0
    assigned: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0  # timeouts included
    cancelled: int = 0


class Job(Struct, kw_only=True):
    number: int
    id: str
    name: str
    user: str
    kind: JobKind
    priority: int
    state: JobState
    counts: TaskCounts
    submitted_at: float
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None  # of the first task that failed, else 0 once completed
    reason: str = ""
    spec: dict[str, Any] | None = None  # in `job.show` only


class Jobs(Struct, kw_only=True):
    jobs: list[Job]
    more: bool = False


class Attempt(Struct, kw_only=True):
    fence: int
    node: str
    state: str
    assigned_at: float
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    explanation: dict[str, Any] = {}


class Task(Struct, kw_only=True):
    """`count` > 1: a range of tasks that share this row because none was touched yet."""

    id: str
    job: int
    index: int
    count: int = 1
    name: str = ""
    state: TaskState
    node: str | None = None
    fence: int = 0
    retries: int = 0
    priority: int = 5
    resources: Resources
    submitted_at: float
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    output: Any = None  # in `task.show` only
    attempts: list[Attempt] = []  # in `task.show` only


class Tasks(Struct, kw_only=True):
    tasks: list[Task]
    more: bool = False


class Cancelled(Struct, kw_only=True):
    """`tasks` were told to end; those already over are not counted."""

    tasks: int


class Node(Struct, kw_only=True):
    name: str
    id: str
    health: NodeHealth
    admin: NodeAdmin
    kind: NodeKind
    capacity: Resources
    allocated: Resources
    running: int
    waiting: int  # prefilled: assigned, not yet started
    load: float
    last_heartbeat_s: float  # age
    labels: dict[str, str]
    version: str
    usage: Usage | None = None
    inventory: Inventory | None = None  # in `node.show` only


class Nodes(Struct, kw_only=True):
    nodes: list[Node]


class Log(Struct, kw_only=True):
    """`data` is base64 in JSON. `ended`: nothing more will come; `size`: bytes so far."""

    task: str
    attempt: int
    node: str
    stream: Stream
    offset: int
    data: bytes
    size: int
    ended: bool


class Following(Struct, kw_only=True):
    """`subject` carries the output from now on; attempt 0 means the task has not started yet."""

    subject: str
    node: str | None
    attempt: int
    seconds: float


class Cluster(Struct, kw_only=True):
    """The summary, also in KV `corral_cluster` under `state`."""

    total_nodes: int
    active_nodes: int
    jobs: dict[str, int]
    tasks: dict[str, int]
    capacity: Resources
    allocated: Resources
    epoch: int
    started_at: float
    version: str
    timeseries: str = ""  # community, apache, none
    rejected: int = 0  # messages of agents that could not be read, or came from unknown nodes


class Error(Struct, kw_only=True):
    """Every refusal: `code` is stable (E_…), `field` a JSON pointer or flag, `hint` what would be right."""

    code: str
    message: str
    field: str = ""
    hint: str = ""
    status: int = 400
    more: list[Error] = []  # further faults of the same spec
    retry_after_s: float | None = None


class ErrorReply(Struct, kw_only=True):
    error: Error


class JobChanged(Struct, kw_only=True):
    """On `corral.feed.<user>.job.<number>`, after every commit that changed the job."""

    number: int
    state: JobState
    counts: TaskCounts
    exit_code: int | None = None
    at: float


class TaskChanged(Struct, kw_only=True):
    """On `corral.feed.<user>.task.<job>-<index>`."""

    job: int
    index: int
    state: TaskState
    node: str | None
    fence: int
    exit_code: int | None = None
    at: float


class NodeChanged(Struct, kw_only=True):
    """On `corral.feed._.node.<node>`; `_` is everybody's."""

    node: str
    health: NodeHealth
    admin: NodeAdmin
    at: float


class Operation(Struct, frozen=True):
    request: type[Struct]
    answer: type[Struct]
    role: Role


OPERATIONS: dict[str, Operation] = {
    "job.submit": Operation(JobSpec, Submitted, Role.USER),
    "job.show": Operation(JobQuery, Job, Role.READONLY),
    "job.list": Operation(JobList, Jobs, Role.READONLY),
    "job.cancel": Operation(Cancel, Cancelled, Role.USER),
    "task.list": Operation(TaskList, Tasks, Role.READONLY),
    "task.show": Operation(TaskQuery, Task, Role.READONLY),
    "task.logs": Operation(LogQuery, Log, Role.READONLY),
    "task.follow": Operation(LogFollow, Following, Role.READONLY),
    "node.list": Operation(Empty, Nodes, Role.READONLY),
    "node.show": Operation(NodeQuery, Node, Role.READONLY),
    "cluster.status": Operation(Empty, Cluster, Role.READONLY),
}
