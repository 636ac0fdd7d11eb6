"""Everything that an agent's core can be told."""

from __future__ import annotations

from msgspec import Struct

from agent.core.model import Order
from bus.values import AttemptRef, Ended, Meeting, Returned, TaskEvent, TaskRef


class Assigned(Struct, frozen=True, kw_only=True):
    """`lapsed`: our leases have run out. The coordinator may have given this work to another node since it
    sent the message, which then waited here or on its way while this process or machine stood still."""

    epoch: int
    orders: tuple[Order, ...]
    lapsed: bool = False


class CancelAsked(Struct, frozen=True, kw_only=True):
    epoch: int
    attempts: tuple[AttemptRef, ...]


class RetractAsked(Struct, frozen=True, kw_only=True):
    epoch: int
    attempts: tuple[AttemptRef, ...]


class Start(Struct, frozen=True):
    """A process that the guard started. `ticks`: when, as the kernel counts it since the boot (0: unknown);
    it tells this process from a later one of the same pid."""

    attempt: AttemptRef
    pid: int
    started_at: float
    ticks: int = 0


class PauseAsked(Struct, frozen=True, kw_only=True):
    epoch: int
    attempts: tuple[AttemptRef, ...]


class ResumeAsked(Struct, frozen=True, kw_only=True):
    epoch: int
    attempts: tuple[AttemptRef, ...]


class StartAsked(Struct, frozen=True, kw_only=True):
    """The ranks may start. `lapsed` as in `Assigned`."""

    epoch: int
    attempts: tuple[AttemptRef, ...]
    meeting: Meeting
    lapsed: bool = False


class Fenced(Struct, frozen=True):
    """A younger agent has this node's name: everything here belongs to nobody any more."""


class Answered(Struct, frozen=True, kw_only=True):
    """The coordinator answered a registration, heartbeat or report.

    `renews_from`: when the request was sent that this answer renews the leases from, on CLOCK_BOOTTIME
    (None: a report renews nothing). `acknowledged`: the last event it has committed.
    """

    epoch: int
    drop: tuple[AttemptRef, ...] = ()
    renews_from: float | None = None
    acknowledged: int = 0


class InputsArrived(Struct, frozen=True):
    """All that this attempt needs is here. `env`: the variables that say where."""

    attempt: AttemptRef
    env: dict[str, str] = {}


class InputsRefused(Struct, frozen=True):
    """What this attempt needs cannot be had: here, or `nowhere` that any node could look."""

    attempt: AttemptRef
    reason: str
    nowhere: bool = False


class EndAsked(Struct, frozen=True):
    """This node itself ends attempts, and says why: a volume is fuller than it may be."""

    attempts: tuple[AttemptRef, ...]
    reason: str


class GpusSeen(Struct, frozen=True, kw_only=True):
    """A look at the GPUs that began when these `attempts` waited for it, and which GPUs it saw to be free."""

    attempts: tuple[AttemptRef, ...]
    free: frozenset[str]


class GuardReported(Struct, frozen=True, kw_only=True):
    """What the guard saw since its last word; starts are older than ends."""

    starts: tuple[Start, ...] = ()
    ends: tuple[Ended | Returned, ...] = ()


class Restored(Struct, frozen=True, kw_only=True):
    """What the disk held when this agent started: before everything else, and once.

    The `starts` of another boot have neither pid nor ticks."""

    epoch: int
    sequence: int
    starts: tuple[Start, ...] = ()
    unstarted: tuple[AttemptRef, ...] = ()
    fences: tuple[tuple[TaskRef, int], ...] = ()
    events: tuple[tuple[int, TaskEvent], ...] = ()


class GuardConnected(Struct, frozen=True, kw_only=True):
    """A guard's whole inventory, after a start of the agent or of the guard."""

    running: tuple[Start, ...] = ()
    queued: tuple[AttemptRef, ...] = ()
    paused: tuple[AttemptRef, ...] = ()
    ends: tuple[Ended | Returned, ...] = ()


Event = (
    Assigned
    | CancelAsked
    | RetractAsked
    | PauseAsked
    | ResumeAsked
    | StartAsked
    | Fenced
    | Answered
    | InputsArrived
    | InputsRefused
    | EndAsked
    | GpusSeen
    | GuardReported
    | Restored
    | GuardConnected
)
