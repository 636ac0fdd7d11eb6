"""The vocabulary that every Corral program shares: names, states, resources, usage.

Nothing here does I/O, reads a clock or draws randomness; both cores import this module.
Units are fixed everywhere: millicores, MiB, GPUs and thousandths of one, Mbit/s, seconds (UTC for
instants).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple, NewType

from msgspec import Struct

NodeName = NewType("NodeName", str)
UserName = NewType("UserName", str)

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a user or a node may be called: one subject token, safe as a folder name."""


def is_name(text: str) -> bool:
    """Whether `text` can name a user or a node (whole string, no trailing newline)."""
    return NAME_PATTERN.fullmatch(text) is not None


class TaskRef(NamedTuple):
    """A task as people type it: job number and ordinal within the job, from 0."""

    job: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here

    def __str__(self) -> str:
        return f"{self.job}.{self.index}"


class AttemptRef(NamedTuple):
    """One try of a task; `fence` counts the tries from 1 and outlives every restart."""

    job: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    fence: int

    @property
    def task(self) -> TaskRef:
        return TaskRef(self.job, self.index)

    def __str__(self) -> str:
        return f"{self.job}.{self.index}#{self.fence}"


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
    NOT_FOUND = "not_found"  # the executable is missing: exit code 127
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


class GpuInfo(Struct, frozen=True, kw_only=True):
    uuid: str
    model: str
    mem_mib: int
    healthy: bool = True
    shareable: bool = False  # its node keeps several tasks on it apart; older agents do not


class InterfaceInfo(Struct, frozen=True, kw_only=True):
    name: str
    mac: str
    ip: str | None = None
    kind: str = "data"  # management, data, storage, cluster
    speed_mbps: int = 0  # 0: the driver does not say
    duplex: str = "full"
    status: str = "unknown"  # up, down, unknown
    driver: str | None = None


class DiskInfo(Struct, frozen=True, kw_only=True):
    mount: str
    filesystem: str
    total_mib: int
    free_mib: int


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


OUTPUT_LIMIT = 512 * 1024
"""Bytes of JSON that a task may leave as its output; more belongs into an artifact."""


class Started(Struct, kw_only=True, tag="started"):
    attempt: AttemptRef
    started_at: float
    pid: int


class Ended(Struct, kw_only=True, tag="ended"):
    """The one terminal event of an attempt.

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


class Returned(Struct, kw_only=True, tag="returned"):
    """Handed back before it started: on `Retract`, or because the node is draining."""

    attempt: AttemptRef


TaskEvent = Started | Ended | Returned
"""What happened to an attempt on its node."""
