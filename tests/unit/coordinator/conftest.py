"""A world for the core: agents and a database made of dictionaries, driven step by step.

`Mirror` keeps rows as PostgreSQL would and refuses what its constraints refuse; `World` drives `step` through
the real `Joiner`, keeps what nodes were told, and checks the invariants after every event.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest

from bus.spec import JobSpec
from bus.values import (
    AttemptRef,
    AttemptState,
    Ended,
    Inventory,
    JobState,
    NodeAdmin,
    NodeKind,
    NodeName,
    Outcome,
    Resources,
    Returned,
    Role,
    Started,
    TaskEvent,
    TaskRef,
    TaskState,
    UserName,
)
from coordinator.core.blame import LEASE_RAN_OUT
from coordinator.core.effects import (
    AnswerBeat,
    AnswerCancel,
    AnswerChanged,
    AnswerRegister,
    AnswerReport,
    AnswerSubmit,
    AttemptChange,
    Effect,
    JobChange,
    NewJob,
    NewTask,
    NodeRow,
    Placement,
    Refuse,
    SendAssign,
    SendCancel,
    SendPause,
    SendRetract,
    TaskChange,
    Tell,
)
from coordinator.core.events import (
    AgentBeat,
    AgentRegistered,
    CancelAsked,
    CommandConfirmed,
    Event,
    HoldAsked,
    JobOver,
    JobSubmitted,
    LossSeen,
    NodeSteered,
    PauseAsked,
    RangeSeen,
    RequeueAsked,
    RetryAsked,
    ScheduleDue,
    TaskSeen,
    TasksReported,
    Tick,
)
from coordinator.core.ids import is_range_id
from coordinator.core.machine import reconcile, step
from coordinator.core.model import TERMINAL, Cluster, Limits, Task
from coordinator.core.rebuild import restore_attempt, restore_job, restore_loss, restore_node
from coordinator.core.transitions import check_path
from coordinator.perform import Joiner
from coordinator.store.rows import Batch, LiveJob, Snapshot


class Mirror:
    """The rows as the database would hold them."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, tuple[NewJob, JobChange | None]] = {}
        self.tasks: dict[UUID, tuple[NewTask, TaskChange]] = {}
        self.paths: dict[UUID, list[TaskState]] = {}
        self.attempts: dict[AttemptRef, AttemptChange] = {}
        self.nodes: dict[str, NodeRow] = {}
        self.ledgers: dict[str, Resources] = {}
        self.tried_anew_at: dict[UUID, float] = {}

    def write(self, batch: Batch) -> None:
        for node in batch.nodes:
            self.nodes[node.name] = node
            self.ledgers[node.name] = node.allocated
        for job in batch.new_jobs:
            self.jobs[job.id] = (job, None)
        for new, change in batch.new_tasks:
            assert new.id not in self.tasks
            assert change.path[0] in (TaskState.PENDING, TaskState.QUEUED)
            self._put(new, change, list(change.path))
        for change, steps in zip(batch.task_changes, batch.steps, strict=True):
            new, stored = self.tasks[change.id]
            assert change.version == stored.version + steps, change
            assert change.path[0] == stored.state, change
            if change.output is None:
                change = msgspec.structs.replace(change, output=stored.output)
            self._put(new, change, self.paths[change.id] + list(change.path[1:]))
        for attempt in batch.attempts:
            assert attempt.new == (attempt.attempt not in self.attempts), attempt
            self.attempts[attempt.attempt] = attempt
        for ledger in batch.ledgers:
            self.ledgers[ledger.name] = ledger.allocated
            assert ledger.allocated.fits(self.nodes[ledger.name].capacity), ledger
        for change_of_job in batch.job_changes:
            new_job, _ = self.jobs[change_of_job.id]
            self.jobs[change_of_job.id] = (new_job, change_of_job)

    def _put(self, new: NewTask, change: TaskChange, path: list[TaskState]) -> None:
        check_path(tuple(path))
        assert (
            change.completed_at is None
            or change.started_at is not None
            or path[-1]
            in (
                TaskState.CANCELLED,
                TaskState.FAILED,
            )
        ), change
        if change.started_at is not None:
            assert change.started_at >= new.created_at
        self.tasks[change.id] = (new, change)
        self.paths[change.id] = path
        if TaskState.RETRYING in change.path:
            self.tried_anew_at[change.id] = change.changed_at

    def snapshot(self) -> Snapshot:
        live = {
            job.id: LiveJob(job, change)
            for job, change in self.jobs.values()
            if change is not None and not change.state.is_terminal
        }
        numbers = {each.job.number for each in live.values()}
        return Snapshot(
            next_number=max((job.number for job, _ in self.jobs.values()), default=0) + 1,
            users=[],
            nodes=list(self.nodes.values()),
            ended=self.ended(),
            jobs=list(live.values()),
            tasks=[seen(new, change) for new, change in self.tasks.values() if new.job_id in live],
            attempts=[
                attempt
                for attempt in self.attempts.values()
                if attempt.state in (AttemptState.ASSIGNED, AttemptState.RUNNING)
            ],
            losses=[loss for loss in self.losses() if loss.task.job in numbers],
        )

    def ended(self) -> dict[int, bool]:
        """The jobs that are over: whether they completed."""
        return {
            job.number: change.state is JobState.COMPLETED
            for job, change in self.jobs.values()
            if change is not None and change.state.is_terminal
        }

    def losses(self) -> Iterator[LossSeen]:
        """What tasks that are not over lost since they were last tried anew, as the store reads it."""
        for attempt in self.attempts.values():
            _, task = self.tasks[attempt.task_id]
            since = self.tried_anew_at.get(attempt.task_id, 0.0)
            lost = attempt.state is AttemptState.LOST and attempt.message != LEASE_RAN_OUT
            if lost and attempt.ended_at > since and task.state not in TERMINAL:
                yield LossSeen(attempt.attempt.task, attempt.node, attempt.ended_at)

    def failed(self, number: int, index: int | None = None) -> tuple[TaskSeen, ...]:
        """Rows of failed tasks of a job, as the store reads them."""
        rows = [
            seen(new, change)
            for new, change in self.tasks.values()
            if new.task.job == number and new.count == 1 and change.state in FAILED
        ]
        rows.sort(key=lambda row: row.task.index)
        return tuple(row for row in rows if index is None or row.task.index == index)

    def over(self, number: int) -> JobOver:
        """A job that is over, as the store reads it."""
        job, change = next(each for each in self.jobs.values() if each[0].number == number)
        assert change is not None
        rows = [row for row in self.tasks.values() if row[0].task.job == number]
        firsts = {new.id: new.task.index for new, _ in rows}
        ended = Counter((firsts[new.range_id or new.id], row.state) for new, row in rows if new.count == 1)
        return JobOver(
            job=job,
            change=change,
            ended=tuple((first, state, tasks) for (first, state), tasks in ended.items()),
            ranges=tuple(
                RangeSeen(new.task.index, row.state, row.version, row.remaining)
                for new, row in rows
                if new.count > 1
            ),
        )


FAILED = (TaskState.FAILED, TaskState.TIMEOUT)


def seen(new: NewTask, change: TaskChange) -> TaskSeen:
    return TaskSeen(
        change.task,
        change.id,
        new.count,
        change.remaining,
        change.state,
        change.version,
        change.node,
        change.fence,
        change.retries,
        change.changed_at,
        change.started_at,
    )


class World:
    """One cluster, its database, and what its nodes hold."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.mirror = Mirror()
        self.now_s = 1000.0
        self.number = 0
        self.batches = 0
        self.held: dict[str, dict[AttemptRef, Placement]] = {}
        self.paused: set[AttemptRef] = set()  # what stands still, as its node knows it
        self.obedient = True  # nodes hear what they are told about pauses
        self.tells: list[Tell] = []
        self.effects: list[Effect] = []

    def happen(self, *events: Event, schedule: bool = False) -> list[Tell]:
        """Step through `events` as one batch; returns what was told."""
        steps = [step(self.cluster, event, self.now_s) for event in events]
        if schedule:
            steps.append(step(self.cluster, ScheduleDue(), self.now_s))
        return self.perform(steps)

    def perform(self, steps: Iterable[list[Effect]]) -> list[Tell]:
        self.batches += 1
        joiner = Joiner(self.batches)
        self.effects = []
        for effects in steps:
            self.effects += effects
            joiner.add(effects)
        self.mirror.write(joiner.finish())
        for tell in joiner.tells:
            if isinstance(tell, SendAssign):
                for placement in tell.placements:
                    self.held.setdefault(tell.node, {})[placement.attempt] = placement
            elif isinstance(tell, SendPause) and self.obedient:
                (self.paused.update if tell.paused else self.paused.difference_update)(tell.attempts)
        self.tells = joiner.tells
        self.check()
        return joiner.tells

    # what happens

    def register(self, name: str = "n1", **changes: Any) -> list[Tell]:
        event = {
            "node": NodeName(name),
            "node_id": UUID(int=len(self.cluster.nodes) + 1),
            "incarnation": "first",
            "boot_id": "boot",
            "version": "1",
            "capacity": Resources(2000, 4096),
            "inventory": INVENTORY,
            "kind": NodeKind.COMPUTE,
            "labels": {},
            "roles": (),
            "tools": ("wordcount", "wordcount_merge"),
            "live": tuple(self.held.get(name, {})),
            "reply": 1,
            **changes,
        }
        return self.happen(AgentRegistered(**event))

    def submit(self, spec: JobSpec | None = None, *, owner: str = "alice", **fields: Any) -> int:
        """The job's number; the answer is in `tells`."""
        self.number += 1
        self.happen(self.submission(spec or JobSpec(**fields), owner=owner))
        return self.number

    def submission(self, spec: JobSpec, *, owner: str = "alice") -> JobSubmitted:
        """The event of the newest job, as the service makes it."""
        spec_json = msgspec.json.encode(spec)
        return JobSubmitted(
            job_id=UUID(int=self.number << 64),
            number=self.number,
            owner=UserName(owner),
            spec=spec,
            spec_json=spec_json,
            digest=hashlib.sha256(spec_json).digest(),
            ended=self.mirror.ended(),
            reply=7,
        )

    def schedule(self) -> list[Placement]:
        """One round; the placements made."""
        tells = self.happen(schedule=True)
        return [p for tell in tells if isinstance(tell, SendAssign) for p in tell.placements]

    def report(self, node: str, *events: TaskEvent) -> list[Tell]:
        for event in events:
            if not isinstance(event, Started):
                self.held.get(node, {}).pop(event.attempt, None)
        return self.happen(TasksReported(node=NodeName(node), sequence=1, events=events, reply=3))

    def start(self, placement: Placement, node: str = "n1") -> None:
        self.report(node, Started(attempt=placement.attempt, started_at=self.now_s, pid=1))

    def end(
        self, placement: Placement, node: str = "n1", *, exit_code: int | None = 0, **fields: Any
    ) -> list[Tell]:
        outcome = fields.pop("outcome", Outcome.EXITED)
        started_at = fields.pop("started_at", self.now_s)
        return self.report(
            node,
            Ended(
                attempt=placement.attempt,
                outcome=outcome,
                ended_at=self.now_s,
                started_at=started_at,
                exit_code=exit_code,
                **fields,
            ),
        )

    def give_back(self, placement: Placement, node: str = "n1") -> None:
        self.report(node, Returned(attempt=placement.attempt))

    def beat(
        self, name: str = "n1", *, live: Iterable[AttemptRef] | None = None, incarnation: str = "first"
    ) -> Any:
        held = tuple(self.held.get(name, {})) if live is None else tuple(live)
        tells = self.happen(
            AgentBeat(
                node=NodeName(name),
                incarnation=incarnation,
                sequence=1,
                load=0.5,
                live=held,
                paused=tuple(self.paused & set(held)),
                reply=2,
            )
        )
        answer = next((tell for tell in tells if isinstance(tell, AnswerBeat)), None)
        for ref in answer.drop if answer else ():
            self.held.get(name, {}).pop(ref, None)
        return answer

    def confirm(self, name: str = "n1") -> None:
        self.happen(CommandConfirmed(node=NodeName(name), attempts=tuple(self.held.get(name, {}))))

    def cancel(
        self, job: int, index: int | None = None, *, by: str = "alice", role: Role = Role.USER
    ) -> AnswerCancel | Refuse:
        tells = self.happen(CancelAsked(job=job, index=index, by=UserName(by), role=role, reply=4))
        return next(tell for tell in tells if isinstance(tell, AnswerCancel | Refuse))

    def hold(self, job: int, *, held: bool = True, by: str = "alice", role: Role = Role.USER) -> Any:
        """Hold or release; the answer."""
        (answer,) = [
            tell
            for tell in self.happen(HoldAsked(job=job, held=held, by=UserName(by), role=role, reply=5))
            if isinstance(tell, AnswerChanged | Refuse)
        ]
        return answer

    def retry(
        self, job: int, index: int | None = None, *, by: str = "alice", role: Role = Role.USER, **other: Any
    ) -> Any:
        """Queue again what failed of a job, as the service asks for it; the answer."""
        fields: dict[str, Any] = {
            "failed": self.mirror.failed(job, index),
            "over": None if job in self.cluster.jobs else self.mirror.over(job),
            "as_of": self.cluster.requeues,
            "before": 0,
        }
        asked = RetryAsked(job=job, by=UserName(by), role=role, reply=6, **(fields | other))
        (answer,) = [tell for tell in self.happen(asked) if isinstance(tell, AnswerChanged | Refuse)]
        return answer

    def pause(self, job: int, *, paused: bool = True, by: str = "alice", role: Role = Role.USER) -> Any:
        """Pause or resume; the answer."""
        asked = PauseAsked(job=job, paused=paused, by=UserName(by), role=role, reply=9)
        (answer,) = [tell for tell in self.happen(asked) if isinstance(tell, AnswerChanged | Refuse)]
        return answer

    def requeue(
        self, job: int, index: int | None = None, *, by: str = "alice", role: Role = Role.USER
    ) -> Any:
        """End what runs and queue it again; the answer."""
        asked = RequeueAsked(job=job, index=index, by=UserName(by), role=role, reply=10)
        (answer,) = [tell for tell in self.happen(asked) if isinstance(tell, AnswerChanged | Refuse)]
        return answer

    def steer(
        self,
        node: str,
        admin: NodeAdmin,
        *,
        reason: str = "",
        by: str = "olga",
        deadline_s: float | None = None,
    ) -> list[Tell]:
        asked = NodeSteered(
            node=NodeName(node),
            admin=admin,
            reason=reason,
            deadline_s=deadline_s,
            by=UserName(by),
            reply=8,
        )
        return self.happen(asked)

    def wait(self, seconds: float) -> list[Tell]:
        self.now_s += seconds
        return self.happen(Tick())

    def reconcile(self) -> list[Tell]:
        return self.perform([reconcile(self.cluster, self.now_s)])

    # what is

    def task_state(self, job: int, index: int = 0) -> TaskState:
        """By the database: a task's own row, else that of its range."""
        ranges = []
        for new, change in self.mirror.tasks.values():
            if new.task.job != job:
                continue
            if new.count == 1 and new.task.index == index:
                return change.state
            if new.count > 1 and new.task.index <= index < new.task.index + new.count:
                ranges.append(change.state)
        return ranges[0]

    def history(self, job: int, index: int = 0) -> list[str]:
        for identity, (new, _) in self.mirror.tasks.items():
            if new.task == TaskRef(job, index) and not (is_range_id(identity) and new.count > 1):
                return [str(state) for state in self.mirror.paths[identity]]
        raise KeyError((job, index))

    def job(self, number: int) -> JobChange:
        return next(
            change for job, change in self.mirror.jobs.values() if job.number == number and change is not None
        )

    def job_state(self, number: int) -> JobState:
        return self.job(number).state

    def answer(self, kind: type) -> Any:
        return next(tell for tell in self.tells if isinstance(tell, kind))

    # what must hold

    def check(self) -> None:
        """The books balance, one live attempt a task, counters agree with tasks."""
        seen: set[TaskRef] = set()
        for node in self.cluster.nodes.values():
            held = sum((a.requested for a in node.attempts.values() if a.holding), Resources())
            assert held == node.allocated == self.mirror.ledgers[node.name], node.name
            assert node.allocated.fits(node.capacity), node.name
            assert node.holding == sum(a.holding for a in node.attempts.values())
            for attempt in node.attempts.values():
                assert attempt.ref.task not in seen, f"two live attempts of {attempt.ref.task}"
                seen.add(attempt.ref.task)
                assert attempt.task.attempt is attempt
        for job in self.cluster.jobs.values():
            counted = (
                job.pending
                + job.queued
                + job.assigned
                + job.running
                + job.completed
                + job.failed
                + job.cancelled
            )
            assert counted == job.total, job.number
            for group in job.groups:
                live = len(group.tasks or ())
                assert (
                    group.untouched + live + group.completed + group.failed + group.cancelled == group.count
                )
                assert group.live == sum(t.attempt is not None for t in (group.tasks or {}).values())

    def rebuilt(self) -> Cluster:
        """A new leader's memory, out of the database."""
        snapshot = self.mirror.snapshot()
        cluster = Cluster()
        for node in snapshot.nodes:
            restore_node(cluster, node, now_s=self.now_s)
        for live in sorted(snapshot.jobs, key=lambda live: live.job.number):
            rows = [task for task in snapshot.tasks if task.task.job == live.job.number]
            restore_job(cluster, live.job, live.change, rows, ended=snapshot.ended)
        for attempt in snapshot.attempts:
            restore_attempt(cluster, attempt)
        for loss in snapshot.losses:
            restore_loss(cluster, loss)
        return cluster


def essence(cluster: Cluster) -> dict[str, Any]:
    """What two clusters must agree on to be the same."""
    return {
        "jobs": {
            number: [
                (
                    group.untouched,
                    str(group.untouched_state) if group.untouched else "",
                    group.completed,
                    group.failed,
                    group.cancelled,
                    group.live,
                    sorted(
                        (t.index, str(t.state), t.version, t.fence, t.retries)
                        for t in (group.tasks or {}).values()
                    ),
                )
                for group in job.groups
            ]
            for number, job in cluster.jobs.items()
        },
        "states": {number: str(job.state) for number, job in cluster.jobs.items()},
        "attempts": sorted(
            (str(a.ref), a.node, a.holding, str(a.state), a.cancelling) for a in cluster.attempts()
        ),
        "ledgers": {name: node.allocated for name, node in cluster.nodes.items()},
        "retrying": sum(
            task is not None and task.state is TaskState.RETRYING
            for task in (cluster.find_task(ref) for _, _, ref in cluster.retries)
        ),
        "after": {
            number: [(str(each.condition), each.number) for each in job.after]
            for number, job in cluster.jobs.items()
        },
        "awaited": {number: sorted(waiting) for number, waiting in cluster.awaited.items()},
        "lost_on": {
            str(task.ref): task.lost_on
            for job in cluster.jobs.values()
            for group in job.groups
            for task in (group.tasks or {}).values()
            if task.lost_on
        },
        "yielding": sorted((str(ref), a.reason) for ref, a in cluster.yielding.items()),
        "preemptible": sorted(map(str, cluster.preemptible)),
        "paused": {number: (job.paused_by, job.paused_at) for number, job in cluster.jobs.items()},
        "held": {number: (job.held_by, job.held_at) for number, job in cluster.jobs.items()},
        "admin": {
            name: (
                str(node.admin),
                node.admin_reason,
                node.admin_by,
                node.admin_at,
                node.admin_goal,
                node.admin_deadline,
            )
            for name, node in cluster.nodes.items()
        },
        "lines": sorted(set(waiting_in_line(cluster))),
    }


def waiting_in_line(cluster: Cluster) -> Iterator[str]:
    """What the lines would offer: single tasks, and groups by their first task."""
    for line in cluster.lines.values():
        for waiting in line.entries:
            if isinstance(waiting.entry, Task):
                if waiting.entry.state is TaskState.QUEUED:
                    yield str(waiting.entry.ref)
            elif waiting.entry.wants_place:
                again = sorted(t.index for t in waiting.entry.again or () if t.state is TaskState.QUEUED)
                yield f"{waiting.entry.job.number}.{waiting.entry.first}- {again}"


INVENTORY = Inventory(
    hostname="host",
    ip="127.0.0.1",
    architecture="x86_64",
    os_version="Linux",
    kernel_version="6",
    cpu_model="cpu",
    cpu_cores=2,
)

ANSWERS = (AnswerRegister, AnswerReport, AnswerSubmit, SendCancel, SendRetract, Refuse, Limits)


@pytest.fixture
def world() -> World:
    """A cluster without nodes."""
    return World()


@pytest.fixture
def pool(world: World) -> World:
    """A cluster with one node of two cores."""
    world.register("n1")
    return world


@pytest.fixture
def compare() -> Any:
    return essence
