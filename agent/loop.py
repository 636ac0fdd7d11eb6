"""The agent's asyncio shell: the bus on one side, the guard and the disk on the other.

Everything that decides is in `agent.core`, stepped by `agent.executor`; what is here only carries. Each
concern is one named task of a single group, and any of them ending by an error ends the agent: its
supervisor starts it again, and it adopts what runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Coroutine
from typing import assert_never

from msgspec.structs import replace

from agent import discover
from agent.config import Config
from agent.core.events import CancelAsked, RetractAsked
from agent.core.model import Order
from agent.executor import Executor
from agent.gpus import GpuDriver, SimulatedGpus
from agent.inputs import InputFetcher
from agent.logs import Logs
from agent.presence import Presence
from agent.reporter import Reporter
from agent.session import Session
from agent.spool import Spool
from agent.tools.registry import TOOLS
from agent.translate import to_assigned
from agent.usage import UsageSampler
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
    Register,
    RegisterReply,
    Retract,
    UsageReport,
)
from bus.subjects import NodeVerb
from bus.transport import Bus, Message

_log = logging.getLogger(__name__)

_PRUNE_INTERVAL_S = 600.0


class Agent:
    """`run` serves until it is cancelled; tasks go on without it."""

    def __init__(self, config: Config, bus: Bus, *, version: str) -> None:
        self._config = config
        self._bus = bus
        self._version = version
        self._incarnation = uuid.uuid4().hex
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            self._boot_id = file.read().strip()
        self._driver: GpuDriver = (
            discover.NvmlGpus() if config.simulated_gpus is None else SimulatedGpus(config.simulated_gpus)
        )
        self._inventory = discover.inventory(self._driver.gpus())
        self._capacity, gpus = discover.capacity(config.declared, self._inventory, config.data)
        self._sampler = UsageSampler(self._driver, config.data)
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
        self._usage_interval_s = 0.0
        self._registered = asyncio.Event()
        self._presence = Presence(config.data)
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve. Raises GuardError where no guard can be started."""
        session = Session(
            self._bus,
            self._make_register,
            self._executor,
            on_registered=self._on_registered,
            on_lost=self._on_lost,
        )
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start("spool", self._spool.run(self._executor.on_saved))
                self._start("guard", self._executor.guard.run())
                await self._executor.guard.connected.wait()
                subject = subjects.node(self._config.node, NodeVerb.COMMAND)
                commands = await self._bus.subscribe(subject, self._on_command)
                self._start("session", session.run())
                self._start("reporter", self._reporter.run())
                self._start("usage", self._measure())
                self._start("pruning", self._prune())
                try:
                    await asyncio.get_running_loop().create_future()  # until we are cancelled
                finally:
                    await commands.unsubscribe()  # first: nothing can be started while the group ends
        finally:
            self._presence.clear()
            self._spool.close()
            self._driver.close()

    def _start(self, name: str, work: Coroutine[object, object, None]) -> None:
        assert self._group is not None
        self._group.create_task(work, name=name)

    def _make_register(self) -> Register:
        return Register(
            node=self._config.node,
            incarnation=self._incarnation,
            boot_id=self._boot_id,
            version=self._version,
            capacity=self._capacity,
            inventory=self._inventory,
            kind=self._config.kind,
            labels=self._config.labels,
            tools=tuple(TOOLS),
            live=self._executor.ledger.live(),
        )

    def _on_registered(self, reply: RegisterReply) -> None:
        self._usage_interval_s = reply.usage_interval_s
        self._registered.set()
        self._presence.show()
        self._reporter.resume()

    def _on_lost(self) -> None:
        self._registered.clear()
        self._presence.clear()
        self._reporter.pause()

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
        match command:
            case Assign():
                self._handle_assign(command, message.reply)
            case Cancel(epoch=epoch, attempts=attempts):
                refusal = self._executor.handle(CancelAsked(epoch=epoch, attempts=attempts))
                self._start("answer", self._answer_when_saved(message.reply, refusal))
            case Retract(epoch=epoch, attempts=attempts):
                refusal = self._executor.handle(RetractAsked(epoch=epoch, attempts=attempts))
                self._start("answer", self._answer_when_saved(message.reply, refusal))
            case FetchLog():
                self._start("fetch log", self._answer_log(message.reply, command))
            case Follow():
                if not self._logs.is_followed(command):
                    self._start(f"follow {command.task}", self._logs.follow(command))
                self._start("answer", self._answer(message.reply, self._reply(None)))
            case _:
                assert_never(command)

    def _handle_assign(self, command: Assign, reply: str) -> None:
        try:
            assigned = to_assigned(command, lapsed=self._executor.lapsed)
        except IndexError:
            refusal: str | None = "an item points at no body"
        else:
            refusal = self._executor.handle(assigned)
        self._start("answer", self._answer_when_saved(reply, refusal))

    def _reply(self, error: str | None) -> CommandReply:
        return CommandReply(node=self._config.node, error=error)

    async def _answer_when_saved(self, subject: str, refusal: str | None) -> None:
        await self._spool.saved()
        await self._answer(subject, self._reply(refusal))

    async def _answer_log(self, subject: str, asked: FetchLog) -> None:
        await self._answer(subject, await self._logs.fetch(asked))

    async def _answer(self, subject: str, reply: FromAgentReply) -> None:
        try:
            await self._bus.publish(subject, encode(reply))
        except BusError as error:
            _log.warning("an answer could not be sent: %s", error)

    async def _measure(self) -> None:
        """A sample each interval; what an outage kept back follows when it is over."""
        await self._registered.wait()
        while True:
            await asyncio.sleep(self._usage_interval_s)
            running = {
                held.attempt: held.pid for held in self._executor.ledger.held.values() if held.pid is not None
            }
            usage, tasks = await asyncio.to_thread(self._sampler.sample, running)
            report = UsageReport(
                node=self._config.node,
                sampled_at=time.time(),
                usage=usage,
                load=os.getloadavg()[0],
                tasks=tuple(tasks),
            )
            sent = await self._publish_usage(report)
            # Of the node as a whole only: what a task used is nobody's concern once it is over.
            await self._spool.add_sample(replace(report, tasks=()), sent=sent)
            if sent:
                await self._backfill()

    async def _backfill(self) -> None:
        kept = await self._spool.unsent_samples()
        told = [report for report in kept if await self._publish_usage(report)]
        if told:
            await self._spool.mark_sent(told)

    async def _publish_usage(self, report: UsageReport) -> bool:
        if not self._registered.is_set():
            return False
        try:
            await self._bus.publish(subjects.node(self._config.node, NodeVerb.USAGE), encode(report))
        except BusError:
            return False
        return True

    async def _prune(self) -> None:
        """Forget what is long over: tombstones and output."""
        while True:
            while attempts := await self._spool.prune():
                self._executor.remove_files(attempts)
            await asyncio.sleep(_PRUNE_INTERVAL_S)
