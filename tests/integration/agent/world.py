"""A whole agent over the in-process bus, with a real guard, against a coordinator of a few lines."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from agent.config import Config, parse_arguments
from agent.loop import Agent
from bus import messages as m
from bus import subjects
from bus.artifacts import Kept, KeptFile, KeptReply, LeftFile
from bus.children import ChildEnd, ChildrenAsked, ChildrenOf, ChildrenReply
from bus.codec import decode_from_agent, decode_from_agent_reply, encode
from bus.errors import ApiError, DecodeError, ErrorReply
from bus.memory import MemoryBus, MemoryHub
from bus.refusal import refusal
from bus.results import Place, Progress, ProgressReply, Told
from bus.transport import Message
from bus.values import (
    AttemptRef,
    Ended,
    NetworkTerms,
    OnDisconnect,
    Resources,
    Started,
    TaskEvent,
    TaskSettings,
)
from coordinator.bounds import check
from tests.integration.agent.harness import WAIT_S, alive

VERBS = ("register", "heartbeat", "report", "usage", "inputs", "progress", "kept", "children")
A, B = AttemptRef(1, 0, 1), AttemptRef(1, 1, 1)


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


class Coordinator:
    """Answers everything; nothing while `away`, no heartbeats and reports while `deaf`, no heartbeats unless
    it is `renewing`.

    `fences` are incarnations whose place somebody else has. `mute`: it hears what tasks tell, and nobody
    hears it.
    """

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.epoch = 1
        self.deaf = False
        self.network: NetworkTerms | None = None
        self.away = False
        self.renewing = True
        self.fences: set[str] = set()
        self.refused: list[m.Register] = []
        self.registrations: list[m.Register] = []
        self.beats: list[m.Heartbeat] = []
        self.usage: list[m.UsageReport] = []
        self.events: list[TaskEvent] = []
        self.inputs: list[m.InputsReply] = []
        self.drop: tuple[AttemptRef, ...] = ()
        self.term_after_s = 60.0
        self.interval_s = 0.05
        self.logs: list[m.LogChunk] = []
        self.told: list[Told] = []
        self.kept: list[LeftFile] = []
        self.waiting: tuple[AttemptRef, ...] | None = None  # for their children, as it was said last
        self.ended_children: dict[AttemptRef, tuple[ChildEnd, ...]] = {}
        self.mute = False
        self.stale: set[AttemptRef] = set()
        self.asked_of_stale = 0
        self._places: dict[AttemptRef, int] = {}

    @property
    def last_faults(self) -> tuple[str, ...]:
        return self.beats[-1].faults if self.beats else ()

    @property
    def last_paused(self) -> tuple[AttemptRef, ...]:
        return self.beats[-1].paused if self.beats else ()

    async def start(self) -> None:
        for verb in VERBS:
            await self.bus.subscribe(f"corral.node.*.{verb}", self._on)

    async def _on(self, message: Message) -> None:
        if self.away:
            return
        try:
            asked = decode_from_agent(message.data)
            check(asked)
        except DecodeError as error:
            await self.bus.publish(message.reply, encode(ErrorReply(error=error.to_error())))
        except ApiError as error:
            await self.bus.publish(message.reply, encode(ErrorReply(error=error.error)))
        else:
            await self._answer(asked, message)

    async def _answer(self, asked: m.FromAgent, message: Message) -> None:
        reply: m.ToAgentReply | ErrorReply
        match asked:
            case m.Register(incarnation=incarnation) if incarnation in self.fences:
                self.refused.append(asked)
                reply = ErrorReply(error=refusal("E_FENCED", "another agent of n1 has taken its place"))
            case m.Register():
                self.registrations.append(asked)
                reply = m.RegisterReply(
                    epoch=self.epoch,
                    heartbeat_interval_s=self.interval_s,
                    usage_interval_s=0.1,
                    lease_s=65.0,
                    term_after_s=self.term_after_s,
                    kill_after_s=self.term_after_s + 0.3,
                    drop=self.drop,
                    network=self.network,
                )
            case m.Heartbeat():
                self.beats.append(asked)
                if self.deaf or not self.renewing:
                    return
                reply = m.HeartbeatReply(
                    sequence=asked.sequence,
                    epoch=self.epoch,
                    drop=self.drop,
                    register_again=asked.incarnation in self.fences,
                )
            case m.Report():
                if self.deaf:
                    return
                self.events += asked.events
                reply = m.ReportReply(acknowledged=asked.sequence, epoch=self.epoch)
            case m.InputsRequest():
                reply = self.inputs.pop(0)
            case m.UsageReport():
                self.usage.append(asked)
                return
            case Kept():
                self.kept += [file for file in asked.files if file.attempt not in self.stale]
                codes = ["E_FENCED" if file.attempt in self.stale else "" for file in asked.files]
                reply = KeptReply(files=tuple([KeptFile("", code) for code in codes]))
                if self.mute:
                    return
            case ChildrenAsked():
                self.waiting = asked.attempts
                reply = ChildrenReply(found=tuple(self._children(each) for each in asked.attempts))
            case Progress():
                reply = ProgressReply(
                    places=tuple(Place(told.attempt, self._heard(told)) for told in asked.told)
                )
                if self.mute:
                    return
        await self.bus.publish(message.reply, encode(reply))

    def _children(self, attempt: AttemptRef) -> ChildrenOf:
        ended = self.ended_children.get(attempt)
        return ChildrenOf(attempt=attempt, live=int(ended is None), ended=ended)

    def _heard(self, told: Told) -> int:
        """As the database does: what follows the place that is known counts, and once."""
        if told.attempt in self.stale:
            self.asked_of_stale += 1
            return -1
        place = self._places.get(told.attempt, 0)
        if told.start != place:
            return place
        self.told.append(told)
        self._places[told.attempt] = told.end
        return told.end

    async def command(self, command: m.ToAgent) -> m.FromAgentReply:
        subject = subjects.node("n1", subjects.NodeVerb.COMMAND)
        answer = await self.bus.request(subject, encode(command), timeout_s=WAIT_S)
        return decode_from_agent_reply(answer.data)

    async def assign(self, attempt: AttemptRef, *command: str, **options: object) -> None:
        body = m.Body(
            settings=TaskSettings(
                resources=Resources(cpu_millis=1000, net_mbps=int(str(options.get("net_mbps", 0)))),
                tool=options.get("tool"),  # type: ignore[arg-type]
                on_disconnect=OnDisconnect.RUN_ON if options.get("run_on") else OnDisconnect.REPLACE,
                pty=bool(options.get("pty")),
                env=options.get("env") or {},  # type: ignore[arg-type]
            ),
            command=command,
            needs=("count",) if options.get("needs") else (),
        )
        made = m.Assign(epoch=self.epoch, bodies=(body,), items=(m.Assignment(attempt, 0),))
        assert await self.command(made) == m.CommandReply(node="n1")

    def ends(self) -> dict[AttemptRef, Ended]:
        return {event.attempt: event for event in self.events if isinstance(event, Ended)}

    async def ended(self, attempt: AttemptRef) -> Ended:
        await until(lambda: attempt in self.ends(), f"{attempt} ended")
        return self.ends()[attempt]

    async def started(self, attempt: AttemptRef) -> int:
        def found() -> list[int]:
            return [e.pid for e in self.events if isinstance(e, Started) and e.attempt == attempt]

        await until(found, f"{attempt} started")
        return found()[0]


class Node:
    """An agent that can be stopped and started again over the same folder."""

    def __init__(self, config: Config, bus: MemoryBus) -> None:
        self.config = config
        self.bus = bus
        self.running: asyncio.Task[None] | None = None
        self.agent: Agent | None = None

    def start(self) -> None:
        self.agent = Agent(self.config, self.bus, version="1", key="UKEY")
        self.running = asyncio.create_task(self.agent.run())

    async def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait([self.running])
            assert self.running.cancelled(), self.running.exception()
        self.running = None


class World:
    def __init__(self, folder: Path) -> None:
        hub = MemoryHub(time.monotonic)
        said = ["--name", "n1", "--nats", "-", "--credentials", "-", "--gpu-driver", "none", "--cpu", "2"]
        said += ["--containers", "none"]
        self.coordinator = Coordinator(hub.connect_coordinator())
        self.user = hub.connect_user("alice")
        folder.joinpath("agent").mkdir(mode=0o711)
        self.node = Node(parse_arguments(["--data", f"{folder}/agent", *said]), hub.connect_agent("n1"))

    @property
    def held(self) -> Collection[AttemptRef]:
        """Attempts that the agent answers for."""
        agent = self.node.agent
        return () if agent is None else agent._executor.ledger.held

    async def start_again(self) -> None:
        """Another agent, registered: it may be so more than once, for what it finds out about its machine."""
        before = len(self.coordinator.registrations)
        self.node.start()
        await until(lambda: len(self.coordinator.registrations) > before, "registered again")

    async def end_all(self) -> None:
        """Whatever a test left running, so that the guard can go."""
        agent = self.node.agent
        if agent is not None and not agent.fenced:
            self.coordinator.drop = tuple(self.held)
            await until(lambda: not self.held, "everything has ended")


def guards(folder: Path) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"agent.guard" in arguments and os.fsencode(folder / "agent") in arguments and alive(int(name)):
            found.append(int(name))
    return found


def guards_children(world: World) -> list[bytes]:
    (guard,) = guards(world.node.config.data.parent)
    return Path(f"/proc/{guard}/task/{guard}/children").read_bytes().split()
