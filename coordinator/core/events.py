"""Everything that can happen to the cluster, as the core sees it.

Events carry the ids that the step needs (job id and number, node id): the core makes none. `reply` is
an opaque token that comes back in the effect that answers; 0 means that nobody waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import Struct

from bus.gpus import GpuFault
from bus.item_lists import ItemList
from bus.messages import LogLine
from bus.spec import JobSpec
from bus.values import (
    AttemptRef,
    Capability,
    GpuUsage,
    Inventory,
    NodeAdmin,
    NodeKind,
    NodeName,
    Resources,
    Role,
    TaskEvent,
    TaskRef,
    TaskState,
    Usage,
    UserName,
)
from coordinator.core.effects import JobChange, NewJob, ReplyToken
from coordinator.core.job_ends import JobEnd
from coordinator.core.networks import Topology
from coordinator.core.node import Refusal
from coordinator.core.scheduler.forecast import Forecast
from coordinator.core.scheduler.policies import Mode
from coordinator.core.scheduler.qlearning import QTable


class AgentRegistered(Struct, frozen=True, kw_only=True):
    """An agent process introduced itself; `node_id` is used only if the node is new."""

    node: NodeName
    node_id: UUID
    incarnation: str
    boot_id: str
    version: str
    capacity: Resources
    inventory: Inventory
    kind: NodeKind
    labels: dict[str, str]
    roles: tuple[str, ...]
    tools: tuple[str, ...]
    capabilities: dict[str, Capability] = {}
    live: tuple[AttemptRef, ...]
    reply: ReplyToken = 0


class NetworksDeclared(Struct, frozen=True, kw_only=True):
    """All networks that are declared, as the database has them."""

    networks: tuple[Topology, ...]


class AgentBeat(Struct, frozen=True, kw_only=True):
    """A heartbeat: asks for the leases of `live` to be renewed."""

    node: NodeName
    incarnation: str
    sequence: int
    load: float
    live: tuple[AttemptRef, ...]
    paused: tuple[AttemptRef, ...] = ()  # those of `live` that stand still
    preparing: tuple[AttemptRef, ...] = ()  # those of `live` for which something is still being brought
    leaving: bool = False  # its agent is being stopped, and says nothing after this
    gpus: tuple[GpuFault, ...] | None = None  # what is wrong with its GPUs; None: it does not say
    reply: ReplyToken = 0


class UsageSeen(Struct, frozen=True, kw_only=True):
    """`age_s`: how long ago this was measured, where an outage is made up for."""

    node: NodeName
    age_s: float = 0.0
    usage: Usage
    load: float
    tasks: tuple[tuple[AttemptRef, Usage], ...] = ()
    gpus: tuple[GpuUsage, ...] = ()
    log: tuple[LogLine, ...] = ()


class TasksReported(Struct, frozen=True, kw_only=True):
    """A batch out of an agent's outbox; may repeat what was reported before."""

    node: NodeName
    sequence: int
    events: tuple[TaskEvent, ...]
    reply: ReplyToken = 0


class CommandUnanswered(Struct, frozen=True, kw_only=True):
    """An assignment was sent and not confirmed: it may or may not have arrived."""

    node: NodeName
    attempts: tuple[AttemptRef, ...]


class CommandConfirmed(Struct, frozen=True, kw_only=True):
    """The node has these assignments on disk. `ports`: where the ranks 0 among them can be met there."""

    node: NodeName
    attempts: tuple[AttemptRef, ...]
    ports: tuple[tuple[AttemptRef, int], ...] = ()


class JobSubmitted(Struct, frozen=True, kw_only=True):
    """`spec_json` is what is kept; `digest` (SHA-256 of it) tells a repeated dedupe key from a clash.

    `message_key`: what the published message is known by; its repetition was ruled out before. `ended`: of
    the jobs that it runs after, those that were over when somebody looked, and how they ended.
    `lists`: the content that its `for_each` points to, by hash.
    """

    job_id: UUID
    number: int
    owner: UserName
    spec: JobSpec
    spec_json: bytes
    digest: bytes
    message_key: str | None = None
    ended: dict[int, JobEnd] = {}
    lists: Mapping[str, ItemList] = {}
    reply: ReplyToken = 0


class Asked(Struct, frozen=True, kw_only=True):
    """Something that a person asks of a job; `role` says of whose jobs."""

    job: int
    by: UserName
    role: Role
    reply: ReplyToken = 0


class VolumesPlaced(Struct, frozen=True, kw_only=True):
    """Which nodes have which volumes: features by node (`coordinator.core.volumes`)."""

    features: dict[NodeName, tuple[str, ...]]


class CancelAsked(Asked, frozen=True, kw_only=True):
    """`index` None: the whole job."""

    index: int | None


class HoldAsked(Asked, frozen=True, kw_only=True):
    """Keep what waits of a job from being placed; `held` False: place it again."""

    held: bool


class PauseAsked(Asked, frozen=True, kw_only=True):
    """Have what runs of a job stand still and place nothing of it; `paused` False: let it go on."""

    paused: bool


class RequeueAsked(Asked, frozen=True, kw_only=True):
    """End what runs of a job, or of one task of it, and queue it again; `index` None: the whole job."""

    index: int | None


class PriorityAsked(Asked, frozen=True, kw_only=True):
    """From now on what waits of a job stands in the line as one of `priority`, 1 to 10, does."""

    priority: int


class TaskSeen(Struct, frozen=True):
    """A task (or range) row as the database has it."""

    task: TaskRef
    id: UUID
    count: int
    remaining: int
    state: TaskState
    version: int
    node: NodeName | None
    fence: int
    retries: int
    changed_at: float
    started_at: float | None


class LossSeen(Struct, frozen=True):
    """A live task that was lost on a node, as its rows have it; `refusal`: it did not begin there."""

    task: TaskRef
    node: NodeName
    at_s: float
    refusal: Refusal | None = None


class RangeSeen(Struct, frozen=True):
    """The row that stands for the untouched elements of the range that begins at `first`."""

    first: int
    state: TaskState
    version: int
    remaining: int


class JobOver(Struct, frozen=True, kw_only=True):
    """All that the memory of a job that is over is made of.

    `ended`: how many tasks of the group that begins at an index ended in a state, in rows of their own.
    `done`: a bit for each task that completed; None where there are too many of them.
    """

    job: NewJob
    change: JobChange
    ended: tuple[tuple[int, TaskState, int], ...]
    ranges: tuple[RangeSeen, ...]
    lists: Mapping[str, ItemList] = {}
    done: bytes | None = None

    def done_of(self, first: int, count: int) -> bytearray | None:
        """Those bits of one of its ranges."""
        if self.done is None:
            return None
        bits = int.from_bytes(self.done, "little") >> first & ((1 << count) - 1)
        return bytearray(bits.to_bytes((count + 7) // 8, "little"))


class RetryAsked(Asked, frozen=True, kw_only=True):
    """Queue `failed` again: rows of tasks in failed or timeout, in order of their indices.

    They were read when the cluster's `requeues` was `as_of`, and as many as `before` were queued by earlier
    events of the same request. `over`: the job, where it was over then.
    """

    failed: tuple[TaskSeen, ...]
    over: JobOver | None
    as_of: int
    before: int


class NodeSteered(Struct, frozen=True, kw_only=True):
    """Make a node active, inactive (cordoned) or draining; or take it into maintenance, once it is empty.

    `deadline_s`, of the last two: what still runs there that many seconds from now is queued again elsewhere.
    """

    node: NodeName
    admin: NodeAdmin
    reason: str
    deadline_s: float | None = None
    by: UserName
    reply: ReplyToken = 0


class NodeLabelled(Struct, frozen=True, kw_only=True):
    """Set labels of a node; None takes one away that was set so before."""

    node: NodeName
    labels: dict[str, str | None]
    by: UserName
    reply: ReplyToken = 0


class GpuAsked(Struct, frozen=True, kw_only=True):
    """Take one GPU of a node out, or give it out again. `gpu`: its place there, or its UUID."""

    node: NodeName
    gpu: str
    quarantined: bool
    reason: str
    by: UserName
    reply: ReplyToken = 0


class BulkAsked(Struct, frozen=True, kw_only=True):
    """All that `query` lets through is to be steered: only noted here, each is asked for by itself."""

    action: str
    object: str
    query: str
    matched: int
    details: dict[str, Any]
    by: UserName
    reply: ReplyToken = 0


class ModeAsked(Struct, frozen=True, kw_only=True):
    """Whether a learned order acts, only decides, or neither."""

    mode: Mode
    by: UserName
    reply: ReplyToken = 0


class PolicyChosen(Struct, frozen=True, kw_only=True):
    """The gate looked: `policy` orders from now on, "" leaves it to the configured static order.

    `table`: what the policy was trained to; None: it keeps what it has. `weights` (npz, of `places`): what
    ranks nodes from now on, empty for the static rule; None: that was not looked at.
    """

    policy: str
    evidence: dict[str, Any]
    table: QTable | None = None
    weights: bytes | None = None


class LearnedBrought(Struct, frozen=True, kw_only=True):
    """Learn on from what somebody brought: JSON of `core.scheduler.kept`, which the door has read."""

    learner: bytes
    by: UserName
    reply: ReplyToken = 0


class ForecastMade(Struct, frozen=True):
    """At `at_s` the task was foretold to start as `told`, which is `raw` corrected."""

    task: TaskRef
    at_s: float
    raw: Forecast
    told: Forecast


class SnapshotDue(Struct, frozen=True):
    """Keep what was learned since the last snapshot."""

    reason: str


class SelfChecked(Struct, frozen=True):
    """What the coordinator found when it looked at itself: what answers, and whether its clock is true."""

    bus: bool
    database: bool
    clock: bool


class ParentsWait(Struct, frozen=True, kw_only=True):
    """Of the attempts at `node` just these wait for jobs that they submitted."""

    node: NodeName
    attempts: tuple[AttemptRef, ...]


class SharesAsked(Struct, frozen=True, kw_only=True):
    """From now on `owner` has so many shares of the cluster."""

    owner: UserName
    shares: int
    by: UserName
    reply: ReplyToken = 0


class Tick(Struct, frozen=True):
    """Time has passed: leases, backoffs, deadlines."""


class ScheduleDue(Struct, frozen=True):
    """End of a batch: place what can be placed."""


Event = (
    AgentRegistered
    | AgentBeat
    | UsageSeen
    | TasksReported
    | CommandUnanswered
    | CommandConfirmed
    | JobSubmitted
    | VolumesPlaced
    | CancelAsked
    | HoldAsked
    | RetryAsked
    | PauseAsked
    | RequeueAsked
    | PriorityAsked
    | NodeSteered
    | NodeLabelled
    | GpuAsked
    | NetworksDeclared
    | BulkAsked
    | ModeAsked
    | PolicyChosen
    | LearnedBrought
    | SnapshotDue
    | ForecastMade
    | SelfChecked
    | ParentsWait
    | SharesAsked
    | Tick
    | ScheduleDue
)
