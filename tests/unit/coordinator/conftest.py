"""A world for the core: agents and a database made of dictionaries, driven step by step.

`World` drives `step` through the real `Joiner` into a `Mirror`, keeps what nodes were told, and checks the
invariants after every event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from bus.spec import JobSpec
from bus.values import (
    AttemptRef,
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
from coordinator.core.effects import (
    AnswerBeat,
    AnswerCancel,
    AnswerChanged,
    AnswerRegister,
    AnswerReport,
    AnswerSubmit,
    Effect,
    JobChange,
    Placement,
    Refuse,
    SendAssign,
    SendCancel,
    SendPause,
    SendRetract,
    Tell,
)
from coordinator.core.events import (
    AgentBeat,
    AgentRegistered,
    CancelAsked,
    CommandConfirmed,
    Event,
    HoldAsked,
    JobSubmitted,
    NodeSteered,
    PauseAsked,
    RequeueAsked,
    RetryAsked,
    ScheduleDue,
    TasksReported,
    Tick,
)
from coordinator.core.fair_share import restore_account
from coordinator.core.ids import is_range_id
from coordinator.core.learning import restore_learned
from coordinator.core.machine import reconcile, step
from coordinator.core.model import Cluster, Limits
from coordinator.core.rebuild import restore_attempt, restore_job, restore_loss, restore_node
from coordinator.perform import Joiner
from tests.unit.coordinator.essence import essence
from tests.unit.coordinator.mirror import Mirror


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
        """And the node is heard after it, without which it would get nothing more."""
        self.report(node, Returned(attempt=placement.attempt))
        self.beat(node)

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

    def confirm(self, name: str = "n1") -> list[Tell]:
        """The node has on disk what it was given; ranks 0 can be met at port 4000."""
        held = tuple(self.held.get(name, {}))
        ports = tuple([(ref, 4000) for ref in held if not ref.rank])
        return self.happen(CommandConfirmed(node=NodeName(name), attempts=held, ports=ports))

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
                assert attempt in attempt.task.attempts
                assert attempt.ref.fence == attempt.task.fence, f"{attempt.ref} is of an older try"
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
        restore_learned(cluster, snapshot.learned, snapshot.notes)
        for account in snapshot.accounts:
            restore_account(cluster, account)
        return cluster


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
