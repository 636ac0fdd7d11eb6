"""The vocabulary that every Corral program shares: names, states, resources, usage.

Nothing here does I/O, reads a clock or draws randomness; both cores import this module.
Units are fixed: millicores, MiB, GPUs and thousandths of one, Mbit/s, seconds (UTC for instants).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, NewType

from msgspec import Struct

from bus.checkpointing import Checkpointing
from bus.containers import Container, NetworkPolicy
from bus.contents import Content
from bus.declared_pools import PoolDeclared
from bus.mounts import Mount
from bus.names import is_name as is_name

NodeName = NewType("NodeName", str)
UserName = NewType("UserName", str)

RANK_STRIDE = 1 << 20
"""Between the places of two ranks of a gang: more than a job has tasks."""

RANKS_MAX = 1024  # of one gang: its places fit into 31 bits


class TaskRef(NamedTuple):
    """A task as people type it: job number and ordinal within the job, from 0; or a rank of one (1042.7:3).

    Rank r of a gang has a place of its own, `index + r · RANK_STRIDE`, so that wherever an attempt is known
    by three numbers (on the wire, on the disk of a node, in a log's name) its rank is among them.
    """

    job: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here

    @property
    def rank(self) -> int:
        """0 of a task that is no gang."""
        return self.index // RANK_STRIDE

    @property
    def whole(self) -> TaskRef:
        """The task that this is a rank of."""
        return self if self.index < RANK_STRIDE else TaskRef(self.job, self.index % RANK_STRIDE)

    def of_rank(self, rank: int) -> TaskRef:
        return TaskRef(self.job, self.index % RANK_STRIDE + rank * RANK_STRIDE)

    def __str__(self) -> str:
        rank, index = divmod(self.index, RANK_STRIDE)
        return f"{self.job}.{index}:{rank}" if rank else f"{self.job}.{index}"


class AttemptRef(NamedTuple):
    """One try of a task, or of a rank of one; `fence` counts the tries from 1 and outlives every restart."""

    job: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    fence: int

    @property
    def task(self) -> TaskRef:
        """With its rank; `task.whole` is without."""
        return TaskRef(self.job, self.index)

    @property
    def rank(self) -> int:
        return self.index // RANK_STRIDE

    def __str__(self) -> str:
        return f"{self.task}#{self.fence}"


class TaskState(StrEnum):
    PENDING = "pending"  # not ready: waits for other tasks
    QUEUED = "queued"  # ready to be placed
    ASSIGNED = "assigned"  # given to a node, not yet started
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    RETRYING = "retrying"  # failed, waits for its backoff
    REASSIGNED = "reassigned"  # lost with its node or given back; charged to nobody


class JobState(StrEnum):
    PENDING = "pending"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL_JOB_STATES


_TERMINAL_JOB_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class AttemptState(StrEnum):
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    LOST = "lost"  # its lease ended without a word
    RETURNED = "returned"  # handed back by the agent before it started
    PREEMPTED = "preempted"  # ended by us to make room; its task waits again


class Outcome(StrEnum):
    """How an attempt ended, as the agent saw it."""

    EXITED = "exited"  # by itself, with `exit_code`
    SIGNALED = "signaled"  # by a signal nobody of ours sent
    TIMEOUT = "timeout"  # its walltime ran out and we ended it
    CANCELLED = "cancelled"  # on the coordinator's command
    NOT_FOUND = "not_found"  # the executable is missing, or what it needs is nowhere: exit code 127
    NOT_EXECUTABLE = "not_executable"  # no permission, or a directory: exit code 126
    NOT_STARTED = "not_started"  # the node could not prepare it (disk full, bad workdir …)
    LEASE_EXPIRED = "lease_expired"  # the guard ended it because nobody renewed
    LOST = "lost"  # the node rebooted, or the guard died: nobody knows


class JobKind(StrEnum):
    BATCH = "batch"
    INTERACTIVE = "interactive"
    STREAMING = "streaming"
    AI_TRAINING = "ai_training"
    RENDERING = "rendering"


class Role(StrEnum):
    READONLY = "readonly"
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Order of power: every role may do what the ones below it may."""
        return _ROLE_RANKS[self]


_ROLE_RANKS = {role: rank for rank, role in enumerate(Role)}


class NodeHealth(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNREACHABLE = "unreachable"


class NodeAdmin(StrEnum):
    ACTIVE = "active"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    INACTIVE = "inactive"
    FAILED = "failed"


class NodeKind(StrEnum):
    CONTROL = "control"
    COMPUTE = "compute"
    STORAGE = "storage"
    GPU = "gpu"
    HYBRID = "hybrid"


class Stream(StrEnum):
    """The byte streams that an attempt leaves on its node."""

    STDOUT = "stdout"
    STDERR = "stderr"


GPU_MILLI = 1000
"""Thousandths of one GPU."""


class Resources(Struct, frozen=True, array_like=True):
    """Millicores, MiB of memory, GPUs, MiB of scratch storage, Mbit/s.

    GPUs are a mixed number: whole ones, and `gpu_milli` thousandths of one more (last, because programs
    of an older version know nothing of it). Sums and differences carry.
    """

    cpu_millis: int = 0
    mem_mib: int = 0
    gpus: int = 0
    storage_mib: int = 0
    net_mbps: int = 0
    gpu_milli: int = 0

    @property
    def gpu_millis(self) -> int:
        """All of the GPUs, in thousandths."""
        return self.gpus * GPU_MILLI + self.gpu_milli

    def __add__(self, other: Resources) -> Resources:
        carried, gpu_milli = _carry(self.gpu_milli + other.gpu_milli)
        return Resources(
            self.cpu_millis + other.cpu_millis,
            self.mem_mib + other.mem_mib,
            self.gpus + other.gpus + carried,
            self.storage_mib + other.storage_mib,
            self.net_mbps + other.net_mbps,
            gpu_milli,
        )

    def __sub__(self, other: Resources) -> Resources:
        carried, gpu_milli = _carry(self.gpu_milli - other.gpu_milli)
        return Resources(
            self.cpu_millis - other.cpu_millis,
            self.mem_mib - other.mem_mib,
            self.gpus - other.gpus + carried,
            self.storage_mib - other.storage_mib,
            self.net_mbps - other.net_mbps,
            gpu_milli,
        )

    def fits(self, free: Resources) -> bool:
        """Whether this request can be served out of `free`."""
        return (
            self.cpu_millis <= free.cpu_millis
            and self.mem_mib <= free.mem_mib
            and (self.gpus, self.gpu_milli) <= (free.gpus, free.gpu_milli)
            and self.storage_mib <= free.storage_mib
            and self.net_mbps <= free.net_mbps
        )

    def lacking(self, free: Resources) -> tuple[str, ...]:
        """The names of the resources of which `free` holds too little, in field order."""
        found: list[str] = []
        if self.cpu_millis > free.cpu_millis:
            found.append("cpu_millis")
        if self.mem_mib > free.mem_mib:
            found.append("mem_mib")
        if (self.gpus, self.gpu_milli) > (free.gpus, free.gpu_milli):
            found.append("gpus")
        if self.storage_mib > free.storage_mib:
            found.append("storage_mib")
        if self.net_mbps > free.net_mbps:
            found.append("net_mbps")
        return tuple(found)

    def widest(self, other: Resources) -> Resources:
        """The larger of two amounts, resource by resource."""
        gpus, gpu_milli = max((self.gpus, self.gpu_milli), (other.gpus, other.gpu_milli))
        return Resources(
            max(self.cpu_millis, other.cpu_millis),
            max(self.mem_mib, other.mem_mib),
            gpus,
            max(self.storage_mib, other.storage_mib),
            max(self.net_mbps, other.net_mbps),
            gpu_milli,
        )


def _carry(gpu_milli: int) -> tuple[int, int]:
    """Whole GPUs in so many thousandths, and what is left of them; mostly there are none."""
    return divmod(gpu_milli, GPU_MILLI) if gpu_milli else (0, 0)


class OnDisconnect(StrEnum):
    """What becomes of a running task whose node falls silent."""

    REPLACE = "replace"  # given to another node once its lease has ended
    RUN_ON = "run_on"  # goes on there without a lease; it is never given to another


class GangRestart(StrEnum):
    """What the loss of a rank means: its node fell silent, or could not start it."""

    GANG = "gang"  # all ranks are ended and the gang is queued again, charged to nobody
    FAIL = "fail"  # the task fails


class Gang(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task of `size` ranks that start together or not at all.

    `topology`: the node label, or "subnet", of which all ranks would share one value. `ranks_per_node`: at
    most so many on a node (0: as many as fit). `start_timeout_s`: how long placed ranks wait for each other
    at the start barrier.
    """

    size: int
    topology: str = ""
    ranks_per_node: int = 0
    start_timeout_s: float = 60.0
    restart: GangRestart = GangRestart.GANG


class Meeting(Struct, frozen=True, kw_only=True):
    """Where the ranks of a gang meet: told to each of them when all have their places.

    `hosts`: an address of each node and how many ranks it has, in the order of the ranks: those of a node are
    neighbours. `address` and `port`: of rank 0's node, where the port was free when it took its rank.
    """

    address: str
    port: int
    hosts: tuple[tuple[str, int], ...]


class TaskSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the tasks of one group share: how to run, not what to run.

    `timeout_s` is the walltime (None: no limit); `grace_s` lies between TERM and KILL.
    `backoff_s` doubles with every charged retry, up to `backoff_max_s`.
    """

    resources: Resources
    task_type: str = "shell"
    tool: str | None = None
    user: str = ""
    env: dict[str, str] = {}
    workdir: str | None = None
    stdin: str | None = None
    timeout_s: float | None = None
    grace_s: float = 10.0
    max_retries: int = 3
    retry_on_timeout: bool = False
    retry_on_failure: bool = True  # on every failure but a command that cannot be run
    retry_exit_codes: tuple[int, ...] = ()
    retry_signals: tuple[int, ...] = ()
    backoff_s: float = 1.0
    backoff_max_s: float = 300.0
    idempotent: bool = False
    on_disconnect: OnDisconnect = OnDisconnect.REPLACE
    preemptible: bool = False
    labels: dict[str, str] = {}  # node labels that must match
    nodes: tuple[str, ...] = ()  # allowed nodes; empty means any
    gpu_types: tuple[str, ...] = ()  # models of which any will do; empty means all
    gpu_mem_mib: int = 0  # that each of its GPUs must have
    gpu_uuid: str = ""  # the only GPU that will do
    pty: bool = False  # it lives in a terminal that people attach to
    gang: Gang | None = None  # `resources` are then of one rank
    called: str = ""  # the registered tool, as NAME@VERSION
    template: bool = False  # the command is one of `bus.templates`
    file: str = ""  # on the node, that must have …
    sha256: str = ""  # … this content
    features: tuple[str, ...] = ()  # "role:R" and "can:C" that its node must have
    streaming: bool = False  # however it ends, it is started again; only a cancel ends it
    frames: bool = False  # its indices are frames: CORRAL_FRAME
    container: Container | None = None  # it runs in one
    network: NetworkPolicy = NetworkPolicy.DEFAULT
    checkpoint: Checkpointing | None = None
    volumes: tuple[Mount, ...] = ()
    contents: dict[str, Content] = {}  # by relative path below the attempt's folder


class GpuInfo(Struct, frozen=True, kw_only=True):
    uuid: str
    model: str
    mem_mib: int
    healthy: bool = True
    shareable: bool = False  # its node keeps several tasks on it apart; older agents do not
    offered: bool = True  # tasks may get it: an agent may offer fewer than there are


class InterfaceInfo(Struct, frozen=True, kw_only=True):
    """See `agent/interfaces.py`. `needed`: without its link the node is degraded."""

    name: str
    mac: str
    ip: str | None = None
    kind: str = "data"  # management, data, storage, cluster
    speed_mbps: int = 0  # 0: the driver does not say, or there is no link
    duplex: str = "full"  # full, half, unknown
    status: str = "unknown"  # up, down, unknown
    driver: str | None = None
    addresses: tuple[str, ...] = ()  # with their prefix: "10.0.0.5/24"
    mtu: int = 0  # bytes; 0: unknown
    link: str = ""  # physical, bridge, bond, vlan …
    firmware: str | None = None
    pci_slot: str | None = None
    numa_node: int | None = None
    carries_bus: bool = False  # the coordinator is reached through it
    needed: bool = False


class NetworkTerms(Struct, frozen=True, kw_only=True):
    """What is declared of a node's network. `share`: per cent of its links that tasks may be given."""

    bandwidth_mbps: int = 0
    share: int = 100


class DiskInfo(Struct, frozen=True, kw_only=True):
    mount: str
    filesystem: str
    total_mib: int
    free_mib: int


class Capability(Struct, frozen=True, kw_only=True):
    """What an agent says it can. `level`: the share of its own tests that it passed, 0 to 1; `verified`: it
    has tests, and passed all. `fault`: of the first that it did not."""

    level: float
    verified: bool = False
    fault: str = ""


class Inventory(Struct, frozen=True, kw_only=True):
    """What an agent found on its machine; see `agent/discover.py`."""

    hostname: str
    ip: str
    architecture: str
    os_version: str
    kernel_version: str
    cpu_model: str
    cpu_cores: int
    mem_mib: int = 0  # of the whole machine; 0: unknown
    gpus: tuple[GpuInfo, ...] = ()
    interfaces: tuple[InterfaceInfo, ...] = ()
    disks: tuple[DiskInfo, ...] = ()
    runtimes: dict[str, str] = {}  # container runtime -> version
    isolation: dict[str, str] = {}  # cgroup, namespaces …: what this node can enforce
    pools: tuple[PoolDeclared, ...] = ()


class Usage(Struct, frozen=True, kw_only=True):
    """Gauges at one instant, in the units of `Resources`; None where it cannot be measured."""

    cpu_millis: float
    mem_mib: float
    gpus: float = 0.0  # sum of utilisations, 1.0 = one GPU fully busy
    gpu_mem_mib: float = 0.0
    storage_mib: float = 0.0
    net_rx_mbps: float = 0.0
    net_tx_mbps: float = 0.0
    disk_read_mbps: float = 0.0
    disk_write_mbps: float = 0.0
    temperature_c: float | None = None
    gpu_temperature_c: float | None = None


class GpuUsage(Struct, frozen=True, kw_only=True):
    """One GPU at one instant; None where its driver does not say."""

    uuid: str
    utilisation: float  # 0 to 1
    mem_mib: float
    temperature_c: float | None = None
    power_w: float | None = None


OUTPUT_LIMIT = 512 * 1024
"""Bytes of JSON that a task may leave as its output; more belongs into an artifact."""


class Started(Struct, kw_only=True, tag="started"):
    attempt: AttemptRef
    started_at: float
    pid: int


class Ended(Struct, kw_only=True, tag="ended"):
    """The one terminal event of an attempt. `fault`: what the coordinator finds wrong with its output.

    `exit_code` 0–255, `signal` 1–64 when a signal ended it. `output` is the JSON text that the task
    left in CORRAL_OUTPUT (at most OUTPUT_LIMIT bytes). `started_at` is None where it
    never ran. `log_sizes` are the final sizes in bytes of stdout and stderr.
    """

    attempt: AttemptRef
    outcome: Outcome
    ended_at: float
    started_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str = ""
    output: bytes | None = None
    stderr_tail: bytes = b""
    log_sizes: tuple[int, int] = (0, 0)
    cpu_s: float = 0.0
    max_rss_mib: float = 0.0
    fault: str = ""


class Returned(Struct, kw_only=True, tag="returned"):
    """Handed back before it started: on `Retract`, or because the node is draining."""

    attempt: AttemptRef


TaskEvent = Started | Ended | Returned
"""What happened to an attempt on its node."""
