"""One simulated history: the cluster, the faults that befall it, and the verdict.

`play(plan)` runs it to its end on virtual time and returns what it was worth, or raises Violation.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from unittest.mock import patch

from msgspec import Struct

import agent.executor
import agent.guard.keeper
import agent.guard.server
from bus.api import Submitted
from bus.values import NodeAdmin, Resources, TaskEvent
from coordinator.core.effects import Record, Tell
from coordinator.core.transitions import IllegalTransition
from coordinator.loop import RECONCILE_S
from coordinator.store import leadership
from coordinator.store.rows import Batch
from tests.sim.agent import Agent
from tests.sim.client import Client
from tests.sim.coordinator import Coordinator
from tests.sim.database import Database
from tests.sim.invariants import Checker
from tests.sim.machine import SIM_TREE, Machine, Task, Watcher
from tests.sim.network import Network
from tests.sim.plan import Plan
from tests.sim.silence import Silence
from tests.sim.stream import Stream
from tests.sim.supervisor import Supervisor
from tests.sim.timeline import VIRTUAL_TIME, Host, Timeline, Violation

RESTART_S = 0.5
LOOK_S = 0.5
SLACK_S = 2.5
TRACE_KEPT = 60


class Outcome(Struct, frozen=True):
    """What a history was worth. `checksum` covers every message with its instant: it tells two apart."""

    seed: int
    hours: float
    events: int
    messages: int
    commits: int
    starts: int
    comparisons: int
    jobs: int
    checksum: int
    faults: dict[str, int]


class World(Watcher, Supervisor):
    """Everything of one plan. The faults are in `tests.sim.faults`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = Random(plan.seed)
        self.timeline = Timeline()
        self.network = Network(self.timeline, self.random)
        self.database = Database(self.timeline, self.random, pace=plan.pace)
        self.stream = Stream(self.timeline, self.network, pace=plan.pace)
        lag_s = SLACK_S * plan.pace
        self.checker = Checker(self.database.rows, lag_s=lag_s, reconcile_s=RECONCILE_S * plan.pace)
        self.silence = Silence(lag_s=lag_s)
        self.machines = [self.make_machine(f"n{number}", f"n{number}") for number in range(plan.agents)]
        self.hosts = [Host(self.timeline, f"c{number}") for number in range(plan.coordinators)]
        self.coordinators: list[Coordinator | None] = [None] * plan.coordinators
        self.twins: list[Machine] = []
        self.client = Client(
            Host(self.timeline, "client"),
            self.network,
            self.stream,
            plan,
            on_acknowledged=self._on_acknowledged,
        )
        self.faults: Counter[str] = Counter()
        self.trace: list[str] = []
        self.heard_since_s = 0.0  # since when the leader could hear and write everything
        self.healed_at_s: float | None = None
        self._agents = 0
        self._looked = ""
        self._converged = False

    def make_machine(self, name: str, node: str) -> Machine:
        return Machine(
            self.timeline,
            name,
            node=node,
            capacity=Resources(self.plan.cores * 1000, 4096, gpus=2),
            seed=self.plan.seed,
            watcher=self,
            tool_s=self.plan.limits.lease_s * 0.1,
        )

    def note(self, text: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.timeline.now:10.3f}  {text}")
        if len(self.trace) > TRACE_KEPT:
            del self.trace[0]

    # life

    def start_agent(self, machine: Machine) -> None:
        if machine.agent is None:
            self._agents += 1
            Agent(machine, self.network, incarnation=f"agent-{self._agents}", pace=self.plan.pace)

    def start_coordinator(self, number: int) -> None:
        known = self.coordinators[number]
        if known is None or not known.alive:
            self.coordinators[number] = Coordinator(
                self.hosts[number],
                self.network,
                self.database,
                self.stream,
                random=self.random,
                limits=self.plan.limits,
                orders=self.plan.orders,
                pace=self.plan.pace,
                supervisor=self,
            )

    def leader(self) -> Coordinator | None:
        """Who leads by the database, if it serves."""
        epoch = self.database.rows.leadership.epoch
        for coordinator in self.network.leaders:
            if coordinator.epoch == epoch and coordinator.running:
                return coordinator
        return None

    # what is told by the parts

    def started(self, machine: Machine, task: Task) -> None:
        self.note(f"{machine.name}: {task.key} starts")
        self.checker.started(machine, task)

    def ended(self, machine: Machine, task: Task) -> None:
        self.note(f"{machine.name}: {task.key} ends, status {task.status}")
        self.checker.ended(machine, task)

    def forgotten(self, machine: Machine, event: TaskEvent) -> None:
        self.checker.forgotten(machine, event)

    def _on_acknowledged(self, submitted: Submitted) -> None:
        self.note(f"client: job {submitted.number} accepted")
        self.checker.accepted(submitted)

    def rebuilt(self, coordinator: Coordinator) -> None:
        self.note(f"{coordinator.host.name} leads, epoch {coordinator.epoch}")
        self.heard_since_s = self.timeline.now
        self.silence.took_over(now_s=self.timeline.now)

    def renewed(self, coordinator: Coordinator, node: str) -> None:
        self.silence.answered(coordinator, node)

    def stepped(self, coordinator: Coordinator, batch: Batch) -> None:
        for attempt in batch.attempts:
            self.note(f"{coordinator.host.name}: {attempt.attempt} on {attempt.node} {attempt.state}")
        self.checker.stepped(coordinator, batch)
        self.ambushes.stepped(coordinator, batch)

    def recorded(self, coordinator: Coordinator, records: list[Record]) -> None:
        self.silence.recorded(records, now_s=self.timeline.now)

    def telling(self, coordinator: Coordinator, tells: list[Tell]) -> None:
        if coordinator.epoch == self.database.rows.leadership.epoch:
            self.checker.telling(coordinator, tells)

    def over(self, coordinator: Coordinator) -> None:
        number = self.coordinators.index(coordinator)
        self.timeline.after(RESTART_S * self.plan.pace, self.start_coordinator, number)

    # the run

    def play(self) -> Outcome:
        """To the end. Raises Violation."""
        from tests.sim.ambushes import Ambushes
        from tests.sim.faults import Faults

        plan = self.plan
        for number in range(plan.coordinators):
            self.timeline.at(0.01 * number, self.start_coordinator, number)
        for number, machine in enumerate(self.machines):
            self.timeline.at(0.05 + 0.01 * number, self.start_agent, machine)
        faults = Faults(self)
        self.ambushes = Ambushes(self, faults)
        for fault in plan.faults:
            self.timeline.at(fault.at_s, faults.befall, fault)
        self.timeline.at(plan.duration_s, faults.heal)
        self._look()
        bound_s = plan.duration_s + self._patience_s()
        with virtual_hosts(plan.pace), crashes_are_violations():
            self.timeline.run(bound_s, over=lambda: self._converged)
        if not self._converged:
            raise Violation("I8", f"not converged: {self._looked}")
        return self._outcome()

    def _patience_s(self) -> float:
        """How long it may take after the last fault: leases, then all the work one after the other."""
        work_s = sum(
            float(word)
            for submission in self.plan.submissions
            for task in submission.spec.get("tasks", [submission.spec])
            for word in task.get("command", [])[1:2]
        )
        return self.plan.limits.lease_s * 60 + work_s * 60

    def _look(self) -> None:
        """I7 while it goes on; whether it is over, once nothing breaks it any more."""
        self.timeline.after(LOOK_S * self.plan.pace, self._look)
        leader = self.leader()
        if leader is None or leader.failing or self.database.away or leader.host in self._cut:
            self.heard_since_s = self.timeline.now
            return
        calm_since_s = self.healed_at_s if self.plan.faults or self.plan.ambushes else 0.0
        if calm_since_s is not None:
            self.checker.healed(leader, since_s=self.timeline.now - calm_since_s)
        if leader.performing:
            self.heard_since_s = max(self.heard_since_s, self.timeline.now - self.plan.limits.lease_s / 10)
        else:
            self.silence.look(leader, since_s=self.timeline.now - self.heard_since_s)
        if self.healed_at_s is not None:
            if self.plan.has_gangs:
                self._see_to_the_quarantined(leader)
            self.client.give_free()
            self._looked = self.checker.converged(leader, self.machines) or self._unpublished()
            self._converged = not self._looked and leader.settled
            if self._converged:
                self.checker.compare(leader)

    def _see_to_the_quarantined(self, leader: Coordinator) -> None:
        """A gang may need the very node that lost too much: what waits for people, people do at the end."""
        for node in leader.cluster.nodes.values():
            if node.admin is NodeAdmin.FAILED:
                self.client.withheld_nodes.add(int(node.name.removeprefix("n")))

    def _unpublished(self) -> str:
        """I1 for what the stream acknowledged: a job, unless its data was destroyed or it was refused."""
        stream = self.stream
        if stream.kept:
            return f"messages {sorted(stream.kept)} are still in the stream"
        lost = stream.acknowledged - self.database.rows.messages.keys() - stream.destroyed - stream.refused
        if lost:
            raise Violation("I1", f"messages {sorted(lost)} were acknowledged and became no job")
        return ""

    @property
    def _cut(self) -> set[Host]:
        return self.network.cut | self.database.cut

    def _outcome(self) -> Outcome:
        return Outcome(
            seed=self.plan.seed,
            hours=self.timeline.now / 3600,
            events=self.timeline.events,
            messages=self.network.messages,
            commits=self.database.rows.commits,
            starts=self.checker.starts,
            comparisons=self.checker.comparisons,
            jobs=len(self.checker.acknowledged),
            checksum=zlib.crc32(f"{self.timeline.now!r}".encode(), self.network.checksum),
            faults=dict(self.faults),
        )


@contextmanager
def virtual_hosts(pace: float) -> Iterator[None]:
    """The product's modules that ask for the time or for processes are shown the simulated hosts'."""
    with ExitStack() as stack:
        for name in ("STALE_AFTER_S", "GONE_AFTER_S", "BLIND_AFTER_S"):
            stack.enter_context(patch.object(leadership, name, getattr(leadership, name) * pace))
        for module in (agent.executor, agent.guard.keeper, agent.guard.server, leadership):
            stack.enter_context(patch.object(module, "time", VIRTUAL_TIME))
        for module in (agent.guard.keeper, agent.guard.server):
            stack.enter_context(patch.object(module, "tree", SIM_TREE))
        yield


@contextmanager
def crashes_are_violations() -> Iterator[None]:
    """Whatever ends a program of ours breaks a promise too."""
    try:
        yield
    except Violation:
        raise
    except IllegalTransition as error:
        raise Violation("I6", str(error)) from error
    except Exception as error:  # the top of the simulated programs
        raise Violation("I9", f"crashed: {type(error).__name__}: {error}") from error


def play(plan: Plan) -> Outcome:
    """Run the history of a plan. Raises Violation."""
    return World(plan).play()
