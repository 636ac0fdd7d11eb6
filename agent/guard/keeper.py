"""The guard itself: what runs, until when, and how it ended. The loop around it is `agent.guard.server`.

Three kinds of deadline end a task, each with TERM and later KILL of its whole tree: its own walltime, a
cancel, and the node's lease. The lease is one pair of deadlines for all: whoever does not renew it in time
cannot know whether the tasks were given to somebody else.
"""

from __future__ import annotations

import heapq
import os
import signal
import time
from collections.abc import Iterable

from agent.guard import tree, wire
from agent.guard.admission import Admission
from agent.guard.files import TaskFiles
from agent.guard.journal import Journal
from agent.guard.spawn import CannotStart, Spawner
from agent.guard.wire import Amounts, Body, Exit, Item, Key

_SWEEP_DELAY_S = 0.05
"""After a task's end, how soon what it left behind is looked for: one look serves many ends."""


class Running:
    """A task that was started. `cause` is set once we have begun to end it."""

    __slots__ = ("body", "cause", "item", "pid", "started_at")

    def __init__(self, item: Item, body: Body, pid: int, started_at: float) -> None:
        self.item = item
        self.body = body
        self.pid = pid
        self.started_at = started_at
        self.cause = ""


class Keeper:
    """`started` and `exits` collect what the agent has not been told; the server empties them."""

    def __init__(self, journal: Journal, files: TaskFiles, spawner: Spawner) -> None:
        self._journal = journal
        self._files = files
        self._spawner = spawner
        self._admission = Admission()
        self._bodies: dict[Key, Body] = {}
        self._running: dict[Key, Running] = {}
        self._by_pid: dict[int, Running] = {}
        self._deadlines: list[tuple[float, int, Key, signal.Signals, str]] = []
        self._deadline_count = 0
        self._term_at = 0.0
        self._kill_at = 0.0
        self._lapsed = True
        self._sweep_at: float | None = None
        self._unwritten: list[Exit] = []
        self.started: list[tuple[Key, int, float]] = []
        self.exits: list[Exit] = []

    # what the agent asks for

    def resize(self, capacity: Amounts, gpus: tuple[str, ...]) -> None:
        """The node has this much from now on."""
        for item in self._admission.resize(capacity, gpus):
            self._end_unstarted(item.key, wire.RETURNED)

    def enqueue(self, bodies: tuple[Body, ...], items: Iterable[Item]) -> None:
        """Take these in; those that cannot ever run here end at once."""
        for item in items:
            if item.key in self._bodies or item.key in self._journal.exits:
                continue  # asked for twice
            self._bodies[item.key] = bodies[item.body]
            refusal = self._admission.refusal(item)
            if refusal:
                self._end_unstarted(item.key, wire.NOT_STARTED, message=refusal)
            elif self._lapsed:
                self._end_unstarted(item.key, wire.RETURNED)
            else:
                self._admission.enqueue(item)

    def cancel(self, keys: Iterable[Key], now_s: float) -> None:
        """End these; each has its own grace between TERM and KILL."""
        targets: list[Running] = []
        for key in keys:
            if self._admission.withdraw(key) is not None:
                self._end_unstarted(key, wire.CANCELLED, message="cancelled before it started")
            elif key in self._running:
                targets.append(self._running[key])
        self._begin_end(targets, wire.CANCELLED, now_s)

    def retract(self, keys: Iterable[Key]) -> None:
        """Give back those that have not started."""
        for key in keys:
            if self._admission.withdraw(key) is not None:
                self._end_unstarted(key, wire.RETURNED)

    def renew(self, term_at: float, kill_at: float, now_s: float) -> None:
        """Tasks may run until then. A renewal that is itself too late changes nothing."""
        if term_at > now_s:
            self._term_at, self._kill_at, self._lapsed = term_at, kill_at, False

    def acknowledge(self, keys: Iterable[Key]) -> None:
        self._journal.acknowledge(list(keys))

    def need(self, key: Key, outputs: Iterable[tuple[str, int, bytes]]) -> None:
        """Outputs that a task to come will read; a full disk shows when the task starts."""
        for group, index, output in outputs:
            self._files.write_need(key, group, index, output)

    def read(self, key: Key, stream: int, offset: int, limit: int) -> tuple[bytes, int, bool]:
        """A piece of a stream, its size, and whether the attempt is over."""
        ended = key not in self._bodies  # asked before reading: what is over grows no more
        return *self._files.read(key, stream, offset, limit), ended

    def remove(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key not in self._bodies:
                self._files.remove(key)

    # what time and the kernel bring

    def tick(self, now_s: float) -> None:
        """Act on every deadline that has come."""
        if not self._lapsed and now_s >= self._term_at:
            self._lapse(now_s)
        due: dict[tuple[signal.Signals, str], list[Running]] = {}
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, _, key, number, cause = heapq.heappop(self._deadlines)
            task = self._running.get(key)
            if task is not None:
                due.setdefault((number, cause), []).append(task)
        for (number, cause), tasks in due.items():
            if number == signal.SIGKILL:
                self._signal(tasks, number)
            else:
                self._begin_end(tasks, cause, now_s)
        if self._sweep_at is not None and now_s >= self._sweep_at:
            self._sweep_at = None
            self._sweep(now_s)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, on CLOCK_BOOTTIME."""
        due = [self._deadlines[0][0]] if self._deadlines else []
        if not self._lapsed and self.busy:
            due.append(self._term_at)
        if self._sweep_at is not None:
            due.append(self._sweep_at)
        return min(due, default=None)

    def reap(self, now_s: float) -> None:
        """Take every process that has ended: tasks, and what they left to us."""
        while self._reap_one():
            pass
        if self._unwritten and self._sweep_at is None:
            self._sweep_at = now_s + _SWEEP_DELAY_S

    def start_next(self, now_s: float) -> None:
        """Start all that may start now."""
        while not self._lapsed:
            item = self._admission.take_next()
            if item is None:
                break
            body = self._bodies[item.key]
            started_at = time.time()
            try:
                pid = self._spawner.start(item, body)
            except CannotStart as error:
                self._admission.release(item.key)
                self._end_unstarted(item.key, error.outcome, message=str(error), exit_code=error.exit_code)
                continue
            task = Running(item, body, pid, started_at)
            self._running[item.key] = self._by_pid[pid] = task
            self.started.append((item.key, pid, started_at))
            if body.timeout_s is not None:
                self._at(now_s + body.timeout_s, item.key, signal.SIGTERM, wire.TIMEOUT)

    def write_journal(self) -> None:
        """Before the agent is told of exits, the journal has them."""
        if self._unwritten:
            self._journal.append(self._unwritten)
            self.exits += self._unwritten
            self._unwritten = []

    def inventory(self) -> tuple[list[tuple[Key, int, float]], list[Key], list[Exit]]:
        """All there is: running, queued, and exits not acknowledged; nothing else need be told after it."""
        self.write_journal()
        self.started, self.exits = [], []
        running = [(key, task.pid, task.started_at) for key, task in self._running.items()]
        return running, [item.key for item in self._admission.queued()], list(self._journal.exits.values())

    @property
    def busy(self) -> bool:
        """Whether anything runs or is about to."""
        return bool(self._running) or self._admission.has_queue

    @property
    def has_queue(self) -> bool:
        return self._admission.has_queue

    def _lapse(self, now_s: float) -> None:
        """Nobody renewed: end what runs by the second deadline, give back what has not started."""
        self._lapsed = True
        for item in self._admission.withdraw_all():
            self._end_unstarted(item.key, wire.RETURNED)
        tasks = list(self._running.values())
        for task in tasks:
            task.cause = task.cause or wire.LEASE_EXPIRED
            self._at(max(now_s, self._kill_at), task.item.key, signal.SIGKILL, wire.LEASE_EXPIRED)
        self._signal(tasks, signal.SIGTERM)

    def _begin_end(self, tasks: list[Running], cause: str, now_s: float) -> None:
        fresh = [task for task in tasks if not task.cause]
        for task in fresh:
            task.cause = cause
            self._at(now_s + task.body.grace_s, task.item.key, signal.SIGKILL, cause)
        self._signal(fresh, signal.SIGTERM)

    def _signal(self, tasks: list[Running], number: signal.Signals) -> None:
        if not tasks:
            return
        roots = {task.pid for task in tasks}
        keys = {task.item.key for task in tasks}
        roots.update(pid for pid in self._orphans() if tree.key_of(pid) in keys)
        tree.signal_tree(roots, number)

    def _orphans(self) -> list[int]:
        return [pid for pid in tree.own_children() if pid not in self._by_pid]

    def _sweep(self, now_s: float) -> None:
        """End what tasks that are over left behind; look again while there is any."""
        stray = {
            pid
            for pid in self._orphans()
            if (key := tree.key_of(pid)) not in self._running and (key is not None or not self._running)
        }
        if stray and tree.signal_tree(stray, signal.SIGKILL):
            self._sweep_at = now_s + _SWEEP_DELAY_S
        else:
            self._files.reuse_workdirs()

    def _reap_one(self) -> bool:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if found is None:
            return False
        pid = found.si_pid
        task = self._by_pid.pop(pid, None)
        if task is None:
            os.waitpid(pid, 0)  # left behind by a task
            return True
        # Before its leader is reaped the group's number cannot belong to anybody else.
        os.killpg(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        self._end(task, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
        return True

    def _end(self, task: Running, status: int, cpu_s: float, max_rss_mib: float) -> None:
        key = task.item.key
        del self._running[key], self._bodies[key]
        self._admission.release(key)
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.WEXITSTATUS(status) if number is None else None
        left = self._files.collect(key, with_stderr=code != 0)
        self._unwritten.append(
            Exit(
                key,
                task.cause or (wire.EXITED if number is None else wire.SIGNALED),
                time.time(),
                task.started_at,
                code,
                number,
                left.fault,
                left.output,
                left.stderr_tail,
                left.stdout_size,
                left.stderr_size,
                cpu_s,
                max_rss_mib,
            )
        )

    def _end_unstarted(
        self, key: Key, outcome: str, *, message: str = "", exit_code: int | None = None
    ) -> None:
        self._bodies.pop(key, None)
        self._files.remove(key)
        self._unwritten.append(Exit(key, outcome, time.time(), exit_code=exit_code, message=message))

    def _at(self, at_s: float, key: Key, number: signal.Signals, cause: str) -> None:
        self._deadline_count += 1
        heapq.heappush(self._deadlines, (at_s, self._deadline_count, key, number, cause))
