"""The agent's asyncio shell: the bus on one side, the guard and the disk on the other.

Everything that decides is in `agent.core`, stepped by `agent.executor`; what is here only carries. Each
concern is one named task of a single group, and any of them ending by an error ends the agent: its
supervisor starts it again, and it adopts what runs.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import assert_never

import msgspec

from agent import discover
from agent.blobs import BlobStore
from agent.bringing import bringing_of
from agent.children import Children
from agent.config import Config
from agent.containing import Containing
from agent.copies import Copies
from agent.core.events import CancelAsked, Event, PauseAsked, ResumeAsked, RetractAsked, StartAsked
from agent.core.keeping import Limits
from agent.core.model import Order, Phase
from agent.core.pacing import Pace
from agent.executor import Executor
from agent.gangs import free_port
from agent.gpu_watch import GpuWatch
from agent.gpus import GpuDriver, SimulatedGpus
from agent.guard.client import GuardError
from agent.guard.wire import FILLS_TEMPLATES, FITS_ANEW
from agent.inputs import InputFetcher
from agent.interfaces import Interfaces
from agent.leavings import Leavings
from agent.link_watch import LinkWatch
from agent.logs import Logs
from agent.metering import Meter
from agent.net_offer import NetOffer
from agent.peers import Peers, Wanted
from agent.presence import Presence
from agent.reporter import Reporter
from agent.results import Results
from agent.roles import roles_of
from agent.saver import Saver
from agent.scrubbing import Scrubber
from agent.session import Session
from agent.spool import NotWritten, Spool
from agent.streams.blobs import BlobStreams
from agent.streams.ports import Ports
from agent.streams.server import StreamServer
from agent.streams.terminals import Terminals
from agent.taking import Taker
from agent.tools import selftest
from agent.tools.registry import TOOLS
from agent.translate import to_assigned, to_found
from agent.usage import UsageSampler
from agent.volumes.fetching import make_volumes
from agent.watch import GuardWatch
from agent.words import plain
from bus import subjects
from bus.checkpoints import SavedFile
from bus.codec import decode_to_agent, encode
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import (
    Assign,
    Cancel,
    CommandReply,
    DropBlobs,
    FetchLog,
    Follow,
    FromAgentReply,
    Inspect,
    Inspection,
    OpenStream,
    Pause,
    Register,
    RegisterReply,
    Resume,
    Retract,
    StartRanks,
)
from bus.replication import CopyBlobs, HaveBlobs, LackedBlobs, ScrubBlobs
from bus.sessions import SessionKind
from bus.subjects import NodeVerb
from bus.transport import Bus, Message
from bus.values import AttemptRef, InterfaceInfo, Resources
from bus.volume_wire import VolumesWanted

_log = logging.getLogger(__name__)

_PRUNE_INTERVAL_S = 600.0
_FAULT_MAX = 500
_NOT_AT_GUARD = (Phase.BLOCKED, Phase.PREPARING, Phase.GATHERED, Phase.CLEARING)
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
        self._capabilities = selftest.capabilities(also=config.can)
        interfaces = Interfaces(config.interfaces, nats_url=config.nats_url)
        self._inventory = discover.inventory(self._driver.gpus(), interfaces.found(), pools=config.pools)
        self._links = LinkWatch(interfaces, self._inventory.interfaces, on_change=self._on_links)
        self._net = NetOffer(config.declared.net_mbps)
        self._capacity, gpus = discover.capacity(config.declared, self._inventory, config.data)
        self._spool = Spool(str(config.data / "state.db"), self._boot_id)
        leavings = Leavings(config.tasks)
        self._store = BlobStore(config.data / "blobs", limits=Limits(store=config.store_bytes))
        self._taker = Taker(bus, config.node, leavings, self._store)
        self._peers = Peers(bus, config.node, self._store, pace=Pace(config.copy_bytes_per_s))
        self._copies = Copies(bus, config.node, self._store, self._peers)
        self._scrubber = Scrubber(self._store, self._copies, config.scrubs)
        self._saver = Saver(
            bus, config.node, config.tasks, config.data / "saves", self._store, fetch=self._fetch_saved
        )
        self._results = Results(bus, config.node, leavings, on_artifact=self._taker.add)
        self._children = Children(bus, config.node, leavings, self._results)
        self._executor = Executor(
            config.data,
            config.tasks,
            node=config.node,
            capacity=self._capacity,
            gpus=gpus,
            spool=self._spool,
            on_outbox=lambda: self._reporter.wake(),
            on_inputs_wanted=self._fetch_inputs,
            on_gpus_wanted=lambda: self._gpus.wake(),
            gpu_sizes={gpu.uuid: gpu.mem_mib for gpu in self._inventory.gpus},
            output_of=self._on_end,
            on_over=self._on_over,
            saver=self._saver,
        )
        self._containing = Containing(config, self._executor.use_runtime)
        self._reporter = Reporter(bus, config.node, self._executor)
        self._volumes = make_volumes(config, self._peers, self._store, self._executor)
        self._bringing = bringing_of(config, self._store, self._peers)
        self._capabilities |= self._bringing.able
        steps = [self._volumes.bring, self._bringing.bring, self._saver.prepare]
        self._inputs = InputFetcher(bus, config.node, self._executor, also=steps)
        self._logs = Logs(bus, config.node, self._executor)
        sampler = UsageSampler(self._driver, config.data, tasks=config.tasks)
        self._meter = Meter(bus, config.node, self._executor, spool=self._spool, sampler=sampler)
        self._gpus = GpuWatch(
            self._driver, self._executor, on_change=lambda: self._session.hasten(), tasks=config.tasks
        )
        self._watch = GuardWatch(self._executor.guard, lapsed=lambda: self._executor.lapsed)
        self._session = self._make_session()
        self._streams = self._make_streams()
        self._presence = Presence(config.data)
        self._group: asyncio.TaskGroup | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._leaving = False

    def _make_session(self) -> Session:
        """How the coordinator comes to know of this node, and of what is wrong here."""
        return Session(
            self._bus,
            self._make_register,
            self._executor,
            on_registered=self._on_registered,
            on_lost=self._on_lost,
            on_beat=lambda answered: self._meter.resume() if answered else self._meter.pause(),
            faults=self._faults,
            gpus=lambda: self._gpus.faults,
        )

    def _make_streams(self) -> StreamServer:
        guard, ledger = self._executor.guard, self._executor.ledger
        blobs = BlobStreams(
            self._store, self._taker, suspect=self._scrubber.suspect, also=self._volumes.sealed_file
        )
        kinds = {
            SessionKind.PTY: Terminals(guard, ledger).accept,
            SessionKind.TCP: Ports(ledger).accept,
            **blobs.kinds,
        }
        return StreamServer(self._bus, self._config.node, kinds)

    async def run(self) -> None:
        """Serve. Raises GuardError where no guard can be started."""
        self._spool.set_config(self._description())
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start("spool", self._spool.run(self._executor.on_saved))
                self._start("guard", self._executor.guard.run())
                self._start("watch", self._watch.run())
                self._start("links", self._links.run())
                await self._executor.guard.connected.wait()
                subject = subjects.node(self._config.node, NodeVerb.COMMAND)
                commands = await self._bus.subscribe(subject, self._on_command)
                streams = await self._streams.start()
                self._speaking = self._start("session", self._session.run())
                self._start("reporter", self._reporter.run())
                self._start("GPUs", self._gpus.run())
                self._start("usage", self._meter.run())
                self._start("results", self._results.run(self._executor))
                self._start("children", self._children.run(self._executor))
                held = set(self._executor.ledger.held)
                self._taker.resume(held)
                self._bringing.resume(held)
                self._start("taking", self._taker.run())
                self._start("copying", self._copies.run())
                self._start("scrubbing", self._scrubber.run())
                self._start("saves", self._saver.run())
                self._start("pruning", self._prune())
                self._start("volumes", self._volumes.run())
                self._start("containers", self._containing.run(self._session.announce))
                try:
                    await asyncio.get_running_loop().create_future()  # until we are cancelled
                finally:
                    await commands.unsubscribe()  # first: nothing can be started while the group ends
                    await streams.unsubscribe()
                    await self._streams.stop()
        finally:
            self._presence.clear()
            self._spool.close()
            self._store.close()
            self._driver.close()

    async def leave(self) -> None:
        """Before a stop in good order: we say goodbye, then give back what has not started.

        While we are taken to be there we get as much again. What runs goes on at the guard, under its lease.
        """
        if self._speaking is None:
            return
        self._leaving = True
        self._speaking.cancel()
        await asyncio.wait({self._speaking})
        await self._session.leave()
        await self._give_back()

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
        capacity = self._offered()
        if capacity != self._capacity and guard.fit(capacity):
            self._capacity = capacity
        return Register(
            node=self._config.node,
            incarnation=self._incarnation,
            boot_id=self._boot_id,
            version=self._version,
            capacity=self._capacity,
            inventory=self._containing.told(self._inventory, guard_version=guard.version),
            kind=self._config.kind,
            labels=self._config.labels,
            roles=roles_of(
                self._config.kind, self._capabilities, runs_commands=guard.version >= FILLS_TEMPLATES
            ),
            tools=tuple(name for name in TOOLS if self._capabilities[name].verified),
            capabilities=self._capabilities | self._containing.capabilities(guard.version),
            live=self._executor.ledger.live(),
        )

    def _on_links(self, found: tuple[InterfaceInfo, ...]) -> None:
        self._inventory = msgspec.structs.replace(self._inventory, interfaces=found)
        self._session.announce()

    def _offered(self) -> Resources:
        return msgspec.structs.replace(self._capacity, net_mbps=self._net.of(self._inventory.interfaces))

    def _on_registered(self, reply: RegisterReply) -> None:
        self._net.terms = reply.network
        if self._executor.guard.version >= FITS_ANEW and self._offered() != self._capacity:
            self._session.announce()
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
        told = (self._watch.fault, self._taker.fault, self._saver.fault, self._volumes.fault)
        return tuple([plain(each, _FAULT_MAX) for each in (self._spool.trouble, *told) if each])

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

    def _on_end(self, attempt: AttemptRef) -> bytes | None:
        """What it told as its output; what it left is taken from now on."""
        self._taker.end(attempt)
        return self._results.output_of(attempt)

    def _on_over(self, attempt: AttemptRef) -> None:
        self._volumes.over(attempt)
        self._bringing.over(attempt)
        self._saver.over(attempt)

    async def _fetch_saved(self, attempt: AttemptRef, files: Sequence[SavedFile], pin: str) -> None:
        wanted = {file.sha256: Wanted(file.sha256, file.size) for file in files}
        await self._peers.fetch(list(wanted.values()), pin=pin, attempt=attempt)

    async def _drop(self, reply: str, hashes: tuple[str, ...]) -> None:
        try:
            await asyncio.to_thread(self._taker.let_go, hashes)
        except (ApiError, OSError) as error:
            await self._answer(reply, self._reply(str(error)))
        else:
            await self._answer(reply, self._reply(None))

    async def _answer_volumes(self, reply: str, command: VolumesWanted) -> None:
        if command.epoch < self._executor.ledger.epoch:
            await self._answer(reply, self._reply("an older coordinator's command"))
        else:
            await self._answer(reply, await self._volumes.wanted(command))

    def _on_content(self, command: CopyBlobs | HaveBlobs | ScrubBlobs) -> FromAgentReply:
        """Of coordinators that lead no more, nothing is copied."""
        if command.epoch < self._executor.ledger.epoch:
            return self._reply("an older coordinator's command")
        match command:
            case CopyBlobs(blobs=blobs):
                self._copies.order(blobs)
            case ScrubBlobs():
                self._scrubber.ask()
                self._volumes.scrub()
            case HaveBlobs(hashes=hashes):
                lacked = tuple([sha256 for sha256 in hashes if not self._store.has(sha256)])
                return LackedBlobs(node=self._config.node, hashes=lacked)
        return self._reply(None)

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
            case StartRanks(epoch=epoch, attempts=attempts, meeting=meeting):
                lapsed = self._executor.lapsed
                asked = StartAsked(epoch=epoch, attempts=attempts, meeting=meeting, lapsed=lapsed)
                self._obey(asked, message.reply)
            case Inspect():
                self._start("inspection", self._answer_inspection(message.reply))
            case CopyBlobs() | HaveBlobs() | ScrubBlobs():
                self._start("answer", self._answer(message.reply, self._on_content(command)))
            case DropBlobs(hashes=hashes):
                self._start("drop", self._drop(message.reply, hashes))
            case VolumesWanted():
                self._start("volumes", self._answer_volumes(message.reply, command))
            case FetchLog():
                self._start("fetch log", self._answer_log(message.reply, command))
            case Follow():
                if not self._logs.is_followed(command):
                    self._start(f"follow {command.task}", self._logs.follow(command))
                self._start("answer", self._answer(message.reply, self._reply(None)))
            case OpenStream(epoch=epoch) if epoch < self._executor.ledger.epoch:
                self._start(
                    "answer", self._answer(message.reply, self._reply("an older coordinator's command"))
                )
            case OpenStream():
                self._start("open stream", self._answer_stream(message.reply, command))
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
            assigned = to_assigned(command, lapsed=self._executor.lapsed, free_port=free_port)
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
        reply = self._reply(refusal)
        reply.ports = self._executor.ledger.ports()
        await self._answer(subject, reply)

    async def _answer_log(self, subject: str, asked: FetchLog) -> None:
        await self._answer(subject, await self._logs.fetch(asked))

    async def _answer_stream(self, subject: str, asked: OpenStream) -> None:
        await self._answer(subject, await self._streams.open(asked))

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
            here = [a for a, held in ledger.held.items() if held.phase in _NOT_AT_GUARD]
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
