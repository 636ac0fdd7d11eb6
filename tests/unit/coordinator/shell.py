"""The coordinator's shell in one process: the real parts over the memory bus, a store that obeys the test.

`Shell.timeline` keeps, in order, when a commit began and ended and what was published in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from bus.codec import Codec, encode
from bus.memory import MemoryBus, MemoryHub
from bus.permissions import Permissions
from bus.subjects import Peer, inbox_prefix
from bus.transport import Message
from coordinator.agents import Agents
from coordinator.api.access import Access
from coordinator.api.bulk import Bulk
from coordinator.api.equipment import Equipment
from coordinator.api.find import Finder
from coordinator.api.gpus import GpuDesk
from coordinator.api.history import History
from coordinator.api.jobs import Jobs
from coordinator.api.lists import Listings
from coordinator.api.logs import Logs
from coordinator.api.networks import NetworkDesk
from coordinator.api.nodes import Nodes
from coordinator.api.past import Pasts
from coordinator.api.past_output import PastOutputs
from coordinator.api.past_people import PastPeople
from coordinator.api.past_why import PastReasons
from coordinator.api.people import People
from coordinator.api.replicas import ReplicaDesk
from coordinator.api.retention import Retention
from coordinator.api.scheduler import SchedulerDesk
from coordinator.api.schedules import ScheduleDesk
from coordinator.api.series import SeriesDesk
from coordinator.api.service import Api
from coordinator.api.steer import Steer
from coordinator.api.streams import StreamDesk
from coordinator.api.timeline import TimelineDesk
from coordinator.api.tokens import Tokens
from coordinator.api.tools import ToolDesk
from coordinator.api.training import TrainingDesk
from coordinator.api.verify import Verifier
from coordinator.api.volumes import VolumeDesk
from coordinator.api.webhooks import WebhookDesk
from coordinator.api.why import Reasons
from coordinator.artifacts import ArtifactDesk
from coordinator.checkpoints import CheckpointDesk
from coordinator.clock import Clock
from coordinator.collecting import Collector
from coordinator.config import Keep
from coordinator.core.learning import restore_learned
from coordinator.core.model import Cluster
from coordinator.core.rebuild import restore_attempt, restore_job, restore_loss, restore_node
from coordinator.destinations import Destinations
from coordinator.hearing import hearing
from coordinator.item_lists import ItemLists
from coordinator.loop import Loop
from coordinator.models import ModelDesk
from coordinator.notices import Notices
from coordinator.offspring import Offspring
from coordinator.outputs import Outputs
from coordinator.perform import Performer
from coordinator.registry import Registry
from coordinator.replication import Replication
from coordinator.resolving import Resolver
from coordinator.results import ResultDesk
from coordinator.store.audit import Refused
from coordinator.store.past import Past
from coordinator.store.rows import Snapshot
from coordinator.store.tokens import Tokens as TokenStore
from coordinator.tell import Replies, Teller
from coordinator.tuning import Tuning
from coordinator.volume_keeper import VolumeKeeper
from coordinator.volumes import VolumeBook
from tests.unit.coordinator.fake_agent import WAIT_S, FakeAgent
from tests.unit.coordinator.fake_checkpoints import FakeCheckpoints
from tests.unit.coordinator.fake_contents import FakeArtifacts, FakeItemLists, FakeModels, FakeResults
from tests.unit.coordinator.fake_members import FakeAudits, FakeJobMembers, FakeTaskMembers
from tests.unit.coordinator.fake_networks import FakeNetworks
from tests.unit.coordinator.fake_replicas import FakeReplicas
from tests.unit.coordinator.fake_schedules import FakeSchedules
from tests.unit.coordinator.fake_training import FakeTraining
from tests.unit.coordinator.fake_volumes import FakeBackups, FakeLeftovers, FakeVolumes
from tests.unit.coordinator.fake_webhooks import FakeWebhooks, SealerInMemory
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
    FakeTools,
)

ANYWHERE = Permissions(publish=(">",), subscribe=(">",))


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


class FakeGrants:
    """The audit of what was granted."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, dict[str, object]]] = []

    async def done(self, actor: str, action: str, *, object: str, details: dict[str, object]) -> None:
        self.rows.append((actor, action, object, details))


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
        self.volumes, self.volume_store = VolumeBook(), FakeVolumes()
        self.leftovers = FakeLeftovers(self.volume_store)
        self.backups = FakeBackups(self.volume_store, self.leftovers)
        self.keeper = VolumeKeeper(
            self.volumes,
            self.volume_store,
            self.leftovers,
            self.backups,
            self.teller,
            self.loop,
            clock=self.clock,
            epoch=7,
            record=self.records.extend,
        )
        self.registry = Registry(self.cluster, self.volumes)
        self.notices = Notices(self.records.extend, self.clock, self.cluster.nodes)
        self.left = FakeArtifacts()
        finder = Finder(self.loop, self.reads)
        self.collector = Collector(self.left, self.teller)
        self.artifacts = ArtifactDesk(self.loop, self.left, finder, self.notices, self.collector)
        self.registered = FakeModels(self.left)
        self.models = ModelDesk(self.registered, self.artifacts)
        self.listed = FakeItemLists()
        self.item_lists = ItemLists(self.bus, self.listed, self.artifacts, self.loop, self.teller)
        self.resolve = Resolver(self.registry, self.artifacts, self.models, self.item_lists).resolve
        self.jobs = Jobs(
            self.loop,
            self.performer,
            self.reads,
            self.replies,
            self.clock,
            resolve=self.resolve,
            next_number=next_number,
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
        self.schedules = FakeSchedules()
        self.schedule_desk = ScheduleDesk(self.schedules, self.loop, self.clock, resolve=self.resolve)
        self.webhooks = FakeWebhooks()
        self.sealer = SealerInMemory()
        self.woken = 0
        self.webhook_desk = WebhookDesk(
            self.webhooks, self.sealer, Destinations(["hooks.example.com"]), wake=self._wake
        )
        self.refused: list[Refused] = []
        self.granted = FakeGrants()
        self.told = FakeResults()
        self.offspring = Offspring(
            self.jobs,
            self.loop,
            Access(self.reads),
            reads=self.reads,
            results=self.told,
            notices=self.notices,
        )
        self.results = ResultDesk(
            self.bus, self.told, self.jobs.finder, self.clock, self.notices, offspring=self.offspring
        )
        self.replicas = FakeReplicas()
        self.copies = Replication(
            self.loop,
            self.replicas,
            self.teller,
            self.clock,
            epoch=7,
            record=self.records.extend,
            volumes=self.volumes,
        )
        self.saved = FakeCheckpoints()
        self.checkpoints = CheckpointDesk(
            self.loop,
            self.saved,
            self.jobs.finder,
            self.notices,
            self.collector,
            others=self.models.kinds,
        )
        self.agents = Agents(
            self.bus,
            self.loop,
            self.replies,
            self.reads,
            self.clock,
            self.notices,
            hear=hearing(self.results, self.artifacts, self.copies, self.checkpoints),
            outputs=Outputs(self.cluster, self.registry),
            version=version,
        )
        self.over = over or FakeOver(self.store)
        self.books = books or FakeBooks(self.store)
        self.learned = learned or FakeLearned(self.store)
        self.past = past or Past("")
        self.timelines = FakeTimelines()
        self.training = FakeTraining()
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

    def _wake(self) -> None:
        self.woken += 1

    def _make_api(self, tokens: Any) -> Api:
        self.steer = steer = Steer(
            self.loop, self.jobs, self.over, self.replies, staying=self.retention.staying
        )
        bulk = Bulk(self.loop, steer, self.clock, lists=self.members, tasks=self.task_lists)
        history = History(
            self.loop, self.clock, events=self.events, audit=self.audit, versions=self.performer.versions
        )
        people = People(self.loop, self.reads, steer, self.clock, versions=self.performer.versions)
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
                **self.results.handlers,
                **self.artifacts.handlers,
                **self.models.handlers,
                **ReplicaDesk(self.loop, self.replicas, self.jobs.finder, self.teller, self.copies).handlers,
                **self.checkpoints.handlers,
                **bulk.handlers,
                **history.handlers,
                **self.schedule_desk.handlers,
                **self.webhook_desk.handlers,
                **TimelineDesk(self.loop, self.jobs.finder, self.timelines, self.clock).handlers,
                **Equipment(self.loop, self.registry, self.clock).handlers,
                **GpuDesk(self.loop, steer).handlers,
                **ToolDesk(self.loop, self.registry, FakeTools(), self.clock).handlers,
                **NetworkDesk(self.loop, FakeNetworks()).handlers,
                **VolumeDesk(
                    self.loop,
                    self.volumes,
                    self.volume_store,
                    self.backups,
                    self.keeper,
                    make_key=lambda: bytes(32),
                ).handlers,
                **Pasts(self.loop, self.jobs.finder, self.past, self.clock).handlers,
                **PastReasons(self.loop, self.jobs.finder, self.reads, self.past, self.clock).handlers,
                **PastOutputs(self.logs, self.reads, self.clock).handlers,
                **PastPeople(self.loop, self.past, self.clock).handlers,
                **SeriesDesk(self.loop, self.jobs.finder, self.clock, self.series).handlers,
                **TrainingDesk(self.jobs.finder, self.clock, self.training, self.series).handlers,
                **StreamDesk(
                    self.jobs.finder, self.reads, self.teller, self.granted, kinds=self.checkpoints.kinds
                ).handlers,
            },
            reasons=Reasons(self.loop, self.jobs.finder, self.reads, self.clock, resolve=self.resolve),
            schedule=self.schedule_desk.create,
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

    async def ask(self, user: str, operation: str, /, *, codec: Codec = Codec.JSON, **fields: Any) -> Any:
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
