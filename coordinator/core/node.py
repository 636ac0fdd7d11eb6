"""A node as the core knows it, with its ledger: what its live attempts hold of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from msgspec import Struct, field

from bus.values import (
    GPU_MILLI,
    AttemptRef,
    GpuInfo,
    Inventory,
    NodeAdmin,
    NodeHealth,
    NodeKind,
    NodeName,
    Resources,
    TaskRef,
    Usage,
)
from coordinator.core.suspicion import Watch

if TYPE_CHECKING:
    from coordinator.core.model import Attempt, Group


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
    own_labels: dict[str, str]  # as its agent says
    roles: tuple[str, ...]
    tools: tuple[str, ...]
    health: NodeHealth
    admin: NodeAdmin
    lease_from_s: float  # when the last renewing answer went out
    last_beat_s: float
    allocated: Resources = Resources()
    gpu_taken: dict[str, int] = {}  # thousandths by UUID; replaced, never changed: copies of a node share it
    load: float = 0.0
    usage: Usage | None = None
    usage_s: float = 0.0
    anomalous: bool = False  # the newest usage exceeds the machine
    watch: Watch = field(default_factory=Watch)
    suspicion: float = 0.0  # as judged last; 1 and more: taken to be gone
    overdue: bool = False  # silent for longer than its pace explains
    left: bool = False  # its agent was stopped in good order, and said so
    lease_ended: bool = False  # what of it could be given out again, was
    losses: list[Loss] = field(default_factory=list)  # the newest of those that speak against it
    attempts: dict[AttemptRef, Attempt] = field(default_factory=dict)
    jobs: dict[int, int] = {}  # how many of them are of each job; replaced, never changed, as `gpu_taken`
    ends_per_s: float = 0.0  # decayed rate of ended attempts, see `note_ends`
    ends_s: float = 0.0
    written: Resources = Resources()  # the capacity that its row has
    admin_reason: str = ""  # why it takes no work, in the words of `admin_by`
    admin_by: str = ""
    admin_at: float | None = None
    admin_goal: NodeAdmin | None = None  # what it becomes once it is drained
    admin_deadline: float | None = None  # when what still runs there is queued again
    set_labels: dict[str, str] = {}  # by people; replaced, never changed, as `labels` is
    labels: dict[str, str] = {}  # both, where people win: what decides
    holding: int = 0  # how many attempts are in the ledger; the others wait

    def __post_init__(self) -> None:
        self.label(self.own_labels, self.set_labels)

    def label(self, own: dict[str, str], set_by_people: dict[str, str]) -> None:
        """Give it labels: those of its agent, and those that people set."""
        self.own_labels, self.set_labels = own, set_by_people
        self.labels = own | set_by_people

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

    def note_task(self, job: int, change: int = 1) -> None:
        """One attempt of `job` more is here, or one less."""
        left = self.jobs.get(job, 0) + change
        self.jobs = self.jobs | {job: left}
        if not left:
            del self.jobs[job]

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
