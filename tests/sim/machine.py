"""A machine of the cluster: its clocks, its tasks' processes, and the guard with the product's own keeper.

`SimKeeper` and `SimServer` are `agent.guard`'s classes with the kernel taken out: starting, signalling and
reaping meet simulated processes here, everything that decides is the product's code.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from agent.guard import wire
from agent.guard.arrivals import Arrivals
from agent.guard.containers import Containers
from agent.guard.files import Leavings
from agent.guard.keeper import Keeper
from agent.guard.server import Server
from agent.guard.spawn import CannotStart
from agent.guard.terminals import Terminals
from agent.guard.wire import Body, Exit, Item, Key
from bus.values import Resources, TaskEvent
from tests.sim.timeline import VIRTUAL_TIME, Host, Process, Timeline

LINGER_S = 1e9
GUARD_START_S = 0.2
ROUNDING_S = 1e-6
"""A deadline must not be missed by the last bit of a clock, again and again."""


class Task:
    """A process that a guard started."""

    __slots__ = ("at", "ends_at", "guarded", "key", "left_s", "outcome", "pid", "status", "stubborn")

    def __init__(self, key: Key, pid: int, *, outcome: int, stubborn: bool) -> None:
        self.key = key
        self.pid = pid
        self.outcome = outcome  # its status if nobody interferes
        self.stubborn = stubborn
        self.status: int | None = None  # as wait() tells it; None: it runs
        self.ends_at = 0.0
        self.left_s: float | None = None  # of its work, while it stands still
        self.guarded = True
        self.at = 0.0  # when it was started


class Watcher:
    """Hears of processes that begin and end; see `tests.sim.invariants`."""

    def started(self, machine: Machine, task: Task) -> None: ...

    def ended(self, machine: Machine, task: Task) -> None: ...

    def forgotten(self, machine: Machine, event: TaskEvent) -> None: ...


class Machine(Host):
    """`agent` is the agent process that runs here now, if any."""

    def __init__(
        self,
        timeline: Timeline,
        name: str,
        *,
        node: str,
        capacity: Resources,
        seed: int,
        watcher: Watcher,
        tool_s: float,
    ) -> None:
        super().__init__(timeline, name)
        self.node = node
        self.capacity = capacity
        self.gpus = tuple(f"GPU-{name}-{number}" for number in range(capacity.gpus))
        self.seed = seed
        self.watcher = watcher
        self.tool_s = tool_s
        self.disk_full = False
        self.tasks: dict[int, Task] = {}
        self.zombies: list[Task] = []
        self.guard: Guard | None = None
        self.agent: Any = None
        self.disk: dict[str, Any] = {}  # of the agent's spool
        self.journal: dict[Key, Exit] = {}
        self.copied = False  # another machine has, or had, its node's name
        self.forgetful = False  # a fault destroyed what it knew of its tasks' ends
        self._last_pid = 0

    @property
    def boot_id(self) -> str:
        return f"{self.name}-boot-{self.boots}"

    def spawn(self, item: Item, body: Body) -> int:
        """A task's process; what it does is in its command: work, seconds, percent of failures, manner."""
        if self.disk_full:
            raise CannotStart(wire.NOT_STARTED, "cannot prepare its folder: No space left on device")
        random = Random(f"{self.seed} {item.key}")
        seconds, failures, manner = self.tool_s, 0.0, ""
        if body.tool is None:
            _, seconds_text, failures_text, manner = body.argv
            seconds, failures = float(seconds_text), float(failures_text)
        if manner == "missing":
            raise CannotStart(wire.NOT_FOUND, "work: not found", 127)
        self._last_pid += 1
        outcome = random.choice((1 << 8, signal.SIGSEGV)) if random.random() * 100 < failures else 0
        task = Task(item.key, self._last_pid, outcome=int(outcome), stubborn=manner == "stubborn")
        task.at = self.timeline.now
        self.tasks[task.pid] = task
        self.watcher.started(self, task)
        self._work(task, seconds * (0.5 + random.random()))
        return task.pid

    def _work(self, task: Task, seconds: float) -> None:
        task.ends_at = self.timeline.now + seconds
        self.timeline.at(task.ends_at, self._finish, task, task.ends_at)

    def _finish(self, task: Task, planned_at: float) -> None:
        """The end of its work, unless it stands still."""
        if task.left_s is None and task.ends_at == planned_at:
            self.exit(task, task.outcome)

    def exit(self, task: Task, status: int) -> None:
        """The process is over."""
        if task.status is not None:
            return
        task.status = status
        del self.tasks[task.pid]
        self.watcher.ended(self, task)
        if self.guard is not None and self.guard.alive and task.guarded:
            self.zombies.append(task)
            self.guard.enter(self.guard.turn)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """To a task's whole tree."""
        task = self.tasks.get(pid)
        if task is None:
            return
        match number:
            case signal.SIGKILL:
                self.timeline.after(0.01, self.exit, task, int(number))
            case signal.SIGSTOP if task.left_s is None:
                task.left_s = task.ends_at - self.timeline.now
            case signal.SIGCONT if task.left_s is not None:
                left_s, task.left_s = task.left_s, None
                self._work(task, left_s)
            case signal.SIGTERM if not task.stubborn and task.left_s is None:
                self.timeline.after(0.05, self.exit, task, int(number))
            case _:
                pass

    def start_guard(self) -> Guard:
        """Another guard ends first what a dead one left."""
        for task in list(self.tasks.values()):
            self.exit(task, int(signal.SIGKILL))
        self.zombies.clear()
        self.guard = Guard(self)
        return self.guard

    def hang_guard(self, *, hard: bool) -> None:
        """It stands still: `hard` in the kernel, where no SIGCONT helps."""
        if self.guard is not None and self.guard.alive:
            self.guard.stop()
            self.guard.wakes = not hard

    def wake_guard(self) -> None:
        """SIGCONT."""
        if self.guard is not None and self.guard.stopped and self.guard.wakes:
            self.guard.go_on()

    def kill_guard(self) -> None:
        """Its tasks run on until the next guard."""
        if self.guard is None or not self.guard.alive:
            return
        self.guard.kill()
        self.forgetful = True
        for task in self.tasks.values():
            task.guarded = False
        if self.agent is not None:
            self.agent.enter(self.agent.on_guard_gone)

    def reboot(self, *, journal_kept: bool) -> None:
        """Everything here ends at once."""
        self.forgetful = True
        if self.agent is not None:
            self.agent.kill()
            self.agent = None
        if self.guard is not None:
            self.guard.kill()
        for task in list(self.tasks.values()):
            self.exit(task, int(signal.SIGKILL))
        self.zombies.clear()
        if not journal_kept:
            self.journal.clear()
        super().reboot()


class Guard(Process):
    """The guard's process: frames in, turns of its loop, frames out."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.machine = machine
        self.wakes = True
        self.keeper = SimKeeper(machine)
        self._server = SimServer(self.keeper, self._to_agent)
        self._wake_at = float("inf")

    def connect(self) -> None:
        """An agent has come."""
        self._server.connected()

    def receive(self, data: bytes) -> None:
        """Frames of the agent."""
        buffer = bytearray(data)
        for frame in wire.unpack_all(buffer):
            self._server.on_frame(*frame)
        self.turn()

    def ask(self, answered: Callable[[], None]) -> None:
        """Something small, to see whether it answers."""
        agent = self.machine.agent
        if agent is not None:
            agent.enter(answered)

    def turn(self) -> None:
        """One round of the server's loop."""
        self._server.turn()
        wake_at = self._server.wake_at()
        if wake_at is not None:
            pause_s = max(wake_at - self.host.boottime_s(), 0.0) / self.host.rate
            self._wake_at = self.timeline.now + pause_s + ROUNDING_S
            self.timeline.at(self._wake_at, self.enter, self._wake, self._wake_at)
        else:
            self._wake_at = float("inf")

    def _wake(self, planned_at: float) -> None:
        if planned_at == self._wake_at:
            self.turn()

    def _to_agent(self, data: bytes) -> None:
        agent = self.machine.agent
        if agent is not None:
            agent.enter(agent.on_guard_data, self, data)


class SimServer(Server):
    """The guard's server without its sockets."""

    def __init__(self, keeper: Keeper, send: Callable[[bytes], None]) -> None:
        self._keeper = keeper
        self._to_agent = send
        self._linger_s = LINGER_S
        self._leaving = False
        self._idle_since = 0.0
        self._flushed_at = 0.0

    def connected(self) -> None:
        self._leaving = False

    def on_frame(self, *frame: Any) -> None:
        self._on_frame(*frame)

    def turn(self) -> None:
        self._turn()

    def wake_at(self) -> float | None:
        """When the loop has something to do by itself, on CLOCK_BOOTTIME."""
        due = [self._keeper.next_deadline()]
        if self._keeper.started or self._keeper.exits:
            due.append(self._flushed_at + 0.005)
        known = [at for at in due if at is not None]
        return min(known, default=None)

    def _send(self, data: bytes) -> None:
        self._to_agent(data)


class SimKeeper(Keeper):
    """The guard's keeper, which reaps simulated processes."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        super().__init__(
            SimJournal(machine.journal),  # type: ignore[arg-type]
            SimFiles(),  # type: ignore[arg-type]
            SimSpawner(machine),  # type: ignore[arg-type]
            folder=machine.name,
        )

    def _reap_one(self, now_s: float) -> bool:
        if not self._machine.zombies:
            return False
        ended = self._machine.zombies.pop(0)
        assert ended.status is not None
        task = self._by_pid.pop(ended.pid)
        task.used_mib = 1.0
        self._end(task, ended.status)
        return True


class SimTree:
    """`agent.guard.tree` for simulated processes, each of which is its whole tree."""

    def signal_tree(self, roots: Iterable[int], *numbers: signal.Signals) -> int:
        machine = _machine_now()
        for number in numbers:
            for pid in sorted(roots):
                machine.signal(pid, number)
        return 0

    def stop_tree(self, roots: Callable[[], set[int]]) -> int:
        return self.signal_tree(roots(), signal.SIGSTOP)

    def end_by_start(self, leftovers: Iterable[tuple[int, int]]) -> int:
        machine = _machine_now()
        for pid, ticks in leftovers:
            if self.start_ticks(pid) == ticks:
                machine.signal(pid, signal.SIGKILL)
        return 0

    def start_ticks(self, pid: int) -> int:
        task = _machine_now().tasks.get(pid)
        return 0 if task is None else int((task.at + 1000) * 100)

    def own_children(self) -> list[int]:
        return []

    def key_of(self, pid: int) -> Key | None:
        return None


SIM_TREE = SimTree()


def _machine_now() -> Machine:
    host = VIRTUAL_TIME.host
    assert isinstance(host, Machine)
    return host


class SimSpawner:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.terminals = Terminals()  # nobody here is at one
        self.containers = Containers("", None, guard="", node="")  # nor does anything run in one

    def start(self, item: Item, body: Body) -> int:
        return self._machine.spawn(item, body)


class SimJournal:
    """The guard's files: they outlive it, as a rule."""

    def __init__(self, exits: dict[Key, Exit]) -> None:
        self.exits = exits

    def append(self, exits: Iterable[Exit]) -> None:
        for each in exits:
            self.exits.setdefault(each.key, each)

    def acknowledge(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.exits.pop(key, None)


class SimFiles:
    """Every attempt that ended well left the same output."""

    def collect(self, key: Key, *, with_stderr: bool) -> Leavings:
        return Leavings(None if with_stderr else b'{"words":3}', "", b"", 0, 0)

    def remove(self, key: Key) -> None: ...

    def write_need(self, key: Key, group: str, index: int, output: bytes) -> None: ...

    def reuse_workdirs(self) -> None: ...

    def read(self, key: Key, stream: int, offset: int, limit: int) -> tuple[bytes, int]:
        return b"", 0

    def written(self, key: Key, stream: int) -> tuple[int, float]:
        return 0, 0.0

    def write_arrivals(self, key: Key, arrivals: Arrivals) -> None: ...

    def read_arrivals(self, key: Key) -> Arrivals:
        return Arrivals()
