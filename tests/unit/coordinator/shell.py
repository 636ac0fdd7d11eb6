"""The coordinator's shell in one process: the real parts over the memory bus, a store that obeys the test.

`Shell.timeline` keeps, in order, when a commit began and ended and what was published in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from bus import messages, subjects
from bus.codec import Codec, decode_to_agent, decode_to_agent_reply, encode
from bus.memory import MemoryBus, MemoryHub
from bus.messages import CommandReply
from bus.permissions import Permissions
from bus.subjects import NodeVerb, Peer, inbox_prefix
from bus.transport import Message
from bus.values import AttemptRef, Inventory, Resources, TaskEvent
from coordinator.agents import Agents
from coordinator.api.access import Access
from coordinator.api.bulk import Bulk
from coordinator.api.equipment import Equipment
from coordinator.api.history import History
from coordinator.api.jobs import Jobs
from coordinator.api.lists import Listings
from coordinator.api.logs import Logs
from coordinator.api.nodes import Nodes
from coordinator.api.past import Pasts
from coordinator.api.people import People
from coordinator.api.retention import Retention
from coordinator.api.scheduler import SchedulerDesk
from coordinator.api.series import SeriesDesk
from coordinator.api.service import Api
from coordinator.api.steer import Steer
from coordinator.api.timeline import TimelineDesk
from coordinator.api.tokens import Tokens
from coordinator.api.verify import Verifier
from coordinator.api.why import Reasons
from coordinator.clock import Clock
from coordinator.config import Keep
from coordinator.core.learning import restore_learned
from coordinator.core.model import Cluster
from coordinator.core.rebuild import restore_attempt, restore_job, restore_loss, restore_node
from coordinator.loop import Loop
from coordinator.notices import Notices
from coordinator.perform import Performer
from coordinator.store.audit import Refused
from coordinator.store.past import Past
from coordinator.store.rows import Snapshot
from coordinator.store.tokens import Tokens as TokenStore
from coordinator.tell import Replies, Teller
from coordinator.tuning import Tuning
from tests.unit.coordinator.fake_members import FakeAudits, FakeJobMembers, FakeTaskMembers
from tests.unit.coordinator.fakes import (
    FakeArchive,
    FakeBooks,
    FakeEvents,
    FakeLearned,
    FakeLists,
    FakeOver,
    FakeReads,
    FakeSeries,
    FakeStore,
    FakeTimelines,
)

WAIT_S = 20.0
ANYWHERE = Permissions(publish=(">",), subscribe=(">",))

INVENTORY = Inventory(
    hostname="host",
    ip="127.0.0.1",
    architecture="x86_64",
    os_version="Linux",
    kernel_version="6",
    cpu_model="cpu",
    cpu_cores=2,
)


async def until(condition: Callable[[], object]) -> None:
    """Give way until `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)


def rebuild(snapshot: Snapshot) -> Cluster:
    """A new leader's memory."""
    cluster = Cluster()
    for node in snapshot.nodes:
        restore_node(cluster, node, now_s=0.0)
    for live in sorted(snapshot.jobs, key=lambda live: live.job.number):
        rows = [task for task in snapshot.tasks if task.task.job == live.job.number]
        restore_job(cluster, live.job, live.change, rows, ended=snapshot.ended)
    for attempt in snapshot.attempts:
        restore_attempt(cluster, attempt)
    for loss in snapshot.losses:
        restore_loss(cluster, loss)
    restore_learned(cluster, snapshot.learned, snapshot.notes)
    return cluster


class RecordingBus:
    """A bus that writes into the timeline what goes out through it."""

    def __init__(self, inner: MemoryBus, timeline: list[tuple[str, Any]]) -> None:
        self._inner = inner
        self._timeline = timeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._timeline.append(("publish", subject))
        await self._inner.publish(subject, data, reply=reply, headers=headers)

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Message:
        self._timeline.append(("request", subject))
        return await self._inner.request(subject, data, timeout_s=timeout_s, headers=headers)


class FakeAgent:
    """A node: says what the test wants, keeps the commands it gets, answers them with `answer`."""

    def __init__(self, hub: MemoryHub, name: str) -> None:
        self.name = name
        self.bus = hub.connect_agent(name)
        self.commands: list[messages.ToAgent] = []
        self.answer: Callable[[messages.ToAgent], messages.FromAgentReply | bytes] = self._confirm

    def _confirm(self, command: messages.ToAgent) -> messages.FromAgentReply:
        return CommandReply(node=self.name)

    async def listen(self) -> None:
        await self.bus.subscribe(subjects.node(self.name, NodeVerb.COMMAND), self._on_command)

    async def _on_command(self, message: Message) -> None:
        command = decode_to_agent(message.data)
        self.commands.append(command)
        answer = self.answer(command)
        data = answer if isinstance(answer, bytes) else encode(answer)
        await self.bus.publish(message.reply, data)

    async def ask(self, message: messages.FromAgent, *, timeout_s: float = WAIT_S) -> messages.ToAgentReply:
        verb = {
            messages.Register: NodeVerb.REGISTER,
            messages.Heartbeat: NodeVerb.HEARTBEAT,
            messages.Report: NodeVerb.REPORT,
            messages.UsageReport: NodeVerb.USAGE,
            messages.InputsRequest: NodeVerb.INPUTS,
        }[type(message)]
        subject = subjects.node(self.name, verb)
        answer = await self.bus.request(subject, encode(message), timeout_s=timeout_s)
        return decode_to_agent_reply(answer.data)

    def registration(self, **changes: Any) -> messages.Register:
        fields = {
            "node": self.name,
            "incarnation": "first",
            "boot_id": "boot",
            "version": "1",
            "capacity": Resources(2000, 4096),
            "inventory": INVENTORY,
        }
        return messages.Register(**(fields | changes))

    async def register(self, **changes: Any) -> messages.ToAgentReply:
        return await self.ask(self.registration(**changes))

    async def beat(self, *live: AttemptRef, sequence: int = 1) -> messages.ToAgentReply:
        return await self.ask(
            messages.Heartbeat(
                node=self.name, incarnation="first", sequence=sequence, load=0.5, live=tuple(live)
            )
        )

    async def report(self, *events: TaskEvent, sequence: int = 1) -> messages.ToAgentReply:
        return await self.ask(messages.Report(node=self.name, sequence=sequence, events=events))

    def assigned(self) -> list[AttemptRef]:
        return [
            item.attempt
            for command in self.commands
            if isinstance(command, messages.Assign)
            for item in command.items
        ]


class Shell:
    """All parts of a leading coordinator but its process, and its database unless one is given."""

    def __init__(
        self,
        *,
        cluster: Cluster | None = None,
        clock: Clock | None = None,
        store: Any = None,
        reads: Any = None,
        lists: Any = None,
        task_lists: Any = None,
        audit: Any = None,
        events: Any = None,
        over: Any = None,
        books: Any = None,
        past: Any = None,
        archive: Any = None,
        tokens: Any = None,
        learned: Any = None,
        tune: Sequence[str] | None = None,
        record: Callable[[list[Any]], None] | None = None,
        next_number: int = 1,
        version: str = "",
    ) -> None:
        self.timeline: list[tuple[str, Any]] = []
        self.records: list[Any] = []
        self.hub = MemoryHub(clock=lambda: 0.0)
        self.wire = self.hub.connect_coordinator()
        self.bus: Any = RecordingBus(self.wire, self.timeline)
        self.clock = clock or Clock()
        self.cluster = cluster or Cluster()
        self.store = store or FakeStore(self.timeline)
        self.reads = reads or FakeReads(self.store)
        self.replies = Replies()
        self.teller = Teller(
            self.bus, self.replies, limits=self.cluster.limits, epoch=7, post=lambda e: self.loop.post(e)
        )
        self.performer = Performer(self.store, tell=self.teller.tell, record=record or self.records.extend)
        self.loop = Loop(self.cluster, self.performer, self.clock, answer_beat=self.teller.answer_beat)
        self.jobs = Jobs(
            self.loop, self.performer, self.reads, self.replies, self.clock, next_number=next_number
        )
        self.nodes = Nodes(
            self.loop, self.clock, epoch=7, version="test", timeseries="none", unreadable=lambda: 0
        )
        self.logs = Logs(self.loop, self.jobs.finder, self.reads, self.teller)
        self.lists = lists or FakeLists(self.reads)
        self.members = lists or FakeJobMembers(self.store)
        self.task_lists = task_lists or FakeTaskMembers(self.store)
        self.audit = audit or FakeAudits(self.store)
        self.events = events or FakeEvents()
        self.listings = Listings(
            self.loop,
            self.jobs.finder,
            self.clock,
            self.performer.versions,
            lists=self.lists,
            task_lists=self.task_lists,
            events=self.events,
        )
        self.series = FakeSeries()
        self.refused: list[Refused] = []
        self.notices = Notices(self.records.extend, self.clock, self.cluster.nodes)
        self.agents = Agents(
            self.bus, self.loop, self.replies, self.reads, self.clock, self.notices, version=version
        )
        self.over = over or FakeOver(self.store)
        self.books = books or FakeBooks(self.store)
        self.learned = learned or FakeLearned(self.store)
        self.past = past or Past("")
        self.timelines = FakeTimelines()
        options = {} if tune is None else {"command": tune}
        self.tuning = Tuning(
            self.loop,
            self.learned,
            self.clock,
            record=self.records.extend,
            epoch=7,
            every_s=3600.0,
            **options,
        )
        self.retention = Retention(archive or FakeArchive(), self.clock, Keep(), epoch=7)
        self.api = self._make_api(tokens or TokenStore(""))
        self.running: asyncio.Task[None] | None = None

    def _make_api(self, tokens: Any) -> Api:
        steer = Steer(self.loop, self.jobs, self.over, self.replies, staying=self.retention.staying)
        bulk = Bulk(self.loop, steer, self.clock, lists=self.members, tasks=self.task_lists)
        history = History(self.loop, self.clock, events=self.events, audit=self.audit)
        people = People(self.loop, self.reads, steer, self.clock)
        self.tokens = Tokens(
            tokens, None, cluster="test", version="1.2.3", standing=people.standing, clock=self.clock
        )
        return Api(
            self.bus,
            Access(self.reads),
            jobs=self.jobs,
            nodes=self.nodes,
            logs=self.logs,
            listings=self.listings,
            steer=steer,
            people=people,
            scheduler=SchedulerDesk(self.loop, self.learned, self.tuning, steer, self.clock),
            retention=self.retention,
            views={
                **bulk.handlers,
                **history.handlers,
                **TimelineDesk(self.loop, self.jobs.finder, self.timelines, self.clock).handlers,
                **Equipment(self.loop, self.clock).handlers,
                **Pasts(self.loop, self.jobs.finder, self.past, self.clock).handlers,
                **SeriesDesk(self.loop, self.jobs.finder, self.clock, self.series).handlers,
            },
            reasons=Reasons(self.loop, self.jobs.finder, self.reads, self.clock),
            tokens=self.tokens,
            verifier=Verifier(self.loop, self.books, self.teller, self.clock, epoch=7, rebuild=rebuild),
            refused=self.refused.append,
            version="1.2.3",
        )

    async def agent(self, name: str = "n1", **registration: Any) -> FakeAgent:
        """A registered node."""
        agent = FakeAgent(self.hub, name)
        await agent.listen()
        await agent.register(**registration)
        return agent

    def client(self, user: str) -> MemoryBus:
        """A connection for `user` that may publish anything: what the server would forbid, we must too."""
        return self.hub.connect(user, ANYWHERE, inbox_prefix(Peer.USER, user))

    async def raw(self, user: str, operation: str, data: bytes, *, timeout_s: float = WAIT_S) -> Message:
        return await self.client(user).request(f"corral.u.{user}.{operation}", data, timeout_s=timeout_s)

    async def ask(self, user: str, operation: str, *, codec: Codec = Codec.JSON, **fields: Any) -> Any:
        """The answer as plain values, an error's included."""
        answer = await self.raw(user, operation, encode(fields, codec))
        decode = msgspec.json.decode if codec is Codec.JSON else msgspec.msgpack.decode
        return decode(answer.data)

    async def submit(self, user: str = "alice", **fields: Any) -> int:
        answer = await self.ask(user, "job.submit", **({"command": ["true"]} | fields))
        number: int = answer["number"]
        return number

    def published(self, subject: str) -> int:
        """Where in the timeline `subject` went out first."""
        return next(
            place
            for place, (what, which) in enumerate(self.timeline)
            if what in ("publish", "request") and which == subject
        )


@asynccontextmanager
async def running_shell(
    *, version: str = "", tune: Sequence[str] | None = None, clock: Clock | None = None
) -> AsyncIterator[Shell]:
    """A shell that serves, over a store that obeys the test; `tune`: what replays orders."""
    shell = Shell(version=version, tune=tune, clock=clock)
    async with serving(shell):
        try:
            yield shell
        finally:
            shell.store.gate.set()


@asynccontextmanager
async def serving(shell: Shell) -> AsyncIterator[None]:
    """From its first answer to its last."""
    shell.running = asyncio.create_task(shell.loop.run(), name="loop")
    await shell.agents.start()
    await shell.api.start()
    try:
        yield
    finally:
        await shell.api.stop()
        await shell.agents.stop()
        shell.running.cancel()
        await asyncio.wait([shell.running])
        await shell.teller.close()
        await shell.wire.close()


async def collect(bus: MemoryBus, pattern: str) -> list[Message]:
    """All that arrives on `pattern` from now on."""
    seen: list[Message] = []

    async def keep(message: Message) -> None:
        seen.append(message)

    await bus.subscribe(pattern, keep)
    return seen
