"""What clients may ask of the coordinator on `corral.u.<user>.<noun>.<verb>`, and the answers.

`OPERATIONS` is the whole list: request type (`bus.requests`), answer type, and the least role that may ask.
Answers grow by fields with defaults.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from bus import past
from bus.bulk import AuditList, Audits, BulkSteer, BulkSteered, EventResolve, JobPriority, NodeLabel
from bus.content_operations import CONTENT_OPERATIONS
from bus.equipment import DeviceQuery, Devices, ToolList, Tools
from bus.feed import JobChanged as JobChanged
from bus.feed import NodeChanged as NodeChanged
from bus.feed import TaskChanged as TaskChanged
from bus.feed import TaskCounts as TaskCounts
from bus.gpus import Quarantine
from bus.grep import Grep, LogGrep
from bus.housekeeping import Collected, Connections
from bus.networks import NETWORK_OPERATIONS
from bus.node_log import NODE_OPERATIONS
from bus.operation import Operation as Operation
from bus.outlook import Affected as Affected
from bus.outlook import Backfilled as Backfilled
from bus.outlook import Blocker as Blocker
from bus.outlook import Candidate as Candidate
from bus.outlook import Displaced as Displaced
from bus.outlook import Displacement as Displacement
from bus.outlook import Effect as Effect
from bus.outlook import Forecast as Forecast
from bus.outlook import Outlook as Outlook
from bus.outlook import Plan as Plan
from bus.outlook import PlannedGroup as PlannedGroup
from bus.people import Standing, UserList, Users, UserShare
from bus.registry import REGISTRY
from bus.requests import (
    Cancel,
    Collect,
    Empty,
    EventList,
    Hold,
    JobList,
    JobQuery,
    KeyQuery,
    LogFollow,
    LogQuery,
    NodeList,
    NodeQuery,
    NodeSteer,
    Pause,
    Requeue,
    Retry,
    TaskList,
    TaskQuery,
    TokenCreate,
    TokenQuery,
    WhatIf,
    WhyQuery,
)
from bus.results import LoggedLine, TaskResult
from bus.schedules import SCHEDULE_OPERATIONS
from bus.scheduling import (
    Exported,
    Scheduler,
    SchedulerExport,
    SchedulerImport,
    SchedulerMode,
    SchedulerTest,
)
from bus.series import SERIES_OPERATIONS
from bus.sessions import StreamOpen, StreamOpened
from bus.spec import JobSpec
from bus.timeline import Timeline, TimelineQuery
from bus.upcoming import Upcoming, UpcomingQuery
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
from bus.verification import Verification as Verification
from bus.verification import Violation as Violation
from bus.webhooks import WEBHOOK_OPERATIONS


class Submitted(Struct, kw_only=True):
    number: int
    id: str
    tasks: int
    duplicate: bool = False
    note: str = ""  # what else there is to know, for people


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
    held: bool = False
    spec: dict[str, Any] | None = None  # in `job.show` only
    parent: str = ""  # the task that submitted it, "1042.7"; "": none did


class Jobs(Struct, kw_only=True):
    """`next` is "" on the last page; `total` counts all that the filter lets through.

    `exact` False: there are more. `revision` names all of them, for `bulk.steer`; 0: not all were counted.

    `tag` names the page as it is; who asks with it as `known` hears `unchanged` and nothing else while it
    still is so. "": it changes with the time, as one chosen by age does.
    """

    jobs: list[Job]
    next: str = ""
    total: int = 0
    states: dict[str, int] = {}  # how many of `total` are in each state
    unknown: list[str] = []  # of the past: what nobody keeps, and is told as it is now
    exact: bool = True
    revision: int = 0
    tag: str = ""
    unchanged: bool = False


class Attempt(Struct, kw_only=True):
    fence: int
    rank: int = 0  # of a gang
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
    """`count` > 1: a range of tasks that share this row because none was touched yet.

    In a list of the tasks of all jobs, `count` are those left of it, wherever they lie.
    """

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
    user: str = ""  # whose job it is
    result: TaskResult | None = None  # in `task.show` only: what it told so far
    ranks: int = 0  # of a gang; in `task.show` only
    logged: list[LoggedLine] = []  # in `task.show` only: the newest


class Tasks(Struct, kw_only=True):
    """`total` and `states` count tasks, not rows: a range counts as many as it stands for. See Jobs."""

    tasks: list[Task]
    next: str = ""
    unknown: list[str] = []  # of the past: what nobody keeps, and is told as it is now
    total: int = 0
    states: dict[str, int] = {}
    exact: bool = True
    revision: int = 0
    tag: str = ""
    unchanged: bool = False


class Cancelled(Struct, kw_only=True):
    """`tasks` were told to end; those already over are not counted. `audit`: the id of its entry there."""

    tasks: int
    audit: str = ""


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
    reason: str = ""  # why it is cordoned or draining, and who did it
    goal: NodeAdmin | None = None  # what it becomes once it is drained
    deadline: float | None = None  # when what still runs on it is queued again elsewhere
    suspicion: float = 0.0  # 0: beats as ever; 1 and more: taken to be gone
    usage: Usage | None = None
    inventory: Inventory | None = None  # in `node.show` only
    gpu_taken: dict[str, int] = {}  # thousandths of each GPU that tasks have, by UUID
    set_labels: dict[str, str] = {}  # those of `labels` that people set; the others are the agent's own
    audit: str = ""  # where it was just steered: the entry in the audit
    quarantines: list[Quarantine] = []  # those GPUs that are given to nobody now


class Nodes(Struct, kw_only=True):
    """See Jobs. The tag stands for what one sees of gauges: not for each heartbeat."""

    nodes: list[Node]
    next: str = ""
    unknown: list[str] = []  # of the past: what nobody keeps, and is told as it is now
    total: int = 0
    states: dict[str, int] = {}
    revision: int = 0
    tag: str = ""
    unchanged: bool = False


class Happened(Struct, kw_only=True):
    """One event. `kind` is a stable word ("task_failed", "node_drained", "job_held" …)."""

    id: str
    at: float
    kind: str
    severity: str = "info"  # debug, info, warning, error, critical
    message: str = ""
    user: str | None = None
    job: int | None = None
    task: str | None = None
    node: str | None = None
    details: dict[str, Any] = {}
    resolved_at: float | None = None  # when somebody said that it is dealt with
    resolved_by: str | None = None
    resolution: str = ""


class Resolved(Struct, kw_only=True):
    """`audit` is empty where the event was resolved already: the first who did stays."""

    event: Happened
    audit: str = ""


class Events(Struct, kw_only=True):
    events: list[Happened]
    next: str = ""
    tag: str = ""  # see Jobs
    unchanged: bool = False


class Changed(Struct, kw_only=True):
    """What a steering request changed: so many tasks (0: it was so already, or nothing of it waits).

    `hint` says what it left as it was, where somebody may have expected otherwise. `audit`: the id of its
    entry in the audit; "": nothing changed, so there is none.
    """

    tasks: int
    hint: str = ""
    audit: str = ""


class Why(Struct, kw_only=True):
    """Why a task is where it is (`placed`), or why it is not placed yet (`blockers`)."""

    task: str
    state: TaskState
    summary: str  # one sentence
    waiting_s: float | None = None
    ahead: int | None = None  # tasks before it in the waiting line
    blockers: list[Blocker] = []
    node: str | None = None
    attempt: int = 0
    order: str = ""  # the rule that chose the task, and the one that chose the node
    rank: str = ""
    candidates: list[Candidate] = []
    decided_at: float | None = None
    forecast: Forecast | None = None  # of what waits for places only
    policy: str = ""  # the learned order, where that chose the task
    rule: str = ""  # the base rule under which its value was best
    class_: int | None = field(default=None, name="class")  # the priority with the job's age in it
    values: dict[str, float] = {}  # Q of the tasks among which the policy chose; smaller is better
    would: str = ""  # whom a policy that only watches would have chosen
    explored: bool = False
    epsilon: float = 0.0
    backfill: Backfilled | None = None
    usage_age_s: float | None = None  # of what was known of the node's load then
    standing: Standing | None = None  # of whose it is, while it waits
    unknown: list[str] = []  # of the past: what nobody keeps, and is left out or told as it is now


class Whoami(Struct, kw_only=True):
    user: str
    role: Role
    cluster: str = ""
    version: str = ""
    expires_at: float | None = None  # of the credential; None: it does not expire
    standing: Standing | None = None  # what one has used; None: the cluster is older than that
    now: float = 0.0  # the coordinator's clock, which all instants are told by; 0: it is older than that


class Token(Struct, kw_only=True):
    """`secret` (the whole token) is told once, to who made it."""

    id: str
    kind: str
    name: str | None
    role: Role | None
    created_at: float
    expires_at: float
    used_at: float | None = None
    revoked_at: float | None = None
    created_by: str = ""
    secret: str = ""


class Admitted(Struct, kw_only=True):
    """Who the asker is from now on, and the JWT that says so."""

    name: str
    jwt: str
    role: Role | None = None  # None: a node


class Tokens(Struct, kw_only=True):
    tokens: list[Token]


class Log(Struct, kw_only=True):
    """`data` is base64 in JSON. `ended`: nothing more will come; `size`: bytes so far.

    `came`: pairs (size, at): the first `size` bytes were seen to be there at `at`; those of this piece.
    """

    task: str
    attempt: int
    node: str
    stream: Stream
    offset: int
    data: bytes
    size: int
    ended: bool
    came: list[tuple[int, float]] = []


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
    live_jobs: int = 0  # all that are not over
    load: float = 0.0  # share of the active nodes that is held, of the resource of which it is largest
    brake: str = ""  # why nothing is replaced; "": what is lost is placed again


OPERATIONS: dict[str, Operation] = {
    "job.submit": Operation(JobSpec, Submitted, Role.USER),
    "job.show": Operation(JobQuery, Job, Role.READONLY),
    "job.list": Operation(JobList, Jobs, Role.READONLY),
    "job.cancel": Operation(Cancel, Cancelled, Role.USER),
    "job.retry": Operation(Retry, Changed, Role.USER),
    "job.hold": Operation(Hold, Changed, Role.USER),
    "job.release": Operation(Hold, Changed, Role.USER),
    "job.pause": Operation(Pause, Changed, Role.USER),
    "job.resume": Operation(Pause, Changed, Role.USER),
    "job.requeue": Operation(Requeue, Changed, Role.USER),
    "job.priority": Operation(JobPriority, Changed, Role.USER),
    "job.plan": Operation(JobSpec, Plan, Role.USER),
    "job.whatif": Operation(WhatIf, Outlook, Role.USER),
    "task.list": Operation(TaskList, Tasks, Role.READONLY),
    "task.show": Operation(TaskQuery, Task, Role.READONLY),
    "task.logs": Operation(LogQuery, Log, Role.READONLY),
    "task.grep": Operation(LogGrep, Grep, Role.READONLY),
    "task.follow": Operation(LogFollow, Following, Role.READONLY),
    **CONTENT_OPERATIONS,
    **NODE_OPERATIONS,
    "task.why": Operation(WhyQuery, Why, Role.READONLY),
    "node.list": Operation(NodeList, Nodes, Role.READONLY),
    "node.show": Operation(NodeQuery, Node, Role.READONLY),
    "node.devices": Operation(DeviceQuery, Devices, Role.READONLY),
    "node.tools": Operation(ToolList, Tools, Role.READONLY),
    "timeline.attempts": Operation(TimelineQuery, Timeline, Role.READONLY),
    "node.cordon": Operation(NodeSteer, Node, Role.OPERATOR),
    "node.drain": Operation(NodeSteer, Node, Role.OPERATOR),
    "node.maintenance": Operation(NodeSteer, Node, Role.OPERATOR),
    "node.undrain": Operation(NodeSteer, Node, Role.OPERATOR),
    "node.label": Operation(NodeLabel, Node, Role.OPERATOR),
    "bulk.steer": Operation(BulkSteer, BulkSteered, Role.USER),
    "scheduler.status": Operation(Empty, Scheduler, Role.READONLY),
    "scheduler.plan": Operation(UpcomingQuery, Upcoming, Role.READONLY),
    "scheduler.mode": Operation(SchedulerMode, Scheduler, Role.OPERATOR),
    "scheduler.train": Operation(SchedulerTest, Scheduler, Role.OPERATOR),
    "scheduler.replay": Operation(SchedulerTest, Scheduler, Role.OPERATOR),
    "scheduler.export": Operation(SchedulerExport, Exported, Role.OPERATOR),
    "scheduler.import": Operation(SchedulerImport, Scheduler, Role.ADMIN),
    "event.list": Operation(EventList, Events, Role.READONLY),
    **SERIES_OPERATIONS,
    "past.cluster": Operation(past.PastCluster, Cluster, Role.READONLY),
    "past.jobs": Operation(past.PastJobs, Jobs, Role.READONLY),
    "past.tasks": Operation(past.PastTasks, Tasks, Role.READONLY),
    "past.nodes": Operation(past.PastNodes, Nodes, Role.READONLY),
    "past.scheduler": Operation(past.PastScheduler, Scheduler, Role.READONLY),
    "past.why": Operation(past.PastWhy, Why, Role.READONLY),
    "past.output": Operation(past.PastOutput, past.OutputThen, Role.READONLY),
    "past.users": Operation(past.PastUsers, Users, Role.READONLY),
    "past.changes": Operation(past.PastChanges, past.Changes, Role.READONLY),
    "past.spike": Operation(past.PastSpike, past.Spike, Role.READONLY),
    "event.resolve": Operation(EventResolve, Resolved, Role.USER),
    "audit.list": Operation(AuditList, Audits, Role.READONLY),
    "user.whoami": Operation(Empty, Whoami, Role.READONLY),
    "user.renew": Operation(KeyQuery, Admitted, Role.READONLY),
    "user.logout": Operation(KeyQuery, Token, Role.READONLY),
    "user.list": Operation(UserList, Users, Role.READONLY),
    "user.share": Operation(UserShare, Changed, Role.ADMIN),
    **SCHEDULE_OPERATIONS,
    "token.create": Operation(TokenCreate, Token, Role.ADMIN),
    "token.list": Operation(Empty, Tokens, Role.ADMIN),
    "token.revoke": Operation(TokenQuery, Token, Role.ADMIN),
    "stream.open": Operation(StreamOpen, StreamOpened, Role.USER),
    "cluster.status": Operation(Empty, Cluster, Role.READONLY),
    "cluster.verify": Operation(Empty, Verification, Role.OPERATOR),
    "cluster.gc": Operation(Collect, Collected, Role.OPERATOR),
    "cluster.connections": Operation(Empty, Connections, Role.ADMIN),
    **{name: Operation(*each) for name, each in REGISTRY.items()},
    **NETWORK_OPERATIONS,
    **WEBHOOK_OPERATIONS,
}
