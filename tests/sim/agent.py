"""An agent's process: the product's core, executor and translations; its asyncio shell retold as timers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent import watch
from agent.core.events import (
    Answered,
    CancelAsked,
    Event,
    Fenced,
    GpusSeen,
    InputsArrived,
    InputsRefused,
    PauseAsked,
    ResumeAsked,
    RetractAsked,
    StartAsked,
)
from agent.core.model import Order, Phase
from agent.executor import Executor
from agent.guard import wire
from agent.guard.client import Events, Inventory, frames
from agent.reporter import make_report, next_batch
from agent.translate import to_amounts, to_assigned
from bus.codec import decode_to_agent, decode_to_agent_reply, encode
from bus.errors import ApiError, DecodeError
from bus.messages import (
    Assign,
    Cancel,
    CommandReply,
    FromAgent,
    Heartbeat,
    HeartbeatReply,
    InputsReply,
    InputsRequest,
    Pause,
    Register,
    RegisterReply,
    ReportReply,
    Resume,
    Retract,
    StartRanks,
    ToAgentReply,
)
from bus.subjects import NodeVerb
from bus.values import GpuInfo
from bus.values import Inventory as NodeInventory
from tests.sim.machine import GUARD_START_S, Guard, Machine
from tests.sim.network import Network, Responder
from tests.sim.spool import SimSpool
from tests.sim.timeline import Process

TOOLS = ("wordcount", "wordcount_merge")
REGISTER_TIMEOUT_S, HEARTBEAT_TIMEOUT_S, REPORT_TIMEOUT_S, INPUTS_TIMEOUT_S = 5.0, 3.0, 5.0, 10.0
BACKOFF_S = (0.1, 2.0)
INPUTS_RETRY_S = 0.5
OUTPUT_QUICK_S = 0.005
GPU_LOOK_S = 0.01


class Agent(Process):
    """From the start of the process to its end. `pace` stretches its timeouts like its intervals."""

    def __init__(self, machine: Machine, network: Network, *, incarnation: str, pace: float) -> None:
        super().__init__(machine)
        self.machine = machine
        self.node = machine.node
        self.incarnation = incarnation
        self._network = network
        self._pace = pace
        self._sequence = 0
        self._backoff_s = BACKOFF_S[0]
        self._known = False
        self._reporting = False
        self._report_backoff_s = BACKOFF_S[0]
        self._beat_due_s = 0.0
        self._interval_s = 0.0
        self._session = 0
        self.fenced = False
        self._guard: Guard | None = None
        self._spool = SimSpool(machine)
        machine.agent = self
        self.enter(self._start)

    # the guard

    def _start(self) -> None:
        amounts = self.machine.capacity
        self.executor = Executor(
            Path("/sim"),
            Path("/sim"),
            node=self.node,
            capacity=amounts,
            gpus=self.machine.gpus,
            spool=self._spool,  # type: ignore[arg-type]
            on_outbox=self._report_soon,
            on_inputs_wanted=self._want_inputs,
            on_gpus_wanted=lambda: self.after(GPU_LOOK_S, self._see_gpus),
        )
        self.executor.guard = GuardWire(self)  # type: ignore[assignment]
        self._spool.run(self, self.executor.on_saved)
        self._find_guard()

    def _see_gpus(self) -> None:
        """All that wait for GPUs get them: nobody else is on this machine."""
        held = self.executor.ledger.held.values()
        waiting = tuple([each.attempt for each in held if each.phase is Phase.CLEARING])
        self.executor.handle(GpusSeen(attempts=waiting, free=frozenset(self.machine.gpus)))

    def _find_guard(self) -> None:
        guard = self.machine.guard
        if guard is None or not guard.alive:
            self.after(GUARD_START_S, self._start_guard)
        else:
            self._connect(guard)

    def _start_guard(self) -> None:
        guard = self.machine.guard
        self._connect(guard if guard is not None and guard.alive else self.machine.start_guard())

    def _connect(self, guard: Guard) -> None:
        self._guard = guard
        hello = wire.pack(wire.HELLO, to_amounts(self.machine.capacity), self.machine.gpus)
        guard.enter(guard.connect)
        guard.enter(guard.receive, hello)
        self._watch_guard(guard)

    def on_guard_data(self, guard: Guard, data: bytes) -> None:
        """Frames of the guard; the first is its inventory, and then this agent is ready."""
        if guard is not self._guard:
            return
        for frame in frames(bytearray(data)):
            assert isinstance(frame, Inventory | Events)
            self.executor._on_guard_frame(frame)
        if self not in self._network.agents.setdefault(self.node, []):
            self._network.agents[self.node].append(self)
            self._register()

    def on_guard_gone(self) -> None:
        """It died: start another."""
        self._guard = None
        self._find_guard()

    def _watch_guard(self, guard: Guard) -> None:
        """`agent.watch.GuardWatch`: ask the guard something small, again and again."""
        if guard is not self._guard or not guard.alive:
            return
        silence = [0.0]

        def answered() -> None:
            if silence:
                silence.clear()
                self.after(watch._INTERVAL_S * self._pace, self._watch_guard, guard)

        def wait() -> None:
            if not silence or guard is not self._guard or not guard.alive:
                return
            silence[0] += watch._INTERVAL_S
            lapsed = self.executor.lapsed
            if silence[0] >= (watch._KILL_LAPSED_AFTER_S if lapsed else watch._KILL_AFTER_S):
                self.machine.kill_guard()
                return
            if silence[0] >= watch._WAKE_AFTER_S:
                self.machine.wake_guard()
            self.after(watch._INTERVAL_S * self._pace, wait)

        guard.enter(guard.ask, answered)
        if silence:
            self.after(watch._INTERVAL_S * self._pace, wait)

    def send_to_guard(self, data: bytes) -> None:
        if self._guard is not None and self._guard.alive:
            self._guard.enter(self._guard.receive, data)

    def kill(self) -> None:
        super().kill()
        subscribed = self._network.agents.get(self.node, [])
        if self in subscribed:
            subscribed.remove(self)
        if self.machine.agent is self:
            self.machine.agent = None

    # being known

    def _ask(self, message: FromAgent, verb: NodeVerb, timeout_s: float, then: Callable[[Any], None]) -> None:
        """`then` hears the decoded answer, or None where there is none."""

        def answered(data: bytes | None) -> None:
            then(None if data is None else self._decoded(data))

        self._network.request(
            self,
            [(leader, leader.on_agent) for leader in self._network.leaders],
            encode(message),
            self.node,
            verb,
            timeout_s=timeout_s * self._pace,
            answered=answered,
        )

    def _decoded(self, data: bytes) -> ToAgentReply | ApiError | None:
        try:
            return decode_to_agent_reply(data)
        except ApiError as error:
            return error
        except DecodeError:
            return None

    def _register(self) -> None:
        self._known = False
        sent_at = self.host.boottime_s()
        register = Register(
            node=self.node,
            incarnation=self.incarnation,
            boot_id=self.machine.boot_id,
            version="1",
            capacity=self.machine.capacity,
            inventory=inventory(self.machine.gpus),
            tools=TOOLS,
            live=self.executor.ledger.live(),
        )

        def then(reply: Any) -> None:
            if isinstance(reply, RegisterReply):
                self._on_registered(reply, sent_at)
            elif isinstance(reply, ApiError) and reply.error.code == "E_FENCED":
                self.fenced = True
                self.executor.handle(Fenced())
            else:
                self.after(self._backoff_s * self._pace, self._register)
                self._backoff_s = min(2 * self._backoff_s, BACKOFF_S[1])

        self._ask(register, NodeVerb.REGISTER, REGISTER_TIMEOUT_S, then)

    def _on_registered(self, reply: RegisterReply, sent_at: float) -> None:
        self._backoff_s = BACKOFF_S[0]
        self.executor.set_lease(term_after_s=reply.term_after_s, kill_after_s=reply.kill_after_s)
        self.executor.handle(Answered(epoch=reply.epoch, drop=reply.drop, renews_from=sent_at))
        self._interval_s = reply.heartbeat_interval_s
        self._known = True
        self._session += 1
        self._beat_due_s = self.host.boottime_s()
        self._beat_next(self._session)
        self._report_soon()

    def _beat_next(self, session: int) -> None:
        now_s = self.host.boottime_s()
        self._beat_due_s = max(self._beat_due_s + self._interval_s, now_s)
        self.after(self._beat_due_s - now_s, self._beat, session)

    def _beat(self, session: int) -> None:
        if session != self._session:
            return
        self._sequence += 1
        beat = Heartbeat(
            node=self.node,
            incarnation=self.incarnation,
            sequence=self._sequence,
            load=0.5,
            live=self.executor.ledger.live(),
            paused=self.executor.ledger.paused(),
        )
        sent_at = self.host.boottime_s()

        def then(reply: Any) -> None:
            if reply is None or isinstance(reply, ApiError):
                self._beat_next(session)
            elif not isinstance(reply, HeartbeatReply) or reply.register_again:
                self._register()
            else:
                self.executor.handle(Answered(epoch=reply.epoch, drop=reply.drop, renews_from=sent_at))
                self._beat_next(session)

        self._ask(beat, NodeVerb.HEARTBEAT, HEARTBEAT_TIMEOUT_S, then)

    # reporting

    def _report_soon(self) -> None:
        if self._known and not self._reporting and self.executor.ledger.outbox:
            self._reporting = True
            self.after(OUTPUT_QUICK_S, self._report)

    def _report(self) -> None:
        batch = next_batch(self.executor.ledger.outbox)
        if not batch or not self._known:
            self._reporting = False
            return

        def then(reply: Any) -> None:
            self._reporting = False
            if isinstance(reply, ReportReply):
                self._report_backoff_s = BACKOFF_S[0]
                self.executor.handle(
                    Answered(epoch=reply.epoch, drop=reply.drop, acknowledged=reply.acknowledged)
                )
                self._report_soon()
            else:
                self._reporting = True
                self.after(self._report_backoff_s * self._pace, self._report)
                self._report_backoff_s = min(2 * self._report_backoff_s, BACKOFF_S[1])

        self._ask(make_report(self.node, batch), NodeVerb.REPORT, REPORT_TIMEOUT_S, then)

    # obeying

    def on_command(self, data: bytes, respond: Responder) -> None:
        """A command of a coordinator; answered when what follows is on the disk."""
        if self.fenced:
            return  # meant for the agent that has its place
        try:
            command = decode_to_agent(data)
        except DecodeError as error:
            respond(encode(CommandReply(node=self.node, error=str(error)[:200])))
            return
        event: Event
        match command:
            case Assign(incarnation=meant) if meant not in ("", self.incarnation):
                return
            case Assign():
                event = to_assigned(command, lapsed=self.executor.lapsed, free_port=lambda: 4000)
            case Cancel(epoch=epoch, attempts=attempts):
                event = CancelAsked(epoch=epoch, attempts=attempts)
            case Retract(epoch=epoch, attempts=attempts):
                event = RetractAsked(epoch=epoch, attempts=attempts)
            case Pause(epoch=epoch, attempts=attempts):
                event = PauseAsked(epoch=epoch, attempts=attempts)
            case Resume(epoch=epoch, attempts=attempts):
                event = ResumeAsked(epoch=epoch, attempts=attempts)
            case StartRanks(epoch=epoch, attempts=attempts, meeting=meeting):
                lapsed = self.executor.lapsed
                event = StartAsked(epoch=epoch, attempts=attempts, meeting=meeting, lapsed=lapsed)
            case _:
                raise AssertionError(f"the simulated agent does not know {type(command).__name__}")
        error = self.executor.handle(event)
        answer = encode(CommandReply(node=self.node, error=error, ports=self.executor.ledger.ports()))
        self._spool.saved(lambda: respond(answer))

    def _want_inputs(self, order: Order) -> None:
        held = self.executor.ledger.held.get(order.attempt)
        if held is not None and held.phase is not Phase.PREPARING:
            return

        def then(reply: Any) -> None:
            match reply:
                case InputsReply():
                    self.executor.handle(InputsArrived(order.attempt))
                case ApiError() if 400 <= reply.error.status < 500:
                    self.executor.handle(InputsRefused(order.attempt, "its inputs were refused"))
                case _:
                    self.after(INPUTS_RETRY_S * self._pace, self._want_inputs, order)

        request = InputsRequest(node=self.node, attempt=order.attempt)
        # not from within the step that asks for it
        self.after(0.0, self._ask, request, NodeVerb.INPUTS, INPUTS_TIMEOUT_S, then)


class GuardWire:
    """`agent.guard.client.GuardLink` without its socket."""

    version = wire.VERSION
    pid = 0

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def send(self, *data: bytes) -> None:
        self._agent.send_to_guard(b"".join(data))


_MODELS = (("Tesla T4", 16), ("NVIDIA A100-SXM4-80GB", 80))


def inventory(gpus: tuple[str, ...]) -> NodeInventory:
    """A machine with these GPUs, of different models in turn."""
    found = []
    for number, uuid in enumerate(gpus):
        model, gib = _MODELS[number % len(_MODELS)]
        found.append(GpuInfo(uuid=uuid, model=model, mem_mib=gib * 1024, shareable=True))
    return NodeInventory(
        hostname="host",
        ip="127.0.0.1",
        architecture="x86_64",
        os_version="Linux",
        kernel_version="6",
        cpu_model="cpu",
        cpu_cores=4,
        gpus=tuple(found),
    )
