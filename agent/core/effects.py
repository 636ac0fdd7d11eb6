"""What a step of the agent's core wants done.

Effects for the guard go out at once; those for the disk in one transaction for many steps, and only
after it is the guard told (`Acknowledge`) that it may forget an exit.
"""

from __future__ import annotations

from msgspec import Struct

from agent.core.model import Order
from bus.values import AttemptRef, TaskEvent

# for the guard


class Hand(Struct, frozen=True):
    """Run these when they fit, in this order."""

    orders: tuple[Order, ...]


class End(Struct, frozen=True):
    """TERM, the task's grace, KILL; withdrawn if it has not started."""

    attempts: tuple[AttemptRef, ...]


class Withdraw(Struct, frozen=True):
    """Give these back unless they have started."""

    attempts: tuple[AttemptRef, ...]


class Pause(Struct, frozen=True):
    """Stop these where they stand; those that have not started, wait."""

    attempts: tuple[AttemptRef, ...]


class Resume(Struct, frozen=True):
    """Let these go on."""

    attempts: tuple[AttemptRef, ...]


class EndLeftovers(Struct, frozen=True):
    """Kill these processes of a guard that died, each known by its pid and when it started (ticks)."""

    processes: tuple[tuple[int, int], ...]


class RenewLease(Struct, frozen=True):
    """All leases count from here (CLOCK_BOOTTIME)."""

    sent_at: float


# for the disk


class SaveOrder(Struct, frozen=True):
    order: Order


class SaveStart(Struct, frozen=True):
    attempt: AttemptRef
    pid: int
    started_at: float
    ticks: int = 0


class SaveEnd(Struct, frozen=True):
    """Over. From now on the attempt is a tombstone, and the guard may forget it."""

    attempt: AttemptRef


class SaveEvent(Struct, frozen=True):
    """To be reported."""

    sequence: int
    event: TaskEvent


class RemoveEvents(Struct, frozen=True):
    """The coordinator has these."""

    sequences: tuple[int, ...]


class SaveEpoch(Struct, frozen=True):
    epoch: int


# for the bus and the devices


class FetchInputs(Struct, frozen=True):
    """Bring what this attempt needs: outputs of other tasks to the guard, the rest to this node."""

    order: Order


class LookAtGpus(Struct, frozen=True):
    """Somebody waits for GPUs to be seen as free."""


class Refuse(Struct, frozen=True):
    """The answer to the command of this step: it was not obeyed."""

    reason: str


Effect = (
    Hand
    | End
    | Withdraw
    | Pause
    | Resume
    | EndLeftovers
    | RenewLease
    | SaveOrder
    | SaveStart
    | SaveEnd
    | SaveEvent
    | RemoveEvents
    | SaveEpoch
    | FetchInputs
    | LookAtGpus
    | Refuse
)
