"""What an agent holds: its attempts, the fences it has seen, and what it still has to report."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct, field

from bus.values import AttemptRef, Ended, Meeting, Returned, TaskEvent, TaskRef, TaskSettings

FENCES_KEPT = 100_000
"""How many tasks' fences are remembered: more than a coordinator could ever send again."""


class Work(Struct, frozen=True, kw_only=True):
    """What the orders of one group share (compare by identity)."""

    settings: TaskSettings
    command: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def prepares(self) -> bool:
        """Whether something must be brought before any of it may start."""
        settings = self.settings
        return bool(self.needs or settings.volumes or settings.contents or settings.checkpoint is not None)


class Order(Struct, frozen=True, kw_only=True):
    """One attempt to run here. `granted`: resources are held for it at the coordinator."""

    attempt: AttemptRef
    work: Work
    granted: bool = True
    gpus: tuple[str, ...] = ()
    array_index: int | None = None
    input: bytes | None = None
    port: int = 0  # of rank 0 of a gang: where the others meet it
    meeting: Meeting | None = None  # of a rank: known once it may start
    env: dict[str, str] = {}  # where that lies which was brought for it


class Phase(StrEnum):
    BLOCKED = "blocked"  # an older attempt of the same task must end first
    PREPARING = "preparing"  # what it needs is being brought: outputs of other tasks, volumes
    GATHERED = "gathered"  # a rank of a gang: the others must have their places first
    CLEARING = "clearing"  # its GPUs must be seen to be free first
    HANDED = "handed"  # with the guard, which starts it when it fits
    RUNNING = "running"


class Held(Struct, kw_only=True):
    """A live attempt. `silent`: it belongs to somebody else now, so its end is not reported. `paused`: it
    stands still, or will not start."""

    attempt: AttemptRef
    phase: Phase
    order: Order | None = None  # until the guard has it
    pid: int | None = None
    started_at: float | None = None
    ticks: int = 0
    silent: bool = False
    paused: bool = False
    reason: str = ""  # why this node itself ends it

    @property
    def gathers(self) -> bool:
        """Whether it is a rank that was not told to start yet."""
        order = self.order
        return order is not None and order.work.settings.gang is not None and order.meeting is None


class Ledger(Struct, kw_only=True):
    """The whole state of the core. `held` has at most one attempt a task in a phase past BLOCKED."""

    epoch: int = 0
    held: dict[AttemptRef, Held] = field(default_factory=dict)
    fences: dict[TaskRef, int] = field(default_factory=dict)
    outbox: deque[tuple[int, TaskEvent]] = field(default_factory=deque)
    sequence: int = 0

    def live(self) -> tuple[AttemptRef, ...]:
        """Every attempt that the coordinator must go on believing in: held, or its end not yet reported."""
        ended = [e.attempt for _, e in self.outbox if isinstance(e, Ended | Returned)]
        return tuple([a for a, held in self.held.items() if not held.silent] + ended)

    def paused(self) -> tuple[AttemptRef, ...]:
        """Those of `live` that stand still."""
        return tuple([a for a, held in self.held.items() if held.paused and not held.silent])

    def preparing(self) -> tuple[AttemptRef, ...]:
        """Those of `live` for which something is still being brought."""
        return tuple([a for a, held in self.held.items() if held.phase is Phase.PREPARING])

    def of_task(self, task: TaskRef) -> Iterator[Held]:
        """The attempts of one task that are held: one, or an older one that is ending and its successors."""
        return (held for held in self.held.values() if held.attempt.task == task)

    def ports(self) -> tuple[tuple[AttemptRef, int], ...]:
        """Where the ranks 0 that are held for their gangs can be met."""
        found = [(held.attempt, held.order.port) for held in self.held.values() if held.order is not None]
        return tuple([pair for pair in found if pair[1]])

    def remember_fence(self, attempt: AttemptRef) -> bool:
        """Note a fence; False if it is not newer than what was here before. The oldest are forgotten."""
        known = self.fences.pop(attempt.task, 0)
        self.fences[attempt.task] = max(known, attempt.fence)
        if len(self.fences) > FENCES_KEPT:
            del self.fences[next(iter(self.fences))]
        return attempt.fence > known
