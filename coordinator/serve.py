"""The coordinator's life: connect, stand by, lead, rebuild memory, serve; end when told to or when followed.

Who lost the leadership ends with EXIT_NOT_LEADER, and whoever started it starts it again: it stands by then,
with nothing left of what it believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from bus.connection import NatsBus
from bus.credentials import parse_credentials
from bus.errors import BusError
from bus.layout import Layout, read_secret
from bus.supervision import CoordinatorRole
from bus.values import UserName
from coordinator.bus_watch import BusWatch
from coordinator.caches import Caches
from coordinator.clock import Clock
from coordinator.config import Config, ConfigError, load_config
from coordinator.core.effects import EventRecord, Tell
from coordinator.core.fair_share import judge, restore_account
from coordinator.core.learning import forget_learned, restore_learned
from coordinator.core.limits import Limits
from coordinator.core.model import Cluster
from coordinator.core.rebuild import restore_attempt, restore_job, restore_loss, restore_node
from coordinator.core.scheduler.kept import Unreadable
from coordinator.doors import Doors, Engine
from coordinator.gauges import Gauges
from coordinator.leader import Leader
from coordinator.loop import Loop
from coordinator.overdue import Overdue
from coordinator.perform import Performer
from coordinator.presence import Presence
from coordinator.self_check import SelfCheck
from coordinator.store.errors import NotLeader, StoreUnavailable
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import Batch, Snapshot, TaskSeen
from coordinator.store.telemetry import TelemetryStore, TelemetryWriter
from coordinator.tell import Replies, Teller
from sql.errors import SchemaError
from sql.migrate import migrate

log = logging.getLogger(__name__)

EXIT_CONFIG = 78
EXIT_UNAVAILABLE = 69
EXIT_NOT_LEADER = 75
CONNECT_WAIT_S = 30.0
CLOSE_WAIT_S = 2.0
STANDBY_WORD_S = 1.0

COLLECT_AFTER = (50_000, 20, 100)
"""A hundred thousand queued tasks are long-lived objects: collect rarely, and not all of them."""


def serve(data: Path, *, name: str = "coordinator") -> int:
    """Run until SIGTERM; returns the exit code. `name` tells coordinators of one data folder apart."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        config = load_config(data)
    except ConfigError as error:
        log.error("%s", error)
        return EXIT_CONFIG
    import uvloop

    gc.set_threshold(*COLLECT_AFTER)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(config, Presence(Layout(data).coordinator_state(name))))
    except (StoreUnavailable, BusError, SchemaError) as error:
        log.error("%s", error)
        return EXIT_UNAVAILABLE
    except NotLeader as error:
        log.error("%s", error)
        return EXIT_NOT_LEADER
    except ExceptionGroup as group:
        return _end_of(group)


def _end_of(group: ExceptionGroup) -> int:
    """The exit code. Raises what is none of the world's faults."""
    lost = group.subgroup(NotLeader)
    if lost is not None:
        log.error("another coordinator leads: this one stops (%s)", _first(lost))
        return EXIT_NOT_LEADER
    away = group.subgroup((StoreUnavailable, BusError))
    if away is None or group.split((StoreUnavailable, BusError))[1] is not None:
        raise group
    log.error("%s", _first(away))
    return EXIT_UNAVAILABLE


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def _serve(config: Config, presence: Presence) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    presence.show(CoordinatorRole.STARTING)
    await _migrate(config)
    store = await RelationalStore.connect(config.dsn)
    watch = BusWatch()
    bus = None
    try:
        bus = await _connect_bus(config, watch)
        await watch.store(bus)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run(bus), name="bus watch")
            epoch = await _lead(store, stop, watch, presence)
            if epoch is not None:
                log.info("leading, epoch %d", epoch)
                leader = Leader(
                    store,
                    bus,
                    presence,
                    epoch=epoch,
                    holder=_holder(),
                    answered=lambda: watch.answers,
                    unheard=lambda: watch.away,
                )
                renewing = group.create_task(leader.run(), name="renew")
                for user in config.users:
                    await store.ensure_user(UserName(user.name), user.role)
                await _lead_until(stop, config, store, bus, leader=leader, watch=watch)
                renewing.cancel()
                await _resign(leader)
            watching.cancel()
        return 0
    finally:
        presence.clear()
        for connection in (bus, store):
            if connection is not None:
                with contextlib.suppress(TimeoutError):  # whoever leads now must not hear us any longer
                    async with asyncio.timeout(CLOSE_WAIT_S):
                        await connection.close()


async def _resign(leader: Leader) -> None:
    """If the database is there: without this word, a standby waits until we seem dead."""
    try:
        async with asyncio.timeout(CLOSE_WAIT_S):
            await leader.resign()
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("not resigned: %s", str(error) or "no answer")


async def _migrate(config: Config) -> None:
    """Bring the schema up; a database that is just starting gets time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CONNECT_WAIT_S
    while True:
        try:
            applied = await migrate(config.migrate_dsn or config.dsn)
        except OSError:
            if loop.time() >= deadline:
                raise
            await asyncio.sleep(0.2)
            continue
        if applied:
            log.info("schema: %s", ", ".join(applied))
        return


async def _connect_bus(config: Config, watch: BusWatch) -> NatsBus:
    credentials = parse_credentials(read_secret(Path(config.credentials)))
    return await NatsBus.connect(
        config.nats_url,
        credentials,
        name="corral coordinator",
        on_state=watch.on_state,
        timeout_s=CONNECT_WAIT_S,
    )


def _holder() -> str:
    """Who we are, in the leadership's row."""
    return f"{socket.gethostname()}:{os.getpid()}"


async def _lead(
    store: RelationalStore, stop: asyncio.Event, watch: BusWatch, presence: Presence
) -> int | None:
    """The epoch once we lead; None if told to stop while another does."""
    led = asyncio.Event()
    work = store.lead(_holder(), math.inf, fit=lambda: watch.answers, led=led.set)
    leading = asyncio.create_task(work, name="lead")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        while not (leading.done() or stopping.done()):
            await asyncio.wait(
                {leading, stopping}, timeout=STANDBY_WORD_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not leading.done():
                # where nobody was seen to lead, we may do so in a moment: nobody should take us for ready
                role = CoordinatorRole.STANDBY if led.is_set() else CoordinatorRole.STARTING
                presence.show(role, trouble="" if watch.answers else "the bus does not answer")
        return leading.result() if leading.done() else None
    finally:
        leading.cancel()
        stopping.cancel()


def rebuild(snapshot: Snapshot, config: Config, *, now_s: float) -> Cluster:
    """The cluster that the database describes; every lease counts as just renewed."""
    limits = Limits(ageing_s=config.ageing_min * 60.0).with_silence(config.unreachable_after_s)
    cluster = Cluster(limits=limits, order=config.order, backfill=config.backfill, rank=config.rank)
    cluster.mode = config.mode
    cluster.deterministic = config.deterministic
    cluster.shares.half_life_s = config.fair_share_half_life_days * 86_400.0
    return restore(cluster, snapshot, now_s=now_s)


def restore(cluster: Cluster, snapshot: Snapshot, *, now_s: float) -> Cluster:
    """Fill an empty cluster with what the database holds, under its own limits and rules."""
    for account in snapshot.accounts:
        restore_account(cluster, account)
    for node in snapshot.nodes:
        restore_node(cluster, node, now_s=now_s)
    tasks: dict[int, list[TaskSeen]] = {}
    for task in snapshot.tasks:
        tasks.setdefault(task.task.job, []).append(task)
    for live in sorted(snapshot.jobs, key=lambda live: live.job.number):
        rows = tasks.get(live.job.number, ())
        restore_job(cluster, live.job, live.change, rows, ended=snapshot.ended, lists=snapshot.lists)
    for attempt in snapshot.attempts:
        restore_attempt(cluster, attempt)
    for loss in snapshot.losses:
        restore_loss(cluster, loss)
    try:
        restore_learned(cluster, snapshot.learned, snapshot.notes)
    except Unreadable as error:
        log.error("what was learned cannot be read, and is learned anew: %s", error)
        forget_learned(cluster, snapshot.learned, snapshot.notes)
    judge(cluster)
    return cluster


async def _lead_until(
    stop: asyncio.Event,
    config: Config,
    store: RelationalStore,
    bus: NatsBus,
    *,
    leader: Leader,
    watch: BusWatch,
) -> None:
    """Serve as the leader. Raises NotLeader when another takes over."""
    snapshot = await store.load()
    clock = Clock(not_before_s=snapshot.newest_s)
    cluster = rebuild(snapshot, config, now_s=clock.now_s())
    telemetry = await TelemetryStore.connect(config.timeseries_dsn or config.dsn)
    writer = TelemetryWriter(telemetry, noticed=lambda: performer.versions.noticed())
    replies = Replies()
    teller = Teller(
        bus, replies, limits=cluster.limits, epoch=leader.epoch, post=lambda event: loop.post(event)
    )
    caches = Caches(
        bus,
        cluster,
        (live.change for live in snapshot.jobs),
        holder=_holder(),
        summary=lambda: doors.summary(),
        sessions=lambda: doors.sessions(),
    )

    def tell(batch: Batch, tells: Sequence[Tell]) -> None:
        teller.tell(batch, tells)
        caches.changed(batch)
        gauges.changed(batch)

    performer = Performer(store, tell=tell, record=writer.put, epoch=leader.epoch)
    loop = Loop(cluster, performer, clock, answer_beat=teller.answer_beat)
    gauges = Gauges(loop, clock, (live.change for live in snapshot.jobs), record=writer.put)
    doors = Doors(
        Engine(
            config=config,
            bus=bus,
            leader=leader,
            clock=clock,
            loop=loop,
            performer=performer,
            replies=replies,
            teller=teller,
            record=writer.put,
            next_number=snapshot.next_number,
            notes=snapshot.notes,
            timeseries=telemetry.edition,
            rebuild=lambda snapshot: rebuild(snapshot, config, now_s=clock.now_s()),
        )
    )
    gc.freeze()
    await leader.start()
    writer.put([_leads(clock, leader)])
    beside = {
        "caches": caches.run(),
        "gauges": gauges.run(),
        "overdue": Overdue(bus, replies, away=lambda: not performer.available).run(),
        "self check": SelfCheck(loop.post, bus=lambda: watch.answers, database=lambda: leader.fresh).run(),
        **doors.work(),
    }
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(), name="telemetry")
        await _work(stop, loop, doors, beside)
        await teller.close()
        await writer.close()
    await doors.close()
    await telemetry.close()


def _leads(clock: Clock, leader: Leader) -> EventRecord:
    text = f"{_holder()} leads, epoch {leader.epoch}"
    return EventRecord(at=clock.now_s(), event_type="coordinator_leads", severity="info", message=text)


async def _work(
    stop: asyncio.Event, loop: Loop, doors: Doors, beside: Mapping[str, Coroutine[Any, Any, None]]
) -> None:
    """With the doors open, until told to stop: then what was begun is committed."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(loop.run(), name="loop")
        helping = [group.create_task(work, name=name) for name, work in beside.items()]
        await doors.open()
        log.info("serving %d live jobs on %d nodes", len(loop.cluster.jobs), len(loop.cluster.nodes))
        stopping = group.create_task(stop.wait(), name="stop")
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await doors.shut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await loop.barrier()
        for task in (running, stopping, *helping):
            task.cancel()
