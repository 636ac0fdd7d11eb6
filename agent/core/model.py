"""What an agent holds: its attempts, the fences it has seen, and what it still has to report."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct, field

from bus.values import AttemptRef, Ended, Returned, TaskEvent, TaskRef, TaskSettings

FENCES_KEPT = 100_000
"""How many tasks' fences are remembered: more than a coordinator could ever send again."""


class Work(Struct, frozen=True, kw_only=True):
    """What the orders of one group share (compare by identity)."""

    settings: TaskSettings
    command: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class Order(Struct, frozen=True, kw_only=True):
    """One attempt to run here. `granted`: resources are held for it at the coordinator."""

    attempt: AttemptRef
    work: Work
    granted: bool = True
    gpus: tuple[str, ...] = ()
    array_index: int | None = None
    input: bytes | None = None


class Phase(StrEnum):
    BLOCKED = "blocked"  # an older attempt of the same task must end first
    PREPARING = "preparing"  # the outputs that it needs are being fetched
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

    def of_task(self, task: TaskRef) -> Iterator[Held]:
        """The attempts of one task that are held: one, or an older one that is ending and its successors."""
        return (held for held in self.held.values() if held.attempt.task == task)

    def remember_fence(self, attempt: AttemptRef) -> bool:
        """Note a fence; False if it is not newer than what was here before. The oldest are forgotten."""
        known = self.fences.pop(attempt.task, 0)
        self.fences[attempt.task] = max(known, attempt.fence)
        if len(self.fences) > FENCES_KEPT:
            del self.fences[next(iter(self.fences))]
        return attempt.fence > known
