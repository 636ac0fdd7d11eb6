"""The coordinator's life: connect, lead, rebuild memory, serve; end when told to or when another leads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from bus import jetstream
from bus.connection import NatsBus
from bus.credentials import parse_credentials
from bus.errors import BusError
from bus.layout import read_secret
from bus.values import UserName
from coordinator.caches import Caches
from coordinator.clock import Clock
from coordinator.config import Config, ConfigError, load_config
from coordinator.core.effects import Tell
from coordinator.core.model import Cluster
from coordinator.core.rebuild import restore_attempt, restore_job, restore_node
from coordinator.doors import Doors, Engine
from coordinator.loop import Loop
from coordinator.perform import Performer
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
LEAD_WAIT_S = 3600.0
CONNECT_WAIT_S = 30.0


def serve(data: Path) -> int:
    """Run until SIGTERM; returns the exit code."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        config = load_config(data)
    except ConfigError as error:
        log.error("%s", error)
        return EXIT_CONFIG
    import uvloop

    # a hundred thousand queued tasks are long-lived objects: collect rarely, and not all of them
    gc.set_threshold(50_000, 20, 100)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(config))
    except (StoreUnavailable, BusError, SchemaError) as error:
        log.error("%s", error)
        return EXIT_UNAVAILABLE
    except NotLeader as error:
        log.error("%s", error)
        return EXIT_NOT_LEADER
    except ExceptionGroup as group:
        if group.subgroup(NotLeader) is None:
            raise
        log.error("another coordinator leads now: this one stops")
        return EXIT_NOT_LEADER


async def _serve(config: Config) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await _migrate(config)
    store = await RelationalStore.connect(config.dsn)
    bus = None
    try:
        bus = await _connect_bus(config)
        await jetstream.ensure_buckets(bus)
        await jetstream.ensure_streams(bus)
        epoch = await _lead(store, stop)
        if epoch is None:
            return 0
        log.info("leading, epoch %d", epoch)
        for user in config.users:
            await store.ensure_user(UserName(user.name), user.role)
        await _lead_until(stop, config, store, bus, epoch)
        await store.resign()
        return 0
    finally:
        if bus is not None:
            await bus.close()
        await store.close()


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


async def _connect_bus(config: Config) -> NatsBus:
    credentials = parse_credentials(read_secret(Path(config.credentials)))
    return await NatsBus.connect(
        config.nats_url, credentials, name="corral coordinator", timeout_s=CONNECT_WAIT_S
    )


async def _lead(store: RelationalStore, stop: asyncio.Event) -> int | None:
    """The epoch once we lead; None if told to stop while another does."""
    holder = f"{socket.gethostname()}:{os.getpid()}"
    leading = asyncio.create_task(store.lead(holder, LEAD_WAIT_S), name="lead")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if leading.done():
        return leading.result()
    leading.cancel()
    return None


def rebuild(snapshot: Snapshot, config: Config, *, now_s: float) -> Cluster:
    """The cluster that the database describes; every lease counts as just renewed."""
    cluster = Cluster(order=config.order, rank=config.rank)
    for node in snapshot.nodes:
        restore_node(cluster, node, now_s=now_s)
    tasks: dict[int, list[TaskSeen]] = {}
    for task in snapshot.tasks:
        tasks.setdefault(task.task.job, []).append(task)
    for live in sorted(snapshot.jobs, key=lambda live: live.job.number):
        rows = tasks.get(live.job.number, ())
        restore_job(cluster, live.job, live.change, rows, ended=snapshot.ended)
    for attempt in snapshot.attempts:
        restore_attempt(cluster, attempt)
    return cluster


async def _lead_until(
    stop: asyncio.Event, config: Config, store: RelationalStore, bus: NatsBus, epoch: int
) -> None:
    """Serve as the leader of `epoch`. Raises NotLeader when another takes over."""
    clock = Clock()
    snapshot = await store.load()
    cluster = rebuild(snapshot, config, now_s=clock.now_s())
    telemetry = await TelemetryStore.connect(config.timeseries_dsn or config.dsn)
    writer = TelemetryWriter(telemetry)
    replies = Replies()
    teller = Teller(bus, replies, limits=cluster.limits, epoch=epoch, post=lambda event: loop.post(event))
    caches = Caches(bus, cluster, (live.change for live in snapshot.jobs), summary=lambda: doors.summary())

    def tell(batch: Batch, tells: Sequence[Tell]) -> None:
        teller.tell(batch, tells)
        caches.changed(batch.job_changes)

    performer = Performer(store, tell=tell, record=writer.put)
    loop = Loop(cluster, performer, clock, answer_beat=teller.answer_beat)
    doors = Doors(
        Engine(
            config=config,
            bus=bus,
            clock=clock,
            loop=loop,
            performer=performer,
            replies=replies,
            teller=teller,
            record=writer.put,
            epoch=epoch,
            next_number=snapshot.next_number,
            timeseries=telemetry.edition,
            rebuild=lambda snapshot: rebuild(snapshot, config, now_s=clock.now_s()),
        )
    )
    gc.freeze()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(), name="telemetry")
        running = group.create_task(loop.run(), name="loop")
        renewing = group.create_task(_renew(store), name="renew")
        beside = {"caches": caches.run(), **doors.work()}
        helping = [group.create_task(work, name=name) for name, work in beside.items()]
        await doors.open()
        log.info("serving %d live jobs on %d nodes", len(cluster.jobs), len(cluster.nodes))
        stopping = group.create_task(stop.wait(), name="stop")
        await asyncio.wait({running, renewing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await doors.shut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await loop.barrier()
        for task in (running, renewing, stopping, *helping):
            task.cancel()
        await teller.close()
        await writer.close()
    await doors.close()
    await telemetry.close()


async def _renew(store: RelationalStore) -> None:
    """Each second; a database that is away does not end us, another leader does."""
    while True:
        try:
            await store.renew()
        except StoreUnavailable as error:
            log.warning("leadership not renewed: %s", error)
        await asyncio.sleep(1.0)
