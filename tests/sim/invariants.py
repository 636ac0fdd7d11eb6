"""What must hold, looked at after every event that could break it.

Named as in the list of promises: I1 accepted is kept, I2 one live attempt, I3 done is done, I4 the books
balance, I6 only legal transitions (`tests.sim.database` refuses the others), I7 loss is seen in time, I8 it
converges, I9 nothing crashes. `commit before tell` and `memory` (the leader's is what the database describes)
carry those.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec

from bus.api import Submitted
from bus.spec import JobSpec
from bus.values import (
    AttemptRef,
    AttemptState,
    Ended,
    JobState,
    Resources,
    TaskEvent,
    TaskRef,
    TaskState,
)
from coordinator.core.effects import AnswerSubmit, SendAssign, SendStart, TaskChange, Tell
from coordinator.core.model import Attempt, Cluster, Node
from coordinator.core.model import Task as PlacedTask
from coordinator.core.scheduler.kept import digest
from coordinator.store.rows import Batch
from tests.sim.coordinator import Coordinator
from tests.sim.database import LIVE, Rows, exceeds
from tests.sim.machine import Machine, Task
from tests.sim.timeline import Violation

UNKNOWN_TO_ITS_NODE = "its node does not know it"
ROUNDING_S = 1e-3
COMPARED_EVERY = 80
"""Batches between two comparisons of the leader's memory with the database."""


class Checker:
    """Told of everything by the world; raises Violation."""

    def __init__(self, rows: Rows, *, lag_s: float, reconcile_s: float) -> None:
        self._rows = rows
        self._reconcile_s = reconcile_s
        self._ending: dict[AttemptRef, float] = {}
        self._lag_s = lag_s  # a tick, a commit and a message
        self._alive: dict[TaskRef, list[tuple[Machine, Task]]] = {}
        self._after: dict[int, list[int | str]] = {}
        self._outcomes: dict[int, set[bool]] = {}  # of jobs: whether they completed, each time they ended
        self._begun: set[AttemptRef] = set()
        self._succeeded: set[AttemptRef] = set()
        self._provable: dict[AttemptRef, Machine] = {}
        self._compared = 0
        self.acknowledged: dict[int, Submitted] = {}
        self.starts = 0
        self.comparisons = 0

    # processes

    def started(self, machine: Machine, task: Task) -> None:
        """I2, I3: nothing else of this task runs, and it is not over."""
        self.starts += 1
        ref = AttemptRef(*task.key)
        if ref in self._begun:
            raise Violation("I2", f"{ref} starts on {machine.name} a second time")
        self._begun.add(ref)
        others = self._alive.setdefault(ref.task, [])
        if not self._is_idempotent(ref.task):
            for other_machine, other in others:
                if not (_is_forsaken(other_machine, other) or self._is_disowned(other_machine, ref.task)):
                    running = f"{AttemptRef(*other.key)} runs on {other_machine.name}"
                    raise Violation("I2", f"{ref} starts on {machine.name}, {running}")
            if self._rows.task_state(ref.task.whole) is TaskState.COMPLETED:
                raise Violation("I3", f"{ref} starts on {machine.name} after its task was completed")
            self._check_older_tries(machine, ref)
        others.append((machine, task))

    def ended(self, machine: Machine, task: Task) -> None:
        ref = AttemptRef(*task.key)
        self._alive[ref.task].remove((machine, task))
        if task.status == 0:
            self._succeeded.add(ref)
            if task.guarded and not machine.forgetful:
                self._provable[ref] = machine

    def _check_older_tries(self, machine: Machine, ref: AttemptRef) -> None:
        """I2 of a gang: no rank of an older try runs any more when one of a newer starts."""
        whole = ref.task.whole
        for place, running in self._alive.items():
            if place.job != whole.job or place.whole != whole:
                continue
            for other_machine, other in running:
                old = AttemptRef(*other.key)
                excused = _is_forsaken(other_machine, other) or self._is_disowned(other_machine, place)
                if old.fence != ref.fence and not excused:
                    where = f"{old} of an older try runs on {other_machine.name}"
                    raise Violation("I2", f"{ref} starts on {machine.name}, {where}")

    def _check_gang(self, cluster: Cluster, task: PlacedTask) -> None:
        """All of its ranks are placed, or none; and no longer than its barrier allows without all running."""
        gang, ranks = task.group.settings.gang, task.ranks
        if gang is None or ranks is None:
            return
        known = sorted([*ranks.live, *(end.rank for end in ranks.ends)])
        if known != list(range(gang.size)):
            raise Violation("gang", f"{task.ref} has ranks {known} of {gang.size}")
        first = ranks.first
        if first is None or task.ref not in cluster.gathering:
            return
        leaving = any(each.yielding or each.cancelling for each in ranks.live.values())
        if not leaving and cluster.ticked_s - first.assigned_at > gang.start_timeout_s:
            raise Violation("gang", f"{task.ref} has held its places for longer than its barrier allows")

    def _is_idempotent(self, task: TaskRef) -> bool:
        return b'"idempotent":true' in self._rows.jobs[task.job].spec

    def _is_disowned(self, machine: Machine, task: TaskRef) -> bool:
        """It is to run on, and another machine with its node's key says that it is gone: that is believed."""
        return machine.copied and b'"on_disconnect":"run_on"' in self._rows.jobs[task.job].spec

    # the coordinator

    def stepped(self, leader: Coordinator, batch: Batch) -> None:
        """I4 in memory, for the nodes of this batch."""
        names = {attempt.node for attempt in batch.attempts} | {ledger.name for ledger in batch.ledgers}
        for name in names:
            check_books(leader.cluster.nodes[name])
        self._note_jobs(batch)
        self._check_reservations(leader.cluster, batch)
        for ref in {
            attempt.attempt.task.whole for attempt in batch.attempts
        } | leader.cluster.gathering.keys():
            placed = leader.cluster.find_task(ref)
            if placed is not None:
                self._check_gang(leader.cluster, placed)
        for change in batch.task_changes:
            self._check_backoff(leader.cluster, change)
        for attempt in batch.attempts:
            if attempt.new and attempt.ended_at is None:
                self._check_placed(leader.cluster, attempt.attempt)
                self._check_after(attempt.attempt.job)
            if attempt.state is AttemptState.COMPLETED and attempt.attempt not in self._succeeded:
                raise Violation("I3", f"{attempt.attempt} is completed by no process of its own")
            if attempt.state is AttemptState.LOST and attempt.message == UNKNOWN_TO_ITS_NODE:
                self._check_forgotten(attempt.attempt)

    def _check_reservations(self, cluster: Cluster, batch: Batch) -> None:
        """Whoever got a place in a round leaves those their places that were reserved in it."""
        placed = [attempt for attempt in batch.attempts if attempt.new and attempt.ended_at is None]
        for booking in cluster.bookings:
            for name, pieces in booking.places:
                new = [attempt for attempt in placed if attempt.node == name]
                if not new:
                    continue
                if any(attempt.waiting for attempt in new):
                    raise Violation("reservation", f"work ahead on {name}, kept for {booking.task}")
                kept = sum([booking.shape.resources] * pieces, Resources())
                node = cluster.nodes[name]
                for attempt in node.attempts.values():
                    if attempt.holding and _latest_end_s(attempt, new[0].assigned_at) > booking.start_s:
                        kept += attempt.requested
                if not kept.fits(node.capacity):
                    raise Violation("reservation", f"{name} has no place for {booking.task} when promised")

    def _check_forgotten(self, ref: AttemptRef) -> None:
        """I3: what ended well under a guard's eyes is known there for as long as nothing was destroyed."""
        machine = self._provable.get(ref)
        if machine is not None and not machine.forgetful:
            raise Violation("I3", f"{machine.name} ran {ref} to its end, and does not know it any more")

    def _check_backoff(self, cluster: Cluster, change: TaskChange) -> None:
        """A task that failed waits its turn, whoever leads by then; a quarter of it is jitter."""
        row = self._rows.tasks[change.task.job][change.id][1]
        task = cluster.find_task(change.task)
        if task is None or row.state is not TaskState.RETRYING or TaskState.QUEUED not in change.path[1:]:
            return
        settings = task.group.settings
        whole_s = min(settings.backoff_s * 2.0 ** (row.retries - 1), settings.backoff_max_s)
        waited_s = change.changed_at - row.changed_at
        if waited_s < 0.75 * whole_s - ROUNDING_S:
            raise Violation(
                "backoff", f"{change.task} is tried again after {waited_s:.1f} of {whole_s:.1f} s"
            )

    def _note_jobs(self, batch: Batch) -> None:
        for job in batch.new_jobs:
            self._after[job.number] = msgspec.json.decode(job.spec, type=JobSpec).after
        for counters in batch.job_changes:
            if counters.state.is_terminal:
                outcomes = self._outcomes.setdefault(counters.number, set())
                outcomes.add(counters.state is JobState.COMPLETED)

    def _check_after(self, number: int) -> None:
        """What a job runs after, came out as asked; a retry of that later changes nothing."""
        for text in self._after[number]:
            other, _, condition = str(text).partition(":")
            outcomes = self._outcomes.get(int(other), set())
            wanted = {"any": bool(outcomes), "failed": False in outcomes}
            if not wanted.get(condition, True in outcomes):
                raise Violation("after", f"job {number} runs after {text}, and that was not met")

    def _check_placed(self, cluster: Cluster, ref: AttemptRef) -> None:
        """What a new attempt must not overrun: its array's limit, and a hold or pause that was answered."""
        task = cluster.find_task(ref.task)
        if task is None:
            return
        group, job = task.group, task.group.job
        if group.limit and group.live > group.limit:
            raise Violation("limit", f"{group.live} tasks of {ref.job} are live, its limit is {group.limit}")
        if any(attempt.node in task.shape.without for attempt in task.attempts):
            raise Violation("left out", f"{ref} is on a node that refused it, and waited for another one")
        stored = self._rows.counters.get(ref.job)
        if stored is None:
            return
        if (stored.held_by and job.held_by) or (stored.paused_by and job.paused_by):
            raise Violation("hold", f"{ref} was placed although its job is withheld")

    def telling(self, leader: Coordinator, tells: list[Tell]) -> None:
        """Commit before tell: what is said now, the database knows."""
        rows = self._rows
        for tell in tells:
            match tell:
                case SendAssign():
                    for placement in tell.placements:
                        if placement.attempt not in rows.attempts:
                            raise Violation("commit before tell", f"{placement.attempt} was assigned")
                case SendStart():
                    self._check_start(leader.cluster, tell.attempts[0])
                case AnswerSubmit() if tell.number not in rows.jobs:
                    raise Violation("I1", f"job {tell.number} is acknowledged and not stored")
                case _:
                    pass
        if rows.commits - self._compared >= COMPARED_EVERY and rows.leadership.epoch == leader.epoch:
            self.compare(leader)

    def _check_start(self, cluster: Cluster, ref: AttemptRef) -> None:
        """Nobody is told to start before every rank was confirmed."""
        task = cluster.find_task(ref.task)
        if task is None or task.ranks is None or task.fence != ref.fence:
            return  # it has ended since
        waiting = [each for each in task.attempts if each.confirmed_at is None]
        if waiting:
            raise Violation("gang", f"{ref} is told to start before {waiting[0].ref} was confirmed")

    def compare(self, leader: Coordinator) -> None:
        """Memory is what the database describes; only between batches, where both should know the same."""
        if not leader.settled:
            return
        self._compared = self._rows.commits
        self.comparisons += 1
        again = leader.rebuilt_from(self._rows)
        mine, theirs = essence(leader.cluster), essence(again)
        for part in mine:
            if mine[part] != theirs[part]:
                raise Violation("memory", f"{part}: memory {_difference(mine[part], theirs[part])}")

    def healed(self, leader: Coordinator, *, since_s: float) -> None:
        """What was told to end, ends: a command may be lost, but is said again."""
        for attempt in leader.cluster.attempts():
            if not (attempt.cancelling or attempt.yielding):
                continue
            began_s = self._ending.setdefault(attempt.ref, since_s)
            grace_s = attempt.task.group.settings.grace_s
            if since_s - began_s > grace_s + 3 * self._reconcile_s + self._lag_s:
                raise Violation("cancel", f"{attempt.ref} was told to end {since_s - began_s:.0f} s ago")

    # clients and agents

    def accepted(self, submitted: Submitted) -> None:
        """I1, by the client."""
        job = self._rows.jobs.get(submitted.number)
        if job is None or job.tasks != submitted.tasks:
            raise Violation("I1", f"job {submitted.number} was acknowledged: the database has {job}")
        self.acknowledged[submitted.number] = submitted

    def forgotten(self, machine: Machine, event: TaskEvent) -> None:
        """I3: an end that an agent forgets is stored."""
        row = self._rows.attempts.get(event.attempt)
        if isinstance(event, Ended) and row is not None and row.state in LIVE and row.node == machine.node:
            raise Violation("I3", f"{machine.name} forgot the end of {event.attempt}, which is not stored")

    # the end

    def converged(self, leader: Coordinator, machines: list[Machine]) -> str:
        """I5, I8: why it has not converged yet; empty if it has."""
        rows = self._rows
        if rows.live_jobs:
            return f"jobs {sorted(rows.live_jobs)} are not over"
        if rows.live_attempts:
            return f"attempts {[str(ref) for ref in sorted(rows.live_attempts)]} are live"
        for name, node in rows.nodes.items():
            if node.allocated != Resources():
                return f"{name} still gives {node.allocated}"
        if leader.cluster.jobs:
            return f"the leader remembers jobs {sorted(leader.cluster.jobs)}"
        for machine in machines:
            if machine.tasks:
                return f"{machine.name} still runs {[task.key for task in machine.tasks.values()]}"
            if machine.agent is None or machine.agent.executor.ledger.held:
                return f"the agent of {machine.name} still holds something"
            if machine.agent.executor.ledger.outbox:
                return f"the agent of {machine.name} has something to report"
        for number in self.acknowledged:
            if not rows.counters[number].state.is_terminal:
                return f"job {number} was accepted and is not over"
        return ""


def check_books(node: Node) -> None:
    """I4: what a node gives is what its attempts hold, and not more than it has."""
    held = Resources()
    for attempt in node.attempts.values():
        if attempt.holding:
            held = held + attempt.requested
    if held != node.allocated:
        raise Violation("I4", f"{node.name} gives {node.allocated}, its attempts hold {held}")
    if exceeds(held, node.capacity):
        raise Violation("I4", f"{node.name} has {node.capacity} and gives {held}")
    check_gpus(node)


def check_gpus(node: Node) -> None:
    """I4: no GPU is given beyond its thousandths, so none whole that is shared."""
    taken: Counter[str] = Counter()
    for attempt in node.attempts.values():
        if attempt.holding:
            asked = attempt.requested
            if len(attempt.gpus) != asked.gpus + bool(asked.gpu_milli):
                raise Violation("I4", f"{attempt.ref} asks for {asked} and has {attempt.gpus}")
            taken.update(dict.fromkeys(attempt.gpus, asked.gpu_milli or 1000))
    if any(milli > 1000 for milli in taken.values()) or taken != node.gpu_taken:
        raise Violation("I4", f"{node.name}: {taken} of its GPUs are held, {node.gpu_taken} is noted")


def _is_forsaken(machine: Machine, task: Task) -> bool:
    """Its guard is dead and no agent is there to start another, or it hangs: nobody can end it in time, as
    documented; its fence shuts out whatever it says.
    """
    agent, guard = machine.agent, machine.guard
    if task.guarded:
        return guard is not None and guard.stopped
    return agent is None or not agent.running


def essence(cluster: Cluster) -> dict[str, dict[Any, Any]]:
    """What memory and database must agree on."""
    tasks = {}
    for job in cluster.jobs.values():
        for group in job.groups:
            tasks[job.number, group.first] = (
                group.untouched,
                group.untouched_state if group.untouched else "",
                group.completed,
                group.failed,
                group.cancelled,
                group.live,
            )
            for task in (group.tasks or {}).values():
                ends = sorted((end.rank, end.state) for end in task.ranks.ends) if task.ranks else []
                tasks[task.ref] = (task.state, task.version, task.fence, task.retries, ends)
    return {
        "jobs": {job.number: (job.state, job.held_by, job.paused_by) for job in cluster.jobs.values()},
        "tasks": tasks,
        "attempts": {
            a.ref: (a.node, a.holding, a.state, a.cancelling, a.yielding) for a in cluster.attempts()
        },
        "ledgers": {node.name: node.allocated for node in cluster.nodes.values()},
        "nodes": {node.name: (node.health, node.admin, node.capacity) for node in cluster.nodes.values()},
        "accounts": {
            owner: (account.shares, account.usage, account.at_s)
            for owner, account in cluster.shares.accounts.items()
            if account.known
        },
        "learned": {"policy": cluster.policy, "digest": digest(cluster.planner)},
    }


def _difference(mine: dict[Any, Any], theirs: dict[Any, Any]) -> str:
    for key in {**mine, **theirs}:
        if mine.get(key) != theirs.get(key):
            return f"has {key} {mine.get(key)}, the database says {theirs.get(key)}"
    raise AssertionError("there is a difference")


def _latest_end_s(attempt: Attempt, now_s: float) -> float:
    """By its walltime; what has not started starts now."""
    settings = attempt.task.group.settings
    if settings.timeout_s is None:
        return math.inf
    started_s = now_s if attempt.started_at is None else attempt.started_at
    return max(started_s + settings.timeout_s + settings.grace_s, now_s)
