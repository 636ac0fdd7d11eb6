"""A coordinator's process: the product's core, ingest, bounds, codec, joiner and rebuild in a retold shell.

`coordinator.serve`, `.loop`, `.perform`, `.tell` and `.agents` say in asyncio what are timers here: one batch
after the other is committed, and only then told; heartbeats are stepped while a commit is under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from bus.codec import Codec, answer, decode_from_agent, decode_from_agent_reply, encode
from bus.errors import ApiError, DecodeError, Error
from bus.messages import (
    CommandReply,
    HeartbeatReply,
    InputsReply,
    InputsRequest,
    Register,
    RegisterReply,
    ToAgent,
)
from bus.refusal import refusal
from bus.subjects import NodeSubject, NodeVerb
from bus.values import AttemptRef, NodeName
from coordinator.api.jobs import Sealed
from coordinator.bounds import check
from coordinator.clock import _with_time as uuid7_of
from coordinator.core.effects import (
    AnswerBeat,
    Effect,
    SendAssign,
    SendCancel,
    SendPause,
    SendRetract,
    SendStart,
    Tell,
)
from coordinator.core.events import (
    AgentBeat,
    CommandConfirmed,
    CommandUnanswered,
    Event,
    JobSubmitted,
    PolicyChosen,
    ScheduleDue,
    SelfChecked,
    SnapshotDue,
    Tick,
)
from coordinator.core.job_ends import JobEnd
from coordinator.core.machine import reconcile, step
from coordinator.core.model import Cluster, Limits
from coordinator.core.scheduler.after_state import START
from coordinator.core.scheduler.places import write
from coordinator.core.scheduler.values import LEARNED
from coordinator.ingest import Incarnations, WrongSender, check_sender, to_event
from coordinator.leader import RENEW_S
from coordinator.loop import RECONCILE_S, TICK_S
from coordinator.perform import Joiner
from coordinator.replies import answer_of, build_assigns, command_of
from coordinator.serve import restore
from coordinator.store.errors import NotLeader, OutcomeUnknown, StoreError
from coordinator.store.leadership import POLL_INTERVAL_S, Standby
from coordinator.store.rows import Batch, Snapshot
from coordinator.tell import COMMAND_TIMEOUT_S
from tests.sim.database import Connection, Database, Rows
from tests.sim.doors import Doors, owner_of
from tests.sim.network import Network, Responder
from tests.sim.plan import Orders
from tests.sim.standby import SimSession, look
from tests.sim.stream import Intake, Stream
from tests.sim.supervisor import Supervisor
from tests.sim.timeline import Host, Process

RETRY_S = (0.05, 1.0)
LOOKS_EVERY = 10
ROLLOUT_STEPS = 2_000
"""That one of so many rounds may take in looking ahead: a budget as small as that of a busy coordinator."""

WEIGHTS = write(START, [(500, 64, 1, 250), (500, 64, 1, 500), (1000, 64, 1, 1000), (1000, 512, 2, 1000)])
"""What ranks nodes where learned values do: of such work as plans have."""


class Coordinator(Process):
    """From the start of the process to its end: stands by, leads, and ends when another does."""

    def __init__(
        self,
        host: Host,
        network: Network,
        database: Database,
        stream: Stream,
        *,
        random: Random,
        limits: Limits,
        orders: Orders,
        pace: float,
        supervisor: Supervisor,
    ) -> None:
        super().__init__(host)
        self.network = network
        self.random = random
        self.limits = limits
        self.orders = orders
        self.pace = pace
        self.database = database
        self.connection = Connection(database, self)
        session: Any = SimSession(self.connection)
        self._standby = Standby(session, holder=host.name, led=lambda: None)
        self._intake = Intake(self, stream)
        self.epoch = 0
        self.cluster = Cluster()
        self.leading = False
        self.failing = False
        self.performing = False
        self.doors = Doors(self)
        self.next_number = 1
        self._clock_offset_s = host.wall_s() - host.boottime_s()  # as `coordinator.clock` does
        self._supervisor = supervisor
        self._incarnations = Incarnations()
        self._queue: deque[Event] = deque()
        self._carried: list[list[Effect]] = []
        self._repliers: dict[int, Responder] = {}
        self._beating: dict[int, str] = {}  # by the token of who waits for an answer that may renew leases
        self._last_token = 0
        self._batches = 0
        self._rounds = 0
        self._woken = False
        self._barriers: deque[tuple[int, Callable[[], None]]] = deque()
        self._posted = 0
        self._finished = 0
        self.enter(self._stand_by)

    def now_s(self) -> float:
        """The coordinator's own clock: the wall's when it started, boot time ever after."""
        return self.host.boottime_s() + self._clock_offset_s

    def new_id(self, *, job: bool = False) -> UUID:
        bits = uuid7_of(self.now_s(), self.random.getrandbits(80))
        return UUID(int=bits & ~0xFFFFFFFF if job else bits)

    # leadership

    def _stand_by(self) -> None:
        def done(epoch: int | None) -> None:
            if epoch is None:
                self.after(POLL_INTERVAL_S * self.pace, self._stand_by)
            else:
                self.epoch = epoch
                self.after(RENEW_S * self.pace, self._renew)
                self._load()

        def failed(error: StoreError) -> None:
            self.after(POLL_INTERVAL_S * self.pace, self._stand_by)

        look(self._standby, self.connection, fit=not self._unheard, done=done, failed=failed)

    @property
    def _unheard(self) -> bool:
        """What `coordinator.bus_watch` finds out."""
        return self.host in self.network.cut

    def _load(self) -> None:
        self.connection.call(lambda rows: rows.snapshot(), self._lead, lambda error: self.end())

    def _lead(self, snapshot: Snapshot) -> None:
        self.cluster = self._rebuilt(snapshot)
        self.next_number = snapshot.next_number
        self.leading = True
        self._supervisor.rebuilt(self)
        self.network.leaders.append(self)
        self._intake.start()
        self._judge()
        self._tick()
        self.after(RECONCILE_S * self.pace, self._reconcile)

    def _judge(self) -> None:
        """What `coordinator.tuning` would find, once: learned values of nodes pass the gate."""
        if self.orders.rank == LEARNED and not self.cluster.planner.weights:
            self.post(PolicyChosen(policy=self.orders.policy, evidence={}, weights=WEIGHTS))

    def _rebuilt(self, snapshot: Snapshot) -> Cluster:
        orders = self.orders
        cluster = Cluster(
            limits=self.limits,
            order=orders.order,
            backfill=orders.backfill,
            policy=orders.policy,
            mode=orders.mode,
            rank=orders.rank,
        )
        return restore(cluster, snapshot, now_s=self.now_s())

    def rebuilt_from(self, rows: Rows) -> Cluster:
        """What the memory of a leader would be that took over now."""
        return self._rebuilt(rows.snapshot())

    @property
    def settled(self) -> bool:
        """Whether everything that was stepped is committed."""
        return not self.performing and not self._carried

    def _renew(self) -> None:
        """The row, an announcement to any other leader, and giving way where nobody hears us."""

        def again(_: object = None) -> None:
            self.after(RENEW_S * self.pace, self._renew)

        def failed(error: StoreError) -> None:
            if isinstance(error, NotLeader):
                self.end()
            else:
                again()

        def renewed(_: object) -> None:
            for other in self.network.leaders:
                if other is not self:
                    self.network.send(self.host, other, other.on_announced, b"%d" % self.epoch)
            if self._unheard:
                self.connection.call(
                    self.connection.give_way(self.epoch),
                    lambda gave_way: self.end() if gave_way else again(),
                    failed,
                )
            else:
                again()

        self.connection.call(self.connection.renew(self.epoch), renewed, failed)

    def on_announced(self, data: bytes) -> None:
        """Somebody leads: of a higher epoch, we do not any more."""
        if data.isdigit() and int(data) > self.epoch:
            self.end()

    def end(self) -> None:
        """The process is over; its supervisor starts another."""
        self.kill()
        self._supervisor.over(self)

    def kill(self) -> None:
        super().kill()
        if self in self.network.leaders:
            self.network.leaders.remove(self)

    def enter_job(
        self,
        sealed: Sealed,
        respond: Responder,
        *,
        ended: dict[int, JobEnd] | None = None,
        message_key: str | None = None,
    ) -> None:
        """Give a job its number and id, and let the core answer; as `coordinator.api.jobs` does."""
        number = self.next_number
        self.next_number += 1
        self.post(
            JobSubmitted(
                job_id=self.new_id(job=True),
                number=number,
                owner=owner_of(sealed.spec),
                spec=sealed.spec,
                spec_json=sealed.json,
                digest=sealed.digest,
                message_key=message_key,
                ended=ended or {},
                reply=self.expect(respond),
            )
        )

    # the loop

    def post(self, event: Event) -> None:
        if self.performing and isinstance(event, AgentBeat):
            self._step_beat(event)
            return
        self._queue.append(event)
        self._posted += 1
        self._wake()

    def barrier(self, then: Callable[[], None]) -> None:
        """`then` once everything posted so far is committed."""
        if self._finished >= self._posted:
            then()
        else:
            self._barriers.append((self._posted, then))

    def _wake(self) -> None:
        if not self._woken and not self.performing:
            self._woken = True
            self.after(0.0, self._run_batch)

    def _tick(self) -> None:
        self.after(TICK_S * self.pace, self._tick)
        if self.cluster.brake is not None:
            self.post(SelfChecked(bus=True, database=not self.failing, clock=True))
        self.post(Tick())

    def _reconcile(self) -> None:
        self.after(RECONCILE_S * self.pace, self._reconcile)
        self._carried.append(reconcile(self.cluster, self.now_s()))
        self.post(SnapshotDue("interval"))

    def _step_beat(self, beat: AgentBeat) -> None:
        kept: list[Effect] = []
        for effect in step(self.cluster, beat, self.now_s()):
            if isinstance(effect, AnswerBeat):
                self._answer(replace(effect, drop=()))
            else:
                kept.append(effect)
        if kept:
            self._carried.append(kept)

    def _run_batch(self) -> None:
        self._woken = False
        if self.performing:
            return
        steps, self._carried = self._carried, []
        taken = len(self._queue)
        while self._queue:
            steps.append(step(self.cluster, self._queue.popleft(), self.now_s()))
        self.cluster.rollout_steps = 0 if self._rounds % LOOKS_EVERY else ROLLOUT_STEPS
        self._rounds += 1
        steps.append(step(self.cluster, ScheduleDue(), self.now_s()))
        self._perform(steps, taken)

    def _perform(self, steps: list[list[Effect]], taken: int) -> None:
        joiner = Joiner(self._batches + 1)
        for effects in steps:
            joiner.add(effects)
        batch = joiner.finish()
        self._supervisor.stepped(self, batch)
        self._supervisor.recorded(self, joiner.records)
        if batch.empty:
            self._performed(joiner, taken)
            return
        self._batches += 1
        self.performing = True
        self._commit(joiner, batch, taken, wait_s=RETRY_S[0], unknown=False)

    def _commit(self, joiner: Joiner, batch: Batch, taken: int, *, wait_s: float, unknown: bool) -> None:
        """Until the batch is known to be written: the same rows again, never another step."""

        def failed(error: StoreError) -> None:
            if isinstance(error, NotLeader):
                self.end()
                return
            self.failing = True
            again = unknown or isinstance(error, OutcomeUnknown)
            following_s = min(wait_s * 2, RETRY_S[1])
            self.after(wait_s, lambda: self._commit(joiner, batch, taken, wait_s=following_s, unknown=again))

        def done(_: object) -> None:
            self.failing = False
            self._performed(joiner, taken)

        def write(_: object = None) -> None:
            self.connection.call(lambda rows: rows.write(self.epoch, batch), done, failed, commits=True)

        if unknown:
            self.connection.call(
                lambda rows: rows.batches[self.epoch] >= batch.number,
                lambda committed: done(None) if committed else write(),
                failed,
            )
        else:
            write()

    def _performed(self, joiner: Joiner, taken: int) -> None:
        self.performing = False
        self._finished += taken
        self._supervisor.telling(self, joiner.tells)
        for tell in joiner.tells:
            self._tell(tell)
        while self._barriers and self._barriers[0][0] <= self._finished:
            self._barriers.popleft()[1]()
        if self._queue or self._carried:
            self._wake()

    # telling

    def expect(self, respond: Responder | None) -> int:
        """A token for whoever waits for an answer."""
        if respond is None:
            return 0
        self._last_token += 1
        self._repliers[self._last_token] = respond
        return self._last_token

    def _tell(self, tell: Tell) -> None:
        match tell:
            case SendAssign():
                for assign in build_assigns(tell.placements, self.epoch, incarnation=tell.incarnation):
                    self._command(tell.node, assign, tuple(item.attempt for item in assign.items))
            case SendCancel() | SendRetract() | SendPause() | SendStart():
                self._command(tell.node, command_of(tell, self.epoch))
            case _:
                self._answer(tell)

    def _answer(self, tell: Any) -> None:
        respond = self._repliers.pop(tell.reply, None)
        if respond is None:
            return
        message = answer_of(tell, epoch=self.epoch, limits=self.limits)
        respond(answer(message, Codec.MSGPACK)[0])
        node = self._beating.pop(tell.reply, None)
        match message:
            case RegisterReply() | HeartbeatReply(register_again=False) if node is not None:
                self._supervisor.renewed(self, node)
            case _:
                pass

    def _command(self, node: NodeName, command: ToAgent, attempts: tuple[AttemptRef, ...] = ()) -> None:
        def answered(data: bytes | None) -> None:
            reply = _obeyed(data)
            if attempts and reply is not None:
                self.post(CommandConfirmed(node=node, attempts=attempts, ports=reply.ports))
            elif attempts:
                self.post(CommandUnanswered(node=node, attempts=attempts))

        agents = self.network.agents.get(node, [])
        self.network.request(
            self,
            [(agent, agent.on_command) for agent in agents],
            encode(command),
            timeout_s=COMMAND_TIMEOUT_S * self.pace,
            answered=answered,
        )

    # listening

    def on_agent(self, data: bytes, respond: Responder, node: str, verb: NodeVerb) -> None:
        """A message on a node's subject."""
        subject = NodeSubject(node=NodeName(node), verb=verb)
        try:
            message = decode_from_agent(data)
            check_sender(message, subject)
            check(message)
            if isinstance(message, InputsRequest):
                self._answer_inputs(message, respond)
                return
            if isinstance(message, Register):
                self._incarnations.check(message, self.cluster.nodes.get(subject.node))
        except DecodeError as error:
            self.refuse(respond, error.to_error())
        except ApiError as error:
            self.refuse(respond, error.error)
        else:
            reply = self.expect(respond)
            if verb in (NodeVerb.REGISTER, NodeVerb.HEARTBEAT):
                self._beating[reply] = node
            self.post(to_event(message, sender=subject.node, node_id=self.new_id(), reply=reply))

    def on_client(self, data: bytes, respond: Responder, operation: str) -> None:
        """A request to the service."""
        self.doors.on_request(operation, data, respond)

    def refuse(self, respond: Responder, error: Error) -> None:
        respond(answer(error, Codec.MSGPACK)[0])

    def _answer_inputs(self, request: InputsRequest, respond: Responder) -> None:
        task = self.cluster.find_task(request.attempt.task)
        held = [each for each in task.attempts if each.ref == request.attempt] if task is not None else []
        if task is None or not held or held[0].node != request.node:
            raise WrongSender(refusal("E_FENCED", field="/attempt"))
        needs, number = task.group.needs, request.attempt.job
        self.connection.call(
            lambda rows: rows.needed_outputs(number, needs),
            lambda outputs: respond(encode(InputsReply(outputs=outputs, more=False))),
            lambda error: None,
        )


def _obeyed(data: bytes | None) -> CommandReply | None:
    try:
        reply = decode_from_agent_reply(data or b"")
    except (ApiError, DecodeError):
        reply = None
    return reply if isinstance(reply, CommandReply) and reply.error is None else None
