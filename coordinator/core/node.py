"""A node as the core knows it, with its ledger: what its live attempts hold of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from bus.gpus import GpuFault, Quarantine
from bus.values import (
    GPU_MILLI,
    AttemptRef,
    Capability,
    GpuInfo,
    InterfaceInfo,
    Inventory,
    NetworkTerms,
    NodeAdmin,
    NodeHealth,
    NodeKind,
    NodeName,
    Resources,
    TaskRef,
    Usage,
)
from coordinator.core.releases import features_by
from coordinator.core.suspicion import Watch

if TYPE_CHECKING:
    from coordinator.core.model import Attempt, Group


_NO_GPUS: frozenset[str] = frozenset()


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
    declined: bool = False  # gave back what nobody asked back: it has no lease, and gets one when heard next
    lease_ended: bool = False  # what of it could be given out again, was
    losses: list[Loss] = field(default_factory=list)  # the newest of those that speak against it
    attempts: dict[AttemptRef, Attempt] = field(default_factory=dict)
    jobs: dict[int, int] = {}  # how many of them are of each job; replaced, never changed, as `gpu_taken`
    claimed: dict[str, int] = {}  # how many of them write to a volume that is theirs alone; likewise
    volumes: frozenset[str] = frozenset()  # "volume:V" and "writes:V"; of the cluster's `volumes`
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
    capabilities: dict[str, Capability] = {}  # by what its agent's own tests showed
    quarantines: dict[str, Quarantine] = {}  # of its GPUs, by UUID; replaced, never changed, as `gpu_taken`
    gpu_faults: tuple[GpuFault, ...] = ()  # as its agent said last
    over_share: frozenset[AttemptRef] = frozenset()  # that use more of a GPU's memory than their part
    holding: int = 0  # how many attempts are in the ledger; the others wait
    network: str = ""  # that it is in, see `networks`
    terms: NetworkTerms | None = None  # what is declared of that network …
    told_terms: NetworkTerms | None = None  # … and what its agent knows of it
    trouble: str = ""  # what is wrong with the machine, for as long as that lasts

    def __post_init__(self) -> None:
        self.label(self.own_labels, self.set_labels)
        self.equip(self.inventory)

    def equip(self, inventory: Inventory) -> None:
        """This is the machine from now on."""
        self.inventory = inventory
        lost = lost_links(inventory)
        self.trouble = f"no link on {', '.join(sorted(lost))}" if lost else ""

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
    def features(self) -> frozenset[str]:
        """What tasks can ask of it beside labels: "role:R", "volume:V", "can:C" where its level is whole, and
        what its agent's version says."""
        able = [f"can:{name}" for name, each in self.capabilities.items() if each.verified]
        told = (*features_by(self.version), *able, *self.volumes)
        return frozenset([*(f"role:{role}" for role in self.roles), *told])

    @property
    def offered_gpus(self) -> tuple[GpuInfo, ...]:
        """Those that tasks may get, in inventory order."""
        out = self.quarantined
        return tuple([gpu for gpu in self._at_all if gpu.uuid not in out])

    @property
    def withheld_gpus(self) -> tuple[GpuInfo, ...]:
        """Those that tasks could get if they were not quarantined."""
        out = self.quarantined
        return tuple([gpu for gpu in self._at_all if gpu.uuid in out]) if out else ()

    @property
    def _at_all(self) -> list[GpuInfo]:
        return [gpu for gpu in self.inventory.gpus if gpu.healthy and gpu.offered]

    @property
    def quarantined(self) -> frozenset[str]:
        """The GPUs that nobody gets now."""
        if not self.quarantines:
            return _NO_GPUS
        return frozenset([uuid for uuid, each in self.quarantines.items() if each.holds])

    def count_gpus(self) -> None:
        """Others may be quarantined now than before."""
        self.declared = replace(self.declared, gpus=len(self.offered_gpus), gpu_milli=0)
        self.fit_capacity()

    def fit_capacity(self) -> None:
        """What it declares, and for as long as they last what attempts have beyond that.

        A GPU that is quarantined and still held is that much more: those that are left stay free.
        """
        offered = {gpu.uuid for gpu in self.offered_gpus}
        beyond = sum(milli for uuid, milli in self.gpu_taken.items() if uuid not in offered)
        self.capacity = (self.declared + Resources(gpu_milli=beyond)).widest(self.allocated)

    def note_task(self, job: int, change: int = 1, *, claims: tuple[str, ...] = ()) -> None:
        """One attempt of `job` more is here, or one less; `claims`: the volumes to which it alone writes."""
        for name in claims:
            self.claimed = self.claimed | {name: self.claimed.get(name, 0) + change}
            if not self.claimed[name]:
                del self.claimed[name]
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


def lost_links(inventory: Inventory) -> dict[str, InterfaceInfo]:
    """The interfaces, by name, that the machine needs and that have no link."""
    return {each.name: each for each in inventory.interfaces if each.needed and each.status == "down"}


def offering(inventory: Inventory, gpus: int) -> Inventory:
    """The inventory, where of its healthy GPUs only the first `gpus` are for tasks."""
    left, marked = gpus, []
    for gpu in inventory.gpus:
        offered = gpu.healthy and left > 0
        left -= offered
        marked.append(gpu if gpu.offered is offered else replace(gpu, offered=offered))
    return replace(inventory, gpus=tuple(marked)) if tuple(marked) != inventory.gpus else inventory


class Loss(NamedTuple):
    """A task that a node lost, or could not start."""

    at_s: float
    task: TaskRef
    group: Group
    unstarted: bool


class Refusal(NamedTuple):
    """When a node could not start a task, and what it said."""

    at_s: float
    why: str


class Brake(Struct, frozen=True):
    """Nothing is replaced: so many nodes vanished at once that we suspect ourselves."""

    since_s: float
    nodes: frozenset[NodeName]  # those that vanished
    reason: str
