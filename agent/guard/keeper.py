"""The guard itself: what runs, until when, and how it ended. The loop around it is `agent.guard.server`.

Three kinds of deadline end a task, each with TERM and later KILL of its whole tree: its own walltime, a
cancel, and the node's lease. The lease is one pair of deadlines for all: whoever does not renew it in time
cannot know whether the tasks were given to somebody else. Only those that run on (`Body.run_on`) are never
given to others, and so their lease ends nothing. TERM is followed by CONT, because who stands still hears
nothing; a walltime stands still with its task.
"""

from __future__ import annotations

import heapq
import os
import resource
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

from agent.guard import tree, wire
from agent.guard.admission import Admission
from agent.guard.arrivals import LOOK_S, Arrivals, Mark
from agent.guard.files import TaskFiles
from agent.guard.journal import Journal
from agent.guard.running import Running, asking
from agent.guard.spawn import CannotStart, Spawner
from agent.guard.terminals import Wait
from agent.guard.wire import Amounts, Body, Exit, Found, Item, Key, Start

_OVER_KEPT = 10_000
"""How many attempts that are over are remembered, in case an agent forgets that it had them run."""

_LOOKED_AT_EASE = 512
"""So many tasks' output is looked at within about a millisecond."""

_ASK_AGAIN_S = 0.1
"""A container that is to end may be on its way yet: how soon is asked who has come into it since."""

_SWEEP_DELAY_S = 0.05
"""After a task's end, how soon what it left behind is looked for: one look serves many ends."""


class Keeper:
    """`started` and `exits` collect what the agent has not been told, `heard` whose wait for output is over;
    the server empties them."""

    def __init__(self, journal: Journal, files: TaskFiles, spawner: Spawner, *, folder: str) -> None:
        self._folder = folder
        self._journal = journal
        self._files = files
        self._spawner = spawner
        self.terminals = spawner.terminals
        self.containers = spawner.containers
        self.heard: list[tuple[Key, Wait]] = []
        self._admission = Admission()
        self._bodies: dict[Key, Body] = {}
        self._preparing: dict[Key, Item] = {}
        self._running: dict[Key, Running] = {}
        self._by_pid: dict[int, Running] = {}
        self._deadlines: list[tuple[float, int, Key, signal.Signals, str]] = []
        self._deadline_count = 0
        self._term_at = 0.0
        self._kill_at = 0.0
        self._lapsed = True
        self._sweep_at: float | None = None
        self._asked: set[Key] = set()  # containers that are to end, and have not
        self._ask_at = 0.0
        self._arrivals: dict[Key, Arrivals] = {}
        self._look_at = 0.0
        self._unwritten: list[Exit] = []
        self._over: dict[Key, None] = {}
        self._faults: dict[Key, str] = {}
        self.started: list[Start] = []
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
            refusal = self._faults.pop(item.key, "") or self._admission.refusal(item)
            if refusal:
                self._end_unstarted(item.key, wire.NOT_STARTED, message=refusal)
            elif self._lapsed or item.key in self._over:  # an agent that lost its file asks again
                self._end_unstarted(item.key, wire.RETURNED)
            else:
                self._admission.enqueue(item)

    def cancel(self, keys: Iterable[Key], now_s: float) -> None:
        """End these; each has its own grace between TERM and KILL."""
        targets: list[Running] = []
        for key in keys:
            if self._admission.withdraw(key) is not None or self._stop_preparing(key) is not None:
                self._end_unstarted(key, wire.CANCELLED, message="cancelled before it started")
            elif key in self._running:
                targets.append(self._running[key])
        self._begin_end(targets, wire.CANCELLED, now_s)

    def retract(self, keys: Iterable[Key]) -> None:
        """Give back those that have not started."""
        for key in keys:
            if self._admission.withdraw(key) is not None or self._stop_preparing(key) is not None:
                self._end_unstarted(key, wire.RETURNED)

    def pause(self, keys: Iterable[Key], now_s: float) -> None:
        """Stop these where they stand; those that have not started, do not until they are resumed."""
        targets: list[Running] = []
        for key in keys:
            prepared = self._stop_preparing(key)
            if prepared is not None:
                self._admission.enqueue(prepared)
            task = None if self._admission.shelve(key) else self._running.get(key)
            if task is None or task.cause or task.paused:
                continue
            task.paused = True
            if task.timeout_at is not None:
                task.left_s, task.timeout_at = task.timeout_at - now_s, None
            self.containers.freeze(key, frozen=True)
            targets.append(task)
        if targets:
            tree.stop_tree(lambda: self._roots(targets))

    def resume(self, keys: Iterable[Key], now_s: float) -> None:
        """Let these go on, with the walltime that they had left."""
        targets: list[Running] = []
        for key in keys:
            task = None if self._admission.unshelve(key) else self._running.get(key)
            if task is None or not task.paused:
                continue
            task.paused = False
            if task.left_s is not None:
                self._limit(task, now_s + task.left_s)
            self.containers.freeze(key, frozen=False)
            targets.append(task)
        self._signal(targets, signal.SIGCONT)

    def renew(self, term_at: float, kill_at: float, now_s: float) -> None:
        """Tasks may run until then. A renewal that is itself too late changes nothing."""
        if term_at > now_s:
            self._term_at, self._kill_at, self._lapsed = term_at, kill_at, False

    def acknowledge(self, keys: Iterable[Key]) -> None:
        self._journal.acknowledge(list(keys))

    def need(self, key: Key, outputs: Iterable[tuple[str, int, bytes]]) -> None:
        """Outputs that a task to come will read; a full disk is told when it is to start."""
        try:
            for group, index, output in outputs:
                self._files.write_need(key, group, index, output)
        except OSError as error:
            self._faults[key] = f"cannot write its inputs: {error.strerror}"

    def tell_children(self, key: Key, text: bytes) -> None:
        """What a task that runs asked for; on a full disk it is told again when it asks again."""
        if key in self._running:
            self._files.write_children(key, text)

    def read(self, key: Key, stream: int, offset: int, limit: int) -> tuple[bytes, int, bool, list[Mark]]:
        """A piece of a stream, its size, whether the attempt is over, and when the piece came."""
        ended = key not in self._bodies  # asked before reading: what is over grows no more
        data, size = self._files.read(key, stream, offset, limit)
        if key in self._running:
            arrivals = self._arrivals.setdefault(key, Arrivals())
            arrivals.note(stream, size, time.time())
        else:
            arrivals = self._files.read_arrivals(key) if data else Arrivals()
        return data, size, ended, arrivals.covering(stream, offset, offset + len(data))

    def _look(self, now_s: float) -> None:
        """How far all output has come by now; the more tasks there are, the less often that is asked."""
        at = time.time()
        for key in self._running:
            for stream in (wire.STDOUT, wire.STDERR):
                size, _ = self._files.written(key, stream)
                if size:
                    self._arrivals.setdefault(key, Arrivals()).note(stream, size, at)
        self._look_at = now_s + LOOK_S * (1 + len(self._running) // _LOOKED_AT_EASE)

    def remove(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key not in self._bodies:
                self._files.remove(key)
                self._faults.pop(key, None)

    # what time and the kernel bring

    def tick(self, now_s: float) -> None:
        """Act on every deadline that has come."""
        if not self._lapsed and now_s >= self._term_at:
            self._lapse(now_s)
        due: dict[tuple[signal.Signals, str], list[Running]] = {}
        while self._deadlines and self._deadlines[0][0] <= now_s:
            at_s, _, key, number, cause = heapq.heappop(self._deadlines)
            task = self._running.get(key)
            if task is None or (number == signal.SIGTERM and task.timeout_at != at_s):
                continue  # it is over, or was paused since
            due.setdefault((number, cause), []).append(task)
        for (number, cause), tasks in due.items():
            if number == signal.SIGKILL:
                self._signal(tasks, number)
            else:
                self._begin_end(tasks, cause, now_s)
        if self._sweep_at is not None and now_s >= self._sweep_at:
            self._sweep_at = None
            self._sweep(now_s)
        if self._asked and now_s >= self._ask_at:
            self._ask_again(now_s)
        if now_s >= self._look_at:
            self._look(now_s)
        self.containers.tick(now_s)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, on CLOCK_BOOTTIME."""
        due = [self._deadlines[0][0]] if self._deadlines else []
        if not self._lapsed and self.busy:
            due.append(self._term_at)
        if self._sweep_at is not None:
            due.append(self._sweep_at)
        if self._asked:
            due.append(self._ask_at)
        return min(due, default=None)

    def reap(self, now_s: float) -> None:
        """Take every process that has ended: tasks, and what they left to us."""
        while self._reap_one(now_s):
            pass
        if self._unwritten and self._sweep_at is None:
            self._sweep_at = now_s + _SWEEP_DELAY_S

    def start_next(self, now_s: float) -> None:
        """Start all that may start now."""
        while not self._lapsed:
            item = self._admission.take_next()
            if item is None:
                break
            self._start(item, now_s)

    def _start(self, item: Item, now_s: float) -> None:
        """Start it, or make its image ready first: that is no part of its run."""
        body = self._bodies[item.key]
        started_at = time.time()
        try:
            if body.image and not self.containers.prepare(item.key, body):
                self._preparing[item.key] = item
                return
            pid = self._spawner.start(item, body)
        except (CannotStart, OSError, ValueError) as error:  # whatever this one meets, the others run on
            self._admission.release(item.key)
            self.containers.forget(item.key)
            outcome, code = wire.NOT_STARTED, None
            if isinstance(error, CannotStart):
                outcome, code = error.outcome, error.exit_code
            self._end_unstarted(item.key, outcome, message=str(error), exit_code=code)
            return
        start = Start(item.key, pid, started_at, tree.start_ticks(pid))
        task = self._running[item.key] = self._by_pid[pid] = Running(item, body, start)
        self.started.append(start)
        if body.timeout_s is not None:
            self._limit(task, now_s + body.timeout_s)

    def _stop_preparing(self, key: Key) -> Item | None:
        """Its place is free again; None if it was not being prepared."""
        item = self._preparing.pop(key, None)
        if item is not None:
            self.containers.abandon(key)
            self._admission.release(key)
        return item

    def write_journal(self) -> None:
        """Before the agent is told of exits, the journal has them."""
        if self._unwritten:
            self._journal.append(self._unwritten)
            self.exits += self._unwritten
            self._unwritten = []

    def inventory(self) -> tuple[list[Start], list[Key], list[Exit], list[Key]]:
        """All there is: running, queued, exits not acknowledged, and which of the first two are paused;
        nothing else need be told after it."""
        self.write_journal()
        self.started, self.exits = [], []
        running = [task.start for task in self._running.values()]
        paused = [key for key, task in self._running.items() if task.paused] + self._admission.shelved()
        return running, self._queued(), list(self._journal.exits.values()), paused

    def inspect(self) -> tuple[list[Found], list[Key], list[int]]:
        """What the process table shows: what runs, who stands in line, and pids that belong to nobody."""
        counted, strays = tree.count(self._folder, {task.pid: key for key, task in self._running.items()})
        running = [Found(key, t.pid, counted[key], t.paused) for key, t in self._running.items()]
        return running, self._queued(), [pid for pid in strays if not self.containers.owns(pid)]

    def _queued(self) -> list[Key]:
        return [*self._preparing, *(item.key for item in self._admission.queued())]

    @property
    def busy(self) -> bool:
        """Whether anything runs or is about to."""
        return bool(self._running or self._preparing) or not self._admission.is_empty

    @property
    def has_queue(self) -> bool:
        return self._admission.has_queue

    def _lapse(self, now_s: float) -> None:
        """Nobody renewed: end what runs by the second deadline, give back what has not started."""
        self._lapsed = True
        for item in self._admission.withdraw_all():
            self._end_unstarted(item.key, wire.RETURNED)
        self.retract(list(self._preparing))
        tasks = [task for task in self._running.values() if not task.body.run_on]
        for task in tasks:
            task.cause, task.paused = task.cause or wire.LEASE_EXPIRED, False
            self._at(max(now_s, self._kill_at), task.item.key, signal.SIGKILL, wire.LEASE_EXPIRED)
        self._ask_to_end(tasks, now_s)

    def _begin_end(self, tasks: list[Running], cause: str, now_s: float) -> None:
        fresh = [task for task in tasks if not task.cause]
        for task in fresh:
            task.cause, task.paused = cause, False
            self._at(now_s + task.body.grace_s, task.item.key, signal.SIGKILL, cause)
        self._ask_to_end(fresh, now_s)

    def _ask_to_end(self, tasks: list[Running], now_s: float) -> None:
        """The client of a container hears it only while nobody is inside: it would pass it on, or lose it."""
        for task in tasks:
            is_inside = bool(task.body.image) and self.containers.ask(task.item.key, *asking(task))
            if not is_inside:
                self._signal([task], *asking(task))
            if task.body.image:
                self._asked.add(task.item.key)
                self._ask_at = now_s + _ASK_AGAIN_S

    def _ask_again(self, now_s: float) -> None:
        """A runtime that is told to end before the command began forgets it: whoever comes is asked, too."""
        self._asked &= self._running.keys()
        for key in self._asked:
            task = self._running[key]
            self.containers.ask(key, *asking(task))
            if task.status is None and self.containers.has_gone(key, now_s):
                self._signal([task], signal.SIGKILL)
        self._ask_at = now_s + _ASK_AGAIN_S

    def _signal(self, tasks: list[Running], *numbers: signal.Signals) -> None:
        if tasks:
            tree.signal_tree(self._roots(tasks, by_force=signal.SIGKILL in numbers), *numbers)

    def _roots(self, tasks: list[Running], *, by_force: bool = False) -> set[int]:
        """Their leaders, and who detached itself from them.

        Of a container it is whom it began with, and only then its client: that would pass signals on to it a
        second time, or leave it alone.
        """
        keys = {task.item.key for task in tasks}
        roots = {pid for pid in self._orphans() if tree.key_of(pid) in keys}
        for task in tasks:
            inside = self.containers.roots(task.item.key) if task.body.image else set()
            roots |= inside
            if task.status is None and (by_force or not inside):
                roots.add(task.pid)
        return roots

    def _orphans(self) -> list[int]:
        owned = self.containers.owns
        return [pid for pid in tree.own_children() if pid not in self._by_pid and not owned(pid)]

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

    def _reap_one(self, now_s: float) -> bool:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if found is None:
            return False
        pid = found.si_pid
        task = self._by_pid.pop(pid, None)
        if task is None:
            _, status, usage = os.wait4(pid, 0)  # left behind by a task, or of a container
            self._on_other_end(pid, status, usage, now_s=now_s)
            return True
        # Before its leader is reaped the group's number cannot belong to anybody else.
        with suppress(ProcessLookupError):  # a forked tool may be killed before it has a group
            os.killpg(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        task.status = status
        task.cpu_s += usage.ru_utime + usage.ru_stime
        task.used_mib = max(task.used_mib, usage.ru_maxrss / 1024)
        if task.body.image:
            self.containers.close(task.item.key, by_force=bool(task.cause) or os.WIFSIGNALED(status))
        self._end_if_gone(task)
        return True

    def _on_other_end(self, pid: int, status: int, usage: resource.struct_rusage, *, now_s: float) -> None:
        """The monitor of a container, what looked for an image or removed something; or a stray."""
        key = self.containers.owner_of(pid)
        if key in self._running:
            task = self._running[key]
            task.cpu_s += usage.ru_utime + usage.ru_stime
            task.used_mib = max(task.used_mib, usage.ru_maxrss / 1024)
        found = self.containers.on_exit(pid, status)
        item = None if found is None else self._preparing.pop(found.key, None)
        if found is not None and item is not None:
            if found.fault:
                self._admission.release(found.key)
                outcome, code = (wire.NOT_FOUND, 127) if found.nowhere else (wire.NOT_STARTED, None)
                self._end_unstarted(found.key, outcome, message=found.fault, exit_code=code)
            else:
                self._start(item, now_s)
        for task in [task for task in self._running.values() if task.status is not None]:
            self._end_if_gone(task)

    def _end_if_gone(self, task: Running) -> None:
        """Over is a task when its leader has ended and nothing is left of its container."""
        if task.status is not None and (not task.body.image or self.containers.is_gone(task.item.key)):
            self._end(task, task.status)

    def _end(self, task: Running, status: int) -> None:
        key = task.item.key
        del self._running[key], self._bodies[key]
        self._over[key] = None
        if len(self._over) > _OVER_KEPT:
            del self._over[next(iter(self._over))]
        self._admission.release(key)
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.WEXITSTATUS(status) if number is None else None
        self.heard += [(key, wait) for wait in self.terminals.remove(key)]
        left = self._files.collect(key, with_stderr=code != 0)
        outcome, message = wire.EXITED if number is None else wire.SIGNALED, left.fault
        if task.body.image:
            found = self.containers.verdict(key, code, left.stderr_tail)
            if found is not None:
                outcome, message = found
                self.containers.forget_image(task.body.image)
            self.containers.forget(key)
        arrivals = self._arrivals.pop(key, None)
        if arrivals is not None and not arrivals.is_empty:
            self._files.write_arrivals(key, arrivals)
        self._unwritten.append(
            Exit(
                key,
                task.cause or outcome,
                time.time(),
                task.start.started_at,
                code,
                number,
                message,
                left.output,
                left.stderr_tail,
                left.stdout_size,
                left.stderr_size,
                task.cpu_s,
                task.used_mib,
            )
        )

    def _end_unstarted(
        self, key: Key, outcome: str, *, message: str = "", exit_code: int | None = None
    ) -> None:
        self._bodies.pop(key, None)
        self._files.remove(key)
        self._unwritten.append(Exit(key, outcome, time.time(), exit_code=exit_code, message=message))

    def _limit(self, task: Running, timeout_at: float) -> None:
        task.timeout_at = timeout_at
        self._at(timeout_at, task.item.key, signal.SIGTERM, wire.TIMEOUT)

    def _at(self, at_s: float, key: Key, number: signal.Signals, cause: str) -> None:
        self._deadline_count += 1
        heapq.heappush(self._deadlines, (at_s, self._deadline_count, key, number, cause))
