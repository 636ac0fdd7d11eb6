"""The agent's file on a simulated disk: what was written survives the agent, what waits to be, does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, field

from agent.core import effects
from agent.core.effects import Effect
from agent.core.events import Restored, Start
from bus.values import AttemptRef, TaskEvent, TaskRef
from tests.sim.machine import Machine
from tests.sim.timeline import Process

WRITE_S = 0.02
FULL_RETRY_S = 1.0


class Session(Struct):
    ended: bool = False
    pid: int = 0
    started_at: float | None = None
    ticks: int = 0
    boot_id: str = ""


class File(Struct):
    """The tables of `sql/agent`."""

    sessions: dict[AttemptRef, Session] = field(default_factory=dict)
    events: dict[int, TaskEvent] = field(default_factory=dict)
    sequence: int = 0
    epoch: int = 0


class SimSpool:
    """`agent.spool.Spool` as the executor sees it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._file: File = machine.disk.setdefault("state.db", File())
        self._process: Process | None = None
        self._on_saved: Callable[[list[AttemptRef]], None] = lambda ended: None
        self._waiting: list[Effect] = []
        self._waiters: list[Callable[[], None]] = []
        self._writing = False
        self.cgroup = ""

    def load(self) -> Restored:
        file = self._file
        fences: dict[TaskRef, int] = {}
        for ref in file.sessions:
            fences[ref.task] = max(fences.get(ref.task, 0), ref.fence)
        live = [(ref, session) for ref, session in file.sessions.items() if not session.ended]
        return Restored(
            epoch=file.epoch,
            sequence=file.sequence,
            starts=tuple(
                self._start(ref, session) for ref, session in live if session.started_at is not None
            ),
            unstarted=tuple(ref for ref, session in live if session.started_at is None),
            fences=tuple(fences.items()),
            events=tuple(sorted(file.events.items())),
        )

    def _start(self, ref: AttemptRef, session: Session) -> Start:
        assert session.started_at is not None
        here = session.boot_id == self._machine.boot_id
        return Start(ref, session.pid if here else 0, session.started_at, session.ticks if here else 0)

    def run(self, process: Process, on_saved: Callable[[list[AttemptRef]], None]) -> None:
        """From now on write for `process`."""
        self._process, self._on_saved = process, on_saved
        self._write_soon()

    def add(self, changes: Iterable[Effect]) -> None:
        self._waiting += changes
        self._write_soon()

    def saved(self, then: Callable[[], None]) -> None:
        """Call `then` once everything added so far is on the disk."""
        if self._waiting:
            self._waiters.append(then)
        else:
            then()

    def _write_soon(self) -> None:
        if self._process is not None and self._waiting and not self._writing:
            self._writing = True
            self._process.after(WRITE_S, self._write)

    def _write(self) -> None:
        assert self._process is not None
        if self._machine.disk_full:
            self._process.after(FULL_RETRY_S, self._write)
            return
        self._writing = False
        changes, self._waiting = self._waiting, []
        waiters, self._waiters = self._waiters, []
        ended = [ref for change in changes if (ref := self._apply(change)) is not None]
        for then in waiters:
            then()
        self._on_saved(ended)
        self._write_soon()

    def _apply(self, change: Effect) -> AttemptRef | None:
        """Write one change; the attempt that it ended."""
        file = self._file
        match change:
            case effects.SaveOrder(order):
                file.sessions.setdefault(order.attempt, Session())
            case effects.SaveStart(attempt, pid, started_at, ticks):
                session = file.sessions.setdefault(attempt, Session())
                session.pid, session.started_at, session.ticks = pid, started_at, ticks
                session.boot_id = self._machine.boot_id
            case effects.SaveEnd(attempt):
                file.sessions.setdefault(attempt, Session()).ended = True
                return attempt
            case effects.SaveEvent(sequence, event):
                file.events[sequence] = event
                file.sequence = max(file.sequence, sequence)
            case effects.RemoveEvents(sequences):
                for sequence in sequences:
                    event = file.events.pop(sequence, None)
                    if event is not None:
                        self._machine.watcher.forgotten(self._machine, event)
            case effects.SaveEpoch(epoch):
                file.epoch = epoch
            case _:
                pass
        return None
