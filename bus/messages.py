"""What agents and the coordinator say to each other: one union per direction.

Between our daemons unknown fields are skipped and new fields have defaults, so that neighbouring
versions understand each other; no field ever changes its type (msgspec schema evolution).
All instants are seconds of the Unix epoch by the *sender's* clock, for display only: decisions
use the receiver's own clock. Encoded by `bus.codec` as MessagePack.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bus.artifacts import Kept, KeptReply
from bus.checkpoints import ResumeAsked, ResumeReply, Saved, SavedReply
from bus.children import ChildrenAsked, ChildrenReply
from bus.gpus import GpuFault
from bus.replication import (
    CopyBlobs,
    Fetch,
    FetchReply,
    HaveBlobs,
    Held,
    HeldReply,
    LackedBlobs,
    ScrubBlobs,
)
from bus.results import Progress, ProgressReply
from bus.values import (
    AttemptRef,
    Capability,
    GpuUsage,
    Inventory,
    Meeting,
    NetworkTerms,
    NodeKind,
    Resources,
    Stream,
    TaskEvent,
    TaskRef,
    TaskSettings,
    Usage,
)
from bus.volume_wire import VolumesFound, VolumesWanted

PROTOCOL_VERSION = 1


# agent -> coordinator, and the replies


class Register(Struct, kw_only=True, tag="register"):
    """First words of an agent process; repeated after each reconnect and on request.

    `incarnation` is new for every agent process, `boot_id` for every boot of the machine.
    `live` lists every attempt that this agent holds, so that both sides can reconcile.
    """

    node: str
    incarnation: str
    boot_id: str
    version: str
    capacity: Resources
    inventory: Inventory
    kind: NodeKind = NodeKind.COMPUTE
    labels: dict[str, str] = {}
    roles: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    capabilities: dict[str, Capability] = {}
    live: tuple[AttemptRef, ...] = ()
    protocol: int = PROTOCOL_VERSION


class RegisterReply(Struct, kw_only=True, tag="registered"):
    """`drop` names attempts that the agent must end and forget: they belong to somebody else now."""

    epoch: int
    heartbeat_interval_s: float
    usage_interval_s: float
    lease_s: float
    term_after_s: float  # silence after which the guard sends TERM …
    kill_after_s: float  # … and KILL
    drop: tuple[AttemptRef, ...] = ()
    network: NetworkTerms | None = None  # None: nothing is declared of it


class Heartbeat(Struct, kw_only=True, tag="heartbeat"):
    """Every `heartbeat_interval_s`; the answer renews the leases of `live` except those in `drop`.

    `leaving`: the last one of an agent that is stopped. What it does not name of its work has ended or never
    came there; what it names goes on under its lease, for the next agent to adopt.
    """

    node: str
    incarnation: str
    sequence: int
    load: float  # 1-minute load average
    live: tuple[AttemptRef, ...] = ()
    paused: tuple[AttemptRef, ...] = ()  # those of `live` that stand still
    preparing: tuple[AttemptRef, ...] = ()  # those of `live` for which something is still being brought
    faults: tuple[str, ...] = ()  # what is wrong there now, in words: a full disk, a guard that hangs
    leaving: bool = False
    gpus: tuple[GpuFault, ...] | None = None  # what is wrong with them now; None: nobody has looked yet


class HeartbeatReply(Struct, kw_only=True, tag="heartbeat_ok"):
    """`register_again`: the coordinator does not know this incarnation; send `Register`."""

    sequence: int
    epoch: int
    drop: tuple[AttemptRef, ...] = ()
    register_again: bool = False


class TaskUsage(Struct, kw_only=True):
    attempt: AttemptRef
    usage: Usage


class LogLine(Struct, frozen=True, kw_only=True):
    """A warning or an error of an agent. `age_s`: how long before the sample that it comes with."""

    age_s: float = 0.0
    severity: str
    text: str


class UsageReport(Struct, kw_only=True, tag="usage"):
    """Samples of one instant: the node as a whole and each running task.

    `age_s`: how long ago that was when this was sent; an outage is made up for afterwards. `log`: once only.
    """

    node: str
    sampled_at: float
    age_s: float = 0.0
    usage: Usage
    load: float
    tasks: tuple[TaskUsage, ...] = ()
    gpus: tuple[GpuUsage, ...] = ()  # each by itself; `usage` has their sums
    log: tuple[LogLine, ...] = ()


class Report(Struct, kw_only=True, tag="report"):
    """A batch out of the agent's outbox, oldest first; repeated until acknowledged."""

    node: str
    sequence: int  # of the last event in the batch
    events: tuple[TaskEvent, ...]


class ReportReply(Struct, kw_only=True, tag="report_ok"):
    """Sent after the commit. `drop`: attempts of the batch (or before) that the agent must forget."""

    acknowledged: int
    epoch: int
    drop: tuple[AttemptRef, ...] = ()


class InputsRequest(Struct, kw_only=True, tag="inputs"):
    """An agent asks for the outputs of the tasks that `attempt` needs, page by page.

    `after` is the task index after which to continue (-1 at the start) within the needed groups.
    """

    node: str
    attempt: AttemptRef
    after: int = -1


class NeededOutput(Struct, kw_only=True):
    group: str
    task: TaskRef
    output: bytes | None


class InputsReply(Struct, kw_only=True, tag="inputs_ok"):
    """One page, at most half a MiB of outputs; `more` says that another request is due."""

    outputs: tuple[NeededOutput, ...]
    more: bool


FromAgent = (
    Register
    | Heartbeat
    | UsageReport
    | Report
    | InputsRequest
    | Progress
    | Kept
    | Fetch
    | Held
    | Saved
    | ResumeAsked
    | ChildrenAsked
)
ToAgentReply = (
    RegisterReply
    | HeartbeatReply
    | ReportReply
    | InputsReply
    | ProgressReply
    | KeptReply
    | FetchReply
    | HeldReply
    | SavedReply
    | ResumeReply
    | ChildrenReply
)


# coordinator -> agent, and the replies


class Body(Struct, frozen=True, kw_only=True):
    """What to run: `command` (argv) or the tool named in `settings`; `owner` is the submitter."""

    settings: TaskSettings
    command: tuple[str, ...] = ()
    job_id: str = ""
    owner: str = ""
    needs: tuple[str, ...] = ()  # group names whose outputs the task reads


class Assignment(Struct, array_like=True, kw_only=False):
    """`body` points into `Assign.bodies`. A `waiting` attempt holds no resources yet: the agent
    starts it when one of its own ends (prefill), so a queue of short tasks never waits for us."""

    attempt: AttemptRef
    body: int
    waiting: bool = False
    gpus: tuple[str, ...] = ()
    array_index: int | None = None
    input: bytes | None = None  # JSON text for CORRAL_INPUT


class Assign(Struct, kw_only=True, tag="assign"):
    """Answered when the agent has it on disk. Of two agents with one name only that of `incarnation` takes
    it and answers; empty: whoever hears it."""

    epoch: int
    incarnation: str = ""
    bodies: tuple[Body, ...]
    items: tuple[Assignment, ...]


class Cancel(Struct, kw_only=True, tag="cancel"):
    """End these attempts: TERM, the task's own grace, KILL of the whole tree."""

    epoch: int
    attempts: tuple[AttemptRef, ...]


class Retract(Struct, kw_only=True, tag="retract"):
    """Give these attempts back if they have not started; those that have are left alone."""

    epoch: int
    attempts: tuple[AttemptRef, ...]


class Pause(Struct, kw_only=True, tag="pause"):
    """Stop these attempts where they stand, their walltime with them; what has not started, waits."""

    epoch: int
    attempts: tuple[AttemptRef, ...]


class Resume(Struct, kw_only=True, tag="resume"):
    """Let these attempts go on."""

    epoch: int
    attempts: tuple[AttemptRef, ...]


class StartRanks(Struct, kw_only=True, tag="start_ranks"):
    """These ranks of a gang, which this agent holds, start now: all others have their places as well."""

    epoch: int
    attempts: tuple[AttemptRef, ...]
    meeting: Meeting


class Inspect(Struct, kw_only=True, tag="inspect"):
    """Asks what really runs there: `corral verify` compares it with the books."""

    epoch: int


class DropBlobs(Struct, kw_only=True, tag="drop_blobs"):
    """Let go of this content: nothing in the cluster names it any more."""

    epoch: int
    hashes: tuple[str, ...]


class FetchLog(Struct, kw_only=True, tag="fetch_log"):
    """Bytes [offset, offset + limit) of a stream. `fence` 0 means the newest attempt here."""

    epoch: int
    task: TaskRef
    fence: int
    stream: Stream
    offset: int
    limit: int


class Follow(Struct, kw_only=True, tag="follow"):
    """Publish new output on the log subject of `user` for `seconds` more; repeated while followed."""

    epoch: int
    task: TaskRef
    fence: int
    user: str
    seconds: float


class OpenStream(Struct, kw_only=True, tag="open_stream"):
    """Prepare the node's end of a byte stream of `user`, or of the agent of `peer`; whoever else speaks
    there is not heard.

    `attempt`: the task that the session is with, where its kind has one. `params`: as the kind wants them.
    """

    epoch: int
    stream: str
    user: str
    kind: str
    attempt: AttemptRef | None = None
    params: dict[str, Any] = {}
    peer: str = ""


ToAgent = (
    Assign
    | Cancel
    | Retract
    | Pause
    | Resume
    | StartRanks
    | Inspect
    | FetchLog
    | Follow
    | OpenStream
    | DropBlobs
    | VolumesWanted
    | CopyBlobs
    | HaveBlobs
    | ScrubBlobs
)


class CommandReply(Struct, kw_only=True, tag="ok"):
    """`ports`: of an assignment, where each rank 0 of a gang that is held there can be met."""

    node: str
    error: str | None = None
    ports: tuple[tuple[AttemptRef, int], ...] = ()


class LogChunk(Struct, kw_only=True, tag="log"):
    """A gap-free piece of a stream. `ended`: the attempt is over and `size` is final.

    `came`: pairs (size, at): the first `size` bytes of the stream were seen to be there at `at`.
    """

    task: TaskRef
    fence: int
    stream: Stream
    offset: int
    data: bytes
    size: int
    ended: bool = False
    error: str | None = None
    came: list[tuple[int, float]] = []


class FoundTask(Struct, kw_only=True):
    """An attempt as its node sees it. `processes`: how many of its tree are alive in the process table."""

    attempt: AttemptRef
    pid: int | None = None
    processes: int = 0
    paused: bool = False


class Inspection(Struct, kw_only=True, tag="inspection"):
    """`queued`: taken, not started. `unreported`: events still in the outbox. `strays`: pids of processes
    that carry a task's mark and belong to none of `running`."""

    node: str
    incarnation: str
    epoch: int
    running: tuple[FoundTask, ...] = ()
    queued: tuple[AttemptRef, ...] = ()
    unreported: int = 0
    strays: tuple[int, ...] = ()
    error: str | None = None


class StreamReply(Struct, kw_only=True, tag="stream"):
    """Whether the node's end is there; `code` (of `bus.codes`) and `error` say why not."""

    node: str
    code: str = ""
    error: str = ""


FromAgentReply = CommandReply | LogChunk | Inspection | StreamReply | VolumesFound | LackedBlobs


# coordinator to coordinators


class Leads(Struct, kw_only=True):
    """`holder` leads since `epoch` began; whoever believes to lead with a lower one stops."""

    epoch: int
    holder: str
