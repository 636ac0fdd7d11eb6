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
from importlib.metadata import version as package_version
from pathlib import Path

from bus import jetstream
from bus.auth import Authority
from bus.connection import NatsBus
from bus.credentials import parse_credentials
from bus.errors import BusError
from bus.layout import read_secret
from bus.values import UserName
from coordinator.agents import Agents
from coordinator.api.access import Access
from coordinator.api.jobs import Jobs
from coordinator.api.lists import Listings
from coordinator.api.logs import Logs
from coordinator.api.nodes import Nodes
from coordinator.api.service import Api
from coordinator.api.steer import Steer
from coordinator.api.tokens import Tokens
from coordinator.api.why import Reasons
from coordinator.caches import Caches
from coordinator.clock import Clock
from coordinator.config import Config, ConfigError, load_config
from coordinator.core.effects import Tell
from coordinator.core.model import Cluster
from coordinator.core.rebuild import restore_attempt, restore_job, restore_node
from coordinator.joining import Admissions
from coordinator.loop import Loop
from coordinator.notices import Notices
from coordinator.perform import Performer
from coordinator.store.audit import Audit
from coordinator.store.errors import NotLeader, StoreUnavailable
from coordinator.store.events import Events
from coordinator.store.published import PublishedKeys
from coordinator.store.lists import Lists
from coordinator.store.over import Over
from coordinator.store.reads import Reads
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import Batch, Snapshot, TaskSeen
from coordinator.store.telemetry import TelemetryStore, TelemetryWriter
from coordinator.store.tokens import Tokens as TokenStore
from coordinator.submissions import Intake
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
        restore_job(cluster, live.job, live.change, tasks.get(live.job.number, ()))
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
    reads = Reads(config.dsn)
    teller = Teller(bus, replies, limits=cluster.limits, epoch=epoch, post=lambda event: loop.post(event))
    caches = Caches(bus, cluster, (live.change for live in snapshot.jobs), summary=lambda: nodes.summary())

    def tell(batch: Batch, tells: Sequence[Tell]) -> None:
        teller.tell(batch, tells)
        caches.changed(batch.job_changes)

    performer = Performer(store, tell=tell, record=writer.put)
    loop = Loop(cluster, performer, clock, answer_beat=teller.answer_beat)
    jobs = Jobs(loop, performer, reads, replies, clock, next_number=snapshot.next_number)
    agents = Agents(bus, loop, replies, reads, clock, Notices(writer.put, clock))
    nodes = Nodes(
        loop,
        clock,
        epoch=epoch,
        version=package_version("corral"),
        timeseries=telemetry.edition,
        unreadable=lambda: agents.rejected,
    )
    lists, events = Lists(config.dsn), Events(config.dsn)
    listings = Listings(loop, jobs.finder, clock, lists=lists, events=events)
    logs = Logs(loop, jobs.finder, reads, teller)
    authority = Authority.create_or_load(Path(config.keys)) if config.keys else None
    token_store = TokenStore(config.dsn)
    version = package_version("corral")
    tokens = Tokens(token_store, authority, cluster=socket.gethostname(), version=version)
    admissions = Admissions(bus, token_store, authority, cluster) if authority else None
    over = Over(config.dsn)
    audit = Audit(config.dsn, now_s=clock.now_s, record=writer.put)
    access = Access(reads)
    service = Api(
        bus,
        access,
        jobs=jobs,
        nodes=nodes,
        logs=logs,
        listings=listings,
        steer=Steer(loop, jobs, over, replies),
        reasons=Reasons(loop, jobs.finder, reads, clock),
        tokens=tokens,
        refused=audit.refused,
        version=version,
    )
    intake = Intake(bus, access, jobs, PublishedKeys(config.dsn), audit)
    gc.freeze()
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(), name="telemetry")
        running = group.create_task(loop.run(), name="loop")
        renewing = group.create_task(_renew(store), name="renew")
        publishing = group.create_task(caches.run(), name="caches")
        auditing = group.create_task(audit.run(), name="audit")
        taking = group.create_task(intake.run(), name="submissions")
        await agents.start()
        await service.start()
        await tokens.start()
        if admissions is not None:
            await admissions.start()
        log.info("serving %d live jobs on %d nodes", len(cluster.jobs), len(cluster.nodes))
        stopping = group.create_task(stop.wait(), name="stop")
        await asyncio.wait({running, renewing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if admissions is not None:
            await admissions.stop()
        await service.stop()
        await intake.stop()
        await agents.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await loop.barrier()
        for task in (running, renewing, publishing, auditing, taking, stopping):
            task.cancel()
        await teller.close()
        await writer.close()
    await token_store.close()
    await over.close()
    await audit.close()
    await lists.close()
    await events.close()
    await reads.close()
    await telemetry.close()


async def _renew(store: RelationalStore) -> None:
    """Each second; a database that is away does not end us, another leader does."""
    while True:
        try:
            await store.renew()
        except StoreUnavailable as error:
            log.warning("leadership not renewed: %s", error)
        await asyncio.sleep(1.0)
