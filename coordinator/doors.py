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
from coordinator.agents import Agents
from coordinator.api.access import Access
from coordinator.api.bulk import Bulk
from coordinator.api.equipment import Equipment
from coordinator.api.find import Finder
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
from coordinator.api.service import Api, Handler
from coordinator.api.steer import Steer
from coordinator.api.timeline import TimelineDesk
from coordinator.api.tokens import Tokens
from coordinator.api.verify import Rebuild, Verifier
from coordinator.api.why import Reasons
from coordinator.cache_values import Session, session_key
from coordinator.clock import Clock
from coordinator.config import Config
from coordinator.core.effects import LearningNotes, Record
from coordinator.joining import Admissions
from coordinator.leader import Leader
from coordinator.loop import Loop
from coordinator.notices import Notices
from coordinator.perform import Performer
from coordinator.store.archive import Archive
from coordinator.store.audit import Audit
from coordinator.store.audit_list import AuditList
from coordinator.store.books import Books
from coordinator.store.events import Events
from coordinator.store.learned import Learned
from coordinator.store.lists import Lists
from coordinator.store.over import Over
from coordinator.store.past import Past
from coordinator.store.published import PublishedKeys
from coordinator.store.reads import Reads
from coordinator.store.rollups import RollUps
from coordinator.store.series import SeriesStore
from coordinator.store.task_lists import TaskLists
from coordinator.store.timeline import Timelines
from coordinator.store.tokens import Tokens as TokenStore
from coordinator.submissions import Intake
from coordinator.tell import Replies, Teller
from coordinator.tuning import Tuning


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


def _views(engine: Engine, finder: Finder, timelines: Timelines, series: SeriesStore) -> dict[str, Handler]:
    """What is only looked at."""
    return {
        **TimelineDesk(engine.loop, finder, timelines, engine.clock).handlers,
        **Equipment(engine.loop, engine.clock).handlers,
        **SeriesDesk(engine.loop, finder, engine.clock, series).handlers,
    }


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

    def handlers(self, loop: Loop, steer: Steer, clock: Clock, *, events: Events) -> dict[str, Handler]:
        return {
            **Bulk(loop, steer, clock, lists=self._jobs, tasks=self._tasks).handlers,
            **History(loop, clock, events=events, audit=self._audits).handlers,
        }

    async def close(self) -> None:
        for store in (self._shown, self._jobs, self._tasks, self._audits):
            await store.close()


class Doors:
    """`open` them, let `work` run beside, `shut` them while the loop still answers, `close` their stores."""

    def __init__(self, engine: Engine) -> None:
        dsn, bus, loop, clock = engine.config.dsn, engine.bus, engine.loop, engine.clock
        version = package_version("corral")
        reads, lists, events, over = Reads(dsn), Lists(dsn), Events(dsn), Over(dsn)
        tokens, books, archive, learned = TokenStore(dsn), Books(dsn), Archive(dsn), Learned(dsn)
        timelines, past, self._many = Timelines(dsn), Past(dsn), _Many(dsn)
        tuned = Learned(dsn)  # its questions are long: nobody who asks shall wait behind them
        self._stores = (reads, lists, events, over, past, tokens, books, archive, learned, tuned, timelines)
        self._retention = Retention(archive, clock, engine.config.keep, epoch=engine.leader.epoch)
        self._admitted = tokens.admitted
        self._audit = Audit(dsn, now_s=clock.now_s, record=engine.record)
        self._tuning, (self._series, self._roll_ups) = _tuning(engine, tuned), _gauged(engine)
        notices = Notices(engine.record, clock, loop.cluster.nodes)
        self._agents = Agents(
            bus,
            loop,
            engine.replies,
            reads,
            clock,
            notices,
            version=version,
            answering=engine.leader.answering,
        )
        jobs = Jobs(loop, engine.performer, reads, engine.replies, clock, next_number=engine.next_number)
        self._nodes = Nodes(
            loop,
            clock,
            epoch=engine.leader.epoch,
            version=version,
            timeseries=engine.timeseries,
            unreadable=lambda: self._agents.rejected,
        )
        authority = _authority(engine)
        steer = Steer(loop, jobs, over, engine.replies, staying=self._retention.staying)
        people = People(loop, reads, steer, clock)
        self._tokens = Tokens(
            tokens,
            authority,
            cluster=socket.gethostname(),
            version=version,
            standing=people.standing,
            clock=clock,
        )
        self._admissions = _admissions(engine, tokens, authority)
        access = Access(reads)
        self._reasons = Reasons(loop, jobs.finder, reads, clock)
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
            tokens=self._tokens,
            verifier=Verifier(
                loop, books, engine.teller, clock, epoch=engine.leader.epoch, rebuild=engine.rebuild
            ),
            retention=self._retention,
            views=_views(engine, jobs.finder, timelines, self._series)
            | Pasts(loop, jobs.finder, past, clock).handlers
            | self._many.handlers(loop, steer, clock, events=events),
            refused=self._audit.refused,
            answering=engine.leader.answering,
            version=version,
        )
        self._intake = Intake(bus, access, jobs, PublishedKeys(dsn), self._audit)

    def work(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What goes on beside the answers, until cancelled."""
        return {
            "audit": self._audit.run(),
            "submissions": self._intake.run(),
            "retention": self._retention.run(),
            "tuning": self._tuning.run(),
            "roll-ups": self._roll_ups.run(),
            "forecasts": self._reasons.run(),
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
        for store in (*self._stores, self._many, self._series, self._roll_ups):
            await store.close()
