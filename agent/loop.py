"""The agent's asyncio shell: the bus on one side, the guard and the disk on the other.

Everything that decides is in `agent.core`, stepped by `agent.executor`; what is here only carries. Each
concern is one named task of a single group, and any of them ending by an error ends the agent: its
supervisor starts it again, and it adopts what runs.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from typing import assert_never

import msgspec

from agent import discover
from agent.config import Config
from agent.core.events import CancelAsked, Event, PauseAsked, ResumeAsked, RetractAsked
from agent.core.model import Order, Phase
from agent.executor import Executor
from agent.gpus import GpuDriver, SimulatedGpus
from agent.guard.client import GuardError
from agent.guard.wire import SHARES_GPUS
from agent.inputs import InputFetcher
from agent.logs import Logs
from agent.metering import Meter
from agent.presence import Presence
from agent.reporter import Reporter
from agent.session import Session
from agent.spool import NotWritten, Spool
from agent.tools.registry import TOOLS
from agent.translate import to_assigned, to_found
from agent.usage import UsageSampler
from agent.watch import GuardWatch
from bus import subjects
from bus.codec import decode_to_agent, encode
from bus.errors import BusError, DecodeError
from bus.messages import (
    Assign,
    Cancel,
    CommandReply,
    FetchLog,
    Follow,
    FromAgentReply,
    Inspect,
    Inspection,
    Pause,
    Register,
    RegisterReply,
    Resume,
    Retract,
)
from bus.subjects import NodeVerb
from bus.transport import Bus, Message

_log = logging.getLogger(__name__)

_PRUNE_INTERVAL_S = 600.0
_FAULT_MAX = 500
_GIVE_BACK_LOOKS, _GIVE_BACK_POLL_S = 100, 0.01


class Agent:
    """`run` serves until it is cancelled; tasks go on without it. `key`: the node's public key."""

    def __init__(self, config: Config, bus: Bus, *, version: str, key: str = "") -> None:
        self._config = config
        self._bus = bus
        self._version = version
        self._key = key
        self._incarnation = uuid.uuid4().hex
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            self._boot_id = file.read().strip()
        self._driver: GpuDriver = (
            discover.NvmlGpus() if config.simulated_gpus is None else SimulatedGpus(config.simulated_gpus)
        )
        self._inventory = discover.inventory(self._driver.gpus())
        self._capacity, gpus = discover.capacity(config.declared, self._inventory, config.data)
        self._spool = Spool(str(config.data / "state.db"), self._boot_id)
        self._executor = Executor(
            config.data,
            config.tasks,
            node=config.node,
            capacity=self._capacity,
            gpus=gpus,
            spool=self._spool,
            on_outbox=lambda: self._reporter.wake(),
            on_inputs_wanted=self._fetch_inputs,
        )
        self._reporter = Reporter(bus, config.node, self._executor)
        self._inputs = InputFetcher(bus, config.node, self._executor)
        self._logs = Logs(bus, config.node, self._executor)
        self._meter = Meter(
            bus,
            config.node,
            self._executor,
            spool=self._spool,
            sampler=UsageSampler(self._driver, config.data),
        )
        self._watch = GuardWatch(self._executor.guard, lapsed=lambda: self._executor.lapsed)
        self._session = Session(
            bus,
            self._make_register,
            self._executor,
            on_registered=self._on_registered,
            on_lost=self._on_lost,
            on_beat=lambda answered: self._meter.resume() if answered else self._meter.pause(),
            faults=self._faults,
        )
        self._presence = Presence(config.data)
        self._group: asyncio.TaskGroup | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._leaving = False

    async def run(self) -> None:
        """Serve. Raises GuardError where no guard can be started."""
        self._spool.set_config(self._description())
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start("spool", self._spool.run(self._executor.on_saved))
                self._start("guard", self._executor.guard.run())
                self._start("watch", self._watch.run())
                await self._executor.guard.connected.wait()
                subject = subjects.node(self._config.node, NodeVerb.COMMAND)
                commands = await self._bus.subscribe(subject, self._on_command)
                self._speaking = self._start("session", self._session.run())
                self._start("reporter", self._reporter.run())
                self._start("usage", self._meter.run())
                self._start("pruning", self._prune())
                try:
                    await asyncio.get_running_loop().create_future()  # until we are cancelled
                finally:
                    await commands.unsubscribe()  # first: nothing can be started while the group ends
        finally:
            self._presence.clear()
            self._spool.close()
            self._driver.close()

    async def leave(self) -> None:
        """Before a stop in good order: no new work, what has not started is given back, and we say goodbye.

        What runs goes on at the guard, under its lease, for an agent that comes soon.
        """
        if self._speaking is None:
            return
        self._leaving = True
        await self._give_back()
        self._speaking.cancel()
        await asyncio.wait({self._speaking})
        await self._session.leave()

    async def _give_back(self) -> None:
        """Until the coordinator has all that waited here, but not for ever."""
        ledger = self._executor.ledger
        waiting = tuple([a for a, held in ledger.held.items() if held.phase is not Phase.RUNNING])
        if waiting:
            self._executor.handle(RetractAsked(epoch=ledger.epoch, attempts=waiting))
        for _ in range(_GIVE_BACK_LOOKS):
            if not ledger.outbox and all(held.phase is Phase.RUNNING for held in ledger.held.values()):
                return
            await asyncio.sleep(_GIVE_BACK_POLL_S)

    def on_reconnected(self) -> None:
        """The bus is there again: be heard at once."""
        self._session.hasten()

    def _start(self, name: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work, name=name)

    def _make_register(self) -> Register:
        guard = self._executor.guard
        return Register(
            node=self._config.node,
            incarnation=self._incarnation,
            boot_id=self._boot_id,
            version=self._version,
            capacity=self._capacity,
            inventory=discover.with_sharing(self._inventory, shareable=guard.version >= SHARES_GPUS),
            kind=self._config.kind,
            labels=self._config.labels,
            tools=tuple(TOOLS),
            live=self._executor.ledger.live(),
        )

    def _on_registered(self, reply: RegisterReply) -> None:
        self._meter.set_interval(reply.usage_interval_s)
        self._presence.show()
        self._reporter.resume()

    def _on_lost(self) -> None:
        self._meter.pause()
        self._presence.clear()
        self._reporter.pause()

    @property
    def fenced(self) -> bool:
        """Whether another agent has this node's name."""
        return self._session.fenced

    def _faults(self) -> tuple[str, ...]:
        """What is wrong here and would else be seen in our log only."""
        disk = f"state.db cannot be written: {self._spool.fault[:_FAULT_MAX]}" if self._spool.fault else ""
        return tuple(filter(None, (disk, self._watch.fault)))

    def _description(self) -> dict[str, str]:
        """This agent as `local_config` shows it."""
        return {
            "node": self._config.node,
            "key": self._key,
            "nats_url": self._config.nats_url,
            "version": self._version,
            "incarnation": self._incarnation,
            "boot_id": self._boot_id,
            "capacity": msgspec.json.encode(self._capacity).decode(),
            "labels": msgspec.json.encode(self._config.labels).decode(),
        }

    def _fetch_inputs(self, order: Order) -> None:
        self._start(f"inputs of {order.attempt}", self._inputs.fetch(order))

    async def _on_command(self, message: Message) -> None:
        # Other answers can be steered onto this subject, but no coordinator's inbox is in them.
        if not subjects.is_coordinator_inbox(message.reply):
            _log.warning("a command that no coordinator sent was ignored")
            return
        try:
            command = decode_to_agent(message.data, subject=message.subject)
        except DecodeError as error:
            _log.error("a command could not be read: %s", error)
            self._start("answer", self._answer(message.reply, self._reply(str(error))))
            return
        if self._session.fenced:
            return  # meant for the agent that has our place, which answers
        match command:
            case Assign(incarnation=meant) if meant not in ("", self._incarnation):
                _log.warning("an assignment for another agent of this name was left to it")
            case Assign():
                self._handle_assign(command, message.reply)
            case Cancel(epoch=epoch, attempts=attempts):
                self._obey(CancelAsked(epoch=epoch, attempts=attempts), message.reply)
            case Retract(epoch=epoch, attempts=attempts):
                self._obey(RetractAsked(epoch=epoch, attempts=attempts), message.reply)
            case Pause() if not self._executor.guard.version:
                refusal = "the node's guard is of an older version and cannot pause"
                self._start("answer", self._answer(message.reply, self._reply(refusal)))
            case Pause(epoch=epoch, attempts=attempts):
                self._obey(PauseAsked(epoch=epoch, attempts=attempts), message.reply)
            case Resume(epoch=epoch, attempts=attempts):
                self._obey(ResumeAsked(epoch=epoch, attempts=attempts), message.reply)
            case Inspect():
                self._start("inspection", self._answer_inspection(message.reply))
            case FetchLog():
                self._start("fetch log", self._answer_log(message.reply, command))
            case Follow():
                if not self._logs.is_followed(command):
                    self._start(f"follow {command.task}", self._logs.follow(command))
                self._start("answer", self._answer(message.reply, self._reply(None)))
            case _:
                assert_never(command)

    def _obey(self, event: Event, reply: str) -> None:
        epoch = self._executor.ledger.epoch
        refusal = self._executor.handle(event)
        if self._executor.ledger.epoch > epoch or self._executor.lapsed:
            self._session.hasten()  # whoever leads now has not heard us yet, or not for too long
        self._start("answer", self._answer_when_saved(reply, refusal))

    def _handle_assign(self, command: Assign, reply: str) -> None:
        try:
            assigned = to_assigned(command, lapsed=self._executor.lapsed)
        except IndexError:
            self._start("answer", self._answer(reply, self._reply("an item points at no body")))
        else:
            if self._leaving:  # the next agent should not find it, and the coordinator not wait for it
                refs = tuple([item.attempt for item in command.items])
                self._obey(RetractAsked(epoch=command.epoch, attempts=refs), reply)
            else:
                self._obey(assigned, reply)

    def _reply(self, error: str | None) -> CommandReply:
        return CommandReply(node=self._config.node, error=error)

    async def _answer_when_saved(self, subject: str, refusal: str | None) -> None:
        await self._spool.saved()
        await self._answer(subject, self._reply(refusal))

    async def _answer_log(self, subject: str, asked: FetchLog) -> None:
        await self._answer(subject, await self._logs.fetch(asked))

    async def _answer_inspection(self, subject: str) -> None:
        ledger = self._executor.ledger
        answer = Inspection(
            node=self._config.node,
            incarnation=self._incarnation,
            epoch=ledger.epoch,
            unreported=len(ledger.outbox),
        )
        try:
            found = await self._executor.guard.inspect()
        except GuardError as error:
            answer.error = str(error)
        else:
            answer.running = tuple([to_found(record) for record in found.running])
            here = [a for a, held in ledger.held.items() if held.phase in (Phase.BLOCKED, Phase.PREPARING)]
            answer.queued = (*found.queued, *here)
            answer.strays = found.strays
        await self._answer(subject, answer)

    async def _answer(self, subject: str, reply: FromAgentReply) -> None:
        try:
            await self._bus.publish(subject, encode(reply))
        except BusError as error:
            _log.warning("an answer could not be sent: %s", error)

    async def _prune(self) -> None:
        """Forget what is long over: tombstones and output."""
        while True:
            with suppress(NotWritten):  # the disk is full: what goes would free nothing of it anyway
                while attempts := await self._spool.prune():
                    self._executor.remove_files(attempts)
            await asyncio.sleep(_PRUNE_INTERVAL_S)
