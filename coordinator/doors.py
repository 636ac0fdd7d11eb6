"""All the doors of a leading coordinator: requests, agents, published submissions, strangers with a token."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from msgspec import Struct

from bus import api
from bus.auth import Authority
from bus.connection import NatsBus
from coordinator.agents import Agents, Hear
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
from coordinator.api.service import Api, Handler
from coordinator.api.steer import Steer
from coordinator.api.streams import StreamDesk
from coordinator.api.timeline import TimelineDesk
from coordinator.api.tokens import Tokens
from coordinator.api.tools import ToolDesk
from coordinator.api.training import TrainingDesk
from coordinator.api.verify import Rebuild, Verifier
from coordinator.api.webhooks import WebhookDesk
from coordinator.api.why import Reasons
from coordinator.artifacts import ArtifactDesk
from coordinator.cache_values import Session, session_key
from coordinator.checkpoints import CheckpointDesk
from coordinator.clock import Clock
from coordinator.collecting import Collector
from coordinator.config import Config
from coordinator.core.effects import LearningNotes, Record
from coordinator.deliveries import Sender
from coordinator.destinations import Destinations
from coordinator.firing import Firings
from coordinator.hearing import hearing
from coordinator.item_lists import ItemLists
from coordinator.joining import Admissions
from coordinator.leader import Leader
from coordinator.loop import Loop
from coordinator.models import ModelDesk
from coordinator.notices import Notices
from coordinator.offspring import Offspring
from coordinator.outputs import Outputs
from coordinator.perform import Performer
from coordinator.registry import Registry, Resolve
from coordinator.replication import Replication
from coordinator.resolving import Resolver
from coordinator.results import ResultDesk
from coordinator.sealing import Sealer
from coordinator.store.archive import Archive
from coordinator.store.artifacts import ArtifactStore
from coordinator.store.audit import Audit
from coordinator.store.audit_list import AuditList
from coordinator.store.books import Books
from coordinator.store.checkpoints import CheckpointStore
from coordinator.store.events import Events
from coordinator.store.item_lists import ItemListStore
from coordinator.store.learned import Learned
from coordinator.store.lists import Lists
from coordinator.store.models import ModelStore
from coordinator.store.networks import NetworkStore
from coordinator.store.over import Over
from coordinator.store.past import Past
from coordinator.store.published import PublishedKeys
from coordinator.store.reads import Reads
from coordinator.store.replicas import ReplicaStore
from coordinator.store.results import ResultStore
from coordinator.store.rollups import RollUps
from coordinator.store.schedules import Schedules
from coordinator.store.series import SeriesStore
from coordinator.store.task_lists import TaskLists
from coordinator.store.timeline import Timelines
from coordinator.store.tokens import Tokens as TokenStore
from coordinator.store.tools import ToolStore
from coordinator.store.training import TrainingStore
from coordinator.store.webhooks import Webhooks
from coordinator.storing import Storage
from coordinator.submissions import Intake
from coordinator.tell import Replies, Teller
from coordinator.tuning import Tuning
from coordinator.versions import Versions


class Engine(Struct, frozen=True, kw_only=True):
    """What the doors lead to."""

    config: Config
    bus: NatsBus
    leader: Leader
    clock: Clock
    loop: Loop
    performer: Performer
    replies: Replies
    teller: Teller
    record: Callable[[Sequence[Record]], None]
    next_number: int
    notes: tuple[LearningNotes, ...] = ()  # of the leader before, since its last snapshot
    timeseries: str
    rebuild: Rebuild


def _tuning(engine: Engine, learned: Learned) -> Tuning:
    return Tuning(
        engine.loop,
        learned,
        engine.clock,
        record=engine.record,
        epoch=engine.leader.epoch,
        every_s=engine.config.test_every_min * 60.0,
        notes=engine.notes,
    )


def _authority(engine: Engine) -> Authority | None:
    """Who signs; None where this coordinator has no keys."""
    keys = engine.config.keys
    return Authority.create_or_load(Path(keys)) if keys else None


def _admissions(engine: Engine, tokens: TokenStore, authority: Authority | None) -> Admissions | None:
    """Who lets others in; None where nobody signs."""
    if authority is None:
        return None
    answering = engine.leader.answering
    return Admissions(engine.bus, tokens, authority, engine.loop.cluster, answering=answering)


def _gauged(engine: Engine) -> tuple[SeriesStore, RollUps]:
    dsn = engine.config.timeseries_dsn or engine.config.dsn
    return SeriesStore(dsn), RollUps(dsn, engine.clock)


def _views(
    engine: Engine, finder: Finder, timelines: Timelines, series: SeriesStore, registry: Registry
) -> dict[str, Handler]:
    """What is only looked at."""
    return {
        **TimelineDesk(engine.loop, finder, timelines, engine.clock).handlers,
        **Equipment(engine.loop, registry, engine.clock).handlers,
        **SeriesDesk(engine.loop, finder, engine.clock, series).handlers,
    }


def _storage(engine: Engine) -> Storage:
    dsn, loop, clock, epoch = engine.config.dsn, engine.loop, engine.clock, engine.leader.epoch
    return Storage(
        dsn,
        loop,
        engine.teller,
        clock,
        epoch=epoch,
        record=engine.record,
        backup_again_after_s=engine.config.backup_again_after_min * 60.0,
    )


class _Many:
    """What steering all that a filter matches asks the database, and the audit of it."""

    def __init__(self, dsn: str) -> None:
        self._shown = TaskLists(dsn)
        self._jobs, self._tasks, self._audits = Lists(dsn), TaskLists(dsn), AuditList(dsn)

    def listings(self, engine: Engine, finder: Finder, *, lists: Lists, events: Events) -> Listings:
        versions = engine.performer.versions
        return Listings(
            engine.loop, finder, engine.clock, versions, lists=lists, task_lists=self._shown, events=events
        )

    def handlers(
        self, loop: Loop, steer: Steer, clock: Clock, *, events: Events, versions: Versions
    ) -> dict[str, Handler]:
        return {
            **Bulk(loop, steer, clock, lists=self._jobs, tasks=self._tasks).handlers,
            **History(loop, clock, events=events, audit=self._audits, versions=versions).handlers,
        }

    async def close(self) -> None:
        for store in (self._shown, self._jobs, self._tasks, self._audits):
            await store.close()


def _agents(
    engine: Engine, reads: Reads, notices: Notices, *, outputs: Outputs, version: str, hear: Hear
) -> Agents:
    return Agents(
        engine.bus,
        engine.loop,
        engine.replies,
        reads,
        engine.clock,
        notices,
        outputs=outputs,
        version=version,
        hear=hear,
        answering=engine.leader.answering,
    )


def _jobs(engine: Engine, reads: Reads, resolve: Resolve) -> Jobs:
    number = engine.next_number
    loop, performer, replies, clock = engine.loop, engine.performer, engine.replies, engine.clock
    return Jobs(loop, performer, reads, replies, clock, resolve=resolve, next_number=number)


def _nodes(engine: Engine, *, version: str, unreadable: Callable[[], int]) -> Nodes:
    return Nodes(
        engine.loop,
        engine.clock,
        epoch=engine.leader.epoch,
        version=version,
        timeseries=engine.timeseries,
        unreadable=unreadable,
    )


class _Contents:
    """What lies on the nodes under names: artifacts and models; and what submissions mean by them."""

    def __init__(self, engine: Engine, notices: Notices, registry: Registry, *, reads: Reads) -> None:
        dsn = engine.config.dsn
        self._stores = (ArtifactStore(dsn), ModelStore(dsn), ItemListStore(dsn))
        finder, self.volumes = Finder(engine.loop, reads), registry.volumes
        self.collector = Collector(self._stores[0], engine.teller)
        self.artifacts = ArtifactDesk(engine.loop, self._stores[0], finder, notices, self.collector)
        self.models = ModelDesk(self._stores[1], self.artifacts)
        self.lists = ItemLists(engine.bus, self._stores[2], self.artifacts, engine.loop, engine.teller)
        self.resolve = Resolver(registry, self.artifacts, self.models, self.lists).resolve
        self.handlers: dict[str, Handler] = {**self.artifacts.handlers, **self.models.handlers}

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


class _Left:
    """What tasks tell and leave."""

    def __init__(
        self,
        engine: Engine,
        jobs: Jobs,
        notices: Notices,
        *,
        contents: _Contents,
        reads: Reads,
        access: Access,
    ) -> None:
        dsn, finder = engine.config.dsn, jobs.finder
        self._results, self._contents = ResultStore(dsn), contents
        self._replicas, self._listed = ReplicaStore(dsn), ReplicaStore(dsn)
        offspring = Offspring(jobs, engine.loop, access, reads=reads, results=self._results, notices=notices)
        results = ResultDesk(engine.bus, self._results, finder, engine.clock, notices, offspring=offspring)
        clock, epoch, record, volumes = engine.clock, engine.leader.epoch, engine.record, contents.volumes
        self.copies = Replication(
            engine.loop, self._replicas, engine.teller, clock, epoch=epoch, record=record, volumes=volumes
        )
        replicas = ReplicaDesk(engine.loop, self._listed, finder, engine.teller, self.copies)
        self._checkpoints = CheckpointStore(dsn)
        checkpoints = CheckpointDesk(
            engine.loop,
            self._checkpoints,
            finder,
            notices,
            contents.collector,
            others=contents.models.kinds,
        )
        self.tidy = contents.lists.run
        # a connection of its own to the time-series, which waits behind nobody's charts
        self._trained = TrainingStore(dsn), SeriesStore(engine.config.timeseries_dsn or dsn)
        training = TrainingDesk(finder, engine.clock, *self._trained)
        self.hear = hearing(results, contents.artifacts, self.copies, checkpoints)
        self.kinds = checkpoints.kinds
        self.handlers: dict[str, Handler] = {
            **results.handlers,
            **contents.handlers,
            **replicas.handlers,
            **checkpoints.handlers,
            **training.handlers,
        }

    async def close(self) -> None:
        stores = (self._results, self._contents, self._replicas, self._listed, self._checkpoints)
        for store in (*stores, *self._trained):
            await store.close()


class _Called:
    """Addresses that are called when something happens: who is asked about them, and who calls them."""

    def __init__(self, engine: Engine, *, version: str) -> None:
        config = engine.config
        self._stores = Webhooks(config.dsn), Webhooks(config.dsn)  # nobody who asks waits behind the calls
        sealer = Sealer(Path(config.keys) / "webhooks.key" if config.keys else None)
        destinations = Destinations(config.webhook_hosts)
        asked, called = self._stores
        self._sender = Sender(
            called, sealer, destinations, engine.clock, record=engine.record, version=version
        )
        desk = WebhookDesk(asked, sealer, destinations, wake=self._sender.wake)
        self.handlers = desk.handlers
        self.run = self._sender.run

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


class Doors:
    """`open` them, let `work` run beside, `shut` them while the loop still answers, `close` their stores."""

    def __init__(self, engine: Engine) -> None:
        dsn, bus, loop, clock = engine.config.dsn, engine.bus, engine.loop, engine.clock
        version = package_version("corral")
        reads, lists, events, over = Reads(dsn), Lists(dsn), Events(dsn), Over(dsn)
        versions = engine.performer.versions
        tokens = TokenStore(dsn, written=versions.came)
        books, archive, learned = Books(dsn), Archive(dsn), Learned(dsn)
        timelines, past, self._many = Timelines(dsn), Past(dsn), _Many(dsn)
        tuned = Learned(dsn)  # its questions are long: nobody who asks shall wait behind them
        self._stores = (reads, lists, events, over, past, tokens, books, archive, learned, tuned, timelines)
        self._retention = Retention(archive, clock, engine.config.keep, epoch=engine.leader.epoch)
        self._admitted = tokens.admitted
        self._audit = Audit(dsn, now_s=clock.now_s, record=engine.record, written=versions.came)
        self._tuning, (self._series, self._roll_ups) = _tuning(engine, tuned), _gauged(engine)
        notices = Notices(engine.record, clock, loop.cluster.nodes)
        answering = engine.leader.answering
        self._storage = _storage(engine)
        registry = Registry(loop.cluster, self._storage.book)
        self._registry = registry
        self._tools = ToolDesk(loop, registry, ToolStore(dsn), clock)
        self._networks = NetworkDesk(loop, NetworkStore(dsn))
        contents = _Contents(engine, notices, registry, reads=reads)
        jobs = _jobs(engine, reads, contents.resolve)
        access = Access(reads)
        self._left = _Left(engine, jobs, notices, contents=contents, reads=reads, access=access)
        hear, outputs = self._left.hear, Outputs(loop.cluster, registry)
        self._agents = _agents(engine, reads, notices, outputs=outputs, version=version, hear=hear)
        self._nodes = _nodes(engine, version=version, unreadable=lambda: self._agents.rejected)
        authority = _authority(engine)
        steer = Steer(loop, jobs, over, engine.replies, staying=self._retention.staying)
        people = People(loop, reads, steer, clock, versions=versions)
        host, standing = socket.gethostname(), people.standing
        self._tokens = Tokens(
            tokens, authority, cluster=host, version=version, standing=standing, clock=clock
        )
        self._admissions = _admissions(engine, tokens, authority)
        self._schedules, desk = self._scheduled(engine, jobs, access, reads=reads, steer=steer)
        self._reasons = Reasons(loop, jobs.finder, reads, clock, resolve=jobs.resolve)
        self._called = _Called(engine, version=version)
        self._api = Api(
            bus,
            access,
            jobs=jobs,
            nodes=self._nodes,
            logs=Logs(loop, jobs.finder, reads, engine.teller),
            listings=self._many.listings(engine, jobs.finder, lists=lists, events=events),
            steer=steer,
            people=people,
            scheduler=SchedulerDesk(loop, learned, self._tuning, steer, clock),
            reasons=self._reasons,
            schedule=desk.create,
            tokens=self._tokens,
            verifier=Verifier(
                loop, books, engine.teller, clock, epoch=engine.leader.epoch, rebuild=engine.rebuild
            ),
            retention=self._retention,
            views=_views(engine, jobs.finder, timelines, self._series, self._registry)
            | desk.handlers
            | _pasts(engine, jobs.finder, reads, past)
            | {**self._left.handlers, **self._tools.handlers}
            | {**self._networks.handlers, **self._called.handlers}
            | dict(self._storage.handlers)
            | dict(GpuDesk(loop, steer).handlers)
            | self._many.handlers(loop, steer, clock, events=events, versions=versions)
            | StreamDesk(jobs.finder, reads, engine.teller, self._audit, kinds=self._left.kinds).handlers,
            refused=self._audit.refused,
            answering=answering,
            version=version,
        )
        self._intake = Intake(bus, access, jobs, PublishedKeys(dsn), self._audit, schedule=desk.create)

    def _scheduled(
        self, engine: Engine, jobs: Jobs, access: Access, *, reads: Reads, steer: Steer
    ) -> tuple[Firings, ScheduleDesk]:
        """What submits again and again, and who is asked about it."""
        asked, fired = Schedules(engine.config.dsn), Schedules(engine.config.dsn)
        self._fired = (asked, fired)
        firings = Firings(
            fired,
            jobs,
            engine.loop,
            access,
            reads=reads,
            clock=engine.clock,
            cancel=steer.ask,
            record=engine.record,
        )
        return firings, ScheduleDesk(asked, engine.loop, engine.clock, resolve=jobs.resolve)

    def work(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What goes on beside the answers, until cancelled."""
        return {
            "audit": self._audit.run(),
            "submissions": self._intake.run(),
            "retention": self._retention.run(),
            "replication": self._left.copies.run(),
            "schedules": self._schedules.run(),
            "webhooks": self._called.run(),
            "tuning": self._tuning.run(),
            "roll-ups": self._roll_ups.run(),
            "forecasts": self._reasons.run(),
            "volumes": self._storage.keeper.run(),
            "item lists": self._left.tidy(),
        }

    def summary(self) -> api.Cluster:
        """The cluster in a few numbers."""
        return self._nodes.summary()

    async def sessions(self) -> dict[str, Session]:
        """Who came in by a token, by the hashes of their keys. Raises StoreUnavailable."""
        return {
            session_key(each.credential): Session(
                name=each.name, kind=each.kind, token=each.token, since=each.since
            )
            for each in await self._admitted()
        }

    async def open(self) -> None:
        """Listen from here on."""
        await self._tools.start()
        await self._networks.start()
        await self._storage.keeper.read()
        await self._agents.start()
        await self._api.start()
        await self._tokens.start()
        if self._admissions is not None:
            await self._admissions.start()

    async def shut(self) -> None:
        """Take no more; what was begun is answered."""
        if self._admissions is not None:
            await self._admissions.stop()
        await self._api.stop()
        await self._intake.stop()
        await self._agents.stop()
        self._tuning.keep("stop")

    async def close(self) -> None:
        """The connections to the database."""
        await self._audit.close()
        beside = (self._left, self._tools, self._networks, self._storage, self._called)
        series = (self._many, self._series, self._roll_ups)
        for store in (*self._stores, *self._fired, *beside, *series):
            await store.close()


def _pasts(engine: Engine, finder: Finder, reads: Reads, past: Past) -> dict[str, Handler]:
    """What is told of moments of the past."""
    loop, clock = engine.loop, engine.clock
    logs = Logs(loop, finder, reads, engine.teller)
    return {
        **Pasts(loop, finder, past, clock).handlers,
        **PastReasons(loop, finder, reads, past, clock).handlers,
        **PastOutputs(logs, reads, clock).handlers,
        **PastPeople(loop, past, clock).handlers,
    }
